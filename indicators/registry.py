"""Which stats there are: looks names up, fills in what they leave out, refuses what cannot be.

`default_registry()` holds the stats that come with the package; `register` adds one's own to it.
Nothing here compiles or imports numba.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from operator import index

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
from .definition import Definition, Parameter
from .errors import BadParameter, DefinitionError, StatNameError, UnknownStat
from .inputs import BASE_UNITS, DERIVED, SELECTABLE
from .names import Number, StatName, parse

__all__ = ["Registry", "Stat", "default_registry", "register"]

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

_ROUGHLY = re.compile(r"\s*(?P<letters>[A-Za-z]*)(?P<rest>.*)", re.DOTALL)
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[0-9]{1,9}(?:[p.][0-9]{1,9})?(?![0-9])")
_SUFFIX = re.compile(r"_([A-Za-z][A-Za-z0-9]*)$")


@dataclass(frozen=True, slots=True)
class Stat:
    """A definition with its parameters and input: what one canonical name stands for.

    `name` has every parameter, no output letter, and no input where that is the usual one.
    """

    name: StatName
    definition: Definition

    @property
    def values(self) -> tuple[Number, ...]:
        """One value for each declared parameter; 0 for one that was left out."""
        return self.name.parameters or (0,) * len(self.definition.parameters)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, the selected one in place of the first."""
        first, *others = self.definition.inputs
        return (self.name.input or first, *others)

    @property
    def warmup(self) -> int:
        """Rows from the origin that are NaN."""
        return self._rows("warmup")

    @property
    def lookback(self) -> int:
        """Rows behind a row that the kernel reads for it."""
        return self._rows("lookback")

    @property
    def settling(self) -> int:
        """Rows after the first value until its seed's influence is gone."""
        return self._rows("settling")

    def _rows(self, what: str) -> int:
        """Raise `DefinitionError` where a definition's own function does not give a number."""
        definition = self.definition
        try:
            rows = index(found := getattr(definition, what)(*self.values))
        except Exception as error:
            reason = f"its {what} fails for {self.name}: {type(error).__name__}: {error}"
            raise DefinitionError(definition.name, reason) from error
        if rows < 0:
            reason = f"its {what} is {found} for {self.name}, expected a number of rows"
            raise DefinitionError(definition.name, reason)
        return rows


class Registry:
    """Definitions by name. Iterates over them in the order they were registered."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        self._definitions: dict[str, Definition] = {}
        for definition in definitions:
            self.register(definition)

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._definitions.values())

    def __contains__(self, letters: object) -> bool:
        return letters in self._definitions

    def register(self, definition: Definition) -> None:
        """Add a stat. Raises `DefinitionError` if its name is taken or an input is unknown."""
        name = definition.name
        if not name.isupper():
            raise DefinitionError(name, "its name must be upper-case letters")
        if name in self._definitions:
            raise DefinitionError(name, "there is a stat of this name already")
        for column in definition.inputs:
            if column not in BASE_UNITS and column not in DERIVED:
                known = ", ".join((*BASE_UNITS, *DERIVED))
                raise DefinitionError(name, f"its input {column!r} is none of {known}")
        if definition.selectable and definition.inputs[0] not in SELECTABLE:
            raise DefinitionError(name, f"{definition.inputs[0]!r} cannot be a selectable input")
        self._definitions[name] = definition

    def keep(self, letters: Container[str]) -> None:
        """Forget every stat but these."""
        kept = {name: one for name, one in self._definitions.items() if name in letters}
        self._definitions = kept

    def resolve(self, text: str) -> Stat:
        """Return the stat that a name stands for; one output's name stands for the whole stat.

        Raises a `StatNameError` that names the nearest valid ones.
        """
        try:
            return self._resolve(text)
        except StatNameError as error:
            error.nearest = self.nearest(text)
            raise

    def nearest(self, text: str) -> tuple[str, ...]:
        """Return up to three valid canonical names that resemble any text, the likeliest first."""
        match = _ROUGHLY.match(text[:80])
        letters, rest = (match["letters"], match["rest"]) if match else ("", "")
        letters = letters.upper()
        # Who writes RSI0 means RSI, not STOCHRSI.
        exact = letters in self._definitions
        close = (
            [letters] if exact else difflib.get_close_matches(letters, self._definitions, 3, 0.5)
        )
        return tuple(str(_repaired(self._definitions[name], rest)) for name in close)

    def _resolve(self, text: str) -> Stat:
        name = parse(text)
        definition = self._definitions.get(name.letters)
        if definition is None:
            # All of them only where none comes near: a sentence, not a catalogue.
            known = "" if self.nearest(text) else f" (there are {', '.join(self._definitions)})"
            raise UnknownStat(text, f"there is no {name.letters}{known}")
        if name.output and name.output not in definition.outputs:
            letters = ", ".join(filter(None, definition.outputs)) or "none"
            raise UnknownStat(
                text, f"{name.letters} has no output {name.output!r} (its letters: {letters})"
            )
        parameters = name.parameters or definition.usual
        _check_parameters(text, definition, parameters)
        selected = _checked_input(text, definition, name.input)
        return Stat(StatName(name.letters, parameters, selected), definition)


def _check_parameters(text: str, definition: Definition, values: tuple[Number, ...]) -> None:
    declared = definition.parameters
    if not values and not definition.usual:
        return
    if len(values) != len(declared):
        expected = ", ".join(p.name for p in declared) or "none"
        raise BadParameter(
            text,
            f"it has {len(values)} parameters, expected {len(declared)} ({expected})",
        )
    for parameter, value in zip(declared, values, strict=True):
        if parameter.whole and not isinstance(value, int):
            raise BadParameter(text, f"its {parameter.name} is {value}, expected a whole number")
        if not parameter.low <= value <= parameter.high:
            raise BadParameter(
                text,
                f"its {parameter.name} is {value}, expected {parameter.low} to {parameter.high}",
            )


def _checked_input(text: str, definition: Definition, selected: str) -> str:
    if not selected or (definition.selectable and selected == definition.inputs[0]):
        return ""
    if not definition.selectable:
        used = ", ".join(definition.inputs)
        raise UnknownStat(text, f"{definition.name} takes no input, it always uses {used}")
    if selected not in SELECTABLE:
        raise UnknownStat(text, f"there is no input {selected!r} (inputs: {', '.join(SELECTABLE)})")
    return selected


def _repaired(definition: Definition, rest: str) -> StatName:
    """Keep of a wrong name's tail whatever is right or can be brought within bounds."""
    suffix = _SUFFIX.search(rest)
    selected = ""
    if suffix and definition.selectable:
        close = difflib.get_close_matches(suffix[1].lower(), SELECTABLE, n=1)
        selected = close[0] if close and close[0] != definition.inputs[0] else ""
    found = _NUMBER.findall(rest[: suffix.start()] if suffix else rest)
    values = [float(number.replace("p", ".")) for number in found]
    if len(values) != len(definition.parameters):
        return StatName(definition.name, definition.usual, selected)
    parameters = tuple(map(_within, definition.parameters, values))
    return StatName(definition.name, parameters, selected)


def _within(parameter: Parameter, value: float) -> Number:
    bounded = min(max(value, parameter.low), parameter.high)
    return round(bounded) if parameter.whole else bounded


@cache
def default_registry() -> Registry:
    """Return the stats that come with the package, and those registered since."""
    return Registry(definition for family in _FAMILIES for definition in family.DEFINITIONS)


def register(definition: Definition) -> None:
    """Add a stat of one's own to the default registry.

    Its columns' definition in a store holds a hash of the file it is written in: after an edit,
    stored values are computed again, whether its version was raised or not.
    """
    default_registry().register(replace(definition, digest=definition.kernel.digest()))
