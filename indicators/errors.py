"""What can go wrong in `indicators`. Each error carries its fields; `str()` is a sentence.

IndicatorError (ValueError)
├── StatNameError           a stat that was asked for cannot be had
│   ├── MalformedName       the text does not follow the grammar of names
│   ├── UnknownStat         no stat, output or input has this name
│   ├── BadParameter        too many, too few, of the wrong kind or out of bounds
│   └── WindowTooLong       the stat looks further back than the history goes
├── MissingColumn           the caller's columns lack one that a stat needs
├── UnequalColumns          the caller's columns differ in length
├── DefinitionError         a declaration of a stat that contradicts itself or another
└── ModuleFailed            a module with stats of one's own cannot be loaded
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = [
    "BadParameter",
    "DefinitionError",
    "IndicatorError",
    "MalformedName",
    "MissingColumn",
    "ModuleFailed",
    "StatNameError",
    "UnequalColumns",
    "UnknownStat",
    "WindowTooLong",
]


class IndicatorError(ValueError):
    """Base of every error this package raises on purpose."""


class StatNameError(IndicatorError):
    """A stat name that cannot be served.

    `text` is the name as it was asked for, `reason` what is wrong with it, `nearest` valid names
    that may have been meant, the likeliest first.
    """

    def __init__(self, text: str, reason: str, nearest: Sequence[str] = ()) -> None:
        self.text = text
        self.reason = reason
        self.nearest = tuple(nearest)
        super().__init__(text, reason, self.nearest)

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.nearest)}?" if self.nearest else "."
        return f"Stat {self.text!r}: {self.reason}{hint}"


class MalformedName(StatNameError):
    """The text does not follow the grammar (upper-case name, parameters, input suffix)."""


class UnknownStat(StatNameError):
    """The grammar is right, but there is no such stat, output or input."""


class BadParameter(StatNameError):
    """A parameter is out of bounds or of the wrong kind, or their number is wrong."""


class WindowTooLong(StatNameError):
    """The stat needs `lookback` rows behind a row, more than the `history` that is kept."""

    def __init__(self, text: str, lookback: int, history: int) -> None:
        self.lookback = lookback
        self.history = history
        super().__init__(
            text,
            f"it looks {lookback} rows back and the history is {history} rows;"
            f" shorten its window or keep at least {lookback} rows",
        )


class MissingColumn(IndicatorError):
    """A stat needs a column that the caller did not give."""

    def __init__(self, column: str, given: Sequence[str]) -> None:
        self.column = column
        self.given = tuple(given)
        super().__init__(column, self.given)

    def __str__(self) -> str:
        given = ", ".join(self.given) or "none"
        return f"Column {self.column!r} is needed and is not there (given: {given}); add it."


class UnequalColumns(IndicatorError):
    """The columns of one table differ in length. `lengths` maps each column to its rows."""

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self.lengths = dict(lengths)
        super().__init__(self.lengths)

    def __str__(self) -> str:
        found = ", ".join(f"{name}: {rows}" for name, rows in self.lengths.items())
        return f"Columns differ in length ({found}); give the same rows of each."


class DefinitionError(IndicatorError):
    """A stat's declaration is wrong. `name` is the stat's."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(name, reason)

    def __str__(self) -> str:
        return f"Definition of stat {self.name!r}: {self.reason}."


class ModuleFailed(IndicatorError):
    """A module that should register stats does not. `reference` is how it was named."""

    def __init__(self, reference: str, reason: str) -> None:
        self.reference = reference
        self.reason = reason
        super().__init__(reference, reason)

    def __str__(self) -> str:
        return f"Stats module {self.reference!r}: {self.reason}."
