"""The grammar of stat names takes every name of the contract, and nothing else crashes it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indicators import IndicatorError, MalformedName, StatName, parse, plan

NAMES = {
    "ATR14": StatName("ATR", (14,)),
    "RSI": StatName("RSI"),
    "EMA20_hlc3": StatName("EMA", (20,), "hlc3"),
    "RSI_hl2": StatName("RSI", (), "hl2"),
    "MACD12_26_9": StatName("MACD", (12, 26, 9)),
    "MACDs12_26_9": StatName("MACD", (12, 26, 9), "", "s"),
    "MACDh12_26_9_open": StatName("MACD", (12, 26, 9), "open", "h"),
    "BBu20_2p5": StatName("BB", (20, 2.5), "", "u"),
    "BBp20_2": StatName("BB", (20, 2), "", "p"),
    "STOCHk14_3_3": StatName("STOCH", (14, 3, 3), "", "k"),
    "UO7_14_28": StatName("UO", (7, 14, 28)),
    "SAR0p02_0p2": StatName("SAR", (0.02, 0.2)),
    "SUPERTd10_3": StatName("SUPERT", (10, 3), "", "d"),
    "VWAP": StatName("VWAP"),
    "TRUERANGE": StatName("TRUERANGE"),
}


@pytest.mark.parametrize("text", NAMES)
def test_names_of_the_contract_are_taken_apart_and_put_together_again(text: str) -> None:
    assert parse(text) == NAMES[text]
    assert str(NAMES[text]) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("RSI014", "RSI14"), ("BB20_2p0", "BB20_2"), ("BB20_2p50", "BB20_2p5")],
)
def test_numbers_have_one_spelling(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


def test_small_numbers_are_written_without_an_exponent() -> None:
    assert str(StatName("SAR", (0.00001, 0.2))) == "SAR0p00001_0p2"


@pytest.mark.parametrize(
    "text",
    ["", " ", "rsi14", "RSI 14", "RSI-14", "RSI14_", "RSI_14", "RSI14p", "BB20_2.5",
     "MACDsh12", "14", "RSI14\n", "RSI١٤", "_RSI14", "RSI14__hl2", "RSI1234567890",
     "RSI" + "9" * 5000],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(MalformedName) as caught:
        parse(text)
    assert caught.value.text == text


whole = st.integers(0, 10**9 - 1)
decimal = st.integers(1, 10**9 - 1).map(lambda k: k / 10**6)


@given(
    st.builds(
        StatName,
        letters=st.from_regex(r"[A-Z]{1,8}", fullmatch=True),
        parameters=st.lists(whole | decimal, max_size=4).map(tuple),
        input=st.sampled_from(["", "hl2", "hlc3", "ohlc4", "open", "volume"]),
        output=st.sampled_from(["", "s", "h", "u", "p", "k"]),
    )
)
def test_every_name_survives_the_round_trip(name: StatName) -> None:
    assert parse(str(name)) == name
    assert str(parse(str(name))) == str(name)


@given(
    st.text(max_size=60)
    | st.from_regex(r"[A-Za-z]{0,5}[a-z]?[0-9p_.]{0,12}(_[a-z0-9]{0,6})?", fullmatch=True)
)
def test_any_text_is_a_name_or_the_packages_error(text: str) -> None:
    with contextlib.suppress(IndicatorError):
        planned = plan([text], history=1440)
        assert plan(planned.stats, history=1440) == planned
