"""A restarted engine goes on where the last one stopped: same bits, and only the gap fetched."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import test_engine_truth as truth
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine_kit as kit
import indicators
from monitor.engine import Engine
from monitor.kernels import CANDLE_COLUMNS, CLOSED
from monitor.ledger import Ask, Stream
from monitor.opening import compute_fresh
from ringbuf import kernels as ring
from ringbuf.layout import WORD
from ringbuf.repair import repair
from ringbuf.writer import Writer

BAR, MINUTE = kit.BAR, kit.MINUTE
NOW = BAR * MINUTE + 30_000.0
VALUES = [name for name in CANDLE_COLUMNS if name != "flags"]


def again(writer: Writer, coins: tuple[str, ...], **options: Any) -> Engine:
    """A new engine over what another one has left."""
    plan = indicators.plan(list(kit.STATS), history=writer.spec.history)
    return Engine(writer, plan, coins, witnesses=1, **options)


def restarted(engine: Engine, **options: Any) -> Engine:
    repair(engine.book.writer)
    return again(engine.book.writer, engine.book.coins, **options)


def filled(now_ms: float = NOW, coin: str = "A") -> tuple[Engine, Stream]:
    """One market with its first history and a live row; watched since `BAR`."""
    engine = kit.make_engine([coin])
    stream = Stream("one", now_ms)
    engine.watch(0, stream, now_ms)
    engine.candle(kit.candle(coin, BAR), now_ms, 1)
    (ask,) = engine.history.wanted(now_ms)
    rows = [kit.candle(coin, bar, 100.0 + bar % 7) for bar in range(ask.first, BAR)]
    engine.history.answer(ask, rows, now_ms, 1)
    return engine, stream


def lived(minutes: int = 5) -> Engine:
    """`filled`, and so many minutes of live rows after it, all of them closed but the newest."""
    engine, stream = filled()
    for bar in range(BAR + 1, BAR + minutes + 1):
        now = bar * MINUTE + 5_000.0
        stream.alive_ms = now
        engine.tick(now)
        engine.candle(kit.candle("A", bar, 100.0 + bar % 5), now, 1)
        engine.tick(now)
    assert kit.word(engine, "closed") == BAR + minutes - 1
    return engine


# -- what is taken up ------------------------------------------------------------------------------


def test_what_was_certain_is_certain_again_and_nothing_else() -> None:
    before = lived()
    old = before.book.ledgers[0]
    engine = restarted(before)
    ledger = engine.book.ledgers[0]
    assert (ledger.filled, ledger.certain, ledger.traded) == (True, old.certain, BAR + 5)
    assert ledger.since is None
    assert kit.status(engine) == "stale"
    kit.check(engine)


def test_nothing_is_asked_before_a_socket_watches() -> None:
    engine = restarted(lived())
    assert [ask.kind for ask in engine.history.wanted(NOW + 60 * MINUTE)] == ["confirm"]


@pytest.mark.parametrize("gap", [0, 1, 2, 7, 40])
def test_only_the_gap_is_asked_for(gap: int) -> None:
    engine = restarted(lived())
    now = (BAR + 5 + gap) * MINUTE + 20_000.0
    engine.watch(0, Stream("two", now), now)
    asks = [ask for ask in engine.history.wanted(now) if ask.kind != "confirm"]
    if gap:
        # The row that was open at the death was not observed to its end.
        assert asks == [Ask(0, "repair", BAR + 5, BAR + 4 + gap, BAR + 4 + gap, BAR + 5)]
    else:
        assert asks == []


def test_until_the_gap_is_filled_the_market_is_syncing_and_then_live() -> None:
    engine = restarted(lived())
    now = (BAR + 8) * MINUTE + 20_000.0
    engine.watch(0, Stream("two", now), now)
    assert kit.status(engine) == "syncing"
    engine.candle(kit.candle("A", BAR + 8), now, 1)
    assert kit.status(engine) == "syncing"
    assert np.isnan(kit.column(engine, "RSI5")).all()
    (ask,) = [ask for ask in engine.history.wanted(now) if ask.kind == "repair"]
    rows = [kit.candle("A", bar, 100.0 + bar % 5) for bar in range(ask.first, ask.last + 1)]
    engine.history.answer(ask, rows, now, 1)
    assert kit.status(engine) == "live"
    assert kit.span(engine)[1] == BAR + 8
    assert np.isfinite(kit.column(engine, "RSI5")[-20:]).all()
    kit.check(engine)


def test_within_the_same_minute_nothing_is_missing_and_the_row_goes_on() -> None:
    engine = restarted(lived())
    now = (BAR + 5) * MINUTE + 30_000.0
    engine.watch(0, Stream("two", now), now)
    assert engine.candle(kit.candle("A", BAR + 5, 107.0, 9), now, 1)
    assert kit.status(engine) == "live"
    assert [ask.kind for ask in engine.history.wanted(now)] == ["confirm"]
    kit.check(engine)


def test_a_market_without_its_first_history_begins_anew() -> None:
    engine = kit.make_engine(["A", "B"])
    engine.watch(0, Stream("one", NOW), NOW)
    engine.candle(kit.candle("A", BAR), NOW, 1)
    engine = restarted(engine)
    for market in (0, 1):
        assert not engine.book.ledgers[market].filled
    assert [kit.status(engine, market) for market in (0, 1)] == ["stale", "syncing"]
    engine.watch(0, Stream("two", NOW), NOW)
    (ask,) = engine.history.wanted(NOW)
    assert ask.kind == "fill"
    rows = [kit.candle("A", bar) for bar in range(ask.first, ask.last + 1)]
    engine.history.answer(ask, rows, NOW, 1)
    kit.check(engine)
    assert np.isfinite(kit.column(engine, "RSI5")[-20:]).all()


def test_a_market_that_was_traded_for_the_first_time_while_watched_has_its_history() -> None:
    engine = kit.make_engine(["A"])
    stream = Stream("one", NOW)
    engine.watch(0, stream, NOW)
    first = kit.candle("A", BAR)
    engine.candle(first, NOW, 1)
    (ask,) = engine.history.wanted(NOW)
    engine.history.answer(ask, [first], NOW, 1)
    assert engine.book.whole(0)
    engine = restarted(engine)
    ledger = engine.book.ledgers[0]
    assert (ledger.filled, ledger.certain) == (True, BAR - 1)


def test_behind_a_hole_only_what_is_in_front_of_it_is_certain() -> None:
    before = lived()
    later = (BAR + 9) * MINUTE + 20_000.0
    (stream,) = before.book.ledgers[0].streams
    before.unwatch(stream, later)
    before.watch(0, Stream("two", later), later)
    before.candle(kit.candle("A", BAR + 9), later, 1)
    assert kit.span(before) == (BAR + 9, BAR + 9)
    engine = restarted(before)
    assert (engine.book.ledgers[0].filled, engine.book.ledgers[0].certain) == (True, BAR + 4)
    now = later + 3 * MINUTE
    engine.watch(0, Stream("three", now), now)
    (ask,) = engine.history.wanted(now)
    assert (ask.kind, ask.first, ask.last) == ("repair", BAR + 5, BAR + 11)
    rows = [kit.candle("A", bar) for bar in range(ask.first, ask.last + 1)]
    engine.history.answer(ask, rows, now, 1)
    kit.check(engine)
    assert engine.book.whole(0)
    assert np.isfinite(kit.column(engine, "RSI5")[-20:]).all()


def test_a_hole_larger_than_the_ring_begins_the_history_anew() -> None:
    before = lived()
    later = (BAR + 2 * before.book.capacity) * MINUTE + 20_000.0
    (stream,) = before.book.ledgers[0].streams
    before.unwatch(stream, later)
    before.watch(0, Stream("two", later), later)
    bar = int(later // MINUTE)
    before.candle(kit.candle("A", bar), later, 1)
    engine = restarted(before)
    engine.watch(0, Stream("three", later), later)
    (ask,) = engine.history.wanted(later)
    assert (ask.kind, ask.first) == ("fill", bar - engine.book.depth)


def test_when_more_is_asked_for_than_there_was_room_for_all_of_it_is_asked_for_once() -> None:
    before = lived()
    engine = restarted(before, deeper=True)
    # The store has what it always had, which here is enough.
    assert engine.book.ledgers[0].filled
    control = engine.book.controls[0]
    control[WORD["start"]] = control[WORD["origin"]] = BAR - 20
    engine = restarted(engine, deeper=True)
    assert not engine.book.ledgers[0].filled
    now = (BAR + 5) * MINUTE + 30_000.0
    engine.watch(0, Stream("two", now), now)
    engine.candle(kit.candle("A", BAR + 5, 107.0, 9), now, 1)
    (ask,) = engine.history.wanted(now)
    assert (ask.kind, ask.first) == ("fill", BAR + 5 - engine.book.depth)
    first = [kit.candle("A", bar, 100.0 + bar % 7) for bar in range(ask.first, BAR)]
    live = [kit.candle("A", bar, 100.0 + bar % 5) for bar in range(BAR, BAR + 5)]
    live[0] = kit.candle("A", BAR)
    engine.history.answer(ask, first + live, now, 1)
    kit.check(engine)
    assert np.isfinite(kit.column(engine, "ATR14")[-300:]).all()


def test_it_is_not_asked_for_again_at_the_next_start() -> None:
    engine = restarted(restarted(lived(), deeper=True))
    assert engine.book.ledgers[0].filled


# -- new stats over old rows -----------------------------------------------------------------------


def test_a_new_stat_is_computed_over_the_rows_that_were_carried_over() -> None:
    """As if it had been there from the first of them on; the other stats keep their bits."""
    engine = lived()
    writer = engine.book.writer
    before = {name: kit.column(engine, name).copy() for name in writer.column}
    stats = indicators.plan(list(kit.STATS), history=writer.spec.history)
    for name in ("EMA20", *(n for n in writer.column if n.startswith("_EMA"))):
        writer.floats[0, writer.column[name]] = np.nan
    compute_fresh(writer, stats, ("EMA20",))
    for name, values in before.items():
        assert kit.column(engine, name).tobytes() == values.tobytes(), name
    kit.check(engine)


def test_it_is_computed_up_to_the_first_hole_only() -> None:
    engine = lived()
    writer = engine.book.writer
    later = (BAR + 9) * MINUTE + 20_000.0
    engine.unwatch(next(iter(engine.book.ledgers[0].streams)), later)
    engine.watch(0, Stream("two", later), later)
    engine.candle(kit.candle("A", BAR + 9), later, 1)
    stats = indicators.plan(list(kit.STATS), history=writer.spec.history)
    capacity, position = writer.geometry.capacity, writer.column["SMA9"]
    writer.floats[0, position] = np.nan
    compute_fresh(writer, stats, ("SMA9",))
    values = writer.floats[0, position, np.arange(BAR - 20, BAR + 10) % capacity]
    assert np.isfinite(values[:26]).all()
    assert np.isnan(values[26:]).all()


# -- against an uninterrupted run ------------------------------------------------------------------


def kill(world: truth.World, dice: Random) -> None:
    """SIGKILL: sockets and answers are gone, and perhaps a market was being written."""
    for number, socket in enumerate(world.sockets):
        if socket is not None:
            world.exchange.disconnect(socket.session)
            world.sockets[number] = None
    world._answers.clear()
    world._late.clear()
    writer = world.engine.book.writer
    if dice.random() < 0.7:
        market = dice.randrange(len(world.coins))
        control = writer.controls[market]
        bar = int(control[WORD["newest"]]) + dice.choice((1, 0, 0, 0, -1, -30))
        if bar > 0:
            writer.advance(bar)
            ring.begin(control, bar)
            for copy in range(dice.randrange(3)):
                cells = dice.randrange(len(writer.spec.columns))
                at = bar % writer.geometry.capacity + copy * writer.geometry.capacity
                writer.floats[market, 1:cells, at] = 1e9
            if dice.random() < 0.5:
                control[WORD["newest"]] = max(bar, control[WORD["newest"]])


def die_and_return(world: truth.World, away_ms: int, dice: Random) -> None:
    kill(world, dice)
    before = world.seen["fill"]
    world.suspend(away_ms)
    for _ in world.run(away_ms):
        pass
    writer = world.engine.book.writer
    repair(writer)
    world.engine = again(writer, tuple(world.coins))
    kit.check(world.engine)
    world.asleep_until = 0
    assert world.seen["fill"] == before


def bits(engine: Engine, name: str, market: int, first: int, last: int) -> npt.NDArray[np.int64]:
    return kit.column(engine, name, market, first, last).view(np.int64)


def assert_same_bits(world: truth.World, other: truth.World) -> int:
    """Every value of every row that both have and REST has confirmed: prices, stats, states."""
    compared = 0
    for market in range(len(world.coins)):
        pair = world.engine, other.engine
        if min(kit.word(e, "newest", market) for e in pair) < 0:
            continue
        first = max(kit.word(e, "start", market) for e in pair)
        last = min(kit.word(e, "confirmed", market) for e in pair)
        for name in world.engine.book.writer.column:
            if name == "flags":
                marks = [bits(e, name, market, first, last) & CLOSED for e in pair]
                assert (marks[0] == marks[1]).all()
                continue
            ours, theirs = (bits(e, name, market, first, last) for e in pair)
            assert (ours == theirs).all(), (world.coins[market], name)
        compared += max(0, last + 1 - first)
    return compared


def compare(seed: int, deaths: list[tuple[int, int]], sockets: int = 1) -> int:
    """Live through `deaths` (ms after the one before, ms away); rows compared in the end."""
    dice = Random(seed)
    world = truth.World(truth.SOME, seed=seed, sockets=sockets)
    for lived_ms, away_ms in deaths:
        for k, _ in enumerate(world.run(lived_ms)):
            if k % 16 == 0:
                kit.check(world.engine)
                for market in range(len(world.coins)):
                    world.judge(market, 30)
        die_and_return(world, away_ms, dice)
    truth.live_through(world, [], until_ms=0)
    other = truth.World(truth.SOME, seed=seed, sockets=sockets)
    for _ in other.run(world.exchange.now_ms - other.exchange.now_ms):
        pass
    truth.live_through(other, [], until_ms=0)
    return assert_same_bits(world, other)


@pytest.mark.parametrize("seed", range(1, 9))
def test_after_any_number_of_deaths_every_bit_is_that_of_an_uninterrupted_run(seed: int) -> None:
    dice = Random(seed)
    deaths = [
        (20_000 + dice.randrange(5 * MINUTE), dice.choice((500, 3_000, 20_000, 90_000, 600_000)))
        for _ in range(4)
    ]
    assert compare(seed, deaths, 1 + seed % 2) > 3 * 60


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(1, 1_000),
    deaths=st.lists(
        st.tuples(st.integers(10_000, 2 * MINUTE), st.integers(0, 2 * MINUTE)),
        min_size=1,
        max_size=2,
    ),
)
def test_whenever_it_dies_and_however_long_it_is_away(
    seed: int, deaths: list[tuple[int, int]]
) -> None:
    assert compare(seed, deaths) > 0
