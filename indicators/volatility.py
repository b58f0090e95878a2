"""Ranges and volatility: ATR."""

from __future__ import annotations

import numpy as np

from .definition import Definition, period, settling_rows, stat
from .jit import Floats, Ints, helper

__all__ = ["DEFINITIONS", "true_range"]

_TINY = float(np.finfo(np.float64).tiny)


@helper
def true_range(F: Floats, high: int, low: int, close: int, i: int) -> float:
    """Reach of row i, the gap from the close before included."""
    before = F[close, i - 1]
    reach: float = max(F[high, i], before) - min(F[low, i], before)
    return reach


@stat(
    "ATR",
    version=2,
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
    if age > n:
        share = 1.0 / n
        part = true_range(F, high, low, close, i) * share
        if part >= _TINY:
            F[out, i] = F[out, i - 1] * ((n - 1.0) * share) + part
        else:
            value = F[out, i - 1] * (n - 1.0) / n
            F[out, i] = 0.0 if value < _TINY else value
    elif age == n:
        total = 0.0
        for j in range(i - n + 1, i + 1):
            total += true_range(F, high, low, close, j)
        F[out, i] = total / n
    else:
        F[out, i] = np.nan


DEFINITIONS: tuple[Definition, ...] = (atr,)
