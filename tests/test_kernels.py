"""The engine's compiled half: what one call does to one market's record, stats included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine_kit as kit
from monitor import kernels
from monitor.engine import Engine
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.protocol import Candle
from ringbuf.layout import WORD

BAR = kit.BAR
ONE = np.array([0], np.int64)


def engine() -> Engine:
    e = kit.make_engine(["A", "B"], history=20)
    e.book.ledgers[0].filled = True  # for `kit.check`: the run from `BAR` on is whole
    e.book.ledgers[0].certain = BAR - 1
    return e


def place(
    e: Engine, c: Candle, *, certain: int = BAR - 1, opens: bool = True, heard_ns: int = 7
) -> int:
    bar = c.open_ms // kit.MINUTE
    if opens:
        e.book.writer.advance(bar)
    prices = (c.open, c.high, c.low, c.close, c.volume, c.trades)
    code: int = kernels.place(
        *e.book.arrays, 0, c.open_ms, kit.MINUTE, *prices, certain, opens, 5_000, heard_ns
    )
    return code


def open_(e: Engine, bar: int, *, stepping: bool = True) -> None:
    e.book.writer.advance(bar)
    steps = np.array([stepping])
    kernels.open_bars(*e.book.arrays, ONE, steps, bar, kit.MINUTE, 6_000)


def close(e: Engine, bar: int) -> None:
    bars = np.array([bar], np.int64)
    kernels.close_bars(e.book.writer.integers, e.book.controls, ONE, bars)


def fill(e: Engine, first: int, closes: list[float], flags: int, **settings: Any) -> None:
    last = first + len(closes) - 1
    e.book.writer.advance(last)
    prices = np.array([[c, c + 1.0, c - 1.0, c, 6.0] for c in closes])
    counts = np.array([[3, flags]] * len(closes), np.int64)
    values = {"start": first, "origin": first, "closed": last, "confirmed": last}
    values |= {"step_from": first, "corrected": 0, "revised": False, "now_ms": 8_000}
    values |= settings
    kernels.fill(*e.book.arrays, 0, first, kit.MINUTE, prices, counts, *values.values())


def run(e: Engine, count: int = 30) -> None:
    """A whole run of `count` rows from `BAR` on, all but the newest closed."""
    for k in range(count):
        place(e, kit.candle("A", BAR + k, 100.0 + k % 7, close=101.0 + k % 5))
    close(e, BAR + count - 2)
    kit.check(e)


def test_a_first_candle_is_origin_start_and_newest_row() -> None:
    e = engine()
    assert place(e, kit.candle("A", BAR), heard_ns=99) == kernels.PLACED
    assert kit.span(e) == (BAR, BAR)
    assert kit.word(e, "origin") == BAR
    assert kit.word(e, "heard_ns") == 99
    assert kit.word(e, "updated_ms") == 5_000
    assert kit.word(e, "frames") == 1
    assert kit.word(e, "sequence") == 2
    kit.check(e)


def test_every_public_column_of_a_candle_is_written_in_both_copies() -> None:
    e = engine()
    c = Candle(BAR * kit.MINUTE, 0, "A", "1m", 10.0, 13.0, 9.0, 12.0, 5.5, 4)
    place(e, c)
    found = kit.row(e, BAR)
    assert [found[name] for name in kernels.CANDLE_COLUMNS] == [
        *(BAR * kit.MINUTE, 10.0, 13.0, 9.0, 12.0, 5.5, 4, 0)
    ]
    kit.check(e)


def test_a_bar_without_a_row_is_ahead_and_nothing_is_written_before_it_may_open() -> None:
    e = engine()
    place(e, kit.candle("A", BAR))
    before = e.book.writer.integers.copy()
    assert place(e, kit.candle("A", BAR + 1), opens=False) == kernels.AHEAD
    assert (e.book.writer.integers == before).all()
    assert kit.span(e) == (BAR, BAR)


@pytest.mark.parametrize(
    ("trades", "volume", "code"),
    [
        (4, 1.0, kernels.PLACED),
        (3, 6.5, kernels.PLACED),
        (3, 6.0, kernels.OLDER),
        (3, 5.0, kernels.OLDER),
        (2, 9.0, kernels.OLDER),
    ],
)
def test_of_two_states_more_trades_win_then_more_volume(
    trades: int, volume: float, code: int
) -> None:
    e = engine()
    place(e, kit.candle("A", BAR, trades=3, volume=6.0))
    assert place(e, kit.candle("A", BAR, 200.0, trades, volume=volume)) == code
    assert (kit.row(e, BAR)["close"] == 200.0) == (code == kernels.PLACED)


def test_a_bar_before_the_run_is_late_and_not_written() -> None:
    e = engine()
    place(e, kit.candle("A", BAR))
    assert place(e, kit.candle("A", BAR - 1)) == kernels.LATE
    assert kit.span(e) == (BAR, BAR)


def test_a_bar_that_does_not_follow_begins_a_run_without_stats() -> None:
    e = engine()
    run(e, 30)
    place(e, kit.candle("A", BAR + 31), certain=BAR + 28)
    assert kit.span(e) == (BAR + 31, BAR + 31)
    assert kit.word(e, "origin") == BAR
    assert np.isnan(kit.row(e, BAR + 31)["SMA9"])


def test_stats_are_stepped_from_the_origin_as_talib_does_it() -> None:
    e = engine()
    run(e)
    kit.assert_stats(e, kit.ring_rows(e), BAR)


def test_an_older_row_that_grows_in_the_grace_steps_what_follows_and_reseeds_placeholders() -> None:
    e = engine()
    run(e)
    newest = BAR + 29
    open_(e, newest + 1)
    open_(e, newest + 2)
    assert place(e, kit.candle("A", newest, 150.0, 9), opens=False) == kernels.PLACED
    assert kit.column(e, "close")[-3:].tolist() == [150.0] * 3
    assert kit.column(e, "trades")[-3:].tolist() == [9, 0, 0]
    kit.assert_stats(e, kit.ring_rows(e), BAR)
    assert kit.word(e, "revision") == 0


def test_a_closed_row_that_grows_is_a_correction_with_one_revision() -> None:
    e = engine()
    run(e)
    e.book.controls[0, WORD["confirmed"]] = BAR + 28
    at = BAR + 12
    assert place(e, kit.candle("A", at, 150.0, 9), opens=False) == kernels.CORRECTED
    assert kit.flags(e, at) == CLOSED
    assert kit.word(e, "revision") == 1
    assert kit.word(e, "corrected") == 1
    assert kit.word(e, "confirmed") == at - 1
    kit.assert_stats(e, kit.ring_rows(e), BAR)
    kit.check(e)


def test_an_opened_bar_is_flat_carried_and_stepped() -> None:
    e = engine()
    run(e)
    before = kit.row(e, BAR + 29)["close"]
    open_(e, BAR + 30)
    found = kit.row(e, BAR + 30)
    assert {found[name] for name in ("open", "high", "low", "close")} == {before}
    assert (found["volume"], found["trades"], found["flags"]) == (0.0, 0, CARRIED)
    kit.assert_stats(e, kit.ring_rows(e), BAR)
    kit.check(e)


def test_an_opened_bar_of_a_syncing_market_has_no_stats() -> None:
    e = engine()
    run(e)
    open_(e, BAR + 30, stepping=False)
    assert all(np.isnan(kit.row(e, BAR + 30)[name]) for name in kit.STATS)


def test_closing_marks_every_row_up_to_the_bar_in_both_copies() -> None:
    e = engine()
    run(e, 10)
    assert kit.word(e, "closed") == BAR + 8
    assert [f & CLOSED for f in kit.column(e, "flags").tolist()] == [CLOSED] * 9 + [0]


def test_closing_leaves_the_rows_before_the_run_alone() -> None:
    e = engine()
    run(e, 10)
    place(e, kit.candle("A", BAR + 12), certain=BAR + 8)
    close(e, BAR + 12)
    assert kit.word(e, "closed") == BAR + 12
    assert kit.flags(e, BAR + 12) == CLOSED


def test_a_fill_in_front_of_live_rows_makes_one_run_and_steps_them() -> None:
    e = engine()
    place(e, kit.candle("A", BAR + 25, 99.0), certain=-1)
    open_(e, BAR + 26, stepping=False)
    fill(e, BAR, [100.0 + k % 6 for k in range(25)], CLOSED | CONFIRMED)
    assert kit.span(e) == (BAR, BAR + 26)
    assert kit.word(e, "closed") == kit.word(e, "confirmed") == BAR + 24
    kit.assert_stats(e, kit.ring_rows(e), BAR)


def test_a_fill_reseeds_the_carried_rows_behind_it() -> None:
    e = engine()
    run(e, 10)
    open_(e, BAR + 10)
    open_(e, BAR + 11)
    fill(e, BAR + 9, [50.0], CLOSED | CONFIRMED, start=BAR, origin=BAR)
    assert kit.column(e, "close")[-3:].tolist() == [50.0] * 3
    kit.assert_stats(e, kit.ring_rows(e), BAR)


def test_a_fill_steps_only_from_where_it_is_told() -> None:
    e = engine()
    run(e, 20)
    sma = kit.column(e, "SMA9").copy()
    fill(e, BAR + 10, [500.0], CLOSED, start=BAR, origin=BAR, step_from=BAR + 15)
    found = kit.column(e, "SMA9")
    assert found[:15].tolist()[9:] == sma[:15].tolist()[9:]
    assert (found[15:19] > sma[15:19]).all()


@pytest.mark.parametrize(("revised", "corrected"), [(False, 0), (True, 0), (True, 3)])
def test_a_fill_counts_what_it_is_told(revised: bool, corrected: int) -> None:
    e = engine()
    run(e, 10)
    words = [kit.word(e, name) for name in ("revision", "corrected", "confirmed")]
    fill(
        e,
        BAR + 2,
        [100.0],
        CLOSED,
        start=BAR,
        origin=BAR,
        confirmed=-1,
        revised=revised,
        corrected=corrected,
    )
    assert kit.word(e, "revision") == words[0] + revised
    assert kit.word(e, "corrected") == words[1] + corrected
    assert kit.word(e, "confirmed") == words[2]


def test_every_call_leaves_the_sequence_even_and_says_the_oldest_row_it_touched() -> None:
    e = engine()
    run(e, 12)
    for call, touched in (
        (lambda: place(e, kit.candle("A", BAR + 5, 130.0, 9), opens=False), BAR + 5),
        (lambda: open_(e, BAR + 12), BAR + 12),
        (lambda: close(e, BAR + 11), BAR + 11),
        (lambda: fill(e, BAR + 3, [90.0], CLOSED, start=BAR, origin=BAR), BAR + 3),
    ):
        sequence = kit.word(e, "sequence")
        call()
        assert kit.word(e, "sequence") == sequence + 2
        assert kit.word(e, "dirty_from") == touched


def test_other_markets_are_not_touched() -> None:
    e = engine()
    before = e.book.writer.integers[1].copy()
    run(e)
    assert (e.book.writer.integers[1] == before).all()


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), min_size=1, max_size=30))
def test_whatever_the_order_of_frames_the_rows_are_those_of_the_best_states(
    frames: list[tuple[int, int]],
) -> None:
    """Offsets from the newest bar, and trades; against a plain dictionary."""
    e = engine()
    run(e, 12)
    model = {BAR + k: kit.row(e, BAR + k)["trades"] for k in range(12)}
    for back, trades in frames:
        bar = BAR + 11 - back
        place(e, kit.candle("A", bar, 100.0 + trades, trades), opens=False)
        model[bar] = max(model[bar], trades)
    assert kit.column(e, "trades").tolist() == list(model.values())
    kit.check(e)
    kit.assert_stats(e, kit.ring_rows(e), BAR)
