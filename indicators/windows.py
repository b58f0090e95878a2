"""Statistics of a window: STDDEV, VAR, ZSCORE, LINREG, SLOPE."""

from __future__ import annotations

import math

import numpy as np

from .definition import RELATIVE_ZERO, Definition, period, stat
from .jit import Floats, Ints, helper
from .sums import distance, squares

__all__ = ["DEFINITIONS", "spread"]


@helper
def spread(F: Floats, x: int, i: int, n: int) -> tuple[float, float]:
    """Return the mean of n rows up to i, less the newest of them, and their variance (÷ n)."""
    mean = distance(F, x, i, n) / n
    return mean, squares(F, x, i, n, mean) / n


@helper
def _slope(F: Floats, x: int, i: int, n: int) -> tuple[float, float]:
    """Return the mean of n rows, less the newest, and the slope of the least-squares line."""
    newest = F[x, i]
    middle = 0.5 * (n - 1.0)
    mean = 0.0
    moment = 0.0
    place = -middle
    for j in range(i - n + 1, i + 1):
        apart = F[x, j] - newest
        mean += apart
        moment += place * apart
        place += 1.0
    return mean / n, moment / (n * (float(n) * n - 1.0) / 12.0)


@stat(
    "STDDEV",
    version=2,
    meaning="standard deviation of the last n values, of the population (divided by n)",
    source="TA-Lib STDDEV with one deviation",
    parameters=(period(20, low=2),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def stddev(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Root of the variance."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    _, variance = spread(F, x, i, n)
    F[out, i] = math.sqrt(variance)


@stat(
    "VAR",
    version=2,
    meaning="variance of the last n values, of the population (divided by n)",
    source="TA-Lib VAR",
    parameters=(period(20),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="squared",
)
def var(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Mean square of what the values are apart from their mean."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    _, F[out, i] = spread(F, x, i, n)


@stat(
    "ZSCORE",
    version=2,
    meaning="how many standard deviations of the last n values the newest is above their mean",
    source="(value − TA-Lib SMA) / TA-Lib STDDEV; 0 in a flat window",
    parameters=(period(20, low=2),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="ratio",
)
def zscore(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """(value − mean) / deviation."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    mean, variance = spread(F, x, i, n)
    deviation = math.sqrt(variance)
    flat = deviation <= RELATIVE_ZERO * abs(F[x, i])
    F[out, i] = 0.0 if flat else -mean / deviation


@stat(
    "LINREG",
    version=1,
    meaning="newest point of the least-squares line through the last n values",
    source="TA-Lib LINEARREG",
    parameters=(period(14, low=2),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def linreg(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Mean and half a window of the slope."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    mean, slope = _slope(F, x, i, n)
    F[out, i] = F[x, i] + (mean + slope * (0.5 * (n - 1.0)))


@stat(
    "SLOPE",
    version=1,
    meaning="slope of the least-squares line through the last n values, per row",
    source="TA-Lib LINEARREG_SLOPE",
    parameters=(period(14, low=2),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def slope(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Moment of the values about the window's middle, over that of the rows."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    _, F[out, i] = _slope(F, x, i, n)


DEFINITIONS: tuple[Definition, ...] = (stddev, var, zscore, linreg, slope)
