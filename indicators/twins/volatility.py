"""Twins of ranges and volatility."""

from __future__ import annotations

from collections.abc import Sequence

from .averages import wilder
from .common import NAN, Twins

__all__ = ["TWINS", "atr", "natr", "true_range"]


def true_range(high: Sequence[float], low: Sequence[float], close: Sequence[float]) -> list[float]:
    """Reach of each candle but the first, the gap from the close before included."""
    return [
        max(high[row], close[row - 1]) - min(low[row], close[row - 1])
        for row in range(1, len(close))
    ]


def atr(high: Sequence[float], low: Sequence[float], close: Sequence[float], n: int) -> list[float]:
    """Wilder's average of the true range; NaN for the first n rows, as row 0 has no range."""
    return [NAN, *wilder(true_range(high, low, close), n)][: len(close)]


def natr(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], n: int
) -> list[float]:
    """Average true range in percent of the close."""
    sizes = atr(high, low, close, n)
    return [100.0 * size / price for size, price in zip(sizes, close, strict=True)]


TWINS: Twins = {
    "ATR": lambda high, low, close, n: (atr(high, low, close, n),),
    "NATR": lambda high, low, close, n: (natr(high, low, close, n),),
    "TRUERANGE": lambda high, low, close: ([NAN, *true_range(high, low, close)][: len(close)],),
}
