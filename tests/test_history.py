"""What is asked of REST, in which order, and what its answers do to the rows."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

import engine_kit as kit
from monitor.history import PATIENCE, RECHECK_BARS, RETRY_MS, SOON_MS
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.ledger import Ask, Stream
from monitor.protocol import Candle
from monitor.rows import RETENTION

BAR = kit.BAR
MINUTE = kit.MINUTE
DAY_MS = 86_400_000


def day(bar: int, close: float = 55.0) -> Candle:
    """The 1-day candle of the day that holds `bar`."""
    begin = bar * MINUTE // DAY_MS * DAY_MS
    return Candle(begin, begin + DAY_MS - 1, "C0", "1d", 50.0, 60.0, 40.0, close, 9.0, 4)


# --- first history -------------------------------------------------------------------------------


def test_the_first_history_asks_for_the_settling_rows_too_and_leaves_the_open_minute_out() -> None:
    desk = kit.Desk()
    (ask,) = desk.asks()
    depth = desk.engine.book.depth
    assert ask == Ask(0, "fill", BAR - depth, BAR - 1, BAR - 1, -1)


def test_the_rows_of_the_first_history_are_confirmed_and_the_open_one_is_not() -> None:
    desk = kit.filled()
    marks = kit.column(desk.engine, "flags")
    assert (marks[:-1] == CLOSED | CONFIRMED).all()
    assert marks[-1] == 0
    assert kit.word(desk.engine, "confirmed") == BAR - 1
    desk.check()


def test_until_the_first_history_is_there_live_rows_have_no_stats_then_all_have() -> None:
    desk = kit.Desk()
    desk.hear()
    desk.go_to(BAR + 3)
    desk.hear()
    assert kit.span(desk.engine) == (BAR, BAR + 3)
    assert all(np.isnan(kit.column(desk.engine, name)).all() for name in kit.STATS)
    desk.settle()
    assert kit.span(desk.engine)[0] == kit.word(desk.engine, "origin")
    assert not np.isnan(kit.column(desk.engine, "ATR14")[20:]).any()
    desk.check()


def test_a_first_trade_long_after_the_subscription_does_not_lose_the_first_history() -> None:
    """The silent minutes before it were not opened: there was no close to carry."""
    desk = kit.Desk()
    desk.go_to(BAR + 3)
    desk.hear()
    asked = desk.settle()
    assert [ask.kind for ask in asked] == ["fill"]
    assert kit.column(desk.engine, "trades")[-4:].tolist() == [0, 0, 0, 3]
    desk.go_to(BAR + 4, 10.0)
    desk.settle()
    assert kit.word(desk.engine, "closed") == BAR + 3
    desk.check()


def test_an_answer_asked_before_that_first_trade_is_asked_again() -> None:
    desk = kit.Desk()
    (ask,) = desk.asks()
    desk.go_to(BAR + 3)
    desk.hear()
    assert not desk.answer(ask)
    assert not desk.engine.book.ledgers[0].filled
    assert [again.last for again in desk.settle()] == [BAR + 2]
    desk.check()


def test_a_young_market_has_the_rows_since_its_first_trade() -> None:
    desk = kit.filled(rest_from=BAR - 7)
    assert kit.span(desk.engine) == (BAR - 7, BAR)
    assert kit.word(desk.engine, "origin") == BAR - 7
    desk.check()


def test_a_market_that_never_traded_has_no_rows_and_is_quiet() -> None:
    """That is believed after a while: REST that has just begun may not list what it has."""
    desk = kit.Desk()
    asked = desk.never()
    assert [ask.kind for ask in asked] == ["fill", *["last_close"] * (PATIENCE + 1)]
    assert kit.word(desk.engine, "newest") == -1
    assert kit.status(desk.engine) == "quiet"
    desk.go_to(BAR + 30)
    assert kit.word(desk.engine, "newest") == -1
    assert not desk.asks()


def test_a_market_that_never_traded_is_not_asked_about_again() -> None:
    """Also where the grid is nowhere yet, because no other market has a row either."""
    desk = kit.Desk()
    desk.never()
    desk.go_to(BAR + 40)
    assert not desk.asks()
    assert kit.word(desk.engine, "newest") == -1
    assert kit.status(desk.engine) == "quiet"


def test_the_first_trade_ever_is_the_origin_once_rest_lists_nothing_before_it() -> None:
    desk = kit.Desk()
    desk.never()
    desk.go_to(BAR + 5)
    desk.hear()
    assert kit.span(desk.engine) == (BAR + 5, BAR + 5)
    for _ in range(PATIENCE + 2):  # an answer without the trade itself is too old to believe
        assert kit.status(desk.engine) == "syncing"
        (ask,) = desk.asks()
        assert (ask.kind, ask.last, ask.until) == ("fill", BAR + 4, BAR + 5)
        desk.answer(ask, [])
        while not desk.asks():
            desk.go(1.0)
    assert [ask.kind for ask in desk.settle()][:1] == ["fill"]
    assert kit.word(desk.engine, "origin") == BAR + 5
    for bar in range(desk.bar + 1, BAR + 30):
        desk.go_to(bar)
        desk.hear()
        assert kit.status(desk.engine) == "live"
    assert kit.word(desk.engine, "closed") == BAR + 27
    assert not np.isnan(kit.row(desk.engine, BAR + 29)["SMA9"])
    desk.check()


def test_a_market_that_is_first_traded_while_its_history_is_asked_for_begins_there() -> None:
    desk = kit.Desk()
    desk.rest.clear()
    desk.hear()
    desk.go_to(BAR + 2, 10.0)
    assert kit.status(desk.engine) == "syncing"
    asked = desk.settle()
    assert asked[0].kind == "fill"
    assert {ask.kind for ask in asked[1:]} <= {"confirm"}
    assert kit.span(desk.engine) == (BAR, desk.bar)
    assert kit.word(desk.engine, "origin") == BAR
    assert desk.engine.book.ledgers[0].certain == desk.bar - 1
    for bar in range(desk.bar + 1, desk.bar + 25):
        desk.go_to(bar)
        desk.hear()
    assert not np.isnan(kit.row(desk.engine, desk.bar)["SMA9"])
    desk.check()


def test_the_first_trades_ever_that_fell_into_an_outage_are_not_lost() -> None:
    desk = kit.Desk()
    desk.never()
    desk.go_to(BAR + 3)
    desk.lose()
    desk.miss(BAR + 3)
    desk.go_to(BAR + 5, 30.0)
    desk.regain()
    desk.hear()
    assert kit.status(desk.engine) == "syncing"
    desk.settle()
    assert kit.word(desk.engine, "origin") == kit.span(desk.engine)[0] == BAR + 3
    assert kit.column(desk.engine, "trades").tolist() == [3, 0, 3]
    desk.check()


def test_a_dormant_market_is_carried_up_to_now_from_its_last_close() -> None:
    desk = kit.Desk()
    desk.rest.clear()
    (ask,) = desk.asks()
    desk.answer(ask)
    (ask,) = desk.asks()
    assert ask.kind == "last_close"
    assert desk.answer(ask, [day(BAR - 9_000, 44.0), day(BAR - 5_000, 55.0)])
    desk.go(0)
    assert (kit.column(desk.engine, "close") == 55.0).all()
    marks = kit.column(desk.engine, "flags")
    assert (marks[:-1] == CLOSED | CARRIED | CONFIRMED).all()
    assert marks[-1] == CARRIED
    assert kit.span(desk.engine)[1] == BAR
    assert kit.status(desk.engine) == "quiet"
    assert not np.isnan(kit.row(desk.engine, BAR)["RSI5"])
    desk.check()


def test_a_dormant_market_that_wakes_up_meanwhile_is_filled_instead() -> None:
    desk = kit.Desk()
    desk.rest.clear()
    desk.answer(desk.asks()[0])
    (ask,) = desk.asks()
    desk.rest[BAR - 6_000] = kit.candle("C0", BAR - 6_000, 70.0)
    desk.hear()
    assert not desk.answer(ask, [day(BAR)])
    assert [again.kind for again in desk.settle()] == ["fill"]
    assert (kit.column(desk.engine, "close")[:-1] == 70.0).all()
    desk.check()


def test_a_last_close_of_a_day_within_the_history_is_of_a_market_that_woke_up() -> None:
    desk = kit.Desk(history=1_440)
    desk.rest.clear()
    desk.answer(desk.asks()[0])
    (ask,) = desk.asks()
    assert not desk.answer(ask, [day(BAR)])
    assert kit.word(desk.engine, "newest") == -1
    assert not desk.asks()
    desk.go(RETRY_MS / 1_000)
    assert desk.asks()[0].kind == "fill"


def test_an_empty_history_is_asked_for_twice_where_its_last_day_may_be_in_it() -> None:
    """Of the day that the history begins in, nothing says on which side its last trade was."""
    desk = kit.Desk(history=100)
    desk.rest.clear()
    desk.answer(desk.asks()[0])
    (ask,) = desk.asks()
    today = day(ask.first, 55.0)
    assert not desk.answer(ask, [today])
    assert not desk.asks()
    desk.go(RETRY_MS / 1_000)
    (again,) = desk.asks()
    assert again.kind == "fill"
    desk.answer(again)
    (ask,) = desk.asks()
    assert desk.answer(ask, [today])
    assert (kit.column(desk.engine, "close") == 55.0).all()

    desk = kit.Desk(history=100)
    desk.answer(desk.asks()[0], [])
    desk.answer(desk.asks()[0], [today])
    desk.go(RETRY_MS / 1_000)
    desk.answer(desk.asks()[0])
    trades = kit.column(desk.engine, "trades")[:-1]
    assert (trades == 3).all(), "REST had listed nothing for a moment only"


@pytest.mark.parametrize(
    "change", [{"close": math.nan}, {"close": -1.0}, {"coin": "C1"}, {"interval": "1h"}]
)
def test_a_last_close_that_cannot_be_is_rejected(change: dict[str, object]) -> None:
    desk = kit.Desk()
    desk.rest.clear()
    desk.answer(desk.asks()[0])
    bad = msgspec.structs.replace(day(BAR - 5_000), **change)
    desk.answer(desk.asks()[0], [bad])
    assert desk.engine.book.counters["rejected"] == 1
    assert kit.word(desk.engine, "newest") == -1
    assert not desk.asks()
    desk.go(RETRY_MS / 1_000)
    (ask,) = desk.asks()
    assert ask.kind == "last_close"
    assert desk.answer(ask, [day(BAR - 5_000, 55.0)])
    assert (kit.column(desk.engine, "close") == 55.0).all()


def test_a_last_close_is_of_no_minute_before_a_trade_that_was_heard() -> None:
    desk = kit.Desk()
    desk.rest = {BAR - 700: kit.candle("C0", BAR - 700, 70.0)}
    (ask,) = desk.asks()
    desk.hear(price=77.0)
    desk.lose()
    desk.now = (BAR + 2) * MINUTE + 5_000.0
    desk.regain()
    desk.answer(ask, [])
    (ask,) = desk.asks()
    assert (ask.kind, ask.last) == ("last_close", BAR + 1)
    assert not desk.answer(ask, [day(BAR, 77.0)])
    desk.settle()
    assert kit.column(desk.engine, "close", 0, BAR - 1, BAR).tolist() == [70.0, 77.0]
    desk.check()


def test_no_more_is_asked_for_than_the_exchange_keeps() -> None:
    desk = kit.Desk(history=6_000, rest_from=BAR - 10)
    (ask,) = desk.asks()
    assert ask.last - ask.first + 1 == RETENTION


# --- holes ---------------------------------------------------------------------------------------


def outage(minutes: int = 4) -> kit.Desk:
    """Live rows until `BAR` + 3, none until the stream is back `minutes` later, then a live one."""
    desk = kit.filled()
    for k in range(1, 4):
        desk.go_to(BAR + k, 10.0)
        desk.hear()
        desk.settle()
    desk.lose()
    for k in range(3, 3 + minutes):
        desk.miss(BAR + k, trades=6)
    desk.go_to(BAR + 3 + minutes, 30.0)
    desk.regain()
    desk.hear()
    return desk


def test_behind_a_hole_live_rows_are_there_at_once_counted_from_behind_it_without_stats() -> None:
    desk = outage()
    assert kit.span(desk.engine) == (BAR + 7, BAR + 7)
    assert all(np.isnan(kit.row(desk.engine, BAR + 7)[name]) for name in kit.STATS)
    assert kit.status(desk.engine) == "syncing"
    desk.go_to(BAR + 9, 10.0)
    assert kit.span(desk.engine) == (BAR + 7, BAR + 9)
    assert kit.word(desk.engine, "closed") == BAR + 8
    desk.check()


def test_a_repair_restores_the_rows_steps_the_stats_and_is_one_revision() -> None:
    desk = outage()
    before = kit.word(desk.engine, "revision")
    (ask,) = desk.asks()
    assert (ask.kind, ask.first, ask.last) == ("repair", BAR + 3, BAR + 6)
    assert desk.answer(ask)
    assert kit.span(desk.engine) == (kit.word(desk.engine, "origin"), BAR + 7)
    assert kit.word(desk.engine, "revision") == before + 1
    assert kit.word(desk.engine, "repaired") == desk.engine.book.counters["repaired"] == 3
    assert kit.column(desk.engine, "trades")[-5:].tolist() == [6, 6, 6, 6, 3]
    assert kit.word(desk.engine, "closed") == BAR + 6
    assert kit.status(desk.engine) == "live"
    desk.check()


def test_live_rows_closed_while_the_hole_was_open_are_certain_after_the_repair() -> None:
    desk = outage()
    (ask,) = desk.asks()
    desk.go_to(BAR + 9, 10.0)
    desk.answer(ask)
    assert kit.word(desk.engine, "closed") == BAR + 8
    assert desk.engine.book.ledgers[0].certain == BAR + 8
    desk.check()
    assert [ask.kind for ask in desk.settle()] == ["confirm"]


def test_two_holes_are_one_repair() -> None:
    desk = outage()
    desk.go_to(BAR + 8, 10.0)
    desk.lose()
    desk.go_to(BAR + 11, 30.0)
    desk.regain()
    desk.hear()
    assert kit.span(desk.engine)[0] == BAR + 11
    (ask,) = desk.asks()
    assert (ask.first, ask.last) == (BAR + 3, BAR + 10)
    desk.answer(ask)
    assert kit.span(desk.engine)[0] == kit.word(desk.engine, "origin")
    desk.check()


def test_what_would_not_reach_the_live_rows_is_not_asked_for() -> None:
    """The minute before the live one has just ended: REST is asked when it has had its grace."""
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    desk.lose()
    desk.go_to(BAR + 4, 59.0)
    desk.regain()
    desk.go_to(BAR + 5, 2.0)
    desk.hear()
    assert kit.span(desk.engine)[0] == BAR + 5
    assert not desk.asks()
    desk.go_to(BAR + 5, 6.0)
    (ask,) = desk.asks()
    assert (ask.kind, ask.first, ask.last) == ("repair", BAR + 1, BAR + 4)
    desk.settle()
    desk.check()


def test_a_silent_market_after_an_outage_is_carried_over_it_and_goes_on() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    desk.lose()
    desk.go_to(BAR + 5, 30.0)
    desk.regain()
    assert kit.span(desk.engine)[1] == BAR + 1
    before = kit.word(desk.engine, "revision")
    desk.settle()
    desk.go(0)
    assert kit.span(desk.engine)[1] == BAR + 5
    assert kit.column(desk.engine, "trades")[-5:].tolist() == [0] * 5
    assert kit.word(desk.engine, "revision") == before  # rows were added in front only
    desk.check()


def test_an_answer_with_a_minute_not_settled_is_asked_again_if_live_rows_closed_meanwhile() -> None:
    """Or that minute would lie, open and perhaps incomplete, among closed ones."""
    desk = kit.Desk()
    desk.go_to(BAR + 1, 1.0)
    desk.lose()
    desk.regain()
    desk.hear(trades=2)
    (ask,) = desk.asks()
    assert (ask.last, ask.settled) == (BAR, BAR - 1)
    early = desk.listed(ask)
    desk.miss(BAR, 66.0, 7)
    desk.go_to(BAR + 2, 10.0)
    assert kit.word(desk.engine, "closed") == BAR + 1
    desk.answer(ask, early)
    desk.check()
    desk.settle()
    assert kit.row(desk.engine, BAR)["close"] == 66.0
    assert kit.flags(desk.engine, BAR) == CLOSED | CONFIRMED
    desk.check()


def test_a_hole_larger_than_the_store_begins_the_history_anew() -> None:
    desk = kit.filled()
    gone = desk.engine.book.capacity + 5
    desk.lose()
    desk.now += gone * MINUTE
    for k in range(1, gone):
        desk.miss(BAR + k)
    desk.regain()
    desk.hear()
    asked = desk.settle()
    assert [ask.kind for ask in asked] == ["fill"]
    assert desk.engine.book.counters["lost_histories"] == 1
    assert kit.word(desk.engine, "origin") == desk.bar - desk.engine.book.depth
    assert kit.status(desk.engine) == "live"
    desk.check()


def test_a_hole_larger_than_the_store_begins_the_history_anew_before_any_live_row_too() -> None:
    """After an outage of everything the grid stands where it stood."""
    desk = kit.filled()
    desk.lose()
    desk.now += 3 * desk.engine.book.capacity * MINUTE
    desk.miss(desk.bar - 1)
    desk.regain()
    assert [ask.kind for ask in desk.settle()] == ["fill"]
    desk.go(0)
    assert kit.span(desk.engine)[1] == desk.bar
    assert kit.status(desk.engine) == "live"
    kit.check(desk.engine)


def test_rows_of_a_market_that_the_grid_has_overtaken_are_asked_for_anew() -> None:
    desk = kit.Desk(coins=2)
    e = desk.engine
    other = Stream("other", desk.now)
    e.watch(1, other, desk.now)
    e.candle(kit.candle("C1", BAR), desk.now, 1)
    desk.hear()
    desk.settle()
    desk.lose()
    gone = e.book.capacity + 10
    while desk.bar < BAR + gone:
        desk.now += MINUTE
        desk.miss(desk.bar)
        e.candle(kit.candle("C1", desk.bar), desk.now, 1)
    assert kit.word(e, "newest") == -1
    desk.regain()
    desk.hear()
    assert [ask.kind for ask in desk.settle()] == ["fill"]
    assert kit.word(e, "origin") == desk.bar - e.book.depth
    kit.check(e)


def test_a_hole_beyond_the_exchanges_memory_begins_the_history_where_that_does() -> None:
    desk = kit.filled(history=7_000)
    gone = RETENTION + 300
    desk.lose()
    desk.now += gone * MINUTE
    desk.regain()
    desk.hear()
    (ask,) = desk.asks()
    assert (ask.kind, ask.first, ask.last) == ("repair", BAR, desk.bar - 1)
    begins = desk.bar - RETENTION
    desk.answer(ask, [kit.candle("C0", k, kit.price_of(k)) for k in range(begins, desk.bar)])
    assert kit.word(desk.engine, "origin") == kit.span(desk.engine)[0] == begins
    assert desk.engine.book.counters["lost_histories"] == 1
    assert kit.status(desk.engine) == "live"
    desk.check()


def test_a_market_that_never_traded_has_no_history_to_lose_in_a_long_outage() -> None:
    desk = kit.Desk()
    desk.never()
    desk.lose()
    desk.now += 2 * desk.engine.book.capacity * MINUTE
    desk.regain()
    assert {ask.kind for ask in desk.never()} == {"fill", "last_close"}
    assert desk.engine.book.counters["lost_histories"] == 0
    assert kit.status(desk.engine) == "quiet"


# --- confirming ----------------------------------------------------------------------------------


def test_closed_rows_are_confirmed_in_one_request_once_rest_has_had_its_time() -> None:
    desk = kit.filled()
    for k in range(1, 4):
        desk.go_to(BAR + k)
        desk.hear()
    desk.go_to(BAR + 4, 5.0)
    (ask,) = desk.asks()
    assert (ask.kind, ask.first, ask.last) == ("confirm", BAR - RECHECK_BARS, BAR + 2)
    desk.go_to(BAR + 4, 6.0)
    (ask,) = desk.asks()
    assert (ask.first, ask.last) == (BAR - RECHECK_BARS, BAR + 3)
    before = kit.word(desk.engine, "revision")
    desk.answer(ask)
    assert kit.word(desk.engine, "confirmed") == BAR + 3
    assert (kit.column(desk.engine, "flags")[-5:-1] == CLOSED | CONFIRMED).all()
    assert kit.word(desk.engine, "revision") == before
    assert not desk.asks()
    desk.check()


def test_rest_corrects_a_missing_tail_and_what_follows_is_stepped() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 2, 10.0)
    desk.miss(BAR, 131.0, 7)
    before = kit.word(desk.engine, "revision")
    desk.settle()
    assert kit.column(desk.engine, "close")[-3:].tolist() == [131.0] * 3
    assert kit.word(desk.engine, "revision") == before + 1
    # The row, and the silent one behind it.
    assert desk.engine.book.counters["corrected"] == 2
    assert "corrected" in desk.engine.book.notes[-1].text
    desk.check()


def test_carried_is_cleared_when_rest_lists_the_row() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 2)
    desk.hear()
    desk.go_to(BAR + 3, 10.0)
    assert kit.flags(desk.engine, BAR + 1) == CLOSED | CARRIED
    desk.settle()
    assert kit.flags(desk.engine, BAR + 1) == CLOSED | CONFIRMED
    assert kit.row(desk.engine, BAR + 1)["trades"] == 0


def test_a_silent_market_is_asked_again_after_its_next_trade() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    desk.settle()
    desk.go_to(BAR + 25, 10.0)
    assert not desk.asks()
    desk.hear()
    assert not desk.asks()  # but when its minute has ended, for all of them at once
    desk.go_to(BAR + 26, 10.0)
    (ask,) = desk.asks()
    assert (ask.kind, ask.first, ask.last) == ("confirm", BAR + 1 - RECHECK_BARS, BAR + 25)
    desk.settle()
    assert (kit.column(desk.engine, "flags")[-27:-1] == CLOSED | CONFIRMED).all()


def test_a_trade_of_which_every_frame_was_lost_is_found_half_an_hour_later() -> None:
    """Nothing tells of it before the market's next trade, and that may be days away."""
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    desk.settle()
    desk.miss(BAR + 3)
    desk.go_to(BAR + 30, 10.0)
    assert not desk.asks()
    assert kit.row(desk.engine, BAR + 3)["trades"] == 0
    desk.go_to(BAR + 32, 10.0)
    assert [ask.kind for ask in desk.settle()] == ["confirm"]
    assert kit.row(desk.engine, BAR + 3)["trades"] == 3
    assert kit.row(desk.engine, BAR + 31)["close"] == kit.price_of(BAR + 3)
    desk.check()


def test_a_row_that_the_exchange_changes_after_it_was_confirmed_is_corrected() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 1)
    desk.hear()
    desk.go_to(BAR + 2, 10.0)
    desk.settle()
    assert kit.flags(desk.engine, BAR + 1) == CLOSED | CONFIRMED
    desk.miss(BAR + 1, trades=5)
    desk.hear()
    desk.go_to(BAR + 3, 10.0)
    desk.settle()
    assert kit.row(desk.engine, BAR + 1)["trades"] == 5
    assert kit.word(desk.engine, "corrected") == 1
    desk.check()


def test_a_repair_does_not_confirm_rows_before_it_that_were_not() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 2, 10.0)
    desk.hear()
    desk.miss(BAR, 131.0, 7)
    (ask,) = desk.asks()
    desk.engine.history.sent(ask)
    desk.engine.history.failed(ask, desk.now)
    desk.lose()
    desk.go_to(BAR + 4, 10.0)
    desk.regain()
    asked = desk.settle()
    assert [again.kind for again in asked] == ["repair", "confirm"]
    assert kit.row(desk.engine, BAR)["close"] == 131.0
    desk.check()


def test_a_confirmation_under_way_does_not_cover_a_row_that_grew_meanwhile() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 2, 10.0)
    (ask,) = desk.asks()
    early = desk.listed(ask)
    desk.hear(BAR, 131.0, 7)
    desk.answer(ask, early)
    assert kit.row(desk.engine, BAR)["close"] == 131.0
    assert kit.word(desk.engine, "confirmed") < BAR
    desk.go(RETRY_MS / 1_000)
    desk.settle()
    assert kit.flags(desk.engine, BAR) == CLOSED | CONFIRMED


def test_a_long_silence_is_confirmed_without_losing_the_history_before_it() -> None:
    """Longer than the exchange's memory: what REST no longer has is no news."""
    desk = kit.filled(history=7_000)
    desk.settle()
    origin = kit.word(desk.engine, "origin")
    silent = RETENTION + 400
    for k in range(1, silent):
        desk.now = (BAR + k) * MINUTE + 10_000.0
        desk.stream.alive_ms = desk.now
        desk.engine.tick(desk.now)
    desk.hear()
    desk.go_to(BAR + silent, 10.0)
    (ask,) = desk.asks()
    assert ask.last - ask.first + 1 < RETENTION
    desk.answer(ask)
    assert kit.word(desk.engine, "origin") == kit.word(desk.engine, "start") == origin
    assert not desk.asks()
    kit.check(desk.engine)


# --- order ---------------------------------------------------------------------------------------


def test_repairs_come_before_first_histories_and_those_before_confirmations() -> None:
    desk = kit.Desk(coins=3)
    e = desk.engine
    for market in (1, 2):
        e.watch(market, desk.stream, desk.now)
    for ask in e.history.wanted(desk.now):
        if ask.market < 2:
            rows = [kit.candle(f"C{ask.market}", k) for k in range(ask.first, ask.last + 1)]
            e.history.answer(ask, rows, desk.now, 1)
    for market in (0, 1):
        e.candle(kit.candle(f"C{market}", BAR), desk.now, 1)
    e.unwatch(desk.stream, desk.now, [0])
    desk.go_to(BAR + 3, 10.0)
    desk.stream.alive_ms = desk.now
    e.tick(desk.now)
    e.watch(0, Stream("next", desk.now), desk.now)
    kinds = [(ask.market, ask.kind) for ask in e.history.wanted(desk.now)]
    assert kinds[0] == (0, "repair")
    assert kinds[1] == (2, "fill")
    assert kinds[2:] == [(1, "confirm")]


def test_the_longest_confirmation_comes_first_so_that_every_market_has_its_turn() -> None:
    desk = kit.Desk(coins=2)
    e = desk.engine
    e.watch(1, desk.stream, desk.now)
    for ask in e.history.wanted(desk.now):
        rows = [kit.candle(f"C{ask.market}", k) for k in range(ask.first, ask.last + 1)]
        e.history.answer(ask, rows, desk.now, 1)
    asked: list[int] = []
    for k in range(1, 9):
        desk.now = (BAR + k) * MINUTE + 10_000.0
        for market in (0, 1):
            e.candle(kit.candle(f"C{market}", BAR + k), desk.now, 1)
        desk.stream.alive_ms = desk.now
        e.tick(desk.now)
        # The budget has room for one a minute.
        for ask in e.history.wanted(desk.now)[:1]:
            rows = [kit.candle(f"C{ask.market}", k) for k in range(ask.first, ask.last + 1)]
            e.history.answer(ask, rows, desk.now, 1)
            asked.append(ask.market)
    assert set(asked[-2:]) == {0, 1}


def test_the_shortest_repair_comes_first() -> None:
    desk = kit.Desk(coins=2)
    e = desk.engine
    e.watch(1, desk.stream, desk.now)
    for ask in e.history.wanted(desk.now):
        rows = [kit.candle(f"C{ask.market}", k) for k in range(ask.first, ask.last + 1)]
        e.history.answer(ask, rows, desk.now, 1)
    e.unwatch(desk.stream, desk.now, [0])
    desk.now += 4 * MINUTE
    desk.stream.alive_ms = desk.now
    e.tick(desk.now)
    e.unwatch(desk.stream, desk.now)
    desk.now += 3 * MINUTE
    for market in (0, 1):
        e.watch(market, Stream("next", desk.now), desk.now)
    asks = e.history.wanted(desk.now)
    assert [ask.market for ask in asks] == [1, 0]


# --- when REST is not well -----------------------------------------------------------------------


def test_what_is_under_way_is_not_wanted_and_what_failed_is_wanted_after_a_pause() -> None:
    desk = kit.Desk()
    (ask,) = desk.asks()
    desk.engine.history.sent(ask)
    assert not desk.asks()
    desk.engine.history.failed(ask, desk.now)
    desk.go((RETRY_MS - 1) / 1_000)
    assert not desk.asks()
    desk.go(0.001)
    assert desk.asks()[0].kind == "fill"


def test_what_is_refused_is_asked_ever_less_and_anew_once_there_was_an_answer() -> None:
    desk = kit.Desk()
    pauses = []
    for _ in range(10):
        (ask,) = desk.asks()
        desk.engine.history.sent(ask)
        desk.engine.history.failed(ask, desk.now, refused=True)
        pauses.append(desk.engine.book.ledgers[0].retry_ms - desk.now)
        desk.now += pauses[-1]
    assert pauses == [RETRY_MS * 2**k for k in (0, 1, 2, 3, 4, 5, 6, 7, 7, 7)]
    desk.answer(desk.asks()[0])
    desk.lose()
    desk.now += 2 * MINUTE
    desk.regain()
    (ask,) = desk.asks()
    desk.engine.history.failed(ask, desk.now, refused=True)
    assert desk.engine.book.ledgers[0].retry_ms == desk.now + RETRY_MS


def test_the_row_that_was_open_when_a_market_was_delisted_is_closed_by_rest() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 2)
    desk.hear(trades=2)
    desk.miss(trades=5)
    desk.engine.delist(0, desk.now)
    assert not desk.asks()
    desk.go_to(BAR + 3, 30.0)
    desk.settle()
    assert kit.word(desk.engine, "closed") == kit.word(desk.engine, "confirmed") == BAR + 2
    assert kit.span(desk.engine)[1] == BAR + 2
    assert kit.row(desk.engine, BAR + 2)["trades"] == 5
    assert kit.status(desk.engine) == "delisted"
    desk.check()
    desk.go_to(BAR + 40)
    assert not desk.asks()


def test_rest_that_lags_behind_the_socket_is_asked_again_then_the_socket_is_believed() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    for attempt in range(PATIENCE):
        (ask,) = desk.asks()
        assert not desk.answer(ask, [])
        assert kit.flags(desk.engine, BAR) == CLOSED, attempt
        assert not desk.asks()
        desk.go(RETRY_MS / 1_000)
    desk.answer(desk.asks()[0], [])
    assert kit.flags(desk.engine, BAR) == CLOSED
    assert kit.row(desk.engine, BAR)["trades"] == 3
    assert not [ask for ask in desk.asks() if ask.first <= BAR]


def test_an_answer_that_lags_is_asked_for_soon_once_then_at_leisure() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    begun = desk.now
    for pause_ms in (SOON_MS, *[RETRY_MS] * (PATIENCE - 1)):
        desk.answer(desk.asks()[0], [])
        desk.go(pause_ms / 1_000 - 0.1)
        assert not desk.asks()
        desk.go(0.1)
        assert desk.asks()
    assert desk.now - begun >= MINUTE, "REST had a minute before the socket alone is believed"
    desk.answer(desk.asks()[0], [])
    assert not [ask for ask in desk.asks() if ask.first <= BAR]


def test_an_older_state_of_a_row_is_not_believed_before_rest_insists() -> None:
    desk = kit.filled()
    desk.hear(price=120.0, trades=9)
    desk.go_to(BAR + 1, 10.0)
    older = kit.candle("C0", BAR, 110.0, 8)
    for _ in range(PATIENCE):
        desk.answer(desk.asks()[0], [older])
        assert kit.row(desk.engine, BAR)["close"] == 120.0
        desk.go(RETRY_MS / 1_000)
    desk.answer(desk.asks()[0], [older])
    assert kit.row(desk.engine, BAR)["close"] == 110.0
    desk.check()


def bad_row(bar: int) -> Candle:
    return msgspec.structs.replace(kit.candle("C0", bar), high=1.0)


def insist(desk: kit.Desk, bad: int) -> None:
    """REST has a row that cannot be at bar `bad`, however often it is asked."""
    for _ in range(PATIENCE + 1):
        (ask,) = desk.asks()
        rows = desk.listed(ask)
        rows[bad - ask.first] = bad_row(bad)
        desk.answer(ask, rows)
        desk.now += RETRY_MS


def test_a_first_history_begins_behind_a_row_that_cannot_be() -> None:
    desk = kit.Desk()
    insist(desk, BAR - 30)
    assert kit.span(desk.engine) == (BAR - 29, BAR - 1)
    assert desk.engine.book.counters["rejected"] == PATIENCE + 1
    desk.check()


@pytest.mark.parametrize("bad", [BAR - 30, BAR - 1])
def test_a_damaged_answer_costs_a_first_history_nothing_but_time(bad: int) -> None:
    desk = kit.Desk()
    (ask,) = desk.asks()
    rows = desk.listed(ask)
    rows[bad - ask.first] = bad_row(bad)
    assert not desk.answer(ask, rows)
    assert not desk.asks()
    desk.go(RETRY_MS / 1_000)
    desk.settle()
    assert kit.span(desk.engine)[0] == ask.first
    assert kit.column(desk.engine, "close", 0, ask.first, ask.last).tolist() == [
        kit.price_of(bar) for bar in range(ask.first, ask.last + 1)
    ]
    desk.check()


@pytest.mark.parametrize("to", [BAR + 50, BAR - 40, BAR - 20, BAR - 1])
def test_a_row_that_strayed_to_another_minute_is_not_taken_for_a_silent_one(to: int) -> None:
    desk = kit.Desk()
    (ask,) = desk.asks()
    rows = desk.listed(ask)
    later = to * kit.MINUTE
    rows[-31] = msgspec.structs.replace(rows[-31], open_ms=later, close_ms=later + 59_999)
    assert not desk.answer(ask, rows)
    assert kit.word(desk.engine, "newest") == -1
    desk.go(RETRY_MS / 1_000)
    desk.settle()
    assert kit.column(desk.engine, "trades", 0, ask.first, ask.last).tolist() == [3] * len(rows)
    desk.check()


def test_a_market_whose_last_row_cannot_be_was_traded_and_is_not_carried_from_its_last_close() -> (
    None
):
    desk = kit.Desk()
    insist(desk, BAR - 1)
    assert not desk.asks()
    assert kit.word(desk.engine, "newest") == -1
    desk.hear()
    assert kit.span(desk.engine) == (desk.bar, desk.bar)
    desk.check()


def test_a_repair_with_a_row_that_cannot_be_is_asked_again_and_no_row_is_guessed() -> None:
    desk = outage()
    (ask,) = desk.asks()
    rows = desk.listed(ask)
    rows[2] = bad_row(ask.first + 2)
    assert not desk.answer(ask, rows)
    assert kit.status(desk.engine) == "syncing"
    desk.go(RETRY_MS / 1_000)
    desk.settle()
    assert kit.column(desk.engine, "trades", 0, BAR + 3, BAR + 6).tolist() == [6] * 4
    desk.check()


def test_a_hole_whose_rows_cannot_be_begins_the_history_behind_them() -> None:
    desk = outage()
    for _ in range(PATIENCE + 1):
        (ask,) = desk.asks()
        rows = desk.listed(ask)
        rows[2] = bad_row(ask.first + 2)
        desk.answer(ask, rows)
        desk.go(RETRY_MS / 1_000)
    assert desk.engine.book.counters["lost_histories"] == 1
    assert desk.asks()[0].kind == "fill"
    insist(desk, BAR + 5)
    assert kit.span(desk.engine)[0] == kit.word(desk.engine, "origin") == BAR + 6
    desk.check()


def test_a_row_that_cannot_be_does_not_hold_up_the_confirmation_of_the_others() -> None:
    desk = kit.filled()
    for k in range(1, 4):
        desk.go_to(BAR + k)
        desk.hear()
    desk.go_to(BAR + 4, 10.0)
    for _ in range(PATIENCE + 1):
        (ask,) = desk.asks()
        assert (ask.first, ask.last) == (BAR - RECHECK_BARS, BAR + 3)
        rows = desk.listed(ask)
        rows[RECHECK_BARS + 1] = bad_row(BAR + 1)
        desk.answer(ask, rows)
        desk.now += RETRY_MS
    marks = kit.column(desk.engine, "flags", 0, BAR, BAR + 3).tolist()
    assert marks == [CLOSED, CLOSED, CLOSED | CONFIRMED, CLOSED | CONFIRMED]
    assert kit.word(desk.engine, "confirmed") == BAR + 3


def test_rows_of_another_coin_are_rejected() -> None:
    desk = kit.Desk()
    (ask,) = desk.asks()
    desk.answer(ask, [kit.candle("C1", k) for k in range(ask.first, ask.last + 1)])
    assert kit.word(desk.engine, "newest") == -1
    assert desk.engine.book.counters["rejected"] == ask.last - ask.first + 1


def test_an_answer_that_comes_after_another_outage_is_still_used_or_asked_again() -> None:
    desk = outage()
    (ask,) = desk.asks()
    desk.lose()
    desk.go_to(BAR + 12, 30.0)
    desk.regain()
    desk.hear()
    desk.answer(ask)
    assert kit.span(desk.engine)[0] == BAR + 12
    desk.settle()
    assert kit.span(desk.engine)[0] == kit.word(desk.engine, "origin")
    desk.check()


# --- a silence that proved nothing ----------------------------------------------------------------


def test_minutes_carried_over_a_silence_that_proved_nothing_are_asked_about_and_put_right() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    desk.settle()
    desk.miss(BAR + 2)
    desk.go_to(BAR + 5, 30.0)
    assert kit.word(desk.engine, "closed") == BAR + 4
    assert kit.flags(desk.engine, BAR + 2) == CARRIED | CLOSED
    desk.settle()
    assert kit.flags(desk.engine, BAR + 2) == CARRIED | CLOSED, "nothing speaks against it"
    desk.engine.book.ledgers[0].disbelieve(BAR + 1, BAR + 5)
    (asked,) = desk.settle()
    assert asked.kind == "confirm"
    assert asked.first <= BAR + 2 <= asked.last
    assert kit.row(desk.engine, BAR + 2)["trades"] == 3
    assert kit.flags(desk.engine, BAR + 2) == CLOSED | CONFIRMED
    desk.check()
    desk.go_to(BAR + 6, 30.0)
    assert [ask.kind for ask in desk.settle()] == ["confirm"], "the last of it has ended since"
    desk.go_to(BAR + 9, 30.0)
    assert desk.settle() == []
