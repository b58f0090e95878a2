"""Twins of the oscillators of momentum."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

from .averages import wilder
from .common import NAN, Twins

__all__ = ["TWINS", "movement", "rsi"]


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


TWINS: Twins = {
    "RSI": lambda values, n: (rsi(values, n),),
}
