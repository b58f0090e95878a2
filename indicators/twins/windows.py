"""Twins of the statistics of a window."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .common import Twins, mean, windows

__all__ = ["TWINS", "apart", "deviation", "line", "variance", "zscore"]


def apart(values: Sequence[float]) -> list[float]:
    """Distances from the newest value; between prices of one size they are exact."""
    return [value - values[-1] for value in values]


def variance(values: Sequence[float]) -> float:
    """Mean square of the distances from the mean."""
    steps = apart(values)
    centre = mean(steps)
    return mean([(step - centre) ** 2 for step in steps])


def deviation(values: Sequence[float]) -> float:
    """Root of the variance."""
    return math.sqrt(variance(values))


def zscore(values: Sequence[float]) -> float:
    """Distance of the newest from the mean, in deviations; 0 where there are none."""
    unit = deviation(values)
    return 0.0 if unit <= 1e-14 * abs(values[-1]) else -mean(apart(values)) / unit


def line(values: Sequence[float]) -> tuple[float, float]:
    """Newest point and slope of the least-squares line."""
    middle = (len(values) - 1) / 2.0
    places = [row - middle for row in range(len(values))]
    steps = apart(values)
    moment = math.fsum(place * step for place, step in zip(places, steps, strict=True))
    slope = moment / math.fsum(place * place for place in places)
    return values[-1] + mean(steps) + slope * middle, slope


TWINS: Twins = {
    "LINREG": lambda values, n: (windows(n, lambda last: line(last)[0], values),),
    "SLOPE": lambda values, n: (windows(n, lambda last: line(last)[1], values),),
    "STDDEV": lambda values, n: (windows(n, deviation, values),),
    "VAR": lambda values, n: (windows(n, variance, values),),
    "ZSCORE": lambda values, n: (windows(n, zscore, values),),
}
