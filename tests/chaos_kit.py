"""A day of many markets in one process: exchange core, protocol, engine, ring, and no sockets.

The exchange's own faults do the damage; this plays the feed's and the REST client's part on a
virtual clock, in steps of `STEP_MS`, so that a seed reproduces its run to the bit.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

import engine_kit as kit
from monitor.budget import WeightBudget, weight_of
from monitor.engine import WITNESSES
from monitor.errors import ProtocolError
from monitor.exchange import Exchange, ExchangeConfig, Market, RefusedConnection, Session
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.ledger import Ask, Stream
from monitor.protocol import (
    Bbo,
    Candle,
    Malformed,
    ServerError,
    Subscribed,
    Subscription,
    check_candle,
    decode,
    decode_candles,
    subscribe,
    unsubscribe,
)
from ringbuf.layout import WORD

__all__ = ["Chaos", "many_markets"]

MINUTE = kit.MINUTE
STEP_MS = 500
PING_MS, SILENCE_MS, ACK_MS, BACK_MS = 5_000, 12_000, 10_000, 1_500
STALL_MS = 10_000
ASK_EVERY = 4
URGENT_AT_ONCE, BACKGROUND_AT_ONCE = 4, 2
TIMEOUT_MS = 20_000
PENDING_BARS = 15
"""So many minutes the background may need to confirm all markets within its budget."""
BEACON = Subscription("bbo", "BTC")
_WITHOUT_CANDLES = frozenset({"bbo", "pong", "error", "subscriptionResponse"})


def many_markets(count: int, seed: int) -> tuple[Market, ...]:
    """`count` markets, a third of them mostly silent; the rest trade now and then to busily."""
    dice = Random(seed)
    markets = [Market("BTC", "perp", 12.0, 86_000.0, 5)]
    for number in range(1, count):
        price = 10 ** dice.uniform(-2, 4)
        if number % 3 == 0:
            rate = 10 ** dice.uniform(-3.5, -1.5)
            markets.append(Market(f"@{number}", "spot", rate, price, 2, base=f"T{number}"))
        else:
            markets.append(Market(f"C{number}", "perp", 10 ** dice.uniform(-1.2, 0.7), price, 1))
    return tuple(markets)


@dataclass(eq=False)
class Socket:
    """One socket of ours, and what a feed remembers of it."""

    session: Session
    stream: Stream
    asked: dict[Subscription, int]
    heard_ms: int
    pinged_ms: int
    # Of each market: the newest state told, as (bar, trades), and when another was ahead first.
    told: dict[str, tuple[int, int]] = field(default_factory=dict)
    behind_ms: dict[str, int] = field(default_factory=dict)


class Chaos:
    """The whole of it; `run` goes on for some time, `finish` compares with the truth.

    `guessed` has closed carried rows over minutes that had trades, `mistaken` confirmed rows that
    were not the truth, at the moment that they were closed or confirmed, however soon they were
    corrected.
    """

    def __init__(
        self,
        markets: Sequence[Market],
        faults: Mapping[str, str | float],
        *,
        seed: int = 1,
        start_ms: int = kit.BAR * MINUTE + 17_345,
        history: int = 1_440,
        sockets: int = 2,
        lag_ms: int = 60,
        budget: WeightBudget | None = None,
        watchful: bool = True,
    ) -> None:
        config = ExchangeConfig(markets=tuple(markets), seed=seed, faults=faults)
        self.exchange = Exchange(config, start_ms)
        self.coins = [market.coin for market in markets]
        self.engine = kit.make_engine(self.coins, history=history, witnesses=WITNESSES)
        self.dice = Random(seed)
        self.lag_ms = lag_ms
        self.budget = budget or WeightBudget()
        self.watchful = watchful
        self.seen: Counter[str] = Counter()
        self.guessed: set[tuple[str, int]] = set()
        self.mistaken: set[tuple[str, int]] = set()
        self.sockets: list[Socket | None] = [None] * sockets
        self.back_ms = [start_ms] * sockets
        self.rest_dead = False
        self._wanted = [Subscription("candle", coin, "1m") for coin in self.coins]
        self._numbers = itertools.count()
        self._answers: list[tuple[int, int, Ask, list[Candle] | None]] = []
        self._steps = 0
        self._done = np.full((len(self.coins), 2), -1, np.int64)
        self._volumes: dict[str, tuple[str, int]] = {}

    @property
    def now_ms(self) -> float:
        """The engine's clock: late by what frames are under way."""
        return float(self.exchange.now_ms - self.lag_ms)

    @property
    def bar(self) -> int:
        """The running minute."""
        return int(self.now_ms // MINUTE)

    # -- time ----------------------------------------------------------------------------------

    def run(self, for_ms: int, *, look_every: int = 0) -> None:
        """Go on for so long; check the ring's invariants every so many steps."""
        end = self.exchange.now_ms + for_ms
        while self.exchange.now_ms < end:
            self.step()
            if look_every and self._steps % look_every == 0:
                kit.check(self.engine)

    def step(self) -> None:
        """One step of the exchange, then of everything else."""
        self._steps += 1
        self.exchange.advance(self.exchange.now_ms + STEP_MS)
        for number, socket in enumerate(self.sockets):
            if socket is None:
                self._connect(number)
            else:
                self._listen(number, socket)
        self.engine.tick(self.now_ms)
        self._observe()
        if self._steps % ASK_EVERY == 0:
            if self.watchful:
                self._find_stalls()
            self._rest()
            self._observe()

    # -- sockets -------------------------------------------------------------------------------

    def _connect(self, number: int) -> None:
        now = self.exchange.now_ms
        if now < self.back_ms[number]:
            return
        try:
            session = self.exchange.connect()
        except RefusedConnection:
            self.back_ms[number] = now + 10_000
            return
        self.seen["connects"] += 1
        asked = dict.fromkeys([BEACON, *self._wanted], now)
        socket = Socket(session, Stream(f"socket {number}"), asked, now, now)
        self.sockets[number] = socket
        for subscription in asked:
            self._send(socket, subscribe(subscription))

    def _send(self, socket: Socket, message: bytes) -> None:
        self.exchange.receive(socket.session, message.decode())

    def _listen(self, number: int, socket: Socket) -> None:
        now = self.exchange.now_ms
        for frame in socket.session.take():
            self._hear(socket, frame)
        if socket.session.closing is not None or now - socket.heard_ms > SILENCE_MS:
            self.end(number)
            return
        for subscription, asked_ms in socket.asked.items():
            if now - asked_ms > ACK_MS:
                socket.asked[subscription] = now
                self._send(socket, subscribe(subscription))
        if now - socket.pinged_ms >= PING_MS:
            socket.pinged_ms = now
            self._send(socket, b'{"method":"ping"}')

    def end(self, number: int, away_ms: int = BACK_MS) -> None:
        """The socket is gone, and back after `away_ms`."""
        socket = self.sockets[number]
        assert socket is not None
        self.sockets[number] = None
        self.back_ms[number] = self.exchange.now_ms + away_ms
        self.exchange.disconnect(socket.session)
        self.engine.unwatch(socket.stream, self.now_ms)

    def _hear(self, socket: Socket, frame: str) -> None:
        event = decode(frame)
        engine, stream = self.engine, socket.stream
        if isinstance(event, Candle):
            if event.coin not in engine.book.index:
                self.seen["unknown coin"] += 1
                engine.unreadable(stream, self.now_ms)
                return
            self.seen["frames"] += 1
            if check_candle(event, now_ms=self.now_ms) is None:
                state = (event.open_ms // MINUTE, event.trades)
                socket.told[event.coin] = max(socket.told.get(event.coin, state), state)
            engine.candle(event, self.now_ms, 1)
        elif isinstance(event, Bbo):
            self._prove(stream, event.time_ms)
            # Not by a pong: a socket that has nothing else to say any more sends those, too.
            socket.heard_ms = self.exchange.now_ms
        elif isinstance(event, (Subscribed, ServerError)):
            told = event.subscription
            if isinstance(event, Subscribed) and event.method != "subscribe":
                return
            if told in socket.asked and told is not None:
                del socket.asked[told]
                if told.type == "candle" and told.coin is not None:
                    engine.watch(engine.book.index[told.coin], stream, self.now_ms)
        elif isinstance(event, Malformed):
            self.seen["malformed"] += 1
            if event.channel not in _WITHOUT_CANDLES:
                engine.unreadable(stream, self.now_ms)

    def _prove(self, stream: Stream, alive_ms: float) -> None:
        stream.alive_ms = max(stream.alive_ms, min(alive_ms, self.now_ms))

    def _find_stalls(self) -> None:
        """Contrary evidence: another stream that is ahead, a day's volume that moved."""
        up = [socket for socket in self.sockets if socket is not None]
        now = self.exchange.now_ms
        for coin in self.coins:
            newest = max((socket.told.get(coin, (0, 0)) for socket in up), default=(0, 0))
            for socket in up:
                if socket.told.get(coin, (0, 0)) >= newest:
                    socket.behind_ms.pop(coin, None)
                elif now - socket.behind_ms.setdefault(coin, now) > STALL_MS:
                    self._renew(socket, coin)
                    socket.told[coin] = newest  # it will not tell of what is over
        if self._steps % 40 == 0:
            for coin in self.coins:
                volume = self.exchange.desk(coin).day(now)[1]
                before, bar = self._volumes.get(coin, (volume, 0))
                if volume == before:
                    continue
                for socket in up:
                    told = socket.told.get(coin, (0, 0))[0]
                    if told < bar < self.bar:
                        self._renew(socket, coin)
                        socket.told[coin] = (self.bar, 0)
                self._volumes[coin] = (volume, self.bar)
            for coin in self.coins:
                if coin not in self._volumes:
                    self._volumes[coin] = (self.exchange.desk(coin).day(now)[1], 0)

    def _renew(self, socket: Socket, coin: str) -> None:
        subscription = Subscription("candle", coin, "1m")
        if subscription in socket.asked:
            return
        self.seen["stalls found"] += 1
        market = self.engine.book.index[coin]
        self.engine.unwatch(socket.stream, self.now_ms, [market])
        socket.behind_ms.pop(coin, None)
        socket.asked[subscription] = self.exchange.now_ms
        self._send(socket, unsubscribe(subscription))
        self._send(socket, subscribe(subscription))

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
        under_way = Counter(ask.urgent for _, _, ask, _ in self._answers)
        free = {
            True: URGENT_AT_ONCE - under_way[True],
            False: BACKGROUND_AT_ONCE - under_way[False],
        }
        for ask in history.wanted(self.now_ms):
            if free[ask.urgent] <= 0:
                continue
            free[ask.urgent] -= 1
            weight = weight_of("candleSnapshot", ask.last - ask.first + 1)
            if self.budget.reserve(weight, self.now_ms, urgent=ask.urgent) > self.now_ms:
                continue
            history.sent(ask)
            self.seen[ask.kind] += 1
            rows, delay = self._ask(ask)
            heapq.heappush(self._answers, (now + delay, next(self._numbers), ask, rows))

    def _ask(self, ask: Ask) -> tuple[list[Candle] | None, int]:
        if self.rest_dead:
            return None, 1_000
        start_ms, end_ms, name = ask.first * MINUTE, (ask.until + 1) * MINUTE - 1, "1m"
        if ask.kind == "last_close":
            start_ms, name = start_ms - 4_000 * 86_400_000, "1d"
        inner = {"coin": self.coins[ask.market], "interval": name}
        request = {**inner, "startTime": start_ms, "endTime": end_ms}
        body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
        answer = self.exchange.info(body)
        delay = int(120 * (0.5 + 3 * self.dice.random()))
        if answer.status == 429:
            self.budget.pause(self.now_ms + 500)
        if answer.fault == "http_timeout":
            return None, TIMEOUT_MS
        if answer.status != 200 or answer.fault:
            return None, delay
        try:
            return decode_candles(answer.body.encode()), delay
        except ProtocolError:
            return None, delay

    # -- truth ---------------------------------------------------------------------------------

    def _observe(self) -> None:
        """Look at every row that has just been closed or confirmed: was it right?"""
        controls = self.engine.book.controls
        done = controls[:, [WORD["closed"], WORD["confirmed"]]]
        for market in np.flatnonzero((done != self._done).any(axis=1)).tolist():
            before, last = int(self._done[market].min()), int(done[market].max())
            if 0 <= before < last:
                self._judge(market, max(before + 1, last - 59), last)
        self._done[:] = done

    def _judge(self, market: int, first: int, last: int) -> None:
        coin, rows = self.coins[market], self.engine.book.rows(market, first, last)
        true = self.truth(coin, first, last)
        missing = last + 1 - first - len(true)
        for k in np.flatnonzero(rows.known & (rows.flags & CLOSED > 0)).tolist():
            if k < missing:
                continue  # before its first trade
            right = (*rows.prices[k].tolist(), int(rows.trades[k])) == true[k - missing]
            if rows.flags[k] & CARRIED and true[k - missing][-1]:
                self.guessed.add((coin, first + k))
            if rows.flags[k] & CONFIRMED and not right:
                self.mistaken.add((coin, first + k))

    def truth(self, coin: str, first: int, last: int) -> list[tuple[float, ...]]:
        """What the ended bars first..last are: flat behind the last trade; (o, h, l, c, v, n)."""
        listed = self.exchange.truth(coin, first * MINUTE, (last + 1) * MINUTE - 1)
        rows: list[tuple[float, ...]] = [tuple(row[1:]) for row in listed]
        if rows:
            close = rows[-1][3]
        else:
            before = self.exchange.desk(coin).series.last_before(first * MINUTE)
            assert before is not None
            close = before[1]
        return rows + [(close, close, close, close, 0.0, 0)] * (last + 1 - first - len(rows))

    def calm(self, for_ms: int = 45 * MINUTE) -> None:
        """All faults end; everything has time to be asked."""
        faults = self.exchange.faults
        faults.update(dict.fromkeys(faults.values))
        self.rest_dead = False
        self.run(for_ms + MINUTE - (self.exchange.now_ms + for_ms - 15_000) % MINUTE)

    def finish(self) -> dict[str, int]:
        """Compare all that is readable with the truth, stats with TA-Lib; what was compared."""
        engine = self.engine
        kit.check(engine)
        found: Counter[str] = Counter()
        for market, coin in enumerate(self.coins):
            if self.exchange.desk(coin).series.last_before(self.exchange.now_ms) is None:
                assert kit.word(engine, "newest", market) == -1
                continue
            start, newest = kit.span(engine, market)
            origin, closed = kit.word(engine, "origin", market), kit.word(engine, "closed", market)
            assert newest == self.bar, f"{coin} is {self.bar - newest} minutes behind"
            assert closed >= self.bar - 2, f"{coin}: {self.bar - closed} minutes are not closed"
            assert start == max(origin, engine.book.writer.grid + 2 - engine.book.capacity), coin
            true = self.truth(coin, origin, closed)
            rows = engine.book.rows(market, start, newest)
            marks = rows.flags
            for bar in range(start, closed + 1):
                k = bar - start
                row = (*rows.prices[k].tolist(), int(rows.trades[k]))
                if (
                    bar > self.bar - PENDING_BARS
                    and not marks[k] & CONFIRMED
                    and 0 < row[-1] < true[bar - origin][-1]
                ):
                    # It lacks last trades that no frame told of; REST has not been asked yet.
                    found["to be confirmed"] += 1
                    true[bar - origin] = row
                assert row == true[bar - origin], (
                    f"{coin}, minute {bar} ({self.bar - bar} ago), flags {marks[k]}: {row}, "
                    f"in truth {true[bar - origin]}"
                )
                found["confirmed"] += bool(marks[k] & CONFIRMED)
                found["carried"] += bool(marks[k] & CARRIED)
            found["rows"] += closed + 1 - start
            last = [
                (*rows.prices[k].tolist(), float(rows.trades[k]))
                for k in range(closed + 1 - start, newest + 1 - start)
            ]
            table = np.array([*true, *last], np.float64)
            columns = {name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(kit.FIELDS)}
            kit.assert_stats(engine, columns, origin, market)
            found["stats"] += (newest + 1 - start) * len(kit.STATS)
        return dict(found)
