"""Readable twins of the kernels: whole lists in, whole lists out, as a textbook writes them.

Independent of the kernels on purpose: nothing is stepped, nothing shared, sums are exact. Slow.
Tests compare the two row for row; read these to learn what a stat means.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

__all__ = ["INPUTS", "TWINS", "atr", "ema", "rsi", "sma", "true_range", "twin", "wilder"]

NAN = math.nan


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean with one rounding."""
    return math.fsum(values) / len(values)


def sma(values: Sequence[float], n: int) -> list[float]:
    """Mean of the last n values; NaN for the first n−1 rows."""
    return [
        NAN if row < n - 1 else mean(values[row - n + 1 : row + 1]) for row in range(len(values))
    ]


def smoothed(values: Sequence[float], n: int, alpha: float) -> list[float]:
    """Move an average by `alpha` towards each value; the first one is the mean of n values."""
    result = [NAN] * min(n - 1, len(values))
    if len(values) >= n:
        average = mean(values[:n])
        result.append(average)
        for value in values[n:]:
            average = alpha * value + (1.0 - alpha) * average
            result.append(average)
    return result


def ema(values: Sequence[float], n: int) -> list[float]:
    """Exponential average with weight 2/(n+1); NaN for the first n−1 rows."""
    return smoothed(values, n, 2.0 / (n + 1.0))


def wilder(values: Sequence[float], n: int) -> list[float]:
    """Wilder's average, weight 1/n; NaN for the first n−1 rows."""
    return smoothed(values, n, 1.0 / n)


def true_range(high: Sequence[float], low: Sequence[float], close: Sequence[float]) -> list[float]:
    """Reach of each candle but the first, the gap from the close before included."""
    return [
        max(high[row], close[row - 1]) - min(low[row], close[row - 1])
        for row in range(1, len(close))
    ]


def atr(high: Sequence[float], low: Sequence[float], close: Sequence[float], n: int) -> list[float]:
    """Wilder's average of the true range; NaN for the first n rows, as row 0 has no range."""
    return [NAN, *wilder(true_range(high, low, close), n)][: len(close)]


def movement(old: float, new: float) -> float:
    """Change from one value to the next; one of a rounding's size is none."""
    change = new - old
    return 0.0 if abs(change) <= 1e-14 * abs(new) else change


def rsi(values: Sequence[float], n: int) -> list[float]:
    """Share of gains in all change, each averaged by Wilder; 50 where nothing changed."""
    changes = [movement(old, new) for old, new in pairwise(values)]
    gains = wilder([max(change, 0.0) for change in changes], n)
    losses = wilder([max(-change, 0.0) for change in changes], n)
    result = [NAN]
    for gain, loss in zip(gains, losses, strict=True):
        # What is left of a movement many thousand rows ago is nothing.
        nothing = gain + loss < sys.float_info.min
        result.append(50.0 if nothing else 100.0 * gain / (gain + loss))
    return result[: len(values)]


TWINS: Mapping[str, Callable[..., tuple[list[float], ...]]] = {
    "ATR": lambda high, low, close, n: (atr(high, low, close, n),),
    "EMA": lambda values, n: (ema(values, n),),
    "RSI": lambda values, n: (rsi(values, n),),
    "SMA": lambda values, n: (sma(values, n),),
}
"""By stat: inputs, then parameters, to one list for each output, in the declaration's order."""

INPUTS: Mapping[str, Callable[[Mapping[str, Sequence[float]]], list[float]]] = {
    "hl2": lambda rows: [mean(row) for row in zip(rows["high"], rows["low"], strict=True)],
    "hlc3": lambda rows: [
        mean(row) for row in zip(rows["high"], rows["low"], rows["close"], strict=True)
    ],
    "ohlc4": lambda rows: [
        mean(row)
        for row in zip(rows["open"], rows["high"], rows["low"], rows["close"], strict=True)
    ],
}
"""Derived inputs by name, from the candles' columns."""


def twin(text: str, rows: Mapping[str, Sequence[float]]) -> tuple[list[float], ...]:
    """Return a stat's outputs by name (`RSI5`, `EMA20_hlc3`) over the candles' columns."""
    from .registry import default_registry

    stat = default_registry().resolve(text)
    inputs = [INPUTS[name](rows) if name in INPUTS else rows[name] for name in stat.inputs]
    return TWINS[stat.definition.name](*inputs, *stat.values)
