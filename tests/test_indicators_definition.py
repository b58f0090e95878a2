"""A definition that contradicts itself is refused; settling follows from an average's weight."""

from __future__ import annotations

import dataclasses

import pytest

from indicators import Definition, DefinitionError, Parameter, default_registry, settling_rows


def rsi() -> Definition:
    return default_registry().resolve("RSI").definition


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "Rsi"}, "upper-case"),
        ({"version": 0}, "version"),
        ({"inputs": ()}, "no input"),
        ({"outputs": ()}, "no output"),
        ({"outputs": ("", "")}, "same letter"),
        ({"outputs": ("up",)}, "one lower letter"),
        ({"state": ("gain", "gain")}, "same name"),
        ({"state": ("_gain",)}, "lower-case"),
        ({"parameters": (Parameter("n", 5, 6, 9),)}, "bounds 6 to 9"),
        ({"parameters": (Parameter("n", None, -1, 9),)}, "bounds -1 to 9"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        dataclasses.replace(rsi(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("alpha", [1 / 14, 2 / 21, 1 / 500])
def test_after_the_settling_rows_and_not_before_a_seed_weighs_less_than_1e_9(alpha: float) -> None:
    rows = settling_rows(alpha)
    assert (1.0 - alpha) ** rows <= 1e-9 < (1.0 - alpha) ** (rows - 1)


def test_an_average_that_remembers_nothing_has_settled_at_once() -> None:
    assert settling_rows(1.0) == 0


def test_a_definition_explains_itself() -> None:
    for definition in default_registry():
        assert definition.meaning
        assert definition.source
        assert definition.kernel.function.__doc__
