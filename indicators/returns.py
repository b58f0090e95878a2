"""Returns and realised volatility: LOGRET, RV."""

from __future__ import annotations

import math

import numpy as np

from .definition import Definition, period, stat
from .jit import Floats, Ints, helper

__all__ = ["DEFINITIONS"]


@helper
def _log_return(F: Floats, x: int, i: int, n: int) -> float:
    """ln(x[i] / x[i−n]); 0 where one of them is not positive (a volume)."""
    before = F[x, i - n]
    if before <= 0.0 or F[x, i] <= 0.0:
        return 0.0
    # Of the change, which is exact between neighbours: their ratio is rounded at 1.
    return math.log1p((F[x, i] - before) / before)


@stat(
    "LOGRET",
    version=1,
    meaning="log return: natural logarithm of the value over the one n rows ago",
    source="TA-Lib LN of TA-Lib ROCR",
    parameters=(period(1),),
    selectable=True,
    warmup=lambda n: n,
    lookback=lambda n: n,
    unit="ratio",
)
def logret(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """ln(x[i] / x[i−n])."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    F[out, i] = np.nan if age < n else _log_return(F, x, i, n)


@stat(
    "RV",
    version=1,
    meaning="realised volatility: root of the sum of the last n squared one-row log returns",
    source="Andersen and Bollerslev 1998, not annualised: times √(525600/n) it is",
    parameters=(period(60),),
    selectable=True,
    state=("square",),
    warmup=lambda n: n,
    lookback=lambda n: n,
    unit="ratio",
)
def rv(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Root of the sum of `square`, the squared returns: n logarithms a tick would be too slow."""
    x, out, square = cols[0], cols[1], cols[2]
    n = int(par[0])
    change = 0.0 if age == 0 else _log_return(F, x, i, 1)
    F[square, i] = change * change
    if age < n:
        F[out, i] = np.nan
        return
    total = 0.0
    for j in range(i - n + 1, i + 1):
        total += F[square, j]
    F[out, i] = math.sqrt(total)


DEFINITIONS: tuple[Definition, ...] = (logret, rv)
