"""What is sent to REST for what the engine wants to know."""

from __future__ import annotations

import pytest

from monitor.asking import range_of
from monitor.budget import weight_of
from monitor.ledger import Ask

MINUTE = 60_000
DAY_MS = 86_400_000
BAR = 29_900_000
"""A minute of November 2026."""


@pytest.mark.parametrize("kind", ["repair", "fill", "confirm"])
def test_rows_are_asked_for_from_the_first_minute_to_the_end_of_the_last(kind: str) -> None:
    first, last, interval = range_of(Ask(0, kind, BAR, BAR + 9, BAR + 9))
    assert (first, last, interval) == (BAR * MINUTE, (BAR + 10) * MINUTE - 1, "1m")


def test_a_last_close_is_looked_for_in_all_days_of_the_exchange_and_none_before() -> None:
    first, last, interval = range_of(Ask(0, "last_close", BAR, BAR + 9, BAR + 9))
    assert interval == "1d"
    assert first == 1_672_531_200_000
    assert last == (BAR + 10) * MINUTE - 1
    assert weight_of("candleSnapshot", (last - first) // DAY_MS + 1) == 44


def test_an_exchange_that_lives_in_another_time_is_asked_for_all_days_that_it_has() -> None:
    assert range_of(Ask(0, "last_close", 1_000, 1_009, 1_009))[0] == 0
