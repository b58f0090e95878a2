"""Other implementations of every stat, for the tests: `ORACLES`, by letters, a module a family.

A new stat gets a line in its family's table; every generic test then covers it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import talib

from indicators import default_registry
from indicators.names import Number, StatName

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
from .common import Oracle, Oracles, Outputs
from .markets import Floats, Rows

__all__ = ["ORACLES", "columns", "difference", "names", "oracle", "small", "tolerances"]

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

ORACLES: Oracles = {name: one for family in _FAMILIES for name, one in family.ORACLES.items()}

_DERIVED: dict[str, Callable[[Rows], Floats]] = {
    "hl2": lambda rows: talib.MEDPRICE(rows["high"], rows["low"]),
    "hlc3": lambda rows: talib.TYPPRICE(rows["high"], rows["low"], rows["close"]),
    "ohlc4": lambda rows: talib.AVGPRICE(rows["open"], rows["high"], rows["low"], rows["close"]),
}


def _name(letters: str, parameters: tuple[Number, ...], selected: str = "") -> str:
    return str(StatName(letters, parameters, selected))


def names(letters: str) -> list[str]:
    """Names of a stat that its oracle is good for."""
    return [_name(letters, parameters) for parameters in ORACLES[letters].parameters]


def small() -> list[str]:
    """Name each stat once, with a short look-back."""
    return [_name(letters, one.parameters[0]) for letters, one in ORACLES.items()]


def columns(text: str) -> list[str]:
    """Names of the public columns of a stat, in its declaration's order."""
    stat = default_registry().resolve(text)
    name = stat.name
    return [
        str(StatName(name.letters, name.parameters, name.input, output))
        for output in stat.definition.outputs
    ]


def _of(text: str) -> Oracle:
    return ORACLES[default_registry().resolve(text).definition.name]


def _arguments(text: str, rows: Rows) -> list[Floats | Number]:
    stat = default_registry().resolve(text)
    # TA-Lib's Python half writes in front of its result where it is given nothing.
    assert rows["close"].size
    inputs = [_DERIVED[name](rows) if name in _DERIVED else rows[name] for name in stat.inputs]
    return [*inputs, *stat.values]


def oracle(text: str, rows: Rows) -> Outputs:
    """Return the oracle's outputs of a stat of ours, in our declaration's order."""
    return _of(text).function(*_arguments(text, rows))


def tolerances(text: str, rows: Rows) -> list[tuple[float, Floats]]:
    """Relative and absolute difference to the oracle that each output may have, row by row."""
    relative = _of(text).relative
    size = rows["close"].size
    if size == 0:
        return [(relative, np.empty(0)) for _ in columns(text)]
    # Subnormals are flushed to zero.
    absolute = _of(text).absolute(*_arguments(text, rows)) or (0.0,)
    count = len(default_registry().resolve(text).definition.outputs)
    return [
        (relative, np.maximum(np.broadcast_to(absolute[min(k, len(absolute) - 1)], size), 1e-300))
        for k in range(count)
    ]


def difference(found: Floats, expected: Floats) -> float:
    """Largest relative difference over the rows that are not NaN."""
    rows = ~np.isnan(expected) & (found != expected)
    if not rows.any():
        return 0.0
    apart = np.abs(found[rows] - expected[rows])
    return float(np.max(apart / np.maximum(np.abs(expected[rows]), 1e-300)))
