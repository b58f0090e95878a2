"""Finding rows, and what is said of a market."""

from __future__ import annotations

import numpy as np
import pytest

import engine_kit as kit
from monitor.book import COUNTERS, STATUSES, Note
from monitor.engine import Engine
from monitor.kernels import CLOSED
from monitor.ledger import Stream
from ringbuf.layout import COUNTERS as MOST_COUNTERS
from ringbuf.layout import WORD

BAR = kit.BAR
NOW = BAR * kit.MINUTE + 30_000.0


def watched() -> tuple[Engine, Stream]:
    """One market, watched since `BAR`, with its first history and a live row."""
    e = kit.make_engine(["A"])
    stream = Stream("one", NOW)
    e.watch(0, stream, NOW)
    e.candle(kit.candle("A", BAR), NOW, 1)
    (ask,) = e.history.wanted(NOW)
    e.history.answer(ask, [kit.candle("A", k) for k in range(ask.first, BAR)], NOW, 1)
    return e, stream


def test_a_new_market_is_syncing_and_has_no_row() -> None:
    e = kit.make_engine(["A"])
    assert e.book.newest(0) == -1
    assert kit.status(e) == "syncing"
    assert not e.book.whole(0)


def test_the_depth_is_the_history_and_the_rows_in_which_the_stats_settle() -> None:
    e = kit.make_engine(["A"], history=20)
    assert e.book.depth == 20 + 294
    assert e.book.depth < e.book.capacity


def test_counters_and_statuses_fit_a_store() -> None:
    assert len(set(COUNTERS)) == len(COUNTERS) <= MOST_COUNTERS
    assert STATUSES == ("syncing", "live", "quiet", "stale", "delisted")


def test_notes_are_kept_until_somebody_takes_them() -> None:
    e = kit.make_engine(["A"])
    e.book.note("key", "text")
    assert e.book.notes == [Note("key", "text")]


def test_rows_are_copies_with_the_known_ones_marked() -> None:
    e, _ = watched()
    rows = e.book.rows(0, BAR - 2, BAR + 1)
    assert rows.known.tolist() == [True, True, True, False]
    assert rows.closed.tolist() == [True, True, False, False]
    assert rows.trades[:3].tolist() == [3, 3, 3]
    assert rows.flags[0] & CLOSED
    rows.prices[:] = 0.0
    assert (kit.column(e, "close") > 0).all()


def test_rows_before_the_origin_are_not_known() -> None:
    e, _ = watched()
    origin = kit.word(e, "origin")
    assert e.book.rows(0, origin - 1, origin).known.tolist() == [False, True]
    # What a history that began anew has left behind is not known any more.
    e.book.controls[0, WORD["origin"]] = origin + 5
    assert e.book.rows(0, origin + 4, origin + 5).known.tolist() == [False, True]


def test_a_run_is_whole_when_it_begins_no_later_than_behind_the_certain_rows() -> None:
    e, _ = watched()
    assert e.book.whole(0)
    e.book.ledgers[0].certain = kit.word(e, "start") - 2
    assert not e.book.whole(0)


def test_a_market_is_live_when_heard_within_this_or_the_last_minute_then_quiet() -> None:
    e, _ = watched()
    assert kit.status(e) == "live"
    e.book.judge(0, NOW + kit.MINUTE)
    assert kit.status(e) == "live"
    assert e.book.judge(0, NOW + 2 * kit.MINUTE)
    assert kit.status(e) == "quiet"
    assert not e.book.judge(0, NOW + 2 * kit.MINUTE)


def test_a_market_that_nobody_watches_is_stale() -> None:
    e, stream = watched()
    e.unwatch(stream, NOW)
    assert kit.status(e) == "stale"


@pytest.mark.parametrize("behind", [1, 5])
def test_a_market_with_a_hole_is_syncing(behind: int) -> None:
    e, stream = watched()
    e.unwatch(stream, NOW)
    later = NOW + (behind + 1) * kit.MINUTE
    e.watch(0, Stream("two", later), later)
    assert kit.status(e) == "syncing"


def test_the_oldest_bar_that_can_be_stepped_has_its_look_back_in_the_ring() -> None:
    e, _ = watched()
    assert e.book.oldest() == BAR + 2 - e.book.capacity + 19
    assert e.book.oldest(BAR + 9) == e.book.oldest() + 9
    assert np.isnan(kit.column(e, "SMA9")[:8]).all()
