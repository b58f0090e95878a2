"""Errors are sentences: what was found, what was expected, what to do."""

from __future__ import annotations

import pytest

from indicators import (
    BadParameter,
    IndicatorError,
    MalformedName,
    MissingColumn,
    UnequalColumns,
    UnknownStat,
    WindowTooLong,
    compute,
    plan,
)


def sentence(kind: type[IndicatorError], name: str) -> str:
    with pytest.raises(kind) as caught:
        plan([name], history=1440)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_each_sentence_says_what_was_found_and_what_to_do() -> None:
    assert sentence(UnknownStat, "WILR9") == (
        "Stat 'WILR9': there is no WILR; did you mean WILLR9?"
    )
    assert sentence(BadParameter, "RSI0") == (
        "Stat 'RSI0': its n is 0, expected 1 to 100000; did you mean RSI1?"
    )
    assert sentence(BadParameter, "RSI5_5") == (
        "Stat 'RSI5_5': it has 2 parameters, expected 1 (n); did you mean RSI14?"
    )
    assert sentence(WindowTooLong, "ATR2000") == (
        "Stat 'ATR2000': it looks 2000 rows back and the history is 1440 rows;"
        " shorten its window or keep at least 2000 rows."
    )
    assert sentence(UnknownStat, "QQQQ9").startswith(
        "Stat 'QQQQ9': there is no QQQQ (there are SMA"
    )
    assert sentence(MalformedName, "rsi5").endswith("; did you mean RSI5?")
    assert sentence(MalformedName, "").endswith("EMA20_hlc3.")


def test_a_missing_column_is_named_with_what_there_is() -> None:
    with pytest.raises(MissingColumn) as caught:
        compute(["ATR14"], {"close": [1.0]})
    assert str(caught.value) == "Column 'high' is needed and is not there (given: close); add it."


def test_columns_of_different_length_are_refused_with_their_lengths() -> None:
    with pytest.raises(UnequalColumns, match=r"\(high: 2, low: 1, close: 1\)"):
        compute(["ATR14"], {"close": [1.0], "high": [1.0, 2.0], "low": [1.0]})
