"""Twins of the oscillators of momentum."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

from .averages import wilder
from .common import NAN, Twins, windows

__all__ = ["TWINS", "change", "movement", "rate", "rsi"]


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


def change(values: Sequence[float], n: int) -> list[float]:
    """Difference to the value n rows before; NaN for the first n rows."""
    return windows(n + 1, lambda window: window[-1] - window[0], values)


def rate(values: Sequence[float], n: int) -> list[float]:
    """Change in percent of the value n rows before, 0 where that is 0."""
    return windows(n + 1, lambda w: 100.0 * (w[-1] - w[0]) / w[0] if w[0] != 0.0 else 0.0, values)


TWINS: Twins = {
    "MOM": lambda values, n: (change(values, n),),
    "ROC": lambda values, n: (rate(values, n),),
    "RSI": lambda values, n: (rsi(values, n),),
}
