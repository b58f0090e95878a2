"""Ranges and volatility: ATR."""

from __future__ import annotations

import numpy as np

from .definition import Definition, period, settling_rows, stat
from .jit import Floats, Ints

__all__ = ["DEFINITIONS"]

_TINY = float(np.finfo(np.float64).tiny)


@stat(
    "ATR",
    version=1,
    meaning="average true range: Wilder's average of the range, gaps included",
    source="TA-Lib ATR (Wilder 1978)",
    parameters=(period(14),),
    inputs=("high", "low", "close"),
    warmup=lambda n: n,
    lookback=lambda n: n,
    settling=lambda n: settling_rows(1.0 / n),
)
def atr(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Wilder's average of the true range; the first value is the mean of the first n."""
    high, low, close, out = cols[0], cols[1], cols[2], cols[3]
    n = int(par[0])
    if age < n:
        F[out, i] = np.nan
        return
    seeding = age == n
    total = 0.0 if seeding else F[out, i - 1] * (n - 1.0)
    for j in range(i - n + 1 if seeding else i, i + 1):
        before = F[close, j - 1]
        reach = F[high, j] - F[low, j]
        reach = max(reach, abs(F[high, j] - before), abs(F[low, j] - before))
        total += reach
    value = total / n
    F[out, i] = 0.0 if value < _TINY else value


DEFINITIONS: tuple[Definition, ...] = (atr,)
