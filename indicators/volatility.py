"""Ranges: TRUERANGE, ATR, NATR."""

from __future__ import annotations

import numpy as np

from .definition import Definition, period, settling_rows, stat
from .jit import Floats, Ints, helper

__all__ = ["DEFINITIONS", "average_range", "true_range"]

_TINY = float(np.finfo(np.float64).tiny)


@helper
def true_range(F: Floats, high: int, low: int, close: int, i: int) -> float:
    """Reach of row i, the gap from the close before included."""
    before = F[close, i - 1]
    reach: float = max(F[high, i], before) - min(F[low, i], before)
    return reach


@helper
def average_range(
    F: Floats, i: int, age: int, high: int, low: int, close: int, out: int, n: int
) -> float:
    """Row i of an ATR; column `out` has its earlier rows. NaN before age n."""
    if age > n:
        share = 1.0 / n
        part = true_range(F, high, low, close, i) * share
        if part >= _TINY:
            value: float = F[out, i - 1] * ((n - 1.0) * share) + part
            return value
        value = F[out, i - 1] * (n - 1.0) / n
        return 0.0 if value < _TINY else value
    if age < n:
        return np.nan
    total = 0.0
    for j in range(i - n + 1, i + 1):
        total += true_range(F, high, low, close, j)
    return total / n


@stat(
    "TRUERANGE",
    version=1,
    meaning="true range: reach of the candle, the gap from the close before included",
    source="TA-Lib TRANGE (Wilder 1978)",
    inputs=("high", "low", "close"),
    warmup=lambda: 1,
    lookback=lambda: 1,
)
def truerange(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """The larger of high and the close before, less the smaller of low and the close before."""
    high, low, close, out = cols[0], cols[1], cols[2], cols[3]
    F[out, i] = np.nan if age < 1 else true_range(F, high, low, close, i)


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
    F[out, i] = average_range(F, i, age, high, low, close, out, int(par[0]))


@stat(
    "NATR",
    version=1,
    meaning="average true range in percent of the close",
    source="TA-Lib NATR; in percent for n = 1 too, there it is the range itself",
    parameters=(period(14),),
    inputs=("high", "low", "close"),
    state=("range",),
    warmup=lambda n: n,
    lookback=lambda n: n,
    settling=lambda n: settling_rows(1.0 / n),
    unit="percent",
)
def natr(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """100 · ATR / close."""
    high, low, close, out, reach = cols[0], cols[1], cols[2], cols[3], cols[4]
    F[reach, i] = average_range(F, i, age, high, low, close, reach, int(par[0]))
    F[out, i] = 100.0 * (F[reach, i] / F[close, i])


DEFINITIONS: tuple[Definition, ...] = (truerange, atr, natr)
