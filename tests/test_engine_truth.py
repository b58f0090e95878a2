"""The engine against the truth: the exchange's core, a virtual clock, every fault there is.

After every step the store keeps its invariants and no closed row says what is not true; when the
faults are over, every closed row of every market is the exchange's, and every stat is TA-Lib's.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import engine_kit as kit
from monitor.exchange import Exchange, ExchangeConfig, Market, Session
from monitor.exchange.intervals import INTERVALS
from monitor.kernels import CONFIRMED
from monitor.ledger import Ask, Stream
from monitor.protocol import Candle, Subscribed, Subscription, decode, decode_candles, subscribe

MINUTE = kit.MINUTE
STEP_MS = 500
ASKS_AT_ONCE = 4
SILENCE_MS = 12_000
MARKETS = (
    Market("BTC", "perp", 60.0, 86_000.0, 5),
    Market("SOL", "perp", 8.0, 190.0, 2),
    Market("FTT", "perp", 0.4, 1.9, 1),
    Market("@7", "spot", 0.05, 12.0, 0),
    Market("@8", "spot", 0.0008, 3.0, 0),
    Market("@9", "spot", 0.0, 5.0, 0),
)
SOME = MARKETS[1:4]

Plan = list[tuple[int, str, int]]
KINDS = (
    *("drop", "freeze", "suspend", "rest down", "rest slow", "rest fails", "rest lags"),
    *("missing", "duplicate", "late", "calm"),
)
AWAY_MS = (1_500, 8_000, 25_000, 61_000, 150_000, 400_000)


@dataclass
class Faults:
    """What goes wrong at the moment; times are the exchange's, in ms."""

    missing: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    rest_down: bool = False
    rest_fails: float = 0.0
    rest_delay_ms: int = 120
    rest_lag_ms: int = 0


@dataclass(eq=False)
class Socket:
    """One socket of ours: what left the exchange and has not arrived yet, in order."""

    session: Session
    stream: Stream
    pending: list[tuple[int, str]] = field(default_factory=list)
    dead_ms: int | None = None


class World:
    """An engine, the exchange's core, and everything between them, in steps of `STEP_MS`.

    The engine's clock is late by `lag_ms`, the time that a frame is under way.
    """

    def __init__(
        self,
        markets: Sequence[Market],
        *,
        seed: int = 1,
        start_ms: int = kit.BAR * MINUTE + 17_345,
        history: int = 60,
        sockets: int = 1,
        lag_ms: int = 60,
    ) -> None:
        self.exchange = Exchange(ExchangeConfig(markets=tuple(markets), seed=seed), start_ms)
        self.coins = [market.coin for market in markets]
        self.engine = kit.make_engine(self.coins, history=history)
        self.faults = Faults()
        self.dice = Random(seed)
        self.lag_ms = lag_ms
        self.seen: Counter[str] = Counter()
        self.sockets: list[Socket | None] = [None] * sockets
        self.back_ms = [start_ms] * sockets
        self.asleep_until = 0
        self._late: list[tuple[int, int, str]] = []
        self._numbers = itertools.count()
        self._answers: list[tuple[int, int, Ask, list[Candle] | None]] = []
        # The most trades that some frame told of each (market, bar), if no fault touched it.
        self._told: dict[tuple[int, int], int] = {}
        self._first: dict[tuple[int, int], bool] = {}
        self._truth: list[dict[int, tuple[float, ...]]] = [{} for _ in markets]

    @property
    def now_ms(self) -> float:
        """The engine's clock."""
        return float(self.exchange.now_ms - self.lag_ms)

    # -- faults on purpose ---------------------------------------------------------------------

    def drop(self, number: int, away_ms: int) -> None:
        """A socket breaks; what was under way is lost; it is back after `away_ms`."""
        socket = self.sockets[number]
        if socket is not None:
            self._end(number)
        self.back_ms[number] = self.exchange.now_ms + away_ms
        self.seen["drop"] += 1

    def freeze(self, number: int, away_ms: int) -> None:
        """A socket goes half-open: nothing arrives any more, found out `SILENCE_MS` later."""
        socket = self.sockets[number]
        if socket is not None and socket.dead_ms is None:
            socket.dead_ms = self.exchange.now_ms
            self.back_ms[number] = self.exchange.now_ms + SILENCE_MS + away_ms
            self.seen["freeze"] += 1

    def suspend(self, for_ms: int) -> None:
        """The process stands still; sockets and their buffers live on."""
        self.asleep_until = self.exchange.now_ms + for_ms
        self.seen["suspend"] += 1

    # -- time ----------------------------------------------------------------------------------

    def run(self, for_ms: int) -> Iterator[None]:
        """Go on for so long, one step at a time."""
        end = self.exchange.now_ms + for_ms
        while self.exchange.now_ms < end:
            self.step()
            yield

    def step(self) -> None:
        """One step of the exchange, then of everything else."""
        exchange = self.exchange
        exchange.advance(exchange.now_ms + STEP_MS)
        for socket in self.sockets:
            if socket is not None:
                self._collect(socket)
        if exchange.now_ms < self.asleep_until:
            return
        for number, socket in enumerate(self.sockets):
            if socket is not None and socket.session.closing is not None:
                self._end(number)
        if self.dice.random() < 0.5:
            self.engine.tick(self.now_ms)
        self._deliver()
        self._connect()
        self.engine.tick(self.now_ms)
        self._rest()

    def _collect(self, socket: Socket) -> None:
        now = self.exchange.now_ms
        for frame in socket.session.take():
            socket.pending.append((now, frame))
        if socket.session.closing is None and now - socket.session.spoken_ms >= 20_000:
            self.exchange.receive(socket.session, '{"method":"ping"}')

    def _connect(self) -> None:
        for number, back_ms in enumerate(self.back_ms):
            if self.sockets[number] is None and self.exchange.now_ms >= back_ms:
                socket = Socket(self.exchange.connect(), Stream(f"socket {number}"))
                self.sockets[number] = socket
                for coin in self.coins:
                    request = subscribe(Subscription("candle", coin, "1m"))
                    self.exchange.receive(socket.session, request)
                self._collect(socket)

    def _end(self, number: int) -> None:
        socket = self.sockets[number]
        assert socket is not None
        self.sockets[number] = None
        self.exchange.disconnect(socket.session)
        self.engine.unwatch(socket.stream, self.now_ms)

    def _deliver(self) -> None:
        now = self.exchange.now_ms
        for number, socket in enumerate(self.sockets):
            if socket is None:
                continue
            if socket.dead_ms is not None:
                socket.pending.clear()
                if now >= socket.dead_ms + SILENCE_MS:
                    self._end(number)
                continue
            for left_ms, frame in socket.pending:
                self._hear(socket, left_ms, frame)
            socket.pending.clear()
            # Its block times and pongs arrive in order, behind the frames.
            socket.stream.alive_ms = float(now - self.lag_ms)
        while self._late and self._late[0][0] <= now:
            self._place(heapq.heappop(self._late)[2])

    def _hear(self, socket: Socket, left_ms: int, frame: str) -> None:
        event = decode(frame)
        if isinstance(event, Subscribed):
            assert event.subscription.coin is not None
            market = self.engine.book.index[event.subscription.coin]
            self.engine.watch(market, socket.stream, self.now_ms)
            return
        if not isinstance(event, Candle):
            return
        # The exchange may be silent of a minute's last trades, never of its first one.
        key = (self.engine.book.index[event.coin], event.open_ms // MINUTE)
        again, self._first[key] = key in self._first, True
        if again and self.dice.random() < self.faults.missing:
            self.seen["missing"] += 1
            return
        if self.dice.random() < self.faults.late:
            self.seen["late"] += 1
            delay = 1_000 + int(self.dice.random() * 9_000)
            heapq.heappush(self._late, (self.exchange.now_ms + delay, next(self._numbers), frame))
            return
        self._told[key] = max(self._told.get(key, 0), event.trades)
        self._place(frame)
        if self.dice.random() < self.faults.duplicate:
            self.seen["duplicate"] += 1
            self._place(frame)

    def _place(self, frame: str) -> None:
        event = decode(frame)
        assert isinstance(event, Candle)
        self.seen["frames"] += 1
        self.engine.candle(event, self.now_ms, 1)

    # -- REST ----------------------------------------------------------------------------------

    def _rest(self) -> None:
        now, history = self.exchange.now_ms, self.engine.history
        while self._answers and self._answers[0][0] <= now:
            _, _, ask, rows = heapq.heappop(self._answers)
            if rows is None:
                self.seen["rest failed"] += 1
                history.failed(ask, self.now_ms)
            else:
                history.answer(ask, rows, self.now_ms, 1)
        for ask in history.wanted(self.now_ms)[: ASKS_AT_ONCE - len(self._answers)]:
            history.sent(ask)
            self.seen[ask.kind] += 1
            delay = int(self.faults.rest_delay_ms * (0.5 + self.dice.random()))
            bad = self.faults.rest_down or self.dice.random() < self.faults.rest_fails
            rows = None if bad else self._ask(ask)
            heapq.heappush(self._answers, (now + delay, next(self._numbers), ask, rows))

    def _ask(self, ask: Ask) -> list[Candle] | None:
        coin = self.coins[ask.market]
        start_ms, end_ms, name = ask.first * MINUTE, (ask.until + 1) * MINUTE - 1, "1m"
        if ask.kind == "last_close":
            start_ms, name = start_ms - 4_000 * 86_400_000, "1d"
        if self.faults.rest_lag_ms:
            # What the exchange would have said a moment ago.
            as_of = self.exchange.now_ms - self.faults.rest_lag_ms
            desk = self.exchange.desk(coin)
            texts = desk.series.snapshot(
                desk.coin_json, INTERVALS[name], start_ms, min(end_ms, as_of), as_of
            )
            return decode_candles(f"[{','.join(texts)}]".encode())
        request = {"coin": coin, "interval": name, "startTime": start_ms, "endTime": end_ms}
        body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
        answer = self.exchange.info(body)
        return decode_candles(answer.body.encode()) if answer.status == 200 else None

    # -- truth ---------------------------------------------------------------------------------

    def truth(self, market: int, first: int, last: int) -> list[tuple[float, ...]]:
        """What the ended bars first..last finally are: flat behind the last trade."""
        known, coin = self._truth[market], self.coins[market]
        ended = self.exchange.now_ms // MINUTE - 1
        if any(bar not in known for bar in range(first, last + 1)):
            rows = self.exchange.truth(coin, (first - 1) * MINUTE, (ended + 1) * MINUTE - 1)
            known.update({r.open_ms // MINUTE: tuple(r[1:]) for r in rows})
            close = rows[-1].close if rows else None
            if close is None:
                before = self.exchange.desk(coin).series.last_before(first * MINUTE)
                close = before[1] if before else None
            begin = rows[-1].open_ms // MINUTE + 1 if rows else first
            for bar in range(begin, ended + 1):
                if close is not None:
                    known[bar] = (close, close, close, close, 0.0, 0)
        return [known[bar] for bar in range(first, last + 1)]

    def judge(self, market: int, last_rows: int = 1 << 30) -> int:
        """Compare the newest closed rows with the truth; how many of them lack their last trades.

        A row may lack trades only if it is not confirmed and if no untouched frame told of them.
        """
        engine = self.engine
        start, closed = kit.word(engine, "start", market), kit.word(engine, "closed", market)
        if kit.word(engine, "newest", market) < 0 or closed < start:
            return 0
        first = max(start, closed + 1 - last_rows)
        found = list(
            zip(
                *(kit.column(engine, f, market, first, closed).tolist() for f in kit.FIELDS),
                strict=True,
            )
        )
        expected = self.truth(market, first, closed)
        if found == expected:
            return 0
        marks = kit.column(engine, "flags", market, first, closed)
        short = 0
        before_differs = True
        for k, (row_, true) in enumerate(zip(found, expected, strict=True)):
            where = f"{self.coins[market]}, bar {first + k}: {row_}, in truth {true}"
            if row_ == true:
                before_differs = False
                continue
            short += 1
            assert not marks[k] & CONFIRMED, f"confirmed and wrong: {where}"
            if true[-1] == 0:
                assert before_differs, f"a silent minute at another price: {where}"
                assert row_[-1] == 0, where
            else:
                told = self._told.get((market, first + k), 0)
                assert told <= row_[-1] < true[-1], f"{told} trades were told: {where}"
            before_differs = True
        return short

    def settled(self) -> bool:
        """Is everything up again, and nothing left to ask or to correct?"""
        up = all(socket is not None and socket.dead_ms is None for socket in self.sockets)
        up = up and all(ledger.since is not None for ledger in self.engine.book.ledgers)
        if not up or self.exchange.now_ms < self.asleep_until:
            return False
        # The half-hourly look at silent markets goes on for ever.
        asks = [
            ask
            for ask in self.engine.history.wanted(self.now_ms + 3_600_000)
            if ask.kind != "confirm"
            or self.engine.book.ledgers[ask.market].traded
            > kit.word(self.engine, "confirmed", ask.market)
        ]
        return not asks and not self._answers and not self._late

    def finish(self) -> int:
        """Every closed row is true, none is missing, every stat is TA-Lib's; rows compared."""
        engine, total = self.engine, 0
        kit.check(engine)
        now_bar = int(self.now_ms // MINUTE)
        for market, coin in enumerate(self.coins):
            if self.exchange.desk(coin).series.last_before(self.exchange.now_ms) is None:
                assert kit.word(engine, "newest", market) == -1
                assert kit.status(engine, market) == "quiet"
                continue
            start, newest = kit.span(engine, market)
            origin, closed = kit.word(engine, "origin", market), kit.word(engine, "closed", market)
            assert newest == now_bar, f"{coin} is {now_bar - newest} minutes behind"
            assert closed >= now_bar - 2, f"{coin}: {now_bar - closed} minutes are not closed"
            assert start == max(origin, engine.book.writer.grid + 2 - engine.book.capacity), coin
            assert newest + 1 - start >= min(newest + 1 - origin, engine.book.writer.spec.history)
            assert self.judge(market) == 0, f"{coin} lacks trades at the end"
            rows = np.array(self.truth(market, origin, closed))
            while closed < newest:
                closed += 1
                last = [[kit.row(engine, closed, market)[name] for name in kit.FIELDS]]
                rows = np.concatenate([rows, np.array(last)])
            columns = {name: np.ascontiguousarray(rows[:, k]) for k, name in enumerate(kit.FIELDS)}
            kit.assert_stats(engine, columns, origin, market)
            assert kit.status(engine, market) in {"live", "quiet"}
            total += newest + 1 - start
        return total


def begin(world: World, kind: str, size: int) -> None:
    """One fault of the plan begins; those of REST and of frames last until `calm`."""
    faults, number = world.faults, size % len(world.sockets)
    if kind in {"drop", "freeze"}:
        getattr(world, kind)(number, AWAY_MS[size % len(AWAY_MS)])
    elif kind == "suspend":
        world.suspend((4_000, 30_000, 90_000, 300_000, 1_200_000)[size % 5])
    elif kind == "calm":
        world.faults = Faults()
    elif kind == "rest slow":
        faults.rest_delay_ms = (2_000, 20_000, 80_000, 200_000)[size % 4]
    elif kind == "rest down":
        faults.rest_down = True
    elif kind == "rest lags":
        faults.rest_lag_ms = (500, 2_000, 5_000)[size % 3]
    else:
        setattr(faults, kind.replace(" ", "_"), 0.3)


def live_through(world: World, plan: Plan, *, until_ms: int, look_every: int = 16) -> int:
    """Run the plan (ms after the one before, fault, its size), looking all the time; rows seen."""
    looked = 0

    def on(for_ms: int) -> None:
        nonlocal looked
        for k, _ in enumerate(world.run(for_ms)):
            if k % look_every == 0:
                kit.check(world.engine)
                for market in range(len(world.coins)):
                    world.judge(market, 30)
                looked += 1

    for wait_ms, kind, size in plan:
        on(wait_ms)
        begin(world, kind, size)
    on(max(0, until_ms - (world.exchange.now_ms - world.exchange.start_ms)))
    world.faults = Faults()
    for _ in range(60):
        on(MINUTE // 2)
        if world.settled() and world.exchange.now_ms % MINUTE > 12_000:
            break
    else:
        pytest.fail(f"not settled: {world.engine.history.wanted(world.now_ms)}")
    on(STEP_MS)
    return world.finish()


def random_plan(seed: int, faults: int, mean_ms: int) -> Plan:
    dice = Random(seed)
    return [
        (int(dice.expovariate(1 / mean_ms)), dice.choice(KINDS), dice.randrange(60))
        for _ in range(faults)
    ]


def test_an_undisturbed_hour_is_true_row_for_row() -> None:
    world = World(MARKETS, seed=3)
    assert live_through(world, [], until_ms=60 * MINUTE) > 5 * 60
    assert world.engine.book.counters["closed"] >= 5 * 59


@pytest.mark.parametrize("seed", [1, 4])
def test_through_an_hour_of_faults_nothing_false_is_published_and_all_is_true_in_the_end(
    seed: int,
) -> None:
    world = World(
        MARKETS, seed=seed, sockets=1 + seed % 2, start_ms=kit.BAR * MINUTE + 17_345 * seed
    )
    rows = live_through(world, random_plan(seed, 30, 2 * MINUTE), until_ms=60 * MINUTE)
    assert rows > 5 * 60
    assert {"drop", "suspend"} & set(world.seen)


faults = st.tuples(st.integers(0, 3 * MINUTE), st.sampled_from(KINDS), st.integers(0, 59))


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=st.lists(faults, max_size=8),
    seed=st.integers(1, 1_000),
    begin_ms=st.integers(0, MINUTE - 1),
    sockets=st.integers(1, 2),
)
@example(plan=[(2605, "calm", 0), (1320, "suspend", 39)], seed=1, begin_ms=1560, sockets=1)
def test_whatever_goes_wrong_and_when_the_rows_are_true_in_the_end(
    plan: Plan, seed: int, begin_ms: int, sockets: int
) -> None:
    world = World(SOME, seed=seed, start_ms=kit.BAR * MINUTE + begin_ms, sockets=sockets)
    assert live_through(world, plan, until_ms=3 * MINUTE, look_every=8) > 0


@pytest.mark.parametrize("kind", ["drop", "freeze"])
@pytest.mark.parametrize("away_ms", AWAY_MS)
@pytest.mark.parametrize("second", [0, 1, 57, 59])
def test_an_outage_at_any_time_of_the_minute_and_of_the_first_fill(
    kind: str, away_ms: int, second: int
) -> None:
    """It begins `second` s into a minute, the socket just up and the first fill under way."""
    start_ms = kit.BAR * MINUTE + second * 1_000
    world = World(SOME[1:], seed=away_ms + second, start_ms=start_ms)
    world.faults.rest_delay_ms = 3_000
    plan = [(1_000, kind, AWAY_MS.index(away_ms)), (away_ms + 30_000, kind, 1), (0, "calm", 0)]
    assert live_through(world, plan, until_ms=0) > 0


@pytest.mark.parametrize("minutes", [0.5, 5, 20])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_process_that_stood_still_is_true_again(minutes: float, seed: int) -> None:
    world = World(SOME, seed=seed)
    for _ in world.run(3 * MINUTE):
        pass
    world.suspend(int(minutes * MINUTE))
    assert live_through(world, [], until_ms=0) > 0


def test_a_missing_tail_is_corrected_when_rest_confirms() -> None:
    """The exchange does not send every minute's last trades: closed first, then corrected."""
    world = World(MARKETS[:1], seed=5)
    short = 0
    for _ in world.run(60 * MINUTE):
        short = max(short, world.judge(0, 5))
    assert short == 1
    assert world.exchange.missing_tails() > 0
    live_through(world, [], until_ms=0)
    assert kit.word(world.engine, "revision") - 1 == world.engine.book.counters["corrected"] > 0
