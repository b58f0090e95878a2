"""Archived rows in a store: which may be put there, and that nobody can tell them from REST's."""

from __future__ import annotations

import numpy as np
import pytest

import engine_kit as kit
import indicators
from archive_kit import minutes
from monitor.archive.filling import MARGIN, Held, confirmed, held, place, usable
from monitor.archive.minutes import Minutes
from monitor.engine import Engine
from monitor.history import PATIENCE, RETRY_MS
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.rows import RETENTION
from ringbuf.writer import Writer

BAR = kit.BAR
HISTORY = 60
PLAN = indicators.plan(list(kit.STATS), history=HISTORY)
DEPTH = HISTORY + PLAN.runup


def archived(first: int, last: int) -> Minutes:
    """What REST's rows of these bars are as archived rows."""
    rows = [kit.candle("C0", bar, kit.price_of(bar)) for bar in range(first, last + 1)]
    prices = [(row.open, row.high, row.low, row.close, row.volume) for row in rows]
    return Minutes(
        np.arange(first, last + 1),
        np.array(prices),
        np.array([row.trades for row in rows]),
        np.zeros(len(rows), np.bool_),
    )


def empty() -> Writer:
    return kit.make_engine(["C0"], history=HISTORY).book.writer


def desk_on(writer: Writer) -> kit.Desk:
    """A desk whose service goes on with this store."""
    desk = kit.Desk(history=HISTORY)
    desk.engine = Engine(writer, PLAN, ["C0"])
    desk.engine.watch(0, desk.stream, desk.now)
    return desk


# --- which may be ---------------------------------------------------------------------------------

NOW = 1_000_000
DEEP = 9_000


@pytest.mark.parametrize(
    ("first", "last", "depth", "expected"),
    [
        (NOW - DEEP, NOW - 1, DEEP, True),
        (NOW - RETENTION, NOW - 1, DEEP, True),
        (NOW - RETENTION + 1, NOW - 1, DEEP, False),  # REST alone gives as much
        (NOW - 400, NOW - 1, 400, True),
        (NOW - 399, NOW - 1, 400, False),
        (NOW - DEEP, NOW - RETENTION + MARGIN - 1, DEEP, True),
        (NOW - DEEP, NOW - RETENTION + MARGIN - 2, DEEP, False),  # the gap is beyond REST
    ],
)
def test_a_run_is_usable_where_it_gives_more_than_rest_and_leaves_no_hole(
    first: int, last: int, depth: int, expected: bool
) -> None:
    run = minutes(first, last - first + 1)
    assert usable(run, Held(), NOW, depth) is expected


def test_without_rows_nothing_is_usable() -> None:
    assert not usable(Minutes.none(), Held(), NOW, DEEP)


@pytest.mark.parametrize(("gap", "expected"), [(0, True), (1, False), (-1, False)])
def test_a_run_must_end_where_the_stores_rows_begin(gap: int, expected: bool) -> None:
    run = minutes(NOW - DEEP, 3_000)
    there = Held(NOW - DEEP + 3_000 + gap, NOW - 1)
    assert usable(run, there, NOW, DEEP) is expected


@pytest.mark.parametrize(("other", "expected"), [(0.0, True), (1.0, False)])
def test_a_carried_row_must_be_carried_from_the_runs_close(other: float, expected: bool) -> None:
    run = minutes(NOW - DEEP, 3_000)
    close = float(run.prices[-1, 3]) + other
    assert usable(run, Held(NOW - DEEP + 3_000, NOW - 1, close), NOW, DEEP) is expected


# --- what the store has ---------------------------------------------------------------------------


def test_a_store_without_rows_holds_none() -> None:
    assert held(empty(), 0) == Held()


def test_a_store_holds_one_run_from_its_origin() -> None:
    desk = kit.filled(history=HISTORY, rest_from=BAR - 7)
    there = held(desk.engine.book.writer, 0)
    assert there == Held(BAR - 7, BAR)


def test_a_store_with_a_hole_is_for_rest_to_mend() -> None:
    desk = kit.filled(history=HISTORY)
    desk.lose()
    desk.go_to(BAR + 9)
    desk.regain()
    desk.hear()
    assert held(desk.engine.book.writer, 0) is None


def test_only_confirmed_rows_are_taken_out_of_a_store() -> None:
    desk = kit.filled(history=HISTORY)
    desk.go_to(BAR + 3)
    desk.hear()
    desk.go_to(BAR + 3, 30.0)
    rows = confirmed(desk.engine.book.writer, 0, BAR - 50, BAR + 3)
    assert rows.equals(archived(BAR - 50, BAR - 1))


def test_carried_rows_are_taken_out_as_such() -> None:
    desk = kit.filled(history=HISTORY)
    desk.go_to(BAR + 5)
    desk.hear()
    desk.go_to(BAR + 6, 10.0)
    desk.settle()
    rows = confirmed(desk.engine.book.writer, 0, BAR, BAR + 5)
    marks = kit.column(desk.engine, "flags", first=BAR, last=BAR + 5)
    assert rows.carried.tolist() == (marks & CARRIED != 0).tolist()
    assert len(rows) == 6


# --- how they get there ---------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1, 5, 40])
def test_a_store_that_was_filled_from_the_archive_is_the_one_that_rest_fills(gap: int) -> None:
    first = BAR - DEPTH
    writer = empty()
    place(writer, PLAN, 0, archived(first, BAR - 1 - gap), 0.0)
    desk = desk_on(writer)
    desk.hear()
    asked = desk.settle()
    assert [(ask.kind, ask.first) for ask in asked[:1]] == [("repair", BAR - gap)]
    assert {ask.kind for ask in asked[1:]} <= {"confirm"}
    desk.check()
    by_rest = kit.filled(history=HISTORY)
    assert kit.span(desk.engine) == kit.span(by_rest.engine) == (first, BAR)
    for name in (*kit.FIELDS, *kit.STATS, "time", "flags"):
        ours, theirs = kit.column(desk.engine, name), kit.column(by_rest.engine, name)
        assert ours.tobytes() == theirs.tobytes(), name
    for name in ("origin", "closed", "confirmed", "start", "newest"):
        assert kit.word(desk.engine, name) == kit.word(by_rest.engine, name), name


def test_rest_wins_over_an_archived_row_that_differs_and_stats_follow() -> None:
    run = archived(BAR - DEPTH, BAR - 4)
    run.prices[100, :4] += 1.0
    run.prices[101, 1] += 0.5
    run.trades[200] -= 1
    writer = empty()
    place(writer, PLAN, 0, run, 0.0)
    desk = desk_on(writer)
    desk.hear()
    revision = kit.word(desk.engine, "revision")
    desk.settle()
    assert confirmed(writer, 0, BAR - DEPTH, BAR - 1).equals(archived(BAR - DEPTH, BAR - 1))
    assert desk.engine.book.counters["corrected"] == 3
    assert kit.word(desk.engine, "revision") > revision
    desk.check()


def test_trades_that_rest_never_listed_are_asked_about_some_times_and_then_go() -> None:
    """As of a row that the socket told: REST may lag behind."""
    run = archived(BAR - DEPTH, BAR - 4)
    run.trades[200] += 5
    writer = empty()
    place(writer, PLAN, 0, run, 0.0)
    desk = desk_on(writer)
    desk.hear()
    for _ in range(PATIENCE + 1):
        desk.settle()
        desk.go(RETRY_MS / 1_000)
    assert confirmed(writer, 0, BAR - DEPTH, BAR - 1).equals(archived(BAR - DEPTH, BAR - 1))
    desk.check()


def test_rows_that_only_the_archive_has_stay_when_rest_is_asked() -> None:
    first = BAR - DEPTH
    writer = empty()
    place(writer, PLAN, 0, archived(first, BAR - 4), 0.0)
    desk = desk_on(writer)
    desk.rest = {bar: row for bar, row in desk.rest.items() if bar >= BAR - 80}
    desk.hear()
    (repair,) = desk.asks()
    desk.answer(repair)
    assert kit.span(desk.engine) == (first, BAR)
    desk.check()


def test_a_question_asked_while_nobody_watches_yet_does_not_lose_what_rest_forgot() -> None:
    """The archive ends two days ago; REST's memory begins in the middle of it."""
    history, gap = 8_000, 2_880
    writer = kit.make_engine(["C0"], history=history).book.writer
    plan = indicators.plan(list(kit.STATS), history=history)
    first = BAR - history - plan.runup
    place(writer, plan, 0, archived(first, BAR - 1 - gap), 0.0)
    desk = kit.Desk(history=history, rest_from=BAR - RETENTION)
    desk.engine = Engine(writer, plan, ["C0"])
    (ask,) = desk.asks()
    assert (ask.kind, ask.last) == ("confirm", BAR - 1 - gap)
    desk.answer(ask)
    desk.engine.watch(0, desk.stream, desk.now)
    desk.hear()
    desk.settle()
    assert kit.span(desk.engine) == (first, BAR)
    assert kit.word(desk.engine, "confirmed") == BAR - 1
    assert desk.engine.book.counters["lost_histories"] == 0
    desk.check()


def test_rows_are_put_in_front_of_those_that_the_store_has() -> None:
    desk = kit.filled(history=HISTORY, rest_from=BAR - 90)
    writer = desk.engine.book.writer
    there = held(writer, 0)
    run = archived(BAR - DEPTH, BAR - 91)
    assert there is not None
    assert usable(run, there, BAR, DEPTH)
    revision = kit.word(desk.engine, "revision")
    place(writer, PLAN, 0, run, desk.now)
    assert kit.span(desk.engine) == (BAR - DEPTH, BAR)
    assert kit.word(desk.engine, "origin") == BAR - DEPTH
    assert kit.word(desk.engine, "revision") == revision + 1
    kit.assert_stats(desk.engine, kit.ring_rows(desk.engine), BAR - DEPTH)
    again = desk_on(writer)
    again.hear()
    assert [ask.kind for ask in again.settle()] == ["confirm"]
    again.check()


def test_archived_rows_are_closed_and_confirmed() -> None:
    run = archived(BAR - DEPTH, BAR - 1)
    run.carried[9], run.trades[9] = True, 0
    run.prices[9] = [run.prices[8, 3]] * 4 + [0.0]
    writer = empty()
    place(writer, PLAN, 0, run, 0.0)
    assert confirmed(writer, 0, BAR - DEPTH, BAR - 1).equals(run)
    marks = kit.column(Engine(writer, PLAN, ["C0"]), "flags")
    assert marks[9] == CLOSED | CONFIRMED | CARRIED
    assert (np.delete(marks, 9) == CLOSED | CONFIRMED).all()
