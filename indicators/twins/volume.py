"""Twins of the flow of volume."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .common import NAN, Twins, windows
from .momentum import movement

__all__ = ["TWINS", "chaikin", "flows", "obv"]


def totals(values: Sequence[float]) -> list[float]:
    """Sums up to each value, exact but for one rounding."""
    return [math.fsum(values[: row + 1]) for row in range(len(values))]


def obv(values: Sequence[float], volume: Sequence[float]) -> list[float]:
    """Volume so far, that of falls negative, that of rows without change left out."""
    signed = list(volume[:1])
    for row in range(1, len(values)):
        change = movement(values[row - 1], values[row])
        signed.append(volume[row] if change > 0.0 else -volume[row] if change < 0.0 else 0.0)
    return totals(signed)


def flows(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], volume: Sequence[float]
) -> list[float]:
    """Volume of each row by where it closed: all of it at the high, its negative at the low."""
    return [
        0.0 if h <= l else v * ((c - l) - (h - c)) / (h - l)
        for h, l, c, v in zip(high, low, close, volume, strict=True)
    ]


def follow(values: Sequence[float], n: int) -> list[float]:
    """Exponential average that begins with the first value."""
    result = list(values[:1])
    for value in values[1:]:
        result.append(result[-1] + (value - result[-1]) * 2.0 / (n + 1.0))
    return result


def chaikin(values: Sequence[float], fast: int, slow: int) -> list[float]:
    """Fast average minus slow one; NaN until the longer one's period is full."""
    both = zip(follow(values, fast), follow(values, slow), strict=True)
    start = max(fast, slow) - 1
    return [NAN if row < start else one - other for row, (one, other) in enumerate(both)]


def share(flow: Sequence[float], volume: Sequence[float]) -> float:
    """Sum of the flow over the sum of the volume."""
    return math.fsum(flow) / math.fsum(volume) if any(volume) else 0.0


def mfi(values: Sequence[float], volume: Sequence[float], n: int) -> list[float]:
    """Share of the money of rising prices in that of all that moved; NaN for the first n rows."""
    rises, falls = [0.0], [0.0]
    for row in range(1, len(values)):
        change = movement(values[row - 1], values[row])
        money = values[row] * volume[row]
        rises.append(money if change > 0.0 else 0.0)
        falls.append(money if change < 0.0 else 0.0)

    def index(up: Sequence[float], down: Sequence[float]) -> float:
        rise, fall = math.fsum(up[1:]), math.fsum(down[1:])
        return 100.0 * rise / (rise + fall) if rise + fall else 50.0

    return windows(n + 1, index, rises, falls)[: len(values)]


TWINS: Twins = {
    "OBV": lambda values, volume: (obv(values, volume),),
    "AD": lambda *columns: (totals(flows(*columns)),),
    "ADOSC": lambda high, low, close, volume, fast, slow: (
        chaikin(totals(flows(high, low, close, volume)), fast, slow),
    ),
    "CMF": lambda high, low, close, volume, n: (
        windows(n, share, flows(high, low, close, volume), volume),
    ),
    "MFI": lambda values, volume, n: (mfi(values, volume, n),),
}
