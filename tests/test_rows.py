"""What an answer of REST means, against what the ring holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine_kit as kit
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.protocol import Candle
from monitor.rows import RETENTION, Existing, Settled, settle

FIRST = 1_000
LISTED = CLOSED | CONFIRMED
SILENT = CLOSED | CARRIED | CONFIRMED


def held(size: int, rows: dict[int, Candle] | None = None, **given_: Any) -> Existing:
    """What the ring holds: `rows` by offset, closed where `closed` names the offset."""
    rows = rows or {}
    prices = np.full((size, 5), np.nan)
    trades = np.zeros(size, np.int64)
    known = np.zeros(size, np.bool_)
    closed = np.zeros(size, np.bool_)
    for k, c in rows.items():
        prices[k] = c.open, c.high, c.low, c.close, c.volume
        trades[k], known[k] = c.trades, True
    closed[list(given_.pop("closed", ()))] = True
    values: dict[str, Any] = {"close_before": 90.0, "traded_after": False, "latest": FIRST + size}
    return Existing(known=known, closed=closed, prices=prices, trades=trades, **(values | given_))


def row(k: int, price: float = 100.0, trades: int = 3) -> Candle:
    return kit.candle("X", FIRST + k, price, trades)


def judge(listed: list[Candle], existing: Existing, **settings: Any) -> Settled:
    size = len(existing.known)
    last = FIRST + size - 1
    values = {"interval_ms": kit.MINUTE, "settled": last} | settings
    return settle(listed, FIRST, last, existing, **values)


def flags(found: Settled) -> list[int]:
    return [int(flag) for flag in found.counts[:, 1]]


def closes(found: Settled) -> list[float]:
    return [float(close) for close in found.prices[:, 3]]


def test_rows_listed_are_taken_as_they_are_in_any_order() -> None:
    found = judge([row(1, 102.0, 5), row(0, 101.0)], held(2))
    assert found.first == FIRST
    assert found.prices.tolist() == [
        [101.0, 102.0, 100.0, 101.0, 6.0],
        [102.0, 103.0, 101.0, 102.0, 10.0],
    ]
    assert found.counts.tolist() == [[3, LISTED], [5, LISTED]]
    assert (found.added, found.changed, found.carried, found.omitted) == (2, 0, 0, 0)
    assert (found.lost, found.lagging) == (False, False)


def test_rows_outside_of_what_was_asked_are_no_matter() -> None:
    found = judge([row(-1), row(0), row(1), row(2)], held(1))
    assert len(found.prices) == 1
    assert closes(found) == [100.0]


def test_after_the_last_row_listed_there_was_silence_confirmed() -> None:
    found = judge([row(0, 101.0)], held(3))
    assert closes(found) == [101.0] * 3
    assert found.counts.tolist() == [[3, LISTED], [0, SILENT], [0, SILENT]]
    assert found.prices[1].tolist() == [101.0, 101.0, 101.0, 101.0, 0.0]
    assert found.carried == 2


def test_no_row_at_all_is_silence_at_the_close_before() -> None:
    found = judge([], held(2))
    assert closes(found) == [90.0, 90.0]
    assert flags(found) == [SILENT, SILENT]


def test_a_row_listed_without_trades_is_no_longer_carried() -> None:
    flat = row(0, 90.0, 0)
    found = judge([flat], held(1, {0: flat}, closed=[0]))
    assert flags(found) == [LISTED]
    assert found.changed == 0


def test_what_rest_leaves_out_between_two_rows_is_carried_but_not_confirmed() -> None:
    """Once REST insists: it lists every minute before a trade, and did not for once."""
    listed = [row(0, 101.0), row(3, 104.0)]
    first = judge(listed, held(4))
    assert (first.lagging, closes(first), first.vouched) == (True, [101.0], FIRST)
    found = judge(listed, held(4), patient=False)
    assert closes(found) == [101.0, 101.0, 101.0, 104.0]
    assert flags(found) == [LISTED, CLOSED | CARRIED, CLOSED | CARRIED, LISTED]
    assert found.omitted == 2


def test_before_the_first_row_of_a_market_there_is_nothing() -> None:
    found = judge([row(2), row(3)], held(4, close_before=float("nan")))
    assert found.first == FIRST + 2
    assert len(found.prices) == 2


def test_a_market_without_any_row_stays_without() -> None:
    found = judge([], held(4, close_before=float("nan")))
    assert len(found.prices) == 0
    assert not found.lagging


def test_no_row_although_a_later_trade_is_known_is_waited_for() -> None:
    """However long: with the trade itself listed, there is nothing before it."""
    existing = held(4, close_before=float("nan"), traded_after=True)
    for patient in (True, False):
        assert judge([], existing, patient=patient).lagging
        assert not judge([row(4)], existing, patient=patient).lagging


def test_a_row_behind_all_that_is_wanted_shows_that_rest_has_come_so_far() -> None:
    found = judge([row(0), row(2)], held(2, traded_after=True), patient=False)
    assert (found.lagging, found.vouched) == (False, FIRST + 1)
    assert flags(found) == [LISTED, SILENT]


def test_beyond_the_exchanges_memory_the_history_begins_anew() -> None:
    found = judge([row(2), row(3)], held(4, latest=FIRST + RETENTION))
    assert found.lost
    assert found.first == FIRST + 2
    kept = judge([row(2), row(3)], held(4, latest=FIRST + RETENTION - 1))
    assert not kept.lost
    assert kept.first == FIRST


def test_a_row_that_the_socket_told_and_rest_does_not_list_is_waited_for() -> None:
    """Nor is the last row that it lists known to be whole."""
    found = judge([row(0), row(1)], held(4, {2: row(2)}))
    assert found.lagging
    assert flags(found) == [LISTED]
    assert found.vouched == FIRST


def test_a_row_with_fewer_trades_than_the_socket_told_is_waited_for() -> None:
    found = judge([row(0), row(1, trades=2)], held(2, {1: row(1, trades=3)}))
    assert found.lagging
    assert len(found.prices) == 1


def test_without_patience_the_sockets_row_stays_unconfirmed_where_rest_has_none() -> None:
    """And so does what is behind it: REST has not come to it yet."""
    found = judge([row(0), row(1)], held(4, {2: row(2, 105.0)}), patient=False)
    assert not found.lagging
    assert closes(found) == [100.0, 100.0, 105.0, 105.0]
    assert flags(found) == [LISTED, CLOSED, CLOSED, CLOSED | CARRIED]
    assert found.vouched == FIRST
    listed_behind = judge([row(0), row(2)], held(3, {1: row(1, 105.0)}), patient=False)
    assert flags(listed_behind) == [LISTED, CLOSED, LISTED]
    assert listed_behind.vouched == FIRST + 2


def test_without_patience_a_part_of_the_last_row_does_not_win_where_rest_stands_still() -> None:
    told = {1: row(1, 105.0, 7)}
    found = judge([row(0), row(1)], held(3, told, traded_after=True), patient=False)
    assert closes(found) == [100.0, 105.0, 105.0]
    assert flags(found) == [LISTED, CLOSED, CLOSED | CARRIED]


def test_without_patience_rests_row_wins_over_the_sockets() -> None:
    found = judge([row(0, 99.0, 2)], held(1, {0: row(0, trades=3)}, closed=[0]), patient=False)
    assert not found.lagging
    assert closes(found) == [99.0]
    assert found.changed == 1


def test_with_a_later_trade_known_unlisted_minutes_are_waited_for() -> None:
    found = judge([row(0), row(1)], held(4, traded_after=True))
    assert found.lagging
    assert flags(found) == [LISTED]
    found = judge([row(0), row(1)], held(4, traded_after=True), patient=False)
    assert not found.lagging
    assert flags(found) == [LISTED, CLOSED, CLOSED | CARRIED, CLOSED | CARRIED]
    assert found.vouched == FIRST


def test_all_is_vouched_for_where_the_last_minute_asked_for_is_listed() -> None:
    found = judge([row(k) for k in range(4)], held(4, traded_after=True))
    assert not found.lagging
    assert found.vouched == FIRST + 3


def test_silence_behind_a_row_that_is_not_confirmed_is_not_confirmed_either() -> None:
    """Its last trades may be missing: then the close that is carried is another one."""
    found = judge([row(2)], held(4, confirmed_before=False), patient=False)
    assert flags(found) == [CLOSED | CARRIED, CLOSED | CARRIED, LISTED, SILENT]
    found = judge([], held(2, confirmed_before=False))
    assert flags(found) == [CLOSED | CARRIED] * 2
    assert found.vouched == FIRST + 1


def test_an_origin_that_rest_does_not_list_is_waited_for_then_given_up() -> None:
    existing = held(3, {0: row(0)}, closed=[0], close_before=float("nan"))
    for listed in ([], [row(2)]):
        found = judge(listed, existing)
        assert (found.lagging, len(found.prices)) == (True, 0)
    assert not judge([], existing, patient=False).lagging
    found = judge([row(2)], existing, patient=False)
    assert (found.first, found.lost, flags(found)) == (FIRST + 2, True, [LISTED])


def test_behind_the_grace_nothing_is_closed_or_confirmed() -> None:
    found = judge([row(0), row(1)], held(3), settled=FIRST)
    assert flags(found) == [LISTED, 0, CARRIED]


def test_only_rows_that_readers_saw_closed_count_as_changed() -> None:
    known = {0: row(0), 1: row(1), 2: row(2)}
    listed = [row(0), row(1, 101.0), row(2, 102.0)]
    found = judge(listed, held(3, known, closed=[0, 1]))
    assert found.changed == 1
    assert found.added == 0
    assert found.differs == 1


def test_when_nothing_differs_no_row_has_to_be_stepped() -> None:
    found = judge([row(0), row(1)], held(2, {0: row(0), 1: row(1)}, closed=[0, 1]))
    assert found.differs == 2
    assert found.changed == 0


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(0, 12),
    st.booleans(),
)
def test_an_answer_of_the_whole_truth_is_the_truth(
    trades: list[int], known_until: int, origin: bool
) -> None:
    """`trades` of each minute: REST lists up to the last trade, flat rows in between."""
    size = len(trades)
    truth: list[Candle] = []
    close = 90.0
    for k, n in enumerate(trades):
        truth.append(row(k, close + 1.0 if n else close, n))
        close = truth[-1].close
    traded = [k for k, n in enumerate(trades) if n]
    ends = traded[-1] + 1 if traded else 0
    begins = traded[0] if origin and traded else 0
    known = {k: truth[k] for k in range(min(known_until, size)) if k >= begins}
    existing = held(size, known, close_before=float("nan") if origin else 90.0)
    found = judge(truth[begins:ends], existing)
    if origin and not traded:
        assert len(found.prices) == 0
        return
    assert found.first == FIRST + begins
    assert closes(found) == [c.close for c in truth[begins:]]
    assert found.counts[:, 0].tolist() == trades[begins:]
    assert found.changed == found.omitted == 0
    assert (found.lost, found.lagging) == (False, False)
    assert [bool(f & CARRIED) for f in flags(found)] == [k >= ends for k in range(begins, size)]


@pytest.mark.parametrize("patient", [True, False])
def test_nothing_is_written_when_the_first_row_is_waited_for(patient: bool) -> None:
    found = judge([], held(2, {0: row(0)}), patient=patient)
    assert found.lagging == patient
    assert len(found.prices) == (0 if patient else 2)
