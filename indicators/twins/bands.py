"""Twins of the bands around a price."""

from __future__ import annotations

from collections.abc import Sequence

from .averages import ema
from .common import NAN, Outputs, Twins, mean, windows
from .volatility import atr
from .windows import apart, deviation

__all__ = ["TWINS", "bollinger", "donchian", "keltner"]


def bollinger(values: Sequence[float], n: int, k: float) -> Outputs:
    """Mean and k deviations around it, the width in percent, and the value's place between."""

    def place(last: Sequence[float]) -> float:
        reach = k * deviation(last)
        flat = reach <= 1e-14 * abs(last[-1])
        return 0.5 if flat else 0.5 - mean(apart(last)) / (2.0 * reach)

    middle = windows(n, lambda last: last[-1] + mean(apart(last)), values)
    reaches = windows(n, lambda last: k * deviation(last), values)
    rows = list(zip(middle, reaches, strict=True))
    return (
        [centre + reach for centre, reach in rows],
        middle,
        [centre - reach for centre, reach in rows],
        [200.0 * reach / centre if centre else 0.0 for centre, reach in rows],
        windows(n, place, values),
    )


def keltner(
    values: Sequence[float],
    high: Sequence[float],
    low: Sequence[float],
    close: Sequence[float],
    n: int,
    reach: int,
    k: float,
) -> Outputs:
    """EMA of the values and k average true ranges around it, both begun in the same row."""
    first = max(n - 1, reach)
    wait = first - reach
    late = first - (n - 1)
    centres = [NAN] * min(late, len(values)) + ema(values[late:], n)
    sizes = [NAN] * min(wait, len(close)) + atr(high[wait:], low[wait:], close[wait:], reach)
    rows = list(zip(centres, sizes, strict=True))
    return (
        [centre + k * size for centre, size in rows],
        centres,
        [centre - k * size for centre, size in rows],
    )


def donchian(high: Sequence[float], low: Sequence[float], n: int) -> Outputs:
    """Extremes of n rows and the middle between them."""
    top, bottom = windows(n, max, high), windows(n, min, low)
    return top, [(one + other) / 2.0 for one, other in zip(top, bottom, strict=True)], bottom


TWINS: Twins = {"BB": bollinger, "DC": donchian, "KC": keltner}
