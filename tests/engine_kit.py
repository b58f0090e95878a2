"""What the engine's tests share: an engine in memory, its invariants, and a world around it.

`World` joins an engine to the embedded exchange's pure core under a virtual clock: no socket, no
waiting, every fault on purpose. What it says of rows is said against the exchange's truth.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import talib

import indicators
from monitor import kernels
from monitor.book import COUNTERS, INTERVAL_MS, STATUSES
from monitor.engine import Engine
from monitor.exchange import Exchange, ExchangeConfig, Market, Session
from monitor.exchange.intervals import INTERVALS
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.ledger import Ask, Stream
from monitor.protocol import Candle, Subscribed, Subscription, decode, decode_candles, subscribe
from ringbuf import layout
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import in_memory

STATS = ("ATR14", "RSI5", "EMA20", "SMA9")
BAR = 29_900_000
"""A minute to begin at."""
MINUTE = INTERVAL_MS
FIELDS = ("open", "high", "low", "close", "volume", "trades")
STEP_MS = 500
ASKS_AT_ONCE = 4
SILENCE_MS = 12_000

Floats = npt.NDArray[np.float64]


def make_engine(
    coins: Sequence[str], *, history: int = 20, stats: Sequence[str] = STATS, **settings: Any
) -> Engine:
    """An engine over a store in private memory, with `coins` as its series."""
    plan = indicators.plan(list(stats), history=history)
    kinds = ("M", "f", "f", "f", "f", "f", "i", "i")
    candle_columns = [
        Column(name, kind) for name, kind in zip(kernels.CANDLE_COLUMNS, kinds, strict=True)
    ]
    spec = StoreSpec(
        name="test",
        series=tuple(Series(f"market{k}", coin) for k, coin in enumerate(coins)),
        columns=(*candle_columns, *(Column(column.name) for column in plan.columns)),
        history=history,
        interval_ms=MINUTE,
        lookback=plan.lookback + plan.runup,
        counters=COUNTERS,
        statuses=STATUSES,
    )
    return Engine(in_memory(spec), plan, coins, **settings)


def candle(
    coin: str,
    bar: int,
    price: float = 100.0,
    trades: int = 3,
    *,
    close: float | None = None,
    volume: float | None = None,
) -> Candle:
    """A valid 1-minute candle; without trades it is flat at `price`."""
    close = price if close is None else close
    wick = 1.0 if trades else 0.0
    return Candle(
        open_ms=bar * MINUTE,
        close_ms=bar * MINUTE + MINUTE - 1,
        coin=coin,
        interval="1m",
        open=price,
        high=max(price, close) + wick,
        low=min(price, close) - wick,
        close=close,
        volume=(2.0 * trades) if volume is None else volume,
        trades=trades,
    )


def word(engine: Engine, name: str, market: int = 0) -> int:
    """A word of a market's control record."""
    return int(engine.book.controls[market, WORD[name]])


def status(engine: Engine, market: int = 0) -> str:
    """The status that readers see."""
    return STATUSES[word(engine, "status", market)]


def span(engine: Engine, market: int = 0) -> tuple[int, int]:
    """First and last readable bar, as far as the ring goes."""
    return word(engine, "start", market), word(engine, "newest", market)


def column(
    engine: Engine, name: str, market: int = 0, first: int | None = None, last: int | None = None
) -> npt.NDArray[Any]:
    """A column's readable rows `first` .. `last` as a reader's view has them."""
    writer = engine.book.writer
    begin, newest = span(engine, market)
    first = begin if first is None else first
    last = newest if last is None else last
    end = last % writer.geometry.capacity + writer.geometry.capacity + 1
    kind = writer.spec.columns[writer.column[name]].kind
    block: npt.NDArray[Any] = writer.floats if kind == "f" else writer.integers
    values: npt.NDArray[Any] = block[market, writer.column[name], end - (last - first + 1) : end]
    return values


def row(engine: Engine, bar: int, market: int = 0) -> dict[str, Any]:
    """One row as a mapping of column name to value."""
    names = engine.book.writer.column
    return {name: column(engine, name, market, bar, bar)[0].item() for name in names}


def flags(engine: Engine, bar: int, market: int = 0) -> int:
    """The flags of a row."""
    return int(row(engine, bar, market)["flags"])


def check(engine: Engine) -> None:
    """Every invariant of the store that does not need the truth; AssertionError names the first."""
    writer = engine.book.writer
    capacity, grid = writer.geometry.capacity, writer.grid
    first, second = writer.integers[:, :, :capacity], writer.integers[:, :, capacity:]
    assert (first == second).all(), "the two copies of some row differ"
    named = [writer.column[stat] for stat in writer.column if stat not in kernels.CANDLE_COLUMNS]
    times = writer.integers[:, writer.column["time"], :capacity]
    if grid >= 0:
        assert (times[:, (grid + 1) % capacity] == layout.EMPTY_TIME).all(), "next slot not clear"
    for market, ledger in enumerate(engine.book.ledgers):
        where = f"{engine.book.coins[market]} with words {writer.controls[market, :16]}"
        assert word(engine, "sequence", market) % 2 == 0, where
        start, newest = span(engine, market)
        closed = word(engine, "closed", market)
        if newest < 0:
            continue
        assert start <= newest <= grid, where
        assert closed <= newest, where
        assert newest - start < capacity, where
        ahead = range(newest + 1, min(grid + 2, start + capacity))
        assert all(times[market, bar % capacity] == layout.EMPTY_TIME for bar in ahead), where
        bars = np.arange(start, newest + 1)
        assert (column(engine, "time", market) == bars * MINUTE).all(), where
        marks = column(engine, "flags", market)
        assert ((marks & CLOSED != 0) == (bars <= closed)).all(), (where, marks)
        assert (marks[marks & CONFIRMED != 0] & CLOSED != 0).all(), where
        o, h, l, c, v, n = (column(engine, name, market) for name in FIELDS)
        for prices in (o, h, l, c):
            assert (np.isfinite(prices) & (prices > 0)).all(), where
        assert ((l <= o) & (o <= h) & (l <= c) & (c <= h)).all(), where
        carried = marks & CARRIED != 0
        assert ((n[carried] == 0) & (v[carried] == 0.0)).all(), where
        flat = (o == h) & (h == l) & (l == c)
        assert flat[carried].all(), where
        follows = carried[1:]
        assert (c[1:][follows] == c[:-1][follows]).all(), where
        if not engine.book.whole(market):
            assert all(np.isnan(writer.floats[market, k, bars % capacity]).all() for k in named)
        if ledger.filled and engine.book.whole(market):
            assert ledger.certain <= max(newest, closed), where


def rsi(close: Floats, n: int) -> Floats:
    """TA-Lib's RSI but for its 0 where nothing moves: then the mirrored prices are at 0 as well."""
    values: Floats = talib.RSI(close, n)
    values[(values == 0.0) & (talib.RSI(-close, n) == 0.0)] = 50.0
    return values


def oracle(rows: dict[str, Floats]) -> dict[str, Floats]:
    """TA-Lib's values of `STATS` over rows from the origin on."""
    return {
        "ATR14": talib.ATR(rows["high"], rows["low"], rows["close"], 14),
        "RSI5": rsi(rows["close"], 5),
        "EMA20": talib.EMA(rows["close"], 20),
        "SMA9": talib.SMA(rows["close"], 9),
    }


def assert_stats(engine: Engine, rows: dict[str, Floats], origin: int, market: int = 0) -> None:
    """The readable stats are TA-Lib's over `rows`, which begin at bar `origin`."""
    start, newest = span(engine, market)
    for name, expected in oracle(rows).items():
        np.testing.assert_allclose(
            column(engine, name, market),
            expected[start - origin : newest - origin + 1],
            rtol=1e-9,
            atol=1e-11 if name == "RSI5" else 0.0,
            err_msg=f"{name} of {engine.book.coins[market]}",
        )


def ring_rows(engine: Engine, market: int = 0) -> dict[str, Floats]:
    """The readable candle columns as floats."""
    return {name: column(engine, name, market).astype(np.float64) for name in FIELDS}


# --- a world -------------------------------------------------------------------------------------


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
        start_ms: int = BAR * MINUTE + 17_345,
        history: int = 60,
        sockets: int = 1,
        lag_ms: int = 60,
    ) -> None:
        self.exchange = Exchange(ExchangeConfig(markets=tuple(markets), seed=seed), start_ms)
        self.coins = [market.coin for market in markets]
        self.engine = make_engine(self.coins, history=history)
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
        start_ms, end_ms, name = ask.first * MINUTE, (ask.last + 1) * MINUTE - 1, "1m"
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
        """What bars first..last (all ended) finally are: `FIELDS`, flat behind the last trade."""
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
        start, closed = word(engine, "start", market), word(engine, "closed", market)
        if word(engine, "newest", market) < 0 or closed < start:
            return 0
        first = max(start, closed + 1 - last_rows)
        found = list(
            zip(*(column(engine, f, market, first, closed).tolist() for f in FIELDS), strict=True)
        )
        expected = self.truth(market, first, closed)
        if found == expected:
            return 0
        marks = column(engine, "flags", market, first, closed)
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
        asks = self.engine.history.wanted(self.now_ms + 3_600_000)
        return not asks and not self._answers and not self._late

    def finish(self) -> int:
        """Every closed row is true, none is missing, every stat is TA-Lib's; rows compared."""
        engine, total = self.engine, 0
        check(engine)
        now_bar = int(self.now_ms // MINUTE)
        for market, coin in enumerate(self.coins):
            if self.exchange.desk(coin).series.last_before(self.exchange.now_ms) is None:
                assert word(engine, "newest", market) == -1
                assert status(engine, market) == "quiet"
                continue
            start, newest = span(engine, market)
            origin, closed = word(engine, "origin", market), word(engine, "closed", market)
            assert newest == now_bar, f"{coin} is {now_bar - newest} minutes behind"
            assert closed >= now_bar - 2, f"{coin}: {now_bar - closed} minutes are not closed"
            assert start == max(origin, engine.book.writer.grid + 2 - engine.book.capacity), coin
            assert newest + 1 - start >= min(newest + 1 - origin, engine.book.writer.spec.history)
            assert self.judge(market) == 0, f"{coin} lacks trades at the end"
            rows = np.array(self.truth(market, origin, closed))
            while closed < newest:
                closed += 1
                last = [[row(engine, closed, market)[name] for name in FIELDS]]
                rows = np.concatenate([rows, np.array(last)])
            columns = {name: np.ascontiguousarray(rows[:, k]) for k, name in enumerate(FIELDS)}
            assert_stats(engine, columns, origin, market)
            assert status(engine, market) in {"live", "quiet"}
            total += newest + 1 - start
        return total


class Desk:
    """One market, driven by hand: its engine, its stream, its clock, and a REST that is asked.

    `rest` is what the exchange would list, by bar. Every minute before `BAR` has three trades at a
    price of its own; the clock begins 30 s into `BAR`, watched, without a history.
    """

    def __init__(self, *, history: int = 20, rest_from: int = BAR - 700, coins: int = 1) -> None:
        names = [f"C{k}" for k in range(coins)]
        self.engine = make_engine(names, history=history)
        self.now = BAR * MINUTE + 30_000.0
        self.stream = Stream("first", self.now)
        self.rest = {bar: candle("C0", bar, price_of(bar)) for bar in range(rest_from, BAR)}
        self.engine.watch(0, self.stream, self.now)

    @property
    def bar(self) -> int:
        """The running minute."""
        return int(self.now // MINUTE)

    def hear(self, bar: int | None = None, price: float | None = None, trades: int = 3) -> bool:
        """A frame, which the exchange lists from then on."""
        bar = self.bar if bar is None else bar
        heard = candle("C0", bar, price_of(bar) if price is None else price, trades)
        if bar not in self.rest or self.rest[bar].trades < trades:
            self.rest[bar] = heard
        return self.engine.candle(heard, self.now, 5)

    def miss(self, bar: int | None = None, price: float | None = None, trades: int = 3) -> None:
        """A candle that REST alone tells about."""
        bar = self.bar if bar is None else bar
        self.rest[bar] = candle("C0", bar, price_of(bar) if price is None else price, trades)

    def go(self, seconds: float, *, alive: bool = True) -> bool:
        """The clock goes on, the stream lives on, the engine ticks once."""
        self.now += seconds * 1_000
        if alive and self.stream in self.engine.book.ledgers[0].streams:
            self.stream.alive_ms = self.now
        return self.engine.tick(self.now)

    def go_to(self, bar: int, seconds: float = 1.0) -> None:
        """Go to `seconds` into `bar`, ticking every second: live, but without a trade."""
        end = bar * MINUTE + seconds * 1_000
        while self.now < end:
            self.go(min(1.0, (end - self.now) / 1_000))

    def lose(self) -> None:
        """The stream is gone."""
        self.engine.unwatch(self.stream, self.now)

    def regain(self, name: str = "next") -> None:
        """Another stream is there."""
        self.stream = Stream(name, self.now)
        self.engine.watch(0, self.stream, self.now)

    def asks(self) -> list[Ask]:
        """What is to be asked of the market now."""
        return [ask for ask in self.engine.history.wanted(self.now) if ask.market == 0]

    def listed(self, ask: Ask) -> list[Candle]:
        """What REST says to it: flat rows between two trades, none behind the last."""
        rows: list[Candle] = []
        last = max((bar for bar in self.rest if bar <= self.bar), default=-1)
        for bar in range(max(ask.first, min(self.rest, default=0)), min(ask.last, last) + 1):
            close = max((b for b in self.rest if b <= bar), default=-1)
            there = self.rest.get(bar)
            rows.append(there or candle("C0", bar, self.rest[close].close, 0))
        return rows

    def answer(self, ask: Ask, rows: list[Candle] | None = None) -> bool:
        """REST answers: the truth, or `rows`."""
        self.engine.history.sent(ask)
        rows = self.listed(ask) if rows is None else rows
        return self.engine.history.answer(ask, rows, self.now, 9)

    def settle(self) -> list[Ask]:
        """Answer truly until nothing is asked any more; what was asked."""
        asked: list[Ask] = []
        while asks := self.asks():
            assert len(asked) < 20, f"asked again and again: {asked}"
            self.answer(asks[0])
            asked.append(asks[0])
        return asked

    def check(self) -> None:
        """The invariants, and every stat of a whole run is TA-Lib's from the origin."""
        check(self.engine)
        start, _ = span(self.engine)
        if self.engine.book.whole(0) and word(self.engine, "origin") == start:
            assert_stats(self.engine, ring_rows(self.engine), start)


def price_of(bar: int) -> float:
    """A price that wanders, another one for every minute."""
    return 100.0 + (bar * 7) % 13 + (bar * 3) % 5 / 8


def filled(**settings: Any) -> Desk:
    """A desk with its first history, and a live row in the running minute."""
    desk = Desk(**settings)
    desk.hear()
    desk.settle()
    desk.go(0.0)
    return desk
