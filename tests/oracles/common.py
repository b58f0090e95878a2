"""What an oracle is: another implementation's values of a stat of ours, and how near they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import talib

from indicators.names import Number

from .markets import Floats

__all__ = ["TALIB", "Oracle", "Oracles", "Outputs", "exact", "one", "residue"]

TALIB = f"TA-Lib {talib.__version__}"

Outputs: TypeAlias = tuple[Floats, ...]
Tolerance: TypeAlias = float | Floats


def exact(*_: object) -> tuple[Tolerance, ...]:
    """Allow no absolute difference."""
    return ()


def residue(*inputs: Floats | Number) -> tuple[Tolerance, ...]:
    """Allow what a running sum keeps of values that have left its window."""
    first = inputs[0]
    assert isinstance(first, np.ndarray)
    return (1e-13 * float(np.max(np.abs(first), initial=0.0)),)


def one(function: Callable[..., Floats]) -> Callable[..., Outputs]:
    """Make a tuple of the one output of a function."""
    return lambda *arguments: (function(*arguments),)


@dataclass(frozen=True, slots=True)
class Oracle:
    """Where the values come from, and over which parameters they are compared.

    source      library and version
    function    inputs, then parameters, to one array for each output, in the declaration's order
    parameters  the first ones are small: generic tests put all stats into rings of every size
    relative    largest relative difference to the oracle
    absolute    inputs, then parameters, to what else is allowed, for each output (the last one's
                holds for all that follow); say why where it is used
    refused     parameters that are good but not for the oracle: compared with the twin alone
    exponents   power of the price's scale that each output has, where the unit does not say it
    path        whether values depend on all rows since the origin, however many there are
    """

    source: str
    function: Callable[..., Outputs]
    parameters: tuple[tuple[Number, ...], ...]
    relative: float = 1e-11
    absolute: Callable[..., tuple[Tolerance, ...]] = exact
    refused: tuple[tuple[Number, ...], ...] = ()
    exponents: tuple[int, ...] = ()
    path: bool = False


Oracles: TypeAlias = dict[str, Oracle]
"""By the letters of the stat."""
