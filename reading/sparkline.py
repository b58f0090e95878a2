"""Numbers as a line of little columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["WIDTHS", "sparkline"]

WIDTHS = (60, 30, 20, 15, 12, 10, 8)
"""Widths that an hour divides well enough into; others would make it sway."""

_LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(values: npt.NDArray[np.float64], width: int) -> str:
    """`values` (oldest first, NaN for none) in `width` characters, from their least to their most.

    Each character is the last number of its share. Numbers that are all the same are in the middle.
    """
    if not len(values):
        return " " * width
    ends = (np.arange(1, width + 1) * len(values) + width - 1) // width - 1
    chosen = values[ends]
    there = np.isfinite(chosen)
    if not there.any():
        return " " * width
    low, high = float(chosen[there].min()), float(chosen[there].max())
    if high > low:
        scaled = (chosen - low) / (high - low) * (len(_LEVELS) - 1)
    else:
        scaled = np.full(width, 3.0)
    levels = np.where(there, scaled, 0).round().astype(int).tolist()
    return "".join(
        _LEVELS[k] if is_there else " " for k, is_there in zip(levels, there, strict=True)
    )
