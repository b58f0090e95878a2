"""Readable twins of the kernels: whole lists in, whole lists out, as a textbook writes them.

Independent of the kernels on purpose: nothing is stepped, nothing shared, sums are exact. Slow.
Tests compare the two row for row; read these to learn what a stat means. One module a family, as
the kernels have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from . import (
    averages,
    bands,
    convergence,
    momentum,
    oscillators,
    returns,
    stops,
    strength,
    volatility,
    volume,
    weighted,
    windows,
)
from .common import Outputs, Twins, mean

__all__ = ["INPUTS", "TWINS", "twin"]

_FAMILIES = (
    averages,
    bands,
    convergence,
    momentum,
    oscillators,
    returns,
    stops,
    strength,
    volatility,
    volume,
    weighted,
    windows,
)

TWINS: Twins = {name: one for family in _FAMILIES for name, one in family.TWINS.items()}
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


def twin(text: str, rows: Mapping[str, Sequence[float]]) -> Outputs:
    """Return a stat's outputs by name (`RSI5`, `EMA20_hlc3`) over the candles' columns."""
    from indicators.registry import default_registry

    stat = default_registry().resolve(text)
    inputs = [INPUTS[name](rows) if name in INPUTS else rows[name] for name in stat.inputs]
    return TWINS[stat.definition.name](*inputs, *stat.values)
