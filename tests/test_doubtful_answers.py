"""Answers of REST that are too old or leave rows out: nothing of what they lack is believed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import engine_kit as kit
from engine_kit import BAR, MINUTE
from monitor.history import RETRY_MS
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.ledger import Ask
from monitor.protocol import Candle

FROZEN_S = 70.0
HOUR_S = 3_600.0


def converse(
    desk: kit.Desk,
    seconds: float,
    answer: Callable[[Ask], list[Candle]] | None = None,
    *,
    hears: bool = True,
) -> list[Ask]:
    """So long ask REST whatever is wanted, with a trade in each minute; what was asked."""
    end, asked, heard = desk.now + seconds * 1_000.0, [], desk.bar
    while desk.now < end:
        if hears and desk.bar != heard:
            heard = desk.bar
            desk.hear()
        for ask in desk.asks()[:1]:
            desk.answer(ask, answer(ask) if answer else None)
            asked.append(ask)
        desk.go(1.0)
    return asked


def test_an_outage_that_frozen_rest_says_was_silent_is_put_right_when_it_goes_on() -> None:
    desk = kit.filled(history=200)
    desk.go_to(BAR + 1)
    desk.hear()
    desk.go_to(BAR + 2)
    desk.settle()
    desk.lose()
    known = max(desk.rest)
    outage = range(desk.bar, desk.bar + 40)
    for bar in outage:
        desk.miss(bar)
    desk.now = (outage[-1] + 1) * MINUTE + 20_000.0
    desk.regain()
    desk.hear()
    desk.go(0.0)

    converse(
        desk,
        FROZEN_S,
        lambda ask: [row for row in desk.listed(ask) if row.open_ms // MINUTE <= known],
    )
    for bar in outage:
        flags = kit.flags(desk.engine, bar)
        assert not flags & CONFIRMED, "REST cannot have come so far: a later trade is known"
    assert kit.word(desk.engine, "confirmed") < outage[0]
    desk.check()

    converse(desk, HOUR_S)
    for bar in outage:
        row = kit.row(desk.engine, bar)
        assert (row["trades"], row["flags"]) == (3, CLOSED | CONFIRMED)
    desk.check()


def test_a_part_of_a_minute_that_rest_stood_still_in_is_not_confirmed() -> None:
    desk = kit.filled(history=200)
    desk.lose()
    desk.now = (BAR + 3) * MINUTE + 20_000.0
    for bar in (BAR + 1, BAR + 2):
        desk.miss(bar, trades=30)
    desk.regain()
    desk.hear()
    desk.go(0.0)
    part = kit.candle("C0", BAR + 1, 50.0, 4)

    def stands_still(ask: Ask) -> list[Candle]:
        return [row for row in desk.listed(ask) if row.open_ms // MINUTE <= BAR] + [part]

    converse(desk, FROZEN_S, stands_still, hears=False)
    assert not kit.flags(desk.engine, BAR + 1) & CONFIRMED
    converse(desk, FROZEN_S)
    row = kit.row(desk.engine, BAR + 1)
    assert (row["trades"], row["flags"]) == (30, CLOSED | CONFIRMED)


def test_a_silent_minute_behind_an_unconfirmed_row_is_confirmed_with_that_row() -> None:
    """The row's last trade was lost: the silent minute's price is wrong until REST has told it."""
    desk = kit.filled(history=200, witnesses=2)  # one stream: silence is asked about
    desk.go_to(BAR + 1, 2.0)
    desk.settle()
    desk.hear(price=100.0)
    desk.miss(price=101.0, trades=4)
    desk.go_to(BAR + 3, 13.0)
    repairs = [ask for ask in desk.asks() if ask.kind == "repair"]
    assert [(ask.first, ask.last) for ask in repairs] == [(BAR + 2, BAR + 2)]
    desk.answer(repairs[0])
    silent = kit.row(desk.engine, BAR + 2)
    assert (silent["close"], silent["flags"]) == (100.0, CLOSED | CARRIED)
    desk.settle()
    silent = kit.row(desk.engine, BAR + 2)
    assert (silent["close"], silent["flags"]) == (101.0, CLOSED | CARRIED | CONFIRMED)
    desk.check()


def first_traded(desk: kit.Desk) -> int:
    """Its first trade ever, of which REST lists only that there was nothing before; its bar."""
    desk.never()
    desk.go_to(BAR + 5, 10.0)
    bar = desk.bar
    desk.hear(price=100.0)
    fill = desk.asks()[0]
    desk.answer(fill)
    desk.rest.clear()
    assert kit.word(desk.engine, "origin") == bar
    return bar


@pytest.mark.parametrize("lists", [False, True], ids=["nothing", "only what came after"])
def test_a_first_row_that_rest_never_lists_again_does_not_take_its_budget(lists: bool) -> None:
    desk = kit.Desk()
    first = first_traded(desk)
    asked = converse(desk, HOUR_S, None if lists else lambda _ask: [], hears=lists)
    assert len(asked) <= HOUR_S / 15.0 * 0.6, len(asked)
    if lists:
        assert kit.word(desk.engine, "origin") == first + 1, "REST wins"
        assert kit.word(desk.engine, "confirmed") >= desk.bar - 2
        assert desk.engine.book.counters["lost_histories"] == 1
    desk.check()


def test_answers_that_confirm_nothing_are_asked_for_ever_less_and_repairs_do_not_wait() -> None:
    desk = kit.Desk()
    first_traded(desk)
    asked = converse(desk, 600.0, lambda _ask: [], hears=False)
    assert {ask.kind for ask in asked} == {"confirm"}
    desk.answer(asked[0], [])
    assert not desk.asks()
    desk.lose()
    desk.go(200.0)
    desk.regain()
    desk.go(RETRY_MS / 1_000.0)
    assert [ask.kind for ask in desk.asks()] == ["repair"]


@pytest.mark.parametrize("live", [False, True], ids=["silent", "with a live row"])
def test_a_history_of_which_rest_lists_nothing_for_a_while_is_not_given_up(live: bool) -> None:
    desk = kit.Desk()
    if live:
        desk.hear()
    converse(desk, FROZEN_S if live else 2.0, lambda _ask: [], hears=live)
    assert kit.status(desk.engine) == "syncing"
    converse(desk, 300.0, hears=live)
    first, last = kit.span(desk.engine)
    assert last + 1 - first >= 200, "all that was wanted"
    assert desk.engine.book.counters["lost_histories"] == 0
    desk.check()


def test_a_market_with_rows_that_rest_says_was_never_traded_is_asked_about_until_it_lists_it() -> (
    None
):
    desk = kit.filled()
    desk.lose()
    rest = dict(desk.rest)
    desk.now += 2 * desk.engine.book.capacity * MINUTE
    desk.regain()
    asked = converse(desk, HOUR_S, lambda _ask: [], hears=False)
    assert {"fill", "last_close"} == {ask.kind for ask in asked}
    assert len(asked) <= HOUR_S / 60.0, len(asked)
    assert kit.status(desk.engine) == "syncing"
    desk.rest = rest | {desk.bar - 3: kit.candle("C0", desk.bar - 3)}
    converse(desk, 300.0)
    assert kit.status(desk.engine) == "live"
    desk.check()


def test_minutes_that_one_answer_leaves_out_are_asked_for_again() -> None:
    desk = kit.filled(history=200)
    desk.lose()
    outage = range(BAR + 1, BAR + 60)
    for bar in outage:
        desk.miss(bar)
    left_out = outage[3:7]
    desk.now = (outage[-1] + 1) * MINUTE + 20_000.0
    desk.regain()
    desk.hear()
    desk.go(0.0)
    (repair,) = desk.asks()
    rows = [row for row in desk.listed(repair) if row.open_ms // MINUTE not in left_out]
    desk.answer(repair, rows)
    converse(desk, FROZEN_S)
    assert {kit.flags(desk.engine, bar) for bar in outage} == {CLOSED | CONFIRMED}
    assert {kit.row(desk.engine, bar)["trades"] for bar in outage} == {3}
    assert desk.engine.book.counters["omitted"] == 0
    desk.check()
