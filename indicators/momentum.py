"""Oscillators of momentum: RSI."""

from __future__ import annotations

import numpy as np

from .definition import RELATIVE_ZERO, Definition, period, settling_rows, stat
from .jit import Floats, Ints

__all__ = ["DEFINITIONS"]

_TINY = float(np.finfo(np.float64).tiny)


@stat(
    "RSI",
    version=1,
    meaning="relative strength index: share of rises in the average change, 0 to 100",
    source="TA-Lib RSI (Wilder 1978); a window without change is 50, not TA-Lib's 0",
    parameters=(period(14),),
    selectable=True,
    state=("gain", "loss"),
    warmup=lambda n: n,
    lookback=lambda n: n,
    # Of a market that moves. A silent one keeps the ratio of its last movements, as TA-Lib's does:
    # both averages decay alike.
    settling=lambda n: settling_rows(1.0 / n),
    unit="0..100",
    bounds=(0.0, 100.0),
)
def rsi(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """100 · gain / (gain + loss), both Wilder's averages, seeded with the mean of n changes."""
    x, out, gain, loss = cols[0], cols[1], cols[2], cols[3]
    n = int(par[0])
    if age < n:
        F[out, i] = np.nan
        F[gain, i] = np.nan
        F[loss, i] = np.nan
        return
    seeding = age == n
    up = 0.0 if seeding else F[gain, i - 1] * (n - 1.0)
    down = 0.0 if seeding else F[loss, i - 1] * (n - 1.0)
    for j in range(i - n + 1 if seeding else i, i + 1):
        change = F[x, j] - F[x, j - 1]
        # The tolerance is for derived prices, whose sums round; it is on the change, because one on
        # the averages would call a silent market flat long before TA-Lib does.
        if abs(change) <= RELATIVE_ZERO * abs(F[x, j]):
            continue
        if change < 0.0:
            down -= change
        else:
            up += change
    up /= n
    down /= n
    # Together, so that the ratio stays right up to the last row that has one.
    if up + down < _TINY:
        up = 0.0
        down = 0.0
    F[gain, i] = up
    F[loss, i] = down
    F[out, i] = 50.0 if up + down == 0.0 else 100.0 * (up / (up + down))


DEFINITIONS: tuple[Definition, ...] = (rsi,)
