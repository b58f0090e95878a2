"""Twins of the averages weighted by volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from .common import Twins, mean, windows

__all__ = ["TWINS", "daily", "vwma", "weighted_mean"]


def weighted_mean(values: Sequence[float], volumes: Sequence[float]) -> float:
    """Mean, each value as heavy as its volume; the plain mean where there is no volume."""
    bought = math.fsum(volumes)
    if bought == 0.0:
        return mean(values)
    return math.fsum(v * weight for v, weight in zip(values, volumes, strict=True)) / bought


def vwma(values: Sequence[float], volumes: Sequence[float], n: int) -> list[float]:
    """Weighted mean of the last n rows."""
    return windows(n, weighted_mean, values, volumes)


def daily(values: Sequence[float], volumes: Sequence[float], times: Sequence[float]) -> list[float]:
    """Weighted mean of each UTC day so far; the price itself before the day's first trade."""
    result: list[float] = []
    for _, day in groupby(range(len(values)), key=lambda row: times[row] // 86_400_000):
        rows = list(day)
        for row in rows:
            today = slice(rows[0], row + 1)
            traded = any(volumes[today])
            result.append(weighted_mean(values[today], volumes[today]) if traded else values[row])
    return result


TWINS: Twins = {
    "VWAP": lambda values, volumes, times, n: (
        vwma(values, volumes, n) if n else daily(values, volumes, times),
    ),
    "VWMA": lambda values, volumes, n: (vwma(values, volumes, n),),
}
