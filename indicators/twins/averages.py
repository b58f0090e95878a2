"""Twins of the moving averages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from .common import NAN, Twins, behind, mean, smoothed, windows

__all__ = ["TWINS", "ema", "sma", "wilder", "wma"]


def sma(values: Sequence[float], n: int) -> list[float]:
    """Mean of the last n values; NaN for the first n−1 rows."""
    return windows(n, mean, values)


def ema(values: Sequence[float], n: int) -> list[float]:
    """Exponential average with weight 2/(n+1); NaN for the first n−1 rows."""
    return smoothed(values, n, 2.0 / (n + 1.0))


def wilder(values: Sequence[float], n: int) -> list[float]:
    """Wilder's average, weight 1/n; NaN for the first n−1 rows."""
    return smoothed(values, n, 1.0 / n)


def wma(values: Sequence[float], n: int) -> list[float]:
    """Mean with weights 1 … n, the newest the heaviest; NaN for the first n−1 rows."""
    total = n * (n + 1) / 2
    return windows(
        n, lambda last: math.fsum(k * value for k, value in enumerate(last, 1)) / total, values
    )


def hma(values: Sequence[float], n: int) -> list[float]:
    """WMA over √n rows of twice the WMA of n/2 less the WMA of n; one row is itself."""
    if n == 1:
        return list(values)
    ahead = [
        2.0 * half - full for half, full in zip(wma(values, n // 2), wma(values, n), strict=True)
    ]
    return behind(ahead, lambda known: wma(known, math.isqrt(n)))


def cascade(values: Sequence[float], n: int, times: int) -> list[list[float]]:
    """EMA, EMA of the EMA, and so on, each over what is known of the one before."""
    stages = [ema(values, n)]
    while len(stages) < times:
        stages.append(behind(stages[-1], lambda known: ema(known, n)))
    return stages


def dema(values: Sequence[float], n: int) -> list[float]:
    """Twice the EMA less the EMA of the EMA."""
    return [2.0 * one - two for one, two in zip(*cascade(values, n, 2), strict=True)]


def tema(values: Sequence[float], n: int) -> list[float]:
    """Three EMA less three EMA of the EMA plus the EMA of that."""
    return [
        3.0 * one - 3.0 * two + three
        for one, two, three in zip(*cascade(values, n, 3), strict=True)
    ]


def kama(values: Sequence[float], n: int) -> list[float]:
    """Average that moves by the square of a weight: straight ways weigh 2/3, to and fro 2/31."""
    if n == 1:
        return list(values)
    result = [NAN] * min(n, len(values))
    for row in range(n, len(values)):
        window = values[row - n : row + 1]
        steps = [(abs(new - old), abs(new)) for old, new in pairwise(window)]
        way = math.fsum(step for step, size in steps if step > 1e-14 * size)
        made = abs(window[-1] - window[0])
        straight = 1.0 if way <= made else made / way
        weight = (straight * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0) ** 2
        previous = result[-1] if row > n else values[row - 1]
        result.append(weight * values[row] + (1.0 - weight) * previous)
    return result


TWINS: Twins = {
    "DEMA": lambda values, n: (dema(values, n),),
    "EMA": lambda values, n: (ema(values, n),),
    "HMA": lambda values, n: (hma(values, n),),
    "KAMA": lambda values, n: (kama(values, n),),
    "RMA": lambda values, n: (wilder(values, n),),
    "SMA": lambda values, n: (sma(values, n),),
    "TEMA": lambda values, n: (tema(values, n),),
    "WMA": lambda values, n: (wma(values, n),),
}
