"""Oscillators of momentum: MOM, ROC, RSI."""

from __future__ import annotations

import numpy as np

from .definition import RELATIVE_ZERO, Definition, period, settling_rows, stat
from .jit import Floats, Ints, helper

__all__ = ["DEFINITIONS", "strength"]

_TINY = float(np.finfo(np.float64).tiny)


@stat(
    "MOM",
    version=1,
    meaning="momentum: value minus the one n rows ago",
    source="TA-Lib MOM",
    parameters=(period(10),),
    selectable=True,
    warmup=lambda n: n,
    lookback=lambda n: n,
    unit="input",
)
def mom(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """x[i] − x[i−n]."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    F[out, i] = np.nan if age < n else F[x, i] - F[x, i - n]


@stat(
    "ROC",
    version=1,
    meaning="rate of change: percent from the value n rows ago",
    source="TA-Lib ROC",
    parameters=(period(10),),
    selectable=True,
    warmup=lambda n: n,
    lookback=lambda n: n,
    unit="percent",
)
def roc(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """100 · (x[i] − x[i−n]) / x[i−n]; 0 where there was nothing to change from (a volume)."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n:
        F[out, i] = np.nan
        return
    before = F[x, i - n]
    F[out, i] = 0.0 if before == 0.0 else 100.0 * ((F[x, i] - before) / before)


@helper
def _flushed(up: float, down: float) -> tuple[float, float]:
    """Two averages of which at least one is below the normal numbers, without subnormals.

    They end together, so that their ratio stays right up to the last row that has one; alone ends
    only what is too small a share of the other for the ratio to notice.
    """
    total = up + down
    if total < _TINY or (min(up, down) > 0.0 and total < _TINY / RELATIVE_ZERO):
        return 0.0, 0.0
    return 0.0 if up < _TINY else up, 0.0 if down < _TINY else down


@helper
def strength(F: Floats, i: int, age: int, x: int, gain: int, loss: int, n: int) -> float:
    """Step the two averages of an RSI and return its value; NaN before age n.

    Also the first half of STOCHRSI.
    """
    if age > n:
        change = F[x, i] - F[x, i - 1]
        # The tolerance is for derived prices, whose sums round; it is on the change, because one on
        # the averages would call a silent market flat long before TA-Lib does.
        if abs(change) <= RELATIVE_ZERO * abs(F[x, i]):
            change = 0.0
        # Without a branch on the sign, which no processor can guess.
        share = 1.0 / n
        up = max(change, 0.0) * share
        down = max(-change, 0.0) * share
        if up + down >= _TINY:
            up += F[gain, i - 1] * ((n - 1.0) * share)
            down += F[loss, i - 1] * ((n - 1.0) * share)
        else:
            up = F[gain, i - 1] * (n - 1.0) / n
            down = F[loss, i - 1] * (n - 1.0) / n
        if min(up, down) < _TINY:
            up, down = _flushed(up, down)
    elif age == n:
        up = 0.0
        down = 0.0
        for j in range(i - n + 1, i + 1):
            change = F[x, j] - F[x, j - 1]
            if abs(change) > RELATIVE_ZERO * abs(F[x, j]):
                up += max(change, 0.0)
                down += max(-change, 0.0)
        up /= n
        down /= n
    else:
        F[gain, i] = np.nan
        F[loss, i] = np.nan
        return np.nan
    F[gain, i] = up
    F[loss, i] = down
    return 50.0 if up + down == 0.0 else 100.0 * (up / (up + down))


@stat(
    "RSI",
    version=3,
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
    F[cols[1], i] = strength(F, i, age, cols[0], cols[2], cols[3], int(par[0]))


DEFINITIONS: tuple[Definition, ...] = (mom, roc, rsi)
