"""What the twins of several families are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

__all__ = ["NAN", "Outputs", "Twin", "Twins", "behind", "mean", "smoothed", "windows"]

NAN = math.nan

Outputs: TypeAlias = tuple[list[float], ...]
Twin: TypeAlias = Callable[..., Outputs]
Twins: TypeAlias = Mapping[str, Twin]
"""By stat: inputs, then parameters, to one list for each output, in the declaration's order."""


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean with one rounding."""
    return math.fsum(values) / len(values)


def windows(n: int, function: Callable[..., float], *columns: Sequence[float]) -> list[float]:
    """Apply a function to each window of n rows of the columns; NaN for the first n−1 rows."""
    return [
        NAN if row < n - 1 else function(*(column[row - n + 1 : row + 1] for column in columns))
        for row in range(len(columns[0]))
    ]


def behind(
    values: Sequence[float], following: Callable[[Sequence[float]], list[float]]
) -> list[float]:
    """Apply a function of a whole list to what stands behind the list's leading NaN."""
    start = next((row for row, value in enumerate(values) if not math.isnan(value)), len(values))
    return [NAN] * start + following(values[start:])


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
