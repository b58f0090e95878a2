"""From a list of names to columns and operations: `plan`, and the `Table` that `step` runs.

A plan is pure: it says which columns the stats need, how far back they look and how many rows
they need to settle. Only `Plan.bind`, told where each column lies, compiles the kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import MissingColumn, WindowTooLong
from .inputs import BASE_UNITS, DERIVED
from .jit import Floats, Ints, Kernel
from .names import StatName, format_number
from .registry import Registry, Stat, default_registry

__all__ = ["Plan", "StatColumn", "Table", "plan"]


@dataclass(frozen=True, slots=True)
class StatColumn:
    """One float64 column that a plan fills.

    `definition` changes whenever its values would: stored values under another one are to be
    computed again. `unit` is "price", "volume" or the range of an oscillator ("0..100"), "state"
    where the column is a kernel's own. `stat` is the canonical name it belongs to.
    """

    name: str
    definition: str
    unit: str
    stat: str

    @property
    def private(self) -> bool:
        """Whether the column is the kernels' own, not to be listed to readers."""
        return self.name.startswith("_")


@dataclass(frozen=True, slots=True)
class Operation:
    """One kernel of a plan: the columns it is given, in its declaration's order, and parameters.

    Below the age `young` a row's distance from the origin matters to the kernel.
    """

    kernel: Kernel
    columns: tuple[str, ...]
    parameters: tuple[float, ...]
    young: int


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What `step` runs: `ops: int64[n, 2 + K]` and `pars: float64[n, P]`, C-contiguous.

    `ops` holds machine addresses, so a table is good in this process only, and only as long as
    `kernels` is: keep the table, not just its arrays.
    """

    ops: Ints
    pars: Floats
    kernels: tuple[Any, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a list of stats needs. All counts are rows, the largest over the stats.

    stats     canonical names in the order asked for, each once
    columns   public ones in that order, then the private ones
    inputs    columns the caller has to bring
    lookback  rows behind a row that are read for it
    warmup    rows from the origin that are NaN
    settling  rows after a first value until its seed's influence is gone
    runup     rows from the origin until every stat is settled (warm-up and settling of the same
              stat): as many belong in front of the visible history
    """

    stats: tuple[str, ...]
    columns: tuple[StatColumn, ...]
    inputs: tuple[str, ...]
    lookback: int
    warmup: int
    settling: int
    runup: int
    operations: tuple[Operation, ...] = field(repr=False)

    def bind(self, index: Mapping[str, int]) -> Table:
        """Compile the kernels, or load them from the cache, for columns at the rows given.

        `index` maps the name of every column, inputs and private ones included, to its row in the
        column block. Raises `MissingColumn` for one that is not there.
        """
        for operation in self.operations:
            for column in operation.columns:
                if column not in index:
                    raise MissingColumn(column, tuple(index))
        width = max((len(op.columns) for op in self.operations), default=0)
        deep = max((len(op.parameters) for op in self.operations), default=0)
        # At least one of each, so that no array has a dimension of length zero but the first.
        ops = np.zeros((len(self.operations), 2 + max(width, 1)), dtype=np.int64)
        pars = np.zeros((len(self.operations), max(deep, 1)), dtype=np.float64)
        kernels = tuple(
            op.kernel.compile(len(op.columns), len(op.parameters)) for op in self.operations
        )
        for row, (op, kernel) in enumerate(zip(self.operations, kernels, strict=True)):
            ops[row, 0] = kernel.address
            ops[row, 1] = op.young
            ops[row, 2 : 2 + len(op.columns)] = [index[column] for column in op.columns]
            pars[row, : len(op.parameters)] = op.parameters
        return Table(ops, pars, kernels)


def plan(names: Sequence[str], *, history: int | None, registry: Registry | None = None) -> Plan:
    """Plan the stats of these names over a history of that many rows (None: as many as it takes).

    Duplicates collapse onto the first; asking for one output gives the whole stat. Raises a
    `StatNameError` for the first name that is malformed, unknown, has a bad parameter or looks
    back further than the history.
    """
    registry = registry or default_registry()
    stats: dict[StatName, Stat] = {}
    for text in names:
        stat = registry.resolve(text)
        if history is not None and stat.lookback > history:
            raise WindowTooLong(text, stat.lookback, history)
        stats.setdefault(stat.name, stat)
    chosen = tuple(stats.values())
    # Derived prices first: the stats read them at the same row.
    derived = [
        DERIVED[name] for name in _unique(n for s in chosen for n in s.inputs if n in DERIVED)
    ]
    private = [StatColumn(f"_{d.name}", _label(d.name), "price", d.name) for d in derived]
    operations = [Operation(d.kernel, (*d.inputs, f"_{d.name}"), (), 1) for d in derived] + [
        _operation(stat) for stat in chosen
    ]
    for stat in chosen:
        private.extend(
            StatColumn(
                _state_name(stat, state),
                f"{_describe(stat)} state={state}",
                "state",
                str(stat.name),
            )
            for state in stat.definition.state
        )
    own = {column.name for column in private}
    return Plan(
        stats=tuple(str(stat.name) for stat in chosen),
        columns=(*(column for stat in chosen for column in _outputs(stat)), *private),
        inputs=_unique(
            c for op in operations for c in op.columns if c in BASE_UNITS and c not in own
        ),
        lookback=max((stat.lookback for stat in chosen), default=0),
        warmup=max((stat.warmup for stat in chosen), default=0),
        settling=max((stat.settling for stat in chosen), default=0),
        runup=max((stat.warmup + stat.settling for stat in chosen), default=0),
        operations=tuple(operations),
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _operation(stat: Stat) -> Operation:
    inputs = (f"_{name}" if name in DERIVED else name for name in stat.inputs)
    outputs = (column.name for column in _outputs(stat))
    states = (_state_name(stat, state) for state in stat.definition.state)
    return Operation(
        stat.definition.kernel,
        (*inputs, *outputs, *states),
        tuple(map(float, stat.values)),
        stat.warmup + stat.lookback + 1,
    )


def _outputs(stat: Stat) -> list[StatColumn]:
    """List the public columns of a stat, in its declaration's order."""
    name, description = stat.name, _describe(stat)
    columns = []
    for letter in stat.definition.outputs:
        column = StatName(name.letters, name.parameters, name.input, letter)
        suffix = f" output={letter}" if letter else ""
        columns.append(StatColumn(str(column), description + suffix, _unit(stat), str(name)))
    return columns


def _state_name(stat: Stat, state: str) -> str:
    return f"_{stat.name}_{state}"


def _describe(stat: Stat) -> str:
    """Write what a column's values depend on: definition, parameters, inputs, with versions."""
    definition = stat.definition
    parts = [f"{definition.name}/{definition.version}"]
    if definition.digest:
        parts.append(f"source={definition.digest}")
    parts += [
        f"{parameter.name}={format_number(value)}"
        for parameter, value in zip(definition.parameters, stat.values, strict=True)
    ]
    parts.append("input=" + ",".join(map(_label, stat.inputs)))
    return " ".join(parts)


def _label(name: str) -> str:
    return f"{name}/{DERIVED[name].version}" if name in DERIVED else name


def _unit(stat: Stat) -> str:
    unit = stat.definition.unit
    if unit != "input":
        return unit
    return BASE_UNITS.get(stat.inputs[0], "price")
