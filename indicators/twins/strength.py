"""Twins of the strength of a trend."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .common import NAN, Outputs, Twins, windows
from .volatility import true_range

__all__ = ["TWINS", "adx", "aroon", "wilder_sum"]


def wilder_sum(values: Sequence[float], n: int) -> list[float]:
    """Wilder's running sum: that of the first n − 1 values, then each time less its n-th part.

    The first entry stands at the n-th value.
    """
    total = sum(values[: n - 1])
    result = []
    for value in values[n - 1 :]:
        total = total - total / n + value
        result.append(total)
    return result


def directions(up: float, down: float) -> tuple[float, float]:
    """Plus and minus movement: the larger of the two, if it is one, and nothing of the other."""
    return (up if up > down and up > 0.0 else 0.0), (down if down > up and down > 0.0 else 0.0)


def adx(high: Sequence[float], low: Sequence[float], close: Sequence[float], n: int) -> Outputs:
    """Average directional index, +DI, −DI; NaN for the first 2n − 1 and n rows."""
    moves = [
        directions(after[0] - before[0], before[1] - after[1])
        for before, after in pairwise(zip(high, low, strict=True))
    ]
    rises = wilder_sum([plus for plus, _ in moves], n)
    falls = wilder_sum([minus for _, minus in moves], n)
    ranges = wilder_sum(true_range(high, low, close), n)
    rows = len(close)
    start = [NAN] * min(n, rows)
    plus = start + [100.0 * r / t if t else 0.0 for r, t in zip(rises, ranges, strict=True)]
    minus = start + [100.0 * f / t if t else 0.0 for f, t in zip(falls, ranges, strict=True)]
    index: list[float] = []
    for row, (rise, fall) in enumerate(zip(rises, falls, strict=True)):
        moved = rise + fall > 0.0
        # In the mean that the index begins with, a row without movement counts as 0.
        before = index[-1] if row >= n else 0.0
        index.append(100.0 * abs(rise - fall) / (rise + fall) if moved else before)
        if row >= n:
            index[-1] = before + (index[-1] - before) / n
        elif row == n - 1:
            index[-1] = sum(index) / n
    shown = [NAN] * min(n - 1, len(index)) + index[n - 1 :]
    return start + shown, plus, minus


def aroon(high: Sequence[float], low: Sequence[float], n: int) -> Outputs:
    """How recent the highest high and the lowest low of n + 1 rows are, in percent."""
    up = windows(n + 1, lambda w: 100.0 * (n - w[::-1].index(max(w))) / n, high)
    down = windows(n + 1, lambda w: 100.0 * (n - w[::-1].index(min(w))) / n, low)
    return up, down


TWINS: Twins = {"ADX": adx, "AROON": aroon}
