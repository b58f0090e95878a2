"""Stats of candles: names, step kernels over a column block, and their readable twins.

    >>> from indicators import compute
    >>> compute(["SMA2"], {"close": [1.0, 2.0, 4.0]})["SMA2"].tolist()
    [nan, 1.5, 3.0]

The way of a name: `parse` takes it apart (grammar only), the registry knows whether there is such
a stat, `plan` says which columns a list of stats needs, `Plan.bind` compiles their kernels, `step`
(from `indicators.dispatch`, for jitted code) runs them over one row. numba is imported at `bind`,
not before.

A stat of one's own is a function under the `stat` decorator, handed to `register`; `load` imports
modules that do so.
"""

from __future__ import annotations

from .batch import compute
from .definition import Definition, Parameter, period, settling_rows, stat
from .errors import (
    BadParameter,
    DefinitionError,
    IndicatorError,
    MalformedName,
    MissingColumn,
    ModuleFailed,
    StatNameError,
    UnequalColumns,
    UnknownStat,
    WindowTooLong,
)
from .jit import helper
from .loading import load
from .names import StatName, parse
from .planning import Plan, StatColumn, Table, plan
from .registry import Registry, Stat, default_registry, register

__all__ = [
    "BadParameter",
    "Definition",
    "DefinitionError",
    "IndicatorError",
    "MalformedName",
    "MissingColumn",
    "ModuleFailed",
    "Parameter",
    "Plan",
    "Registry",
    "Stat",
    "StatColumn",
    "StatName",
    "StatNameError",
    "Table",
    "UnequalColumns",
    "UnknownStat",
    "WindowTooLong",
    "compute",
    "default_registry",
    "helper",
    "load",
    "parse",
    "period",
    "plan",
    "register",
    "settling_rows",
    "stat",
]
