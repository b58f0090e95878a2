"""Which archived rows can be true, and how two sets of them become one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_kit import FIRST, minutes
from monitor.archive.minutes import Minutes, fault, merge, unbroken
from monitor.protocol import Candle, check_candle

MINUTE = 60_000
LAST = FIRST + 19


def changed(row: int, column: int, value: float) -> Minutes:
    rows = minutes()
    rows.prices[row, column] = value
    return rows


def test_rows_that_can_be_true_have_no_fault() -> None:
    rows = minutes()
    assert rows.carried.any()
    assert fault(rows, FIRST, LAST) is None
    assert fault(Minutes.none(), FIRST, LAST) is None


@pytest.mark.parametrize(("first", "last"), [(FIRST + 1, LAST), (FIRST, LAST - 1)])
def test_a_row_of_another_day_is_a_fault(first: int, last: int) -> None:
    assert fault(minutes(), first, last) == "time"


@pytest.mark.parametrize("bar", [FIRST, FIRST + 1, FIRST + 5])
def test_a_minute_that_is_there_twice_or_out_of_order_is_a_fault(bar: int) -> None:
    rows = minutes()
    rows.bars[2] = bar
    assert fault(rows, FIRST, LAST) == "time"


VALUES = st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 1e-8, 99.0, 100.0, 101.0])


@given(
    prices=st.tuples(VALUES, VALUES, VALUES, VALUES, VALUES),
    trades=st.sampled_from([-1, 0, 1, 2**53, 2**53 + 1]),
)
def test_a_row_is_refused_exactly_when_the_exchanges_would_be(
    prices: tuple[float, ...], trades: int
) -> None:
    o, h, l, c, v = prices
    candle = Candle(FIRST * MINUTE, (FIRST + 1) * MINUTE - 1, "C", "1m", o, h, l, c, v, trades)
    row = Minutes(np.array([FIRST]), np.array([prices]), np.array([trades]), np.array([False]))
    expected = check_candle(candle, now_ms=FIRST * MINUTE)
    assert fault(row, FIRST, FIRST) == expected


@pytest.mark.parametrize("field", ["trades", "high", "open"])
def test_a_carried_row_is_flat_and_silent_or_a_fault(field: str) -> None:
    rows = minutes()
    k = int(rows.carried.argmax())
    if field == "trades":
        rows.trades[k] = 1
    else:
        # Both stay within low and high.
        rows.prices[k, 1] += 1.0
        rows.prices[k, 0] += 1.0 if field == "open" else 0.0
    assert fault(rows, FIRST, LAST) == "carried"


def test_of_two_rows_of_one_minute_the_new_one_stays_and_all_others_too() -> None:
    old, new = minutes(FIRST, 10), minutes(FIRST + 5, 10, price=200.0)
    both = merge(old, new)
    assert both.bars.tolist() == list(range(FIRST, FIRST + 15))
    assert both[:5].equals(old[:5])
    assert both[5:].equals(new)
    assert merge(new, old)[:10].equals(old)


def test_rows_between_others_are_sorted_in() -> None:
    rows = minutes()
    odd = rows.bars % 2 == 1
    assert merge(rows[odd], rows[~odd]).equals(rows)


def test_merging_what_is_there_changes_nothing() -> None:
    rows = minutes()
    assert merge(rows, rows).equals(rows)
    assert merge(Minutes.none(), rows).equals(rows)
    assert merge(rows, Minutes.none()).equals(rows)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Minutes)])
def test_a_difference_in_any_column_is_a_difference(field: str) -> None:
    rows, other = minutes(), minutes()
    values: Any = getattr(other, field)
    values[3] = values[3] + 1 if field != "carried" else not values[3]
    assert not rows.equals(other)


def test_an_unbroken_run_begins_behind_the_last_hole() -> None:
    rows = minutes()
    assert unbroken(rows).equals(rows)
    holes = rows[(rows.bars != FIRST + 4) & (rows.bars != FIRST + 9)]
    assert unbroken(holes).bars[0] == FIRST + 10
    assert len(unbroken(Minutes.none())) == 0


def test_a_row_carried_from_another_close_breaks_the_run() -> None:
    rows = minutes()
    k = int(np.flatnonzero(rows.carried)[-1])
    rows.prices[k, :4] += 1.0
    assert unbroken(rows).bars[0] == rows.bars[k]
