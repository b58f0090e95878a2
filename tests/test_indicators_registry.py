"""The registry fills in what names leave out, refuses what cannot be, says what may be meant."""

from __future__ import annotations

import pytest

from indicators import (
    BadParameter,
    Definition,
    DefinitionError,
    MalformedName,
    Registry,
    StatNameError,
    UnknownStat,
    default_registry,
    stat,
)
from indicators.jit import Floats, Ints


def nothing(floats: Floats, ints: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Stand in for a kernel that is never run."""


def declared(name: str = "TOY", **fields: object) -> Definition:
    make = stat(name, version=1, meaning="a toy", source="none", **fields)  # type: ignore[arg-type]
    return make(nothing)


STATS = default_registry()


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("RSI", "RSI14"),
        ("RSI_hl2", "RSI14_hl2"),
        ("RSI14_close", "RSI14"),
        ("EMA020", "EMA20"),
        ("EMA20_volume", "EMA20_volume"),
        ("MACD", "MACD12_26_9"),
        ("MACDh", "MACD12_26_9"),
        ("MACDs5_10_3_open", "MACD5_10_3_open"),
        ("BBu20_2p5", "BB20_2p5"),
        ("BB20_2", "BB20_2"),
        ("VWAP", "VWAP"),
        ("VWAP20", "VWAP20"),
        ("VWAP_hlc3", "VWAP"),
        ("BBp", "BB20_2"),
        ("KC_close", "KC20_10_2_close"),
        ("SUPERTd", "SUPERT10_3"),
        ("SAR", "SAR0p02_0p2"),
        ("TRUERANGE", "TRUERANGE"),
    ],
)
def test_names_resolve_to_one_canonical_form(text: str, canonical: str) -> None:
    assert str(STATS.resolve(text).name) == canonical


@pytest.mark.parametrize(
    ("text", "kind", "nearest"),
    [
        ("rsi14", MalformedName, "RSI14"),
        ("Ema20_HLC3", MalformedName, "EMA20_hlc3"),
        ("RSJ5", UnknownStat, "RSI5"),
        ("RSIx5", UnknownStat, "RSI5"),
        ("MACDq12_26_9", UnknownStat, "MACD12_26_9"),
        ("BB20_2.5", MalformedName, "BB20_2p5"),
        ("BB20", BadParameter, "BB20_2"),
        ("BB20_1000", BadParameter, "BB20_100"),
        ("RSI5p5", BadParameter, "RSI6"),
        ("ATR0", BadParameter, "ATR1"),
        ("ATR14_hl2", UnknownStat, "ATR14"),
        ("EMA20_hcl3", UnknownStat, "EMA20_hlc3"),
        ("EMA20_time", UnknownStat, "EMA20"),
    ],
)
def test_what_cannot_be_is_refused_with_the_nearest_that_can(
    text: str, kind: type[StatNameError], nearest: str
) -> None:
    with pytest.raises(kind) as caught:
        STATS.resolve(text)
    assert caught.value.nearest[0] == nearest
    assert str(STATS.resolve(nearest).name) == nearest


def test_a_parameter_left_out_of_the_name_is_zero_for_the_kernel() -> None:
    assert STATS.resolve("VWAP").values == (0,)
    assert STATS.resolve("VWAP20").values == (20,)


def test_a_selected_input_takes_the_place_of_the_first() -> None:
    assert STATS.resolve("EMA9_hl2").inputs == ("hl2",)
    assert STATS.resolve("ATR9").inputs == ("high", "low", "close")


def test_a_taken_name_an_unknown_input_and_a_small_letter_are_refused() -> None:
    registry = Registry((declared(),))
    with pytest.raises(DefinitionError, match="already"):
        registry.register(declared())
    with pytest.raises(DefinitionError, match="'mid' is none of"):
        registry.register(declared("OTHER", inputs=("mid",)))
    with pytest.raises(DefinitionError, match="upper-case"):
        registry.register(declared("other"))
    with pytest.raises(DefinitionError, match="selectable"):
        registry.register(declared("OTHER", inputs=("time",), selectable=True))
    assert [definition.name for definition in registry] == ["TOY"]
    assert "TOY" in registry


@pytest.mark.parametrize("what", ["warmup", "lookback", "settling"])
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (lambda: 1 // 0, "fails for TOY: ZeroDivisionError"),
        (lambda: 2.5, "fails for TOY: TypeError"),
        (lambda: -5, "is -5 for TOY, expected a number of rows"),
    ],
)
def test_rows_that_are_no_number_of_rows_name_the_stat(what: str, rows: object, said: str) -> None:
    registry = Registry([declared(**{what: rows})])  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match=f"'TOY': its {what} {said}"):
        getattr(registry.resolve("TOY"), what)


def test_a_step_of_other_arguments_is_refused_where_it_is_declared() -> None:
    def step(i: int, age: int) -> None:
        """Lack the columns."""

    make = stat("TOY", version=1, meaning="a toy", source="none")
    with pytest.raises(DefinitionError, match=r"takes \(i, age\), expected \(F, I, i, age, cols"):
        make(step)  # type: ignore[arg-type]
