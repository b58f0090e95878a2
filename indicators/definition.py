"""What a stat declares about itself: `Definition`, and the `stat` decorator that makes one.

A declaration and its kernel stand together in a family's module:

    @stat("SMA", version=1, meaning="mean of the last n values", source="…",
          parameters=(period(20),), inputs=("close",), selectable=True,
          warmup=lambda n: n - 1, lookback=lambda n: n - 1, settling=lambda n: 0)
    def sma(data, ints, i, age, cols, par): ...

Nothing is compiled and numba is not imported until the kernel is bound (see `jit`).

Rows, as every function of the parameters here counts them:
    warmup    rows from a market's origin that are NaN; the first value is at age `warmup`
    lookback  rows behind row i that the kernel reads for row i, seeding included
    settling  rows after the first value until the seed's influence is gone (see `settling_rows`)
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from .errors import DefinitionError
from .jit import Kernel, KernelFunction
from .names import Number

__all__ = [
    "RELATIVE_ZERO",
    "SEED_INFLUENCE",
    "Definition",
    "Parameter",
    "RowsFunction",
    "period",
    "settling_rows",
    "stat",
]

RowsFunction = Callable[..., int]

SEED_INFLUENCE = 1e-9
"""A seed that weighs less than this in a value has settled."""

RELATIVE_ZERO = 1e-14
"""A change below this share of the value is rounding, not movement.

Never an absolute epsilon: prices go from 1e-8 to 1e8. A quoted price has few enough digits that
its smallest real change is far above this.
"""

STEP_ARGUMENTS = ("F", "I", "i", "age", "cols", "par")
"""What a step is given, whatever it calls them."""

_MAX_PERIOD = 100_000  # TA-Lib's own bound
_LETTERS = re.compile(r"[A-Z]+|[a-z][a-z0-9]*")
_OUTPUT = re.compile(r"[a-z]?")
_STATE = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name, its usual value, its bounds (both allowed), whole or not.

    A `default` of None means that the parameter may be left out and then stays out of the name
    (`VWAP`, the day's, against `VWAP20`); the kernel then sees 0.
    """

    name: str
    default: Number | None
    low: Number
    high: Number
    whole: bool = True


def period(default: int | None, *, name: str = "n", low: int = 1) -> Parameter:
    """Declare a whole number of rows, from `low` to TA-Lib's 100,000."""
    return Parameter(name, default, low, _MAX_PERIOD)


def settling_rows(alpha: float, influence: float = SEED_INFLUENCE, *, times: int = 1) -> int:
    """Count the rows after which a seed weighs less than `influence` in an average.

    `alpha` is the weight of the newest value: 1/n for Wilder's averages (about 21·n rows),
    2/(n+1) for exponential ones (about 10·n). Zero where nothing is remembered (alpha 1).
    `times` says how many such averages are taken of each other: the seed of the first is then the
    chance of fewer than `times` successes of probability alpha in as many trials as there are rows.
    """
    if alpha >= 1.0:
        return 0
    rows = math.ceil(math.log(influence) / math.log1p(-alpha))
    odds = alpha / (1.0 - alpha)
    while times > 1:
        none = math.exp(rows * math.log1p(-alpha))
        if none * sum(math.comb(rows, k) * odds**k for k in range(times)) <= influence:
            break
        rows += 1
    return rows


@dataclass(frozen=True, slots=True)
class Definition:
    """Everything about a stat but its values. Immutable; checked when made (`DefinitionError`).

    version     goes into the store; raise it whenever a value would change, in warm-up too
    inputs      columns the kernel reads; if `selectable`, a name's input suffix replaces the first
    outputs     letter of each public column, "" for the one that is named like the stat itself
    state       private float64 columns, for what a recursion must remember besides its outputs
    warmup, lookback, settling   functions of the parameters' values, see the module
    unit        of the outputs; "input" is the unit of the first input
    bounds      lowest and highest value of a bounded oscillator
    digest      hash of the source of a stat that is not ours, set by `register`
    kernel      its `cols` are inputs, outputs, state, in this order; `par` the parameters as floats
    """

    name: str
    version: int
    meaning: str
    source: str
    kernel: Kernel
    parameters: tuple[Parameter, ...] = ()
    inputs: tuple[str, ...] = ("close",)
    selectable: bool = False
    outputs: tuple[str, ...] = ("",)
    state: tuple[str, ...] = ()
    warmup: RowsFunction = lambda *_: 0
    lookback: RowsFunction = lambda *_: 0
    settling: RowsFunction = lambda *_: 0
    unit: str = "price"
    bounds: tuple[float, float] | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        for wrong, reason in (
            (not _LETTERS.fullmatch(self.name), "its name must be upper-case letters"),
            (self.version < 1, f"its version is {self.version}, expected 1 or more"),
            (not self.inputs, "it has no input"),
            (not self.outputs, "it has no output"),
            (len(set(self.outputs)) < len(self.outputs), "two outputs have the same letter"),
            (len(set(self.state)) < len(self.state), "two state columns have the same name"),
            (not all(map(_OUTPUT.fullmatch, self.outputs)), "an output is not one lower letter"),
            (not all(map(_STATE.fullmatch, self.state)), "a state name is not lower-case"),
        ):
            if wrong:
                raise DefinitionError(self.name, reason)
        for parameter in self.parameters:
            low, default, high = parameter.low, parameter.default, parameter.high
            if not (0 <= low <= high and (default is None or low <= default <= high)):
                raise DefinitionError(
                    self.name,
                    f"parameter {parameter.name} has bounds {low} to {high}"
                    f" and the usual value {default}",
                )

    @property
    def usual(self) -> tuple[Number, ...]:
        """Parameters of the name without parameters; () where they may be left out."""
        values = tuple(p.default for p in self.parameters if p.default is not None)
        return values if len(values) == len(self.parameters) else ()


def stat(
    name: str,
    *,
    version: int,
    meaning: str,
    source: str,
    parameters: tuple[Parameter, ...] = (),
    inputs: tuple[str, ...] = ("close",),
    selectable: bool = False,
    outputs: tuple[str, ...] = ("",),
    state: tuple[str, ...] = (),
    warmup: RowsFunction = lambda *_: 0,
    lookback: RowsFunction = lambda *_: 0,
    settling: RowsFunction = lambda *_: 0,
    unit: str = "price",
    bounds: tuple[float, float] | None = None,
) -> Callable[[KernelFunction], Definition]:
    """Turn a kernel function into the `Definition` of a stat; arguments as there."""

    def declare(function: KernelFunction) -> Definition:
        found = [*inspect.signature(function).parameters]
        if len(found) != len(STEP_ARGUMENTS):
            expected, got = ", ".join(STEP_ARGUMENTS), ", ".join(found)
            raise DefinitionError(name, f"its step takes ({got}), expected ({expected})")
        return Definition(
            name=name,
            version=version,
            meaning=meaning,
            source=source,
            kernel=Kernel(function),
            parameters=parameters,
            inputs=inputs,
            selectable=selectable,
            outputs=outputs,
            state=state,
            warmup=warmup,
            lookback=lookback,
            settling=settling,
            unit=unit,
            bounds=bounds,
        )

    return declare
