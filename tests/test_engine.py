"""What streams and the clock make of the rows: the rules of candles, one by one."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import engine_kit as kit
import monitor.engine
from monitor.book import GRACE_MS
from monitor.engine import LEAP_BARS
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.ledger import Stream

BAR = kit.BAR
MINUTE = kit.MINUTE
GRACE_S = GRACE_MS / 1_000


# --- opening -------------------------------------------------------------------------------------


def test_the_open_row_is_there_from_the_first_moment_of_its_minute_flat_and_carried() -> None:
    desk = kit.filled()
    close = kit.row(desk.engine, BAR)["close"]
    desk.go(29.999)
    assert kit.span(desk.engine)[1] == BAR
    assert desk.go(0.001)
    found = kit.row(desk.engine, BAR + 1)
    assert kit.span(desk.engine)[1] == BAR + 1
    assert {found[name] for name in ("open", "high", "low", "close")} == {close}
    assert (found["volume"], found["trades"], found["flags"]) == (0.0, 0, CARRIED)
    assert not np.isnan(found["SMA9"])
    desk.check()


def test_the_first_trade_takes_the_place_of_the_placeholder() -> None:
    desk = kit.filled()
    desk.go(31)
    assert desk.hear(price=123.0)
    assert kit.flags(desk.engine, BAR + 1) == 0
    assert kit.row(desk.engine, BAR + 1)["open"] == 123.0
    desk.check()


def test_silent_minutes_before_a_frame_that_comes_ahead_of_the_tick_are_opened_too() -> None:
    desk = kit.filled()
    desk.now += 3 * MINUTE
    assert desk.hear()
    assert kit.span(desk.engine)[1] == BAR + 3
    assert kit.column(desk.engine, "trades")[-4:].tolist() == [3, 0, 0, 3]
    desk.check()


def test_all_watched_markets_end_at_the_same_minute() -> None:
    desk = kit.Desk(coins=3)
    e = desk.engine
    for market in (1, 2):
        e.watch(market, desk.stream, desk.now)
        e.candle(kit.candle(f"C{market}", BAR), desk.now, 1)
    desk.hear()
    desk.go_to(BAR + 3)
    assert [kit.span(e, market)[1] for market in range(3)] == [BAR + 3] * 3
    kit.check(e)


def test_a_market_that_is_not_up_to_date_shows_empty_rows_there_never_old_ones() -> None:
    desk = kit.Desk(coins=2)
    e = desk.engine
    other = Stream("other", desk.now)
    e.watch(1, other, desk.now)
    e.candle(kit.candle("C1", BAR), desk.now, 1)
    e.unwatch(other, desk.now)
    desk.hear()
    for bar in range(BAR + 1, BAR + e.book.capacity // 2):
        desk.go_to(bar, 59.0)
        desk.hear()
    assert kit.span(e, 1) == (BAR, BAR)
    ahead = kit.column(e, "time", 1, BAR + 1, desk.bar)
    assert np.isnat(ahead.view("M8[ms]")).all()
    assert np.isnan(kit.column(e, "close", 1, BAR + 1, desk.bar)).all()
    kit.check(e)


def test_the_grid_moves_with_evidence_not_with_the_clock() -> None:
    desk = kit.filled()
    desk.lose()
    desk.go(180, alive=False)
    assert desk.engine.book.writer.grid == BAR
    assert kit.span(desk.engine)[1] == BAR


def test_a_process_that_stood_still_for_long_leaves_a_hole_not_invented_rows() -> None:
    desk = kit.filled()
    desk.go(LEAP_BARS * 60 + 90, alive=False)
    assert kit.span(desk.engine)[1] == BAR
    desk.go_to(desk.bar + 1, 30.0)
    (ask,) = desk.asks()
    assert (ask.kind, ask.first) == ("repair", BAR)
    desk.settle()
    desk.go(0)
    assert kit.span(desk.engine)[1] == desk.bar
    desk.check()


def test_a_frame_before_the_first_tick_after_a_standstill_leaves_a_hole_that_is_repaired() -> None:
    desk = kit.filled()
    for k in range(1, 20):
        desk.miss(BAR + k)
    desk.now += 20 * MINUTE
    desk.stream.alive_ms = desk.now
    desk.hear()
    assert kit.status(desk.engine) == "syncing"
    desk.settle()
    assert kit.status(desk.engine) == "live"
    assert kit.column(desk.engine, "trades")[-21:].tolist() == [3] * 21
    desk.check()


# --- closing -------------------------------------------------------------------------------------


def test_a_candle_closes_when_the_stream_is_alive_past_its_end_and_the_grace() -> None:
    desk = kit.filled()
    desk.go(30 + GRACE_S - 0.001)
    assert kit.word(desk.engine, "closed") == BAR - 1
    assert desk.go(0.001)
    assert kit.word(desk.engine, "closed") == BAR
    assert kit.flags(desk.engine, BAR) == CLOSED
    desk.check()


def test_a_frame_of_a_later_minute_alone_does_not_close() -> None:
    desk = kit.filled()
    desk.go(30.5)
    desk.hear()
    assert kit.word(desk.engine, "closed") == BAR - 1


def test_the_clock_alone_does_not_close() -> None:
    desk = kit.filled()
    desk.go(45, alive=False)
    desk.go(60, alive=False)
    assert kit.word(desk.engine, "closed") == BAR - 1


def test_during_the_grace_two_rows_are_open_and_a_late_trade_reseeds_the_newer() -> None:
    desk = kit.filled()
    desk.go(30.5)
    assert [f & CLOSED for f in kit.column(desk.engine, "flags")[-2:].tolist()] == [0, 0]
    assert desk.hear(BAR, 140.0, 9)
    assert kit.column(desk.engine, "close")[-2:].tolist() == [140.0, 140.0]
    assert kit.flags(desk.engine, BAR + 1) == CARRIED
    desk.check()
    assert kit.word(desk.engine, "revision") == 1  # the first history's


def test_growth_after_closing_is_a_correction_with_a_revision_stepped_to_the_newest() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 3, 10.0)
    assert kit.word(desk.engine, "closed") == BAR + 2
    desk.settle()
    before = kit.word(desk.engine, "revision")
    assert desk.hear(BAR, 140.0, 9)
    assert kit.word(desk.engine, "revision") == before + 1
    assert desk.engine.book.counters["corrected"] == 1
    assert kit.column(desk.engine, "close")[-4:].tolist() == [140.0] * 4
    assert kit.flags(desk.engine, BAR) == CLOSED
    desk.check()
    # It is asked about again.
    assert kit.word(desk.engine, "confirmed") == BAR - 1
    assert [ask.kind for ask in desk.settle()] == ["confirm"]
    assert kit.flags(desk.engine, BAR) == CLOSED | CONFIRMED
    assert kit.word(desk.engine, "revision") == before + 1


def test_a_row_whose_stream_ended_before_the_grace_is_doubtful_and_stays_open() -> None:
    desk = kit.filled()
    desk.go(31)
    desk.lose()
    desk.regain()
    desk.go(29)
    assert kit.span(desk.engine)[1] == BAR + 1
    assert kit.word(desk.engine, "closed") == BAR - 1
    (ask,) = desk.asks()
    assert (ask.kind, ask.first, ask.last) == ("repair", BAR, BAR)
    desk.miss(BAR, 99.0, 8)
    desk.answer(ask)
    assert kit.word(desk.engine, "closed") == BAR
    assert kit.flags(desk.engine, BAR) == CLOSED | CONFIRMED
    assert kit.row(desk.engine, BAR)["close"] == 99.0
    assert kit.word(desk.engine, "revision") == 1  # the first history's: nobody had seen it closed
    desk.check()


def test_an_outage_within_one_minute_loses_nothing() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 1, 10.0)
    desk.settle()
    desk.hear()
    desk.lose()
    assert kit.status(desk.engine) == "stale"
    desk.go(20)
    desk.regain()
    assert kit.status(desk.engine) == "live"
    assert desk.hear(trades=11)
    desk.go_to(BAR + 2, 3.0)
    assert kit.word(desk.engine, "closed") == BAR + 1
    assert [ask.kind for ask in desk.asks()] in ([], ["confirm"])
    desk.check()


def test_a_stream_that_begins_at_a_minutes_very_end_is_not_trusted_with_it() -> None:
    desk = kit.filled()
    desk.lose()
    desk.go(29)
    desk.regain()
    assert desk.engine.book.ledgers[0].since == BAR + 1
    desk.go(10)
    assert kit.word(desk.engine, "closed") == BAR - 1


def test_one_of_two_streams_is_enough_to_close() -> None:
    desk = kit.filled()
    second = Stream("second", desk.now)
    desk.engine.watch(0, second, desk.now)
    desk.lose()
    desk.now += 60_000
    second.alive_ms = desk.now
    desk.engine.tick(desk.now)
    assert kit.word(desk.engine, "closed") == BAR
    desk.check()


def test_stale_market_keeps_its_newest_row_where_it_is() -> None:
    desk = kit.filled()
    found = kit.row(desk.engine, BAR)
    desk.lose()
    desk.go(200)
    assert kit.status(desk.engine) == "stale"
    assert str(kit.row(desk.engine, BAR)) == str(found)
    assert kit.span(desk.engine)[1] == BAR


def test_closed_ends_one_row_behind_the_newest_after_the_grace() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 4, 10.0)
    assert kit.word(desk.engine, "closed") == BAR + 3
    assert kit.span(desk.engine)[1] == BAR + 4


# --- merging and validating ----------------------------------------------------------------------


def test_of_two_states_of_one_minute_the_older_is_ignored_and_counted() -> None:
    desk = kit.filled()
    assert desk.hear(price=111.0, trades=9)
    assert not desk.hear(price=99.0, trades=8)
    assert not desk.hear(price=99.0, trades=9)
    assert kit.row(desk.engine, BAR)["close"] == 111.0
    assert desk.engine.book.counters["older"] == 2
    assert desk.engine.book.counters["frames"] == 4


def test_a_frame_before_the_run_is_late_and_ignored() -> None:
    desk = kit.Desk()
    desk.hear()
    assert not desk.engine.candle(kit.candle("C0", BAR - 1), desk.now, 1)
    assert desk.engine.book.counters["late"] == 1


def test_an_unknown_coin_is_counted_and_named() -> None:
    desk = kit.filled()
    assert not desk.engine.candle(kit.candle("NOPE", BAR), desk.now, 1)
    assert desk.engine.book.counters["unknown_coin"] == 1
    assert "NOPE" in desk.engine.book.notes[-1].text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"low": math.nan}, "price"),
        ({"close": math.inf, "high": math.inf}, "price"),
        ({"open": -1.0, "low": -1.0}, "price"),
        ({"low": 0.0}, "price"),
        ({"high": 99.0}, "price"),
        ({"volume": -1.0}, "volume"),
        ({"volume": math.nan}, "volume"),
        ({"trades": -1}, "trades"),
        ({"trades": 0}, "trades"),
        ({"trades": 0, "volume": 0.0}, "no trades"),
        ({"open_ms": BAR * MINUTE + 1}, "time"),
        ({"close_ms": BAR * MINUTE}, "time"),
        ({"interval": "5m"}, "interval"),
        ({"open_ms": (BAR + 1) * MINUTE, "close_ms": (BAR + 2) * MINUTE - 1}, "future"),
    ],
)
def test_what_cannot_be_is_rejected_with_its_reason_and_counted(
    change: dict[str, Any], reason: str
) -> None:
    desk = kit.filled()
    before = str(kit.row(desk.engine, BAR))
    bad = msgspec.structs.replace(kit.candle("C0", BAR, trades=50), **change)
    assert not desk.engine.candle(bad, desk.now, 1)
    assert str(kit.row(desk.engine, BAR)) == before
    assert desk.engine.book.counters["rejected"] == 1
    assert kit.word(desk.engine, "rejected") == 1
    note = desk.engine.book.notes[-1]
    assert note.key == "rejected C0"
    assert f"rejected for its {reason}: " in note.text


def test_one_bad_market_does_not_stop_another() -> None:
    desk = kit.Desk(coins=2)
    bad = msgspec.structs.replace(kit.candle("C0", BAR), low=math.nan)
    assert not desk.engine.candle(bad, desk.now, 1)
    assert desk.engine.candle(kit.candle("C1", BAR), desk.now, 1)
    assert kit.word(desk.engine, "rejected", 1) == 0


def test_a_minute_with_a_rejected_frame_is_doubtful() -> None:
    """Whatever it told is lost: the row may lack trades, and only REST knows."""
    desk = kit.filled()
    desk.go_to(BAR + 1, 20.0)
    bad = msgspec.structs.replace(kit.candle("C0", BAR + 1), low=math.nan)
    desk.engine.candle(bad, desk.now, 1)
    desk.miss(BAR + 1, 77.0, 5)
    desk.go_to(BAR + 2, 4.0)
    assert kit.word(desk.engine, "closed") == BAR
    desk.go_to(BAR + 2, 10.0)
    assert desk.asks()[0].kind == "repair"
    desk.settle()
    assert kit.row(desk.engine, BAR + 1)["close"] == 77.0
    assert kit.flags(desk.engine, BAR + 1) == CLOSED | CONFIRMED
    assert kit.span(desk.engine)[1] == BAR + 2
    desk.check()


def test_a_rejected_frame_of_a_wild_time_puts_only_the_running_minute_in_doubt() -> None:
    desk = kit.filled()
    for bar in (0, BAR - 400, BAR + 5_000_000):
        desk.engine.candle(kit.candle("C0", bar), desk.now, 1)
        bad = msgspec.structs.replace(kit.candle("C0", bar), low=math.nan)
        desk.engine.candle(bad, desk.now, 1)
    assert desk.engine.book.ledgers[0].since == BAR + 1


def test_a_frame_of_an_older_row_does_not_make_a_silent_market_forget_its_silence() -> None:
    desk = kit.filled()
    desk.go_to(BAR + 4, 1.0)
    assert not desk.hear(BAR)
    assert kit.column(desk.engine, "trades")[-4:].tolist() == [0] * 4
    desk.check()


# --- status --------------------------------------------------------------------------------------


def test_status_goes_from_syncing_to_live_to_quiet_and_back() -> None:
    desk = kit.Desk()
    assert kit.status(desk.engine) == "syncing"
    desk.hear()
    assert kit.status(desk.engine) == "syncing"
    desk.settle()
    assert kit.status(desk.engine) == "live"
    desk.go_to(BAR + 2)
    assert kit.status(desk.engine) == "quiet"
    desk.hear()
    assert kit.status(desk.engine) == "live"


def test_a_stream_of_one_market_may_end_alone() -> None:
    desk = kit.Desk(coins=2)
    e = desk.engine
    e.watch(1, desk.stream, desk.now)
    e.candle(kit.candle("C1", BAR), desk.now, 1)
    desk.hear()
    e.unwatch(desk.stream, desk.now, [1])
    assert (kit.status(e, 0), kit.status(e, 1)) == ("syncing", "stale")


def test_a_tick_without_news_says_so() -> None:
    desk = kit.filled()
    desk.go(0.1)
    assert not desk.go(0.1)


def test_the_engine_reads_no_clock_and_does_no_io() -> None:
    forbidden = {"time", "asyncio", "anyio", "socket", "aiohttp", "websockets", "datetime"}
    folder = Path(monitor.engine.__file__).parent
    for name in ("engine", "history", "book", "ledger", "rows", "kernels"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        found = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        assert not found & forbidden, name


def test_a_bygone_frame_of_a_market_without_rows_takes_no_place_and_is_left_to_rest() -> None:
    desk = kit.Desk()
    ring = desk.engine.book.capacity
    for bar in (BAR + 1 - ring, BAR - ring - 3, BAR - 11):
        assert not desk.hear(bar)
        assert kit.word(desk.engine, "newest") == -1
        kit.check(desk.engine)
    desk.go_to(BAR + 1, 20.0)
    desk.settle()
    desk.go(1.0)
    desk.check()
    assert kit.row(desk.engine, BAR - 1)["close"] == kit.price_of(BAR - 1)


def test_a_silent_minute_is_closed_by_two_streams_and_by_no_single_one() -> None:
    desk = kit.filled(witnesses=2)
    second = Stream("second", desk.now)
    desk.engine.watch(0, second, desk.now)
    desk.go_to(BAR + 2, 4.0)
    assert kit.word(desk.engine, "closed") == BAR  # the second one has not said anything yet
    second.alive_ms = desk.now
    desk.go(0.0)
    assert kit.word(desk.engine, "closed") == BAR + 1
    desk.engine.unwatch(second, desk.now)
    desk.hear(trades=4)
    desk.go_to(BAR + 3, 10.0)
    assert kit.word(desk.engine, "closed") == BAR + 2  # what was traded was traded
    desk.go_to(BAR + 6, 13.0)
    assert kit.word(desk.engine, "closed") == BAR + 2
    desk.settle()
    desk.go(0.0)
    (ask,) = desk.asks()  # one for all the minutes that have gone by
    assert (ask.kind, ask.first, ask.last) == ("repair", BAR + 4, BAR + 5)
    desk.settle()
    assert kit.word(desk.engine, "closed") == BAR + 5
    desk.check()


def test_a_lone_stream_s_silence_closes_a_minute_where_the_day_s_volume_agrees() -> None:
    desk = kit.filled(witnesses=2)
    desk.go_to(BAR + 1, 4.0)
    assert kit.word(desk.engine, "closed") == BAR  # it was traded: nothing is guessed
    desk.go_to(BAR + 2, 4.0)
    assert kit.word(desk.engine, "closed") == BAR
    assert kit.span(desk.engine)[1] == BAR + 2
    desk.engine.silent(0, BAR + 1, BAR + 1)
    desk.go(0.0)
    assert kit.word(desk.engine, "closed") == BAR + 1
    assert not kit.flags(desk.engine, BAR + 1) & CONFIRMED
    desk.check()


def test_where_no_volume_comes_rest_is_asked_about_a_lone_stream_s_silence() -> None:
    desk = kit.filled(witnesses=2)
    desk.miss(BAR + 1)  # the stream has stalled
    desk.go_to(BAR + 2, 12.0)
    assert not [ask for ask in desk.asks() if ask.kind == "repair"], "the volumes may still come"
    for second in range(13, 60):
        desk.go_to(BAR + 2, second)
        assert kit.word(desk.engine, "closed") == BAR
    (ask,) = desk.asks()
    assert (ask.kind, ask.first, ask.last) == ("repair", BAR + 1, BAR + 1)
    desk.settle()
    desk.go(0.0)
    assert kit.row(desk.engine, BAR + 1)["trades"] == 3
    assert kit.word(desk.engine, "closed") >= BAR + 1
    desk.check()


def test_a_market_whose_only_stream_is_silent_and_that_nobody_vouches_for_turns_stale() -> None:
    desk = kit.filled(witnesses=2)
    desk.miss(BAR + 1)  # the stream has stalled, its socket lives on, REST is dead
    desk.go_to(BAR + 6)
    assert kit.word(desk.engine, "closed") == BAR
    assert kit.status(desk.engine) == "stale"
    desk.engine.silent(0, BAR + 2, BAR + 5)
    for _ in range(2):
        desk.settle()
        desk.go(0.0)
    assert kit.row(desk.engine, BAR + 1)["close"] == kit.price_of(BAR + 1)
    assert kit.word(desk.engine, "closed") >= BAR + 4
    assert kit.status(desk.engine) != "stale"
    desk.check()
