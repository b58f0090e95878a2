"""Twins of the oscillators of where the close stands within a range."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .averages import sma
from .common import NAN, Outputs, Twins, behind, mean, windows
from .momentum import rsi
from .volatility import true_range

__all__ = ["TWINS", "stochastic"]


def place(high: Sequence[float], low: Sequence[float], close: Sequence[float]) -> float:
    """Where the last close stands between the lowest low and the highest high, 0 to 1."""
    top, bottom = max(high), min(low)
    return 0.5 if top - bottom <= 1e-14 * high[-1] else (close[-1] - bottom) / (top - bottom)


def place_of_one(values: Sequence[float]) -> float:
    """Where the last of some RSI stands between the lowest and the highest."""
    reach = max(values) - min(values)
    return 0.5 if reach <= 1e-10 else (values[-1] - min(values)) / reach


def stochastic(fast: list[float], k: int, d: int) -> Outputs:
    """Average over k rows, and of that over d rows; both begin where the second one does."""
    slow = behind(fast, lambda values: sma(values, k))
    signal = behind(slow, lambda values: sma(values, d))
    start = sum(map(math.isnan, signal))
    return [NAN] * start + slow[start:], signal


def percent(values: Sequence[float]) -> list[float]:
    """Shares in percent."""
    return [100.0 * value for value in values]


def stochrsi(values: Sequence[float], n: int, k: int, d: int) -> Outputs:
    """Stochastic of an RSI, its k not averaged."""
    fast = behind(rsi(values, n), lambda strengths: windows(k, place_of_one, strengths))
    return stochastic(percent(fast), 1, d)


def williams(high: Sequence[float], low: Sequence[float], close: Sequence[float]) -> float:
    """How far the last close is below the highest high, in percent of the range, negative."""
    top, bottom = max(high), min(low)
    return -50.0 if top - bottom <= 1e-14 * top else -100.0 * (top - close[-1]) / (top - bottom)


def channel(values: Sequence[float]) -> float:
    """Distance of the last value from the mean, in 0.015 mean distances."""
    middle = mean(values)
    distance = mean([abs(value - middle) for value in values])
    if distance <= 1e-14 * abs(values[-1]):
        return 0.0
    return (values[-1] - middle) / (0.015 * distance)


def ultimate(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], *periods: int
) -> list[float]:
    """Buying pressure over true range in three windows, weighed 4, 2, 1."""
    pressures = [close[row] - min(low[row], close[row - 1]) for row in range(1, len(close))]
    ranges = true_range(high, low, close)
    result = [NAN] * min(max(periods), len(close))
    for row in range(max(periods), len(close)):
        total = 0.0
        for weight, n in zip((4.0, 2.0, 1.0), sorted(periods), strict=True):
            pressure, reach = sum(pressures[row - n : row]), sum(ranges[row - n : row])
            nothing = reach <= 1e-14 * close[row]
            total += weight * (0.5 if nothing else pressure / reach)
        result.append(100.0 * total / 7.0)
    return result


def awesome(values: Sequence[float], fast: int, slow: int) -> list[float]:
    """Fast mean minus slow mean."""
    newest = max(fast, slow)
    return windows(newest, lambda w: mean(w[-fast:]) - mean(w[-slow:]), values)


TWINS: Twins = {
    "STOCH": lambda high, low, close, n, k, d: stochastic(
        percent(windows(n, place, high, low, close)), k, d
    ),
    "STOCHF": lambda high, low, close, n, d: stochastic(
        percent(windows(n, place, high, low, close)), 1, d
    ),
    "STOCHRSI": stochrsi,
    "WILLR": lambda high, low, close, n: (windows(n, williams, high, low, close),),
    "CCI": lambda values, n: (windows(n, channel, values),),
    "UO": lambda high, low, close, *periods: (ultimate(high, low, close, *periods),),
    "AO": lambda values, fast, slow: (awesome(values, fast, slow),),
}
