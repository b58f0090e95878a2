"""Twins of the moving averages."""

from __future__ import annotations

from collections.abc import Sequence

from .common import Twins, mean, smoothed, windows

__all__ = ["TWINS", "ema", "sma", "wilder"]


def sma(values: Sequence[float], n: int) -> list[float]:
    """Mean of the last n values; NaN for the first n−1 rows."""
    return windows(n, mean, values)


def ema(values: Sequence[float], n: int) -> list[float]:
    """Exponential average with weight 2/(n+1); NaN for the first n−1 rows."""
    return smoothed(values, n, 2.0 / (n + 1.0))


def wilder(values: Sequence[float], n: int) -> list[float]:
    """Wilder's average, weight 1/n; NaN for the first n−1 rows."""
    return smoothed(values, n, 1.0 / n)


TWINS: Twins = {
    "EMA": lambda values, n: (ema(values, n),),
    "SMA": lambda values, n: (sma(values, n),),
}
