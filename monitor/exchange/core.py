"""The embedded exchange without sockets and without a clock: its time is what it is told.

The truth depends on the seed, the markets and the start alone: not on when, how often or in
which steps the exchange is advanced. Not for several threads.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from .corrections import Corrections
from .desk import Desk
from .errors import ConfigError
from .faults import Faults
from .info import Answer, answer
from .intervals import INTERVALS
from .limits import IDLE_MS, SUBSCRIPTIONS, Limits
from .listing import default_markets, generated_markets, load_markets
from .prices import Process, SeededProcess
from .replay import ReplayProcess
from .sessions import Closing, Malformed, Session, Subscription, Unknown, parse_subscription
from .streams import (
    BboStream,
    BookStream,
    CandleStream,
    ContextStream,
    MidsStream,
    Stream,
    TradesStream,
    dump,
)
from .world import Market, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .candles import Candle

__all__ = ["Exchange", "ExchangeConfig"]

_PONG = '{"channel":"pong"}'
_DROP_MS = 60


@dataclass(frozen=True)
class ExchangeConfig:
    """What an embedded exchange is to be.

    `markets`: None for the default dozen, a number of invented ones, a JSON file, or the markets
    themselves. `rate`: how many times faster than the clock. `start_ms`: the exchange's time when
    it starts, None for the wall clock's. `run`: names this run, None for a new one.
    """

    markets: int | Path | Sequence[Market] | None = None
    seed: int = 1
    rate: float = 1.0
    faults: Mapping[str, str | float] = field(default_factory=dict)
    start_ms: int | None = None
    run: str | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0.01 <= self.rate <= 10_000:
            raise ConfigError("speed", self.rate, "0.01 to 10000")
        if self.seed < 0:
            raise ConfigError("seed", self.seed, "0 or more")
        if self.start_ms is not None and self.start_ms < 0:
            raise ConfigError("start", self.start_ms, "Unix milliseconds")

    def listing(self) -> tuple[Market, ...]:
        """The markets; ConfigError."""
        if self.markets is None:
            return default_markets()
        if isinstance(self.markets, int):
            return generated_markets(self.markets, self.seed)
        if isinstance(self.markets, Path):
            return load_markets(self.markets)
        return tuple(self.markets)


class Exchange:
    """The exchange. `now_ms` is its time: it goes forward by `advance` only."""

    def __init__(self, config: ExchangeConfig, start_ms: int) -> None:
        """Start at `start_ms`; ConfigError for markets, replay files or faults of no use."""
        self.config = config
        self.run = config.run or uuid4().hex[:12]
        self.start_ms = self.now_ms = start_ms
        self.world = World.of(config.listing())
        self.limits = Limits()
        self.faults = Faults(config.faults, config.seed)
        self.http_dice = self.faults.dice("http")
        self.corrections = Corrections(self.faults)
        self._delist_dice = self.faults.dice("delist")
        self._delist_ms: int | None = None
        self._version = -1
        self.counts: Counter[str] = Counter()
        self.sessions: dict[int, Session] = {}
        self._desks: dict[str, Desk] = {}
        self._replays = {
            m.coin: ReplayProcess.load(m, config.seed)
            for m in self.world.markets
            if m.replay is not None
        }
        self._numbers = 0
        self._streams: dict[Subscription, tuple[Stream, dict[int, Session]]] = {}
        self._heap: list[tuple[int, int, Subscription, Stream]] = []
        self._order = 0

    def desk(self, coin: str) -> Desk:
        """The market at work; KeyError for a coin that is not listed."""
        desk = self._desks.get(coin)
        if desk is None:
            market = self.world.by_coin[coin]
            process: Process
            if market.replay is not None:
                process = self._replays[coin]
            else:
                process = SeededProcess(market, self.config.seed, self.start_ms)
            desk = self._desks[coin] = Desk(market, process, self.config.seed, self.start_ms)
        return desk

    def truth(
        self,
        coin: str,
        start_ms: int,
        end_ms: int,
        interval: str = "1m",
        as_of_ms: int | None = None,
    ) -> list[Candle]:
        """Rows that overlap [start_ms, end_ms] as REST would finally say, the open one included.

        All that ever were, not only the retained ones. `as_of_ms`: known then; None: now.
        """
        as_of = self.now_ms if as_of_ms is None else as_of_ms
        series = self.desk(coin).series
        return series.candles(series.rows(INTERVALS[interval], start_ms, end_ms, as_of))

    def info(self, body: bytes, content_type: str = "application/json") -> Answer:
        """Answer a `POST /info`."""
        return answer(self, body, content_type)

    def mids(self, dex: str, now_ms: int) -> dict[str, str]:
        """Mid prices of a dex; those of the first one include spot."""
        markets = self.world.dexes[dex] + ([] if dex else self.world.spot)
        texts = ((m.coin, self.desk(m.coin).mid_text(now_ms)) for m in markets)
        return {coin: text for coin, text in texts if text is not None}

    # --- sockets ---------------------------------------------------------------------------------

    def connect(self) -> Session:
        """A new socket; RefusedConnection when it is one too many."""
        self.limits.connect(len(self.sessions), self.now_ms)
        self._numbers += 1
        session = self.sessions[self._numbers] = Session(self._numbers, self.now_ms, self.faults)
        self.counts["connects"] += 1
        return session

    def disconnect(self, session: Session) -> None:
        """The socket is gone, whoever ended it."""
        self.sessions.pop(session.number, None)
        for subscription in list(session.subscriptions):
            self._leave(session, subscription)

    def receive(self, session: Session, text: str | bytes) -> None:
        """A client's message, at the exchange's present time."""
        now = self.now_ms
        if session.closing is not None or session.half_open:
            return
        if not self.limits.message(now):
            session.doom(now, Closing())
            return
        try:
            message = json.loads(text)
            method = message.get("method") if isinstance(message, dict) else None
            if method == "ping":
                session.send(_PONG, now)
                return
            if method not in {"subscribe", "unsubscribe"}:
                raise Malformed
            subscription = parse_subscription(message.get("subscription"), self.world)
        except (Malformed, ValueError, RecursionError):
            echo = text if isinstance(text, str) else text.decode(errors="replace")
            self._complain(session, f"Error parsing JSON into valid websocket request: {echo}")
            return
        except Unknown:
            self.counts["unknown_coins"] += 1
            session.doom(now + _DROP_MS, Closing())
            return
        if subscription is None:
            self._complain(session, f"Invalid subscription {dump(message['subscription'])}")
        elif method == "subscribe":
            self._subscribe(session, subscription)
        else:
            self._unsubscribe(session, subscription)

    def _complain(self, session: Session, text: str) -> None:
        self.counts["errors"] += 1
        session.send(dump({"channel": "error", "data": text}), self.now_ms)

    def _acknowledge(self, session: Session, method: str, subscription: Subscription) -> None:
        data = {"method": method, "subscription": subscription.echo}
        session.send(dump({"channel": "subscriptionResponse", "data": data}), self.now_ms)

    def _subscribe(self, session: Session, subscription: Subscription) -> None:
        echo = dump(subscription.echo)
        if subscription in session.subscriptions:
            self._complain(session, f"Already subscribed: {echo}")
            return
        if sum(len(s.subscriptions) for s in self.sessions.values()) >= SUBSCRIPTIONS:
            self._complain(session, f"Invalid subscription {echo}")
            return
        session.subscriptions[subscription] = None
        session.muted.discard(subscription)
        self._acknowledge(session, "subscribe", subscription)
        if subscription not in self._streams:
            self._streams[subscription] = (self._open(subscription), {})
            self._schedule(subscription)
        stream, members = self._streams[subscription]
        members[session.number] = session
        frame = stream.snapshot(self.now_ms)
        if frame is not None and not self._withholds(subscription, stream, frame, self.now_ms):
            session.publish(subscription, frame, self.now_ms)

    def _unsubscribe(self, session: Session, subscription: Subscription) -> None:
        if subscription not in session.subscriptions:
            self._complain(session, f"Already unsubscribed: {dump(subscription.echo)}")
            return
        self._leave(session, subscription)
        self._acknowledge(session, "unsubscribe", subscription)

    def _leave(self, session: Session, subscription: Subscription) -> None:
        del session.subscriptions[subscription]
        session.muted.discard(subscription)
        stream, members = self._streams[subscription]
        del members[session.number]
        if not members:
            self._count_tails(stream)
            del self._streams[subscription]

    def _count_tails(self, stream: Stream) -> None:
        if isinstance(stream, CandleStream):
            self.counts["missing_tails"] += stream.tails
            stream.tails = 0

    def _open(self, subscription: Subscription) -> Stream:
        now = self.now_ms
        if subscription.type == "allMids":
            dex = subscription.dex or ""
            return MidsStream(lambda ms: self.mids(dex, ms), dex, now)
        assert subscription.coin is not None  # every other type names one
        desk = self.desk(subscription.coin)
        if subscription.type == "candle":
            assert subscription.interval is not None  # a candle has one
            return CandleStream(desk, INTERVALS[subscription.interval], now)
        if subscription.type == "trades":
            return TradesStream(desk, now)
        if subscription.type == "bbo":
            return BboStream(desk, now, self._told_ms)
        if subscription.type == "l2Book":
            return BookStream(desk, now, fast=subscription.fast)
        return ContextStream(desk, now)

    # --- time ------------------------------------------------------------------------------------

    def _schedule(self, subscription: Subscription) -> None:
        stream = self._streams[subscription][0]
        if stream.due_ms is not None:
            self._order += 1
            heapq.heappush(self._heap, (stream.due_ms, self._order, subscription, stream))

    def next_due_ms(self) -> int | None:
        """When `advance` has something to do next, if no message comes; None: nothing."""
        sessions = self.sessions.values()
        dues = [s.due_ms(IDLE_MS) for s in sessions if s.closing is None]
        if self._heap:
            dues.append(self._heap[0][0])
        others = (self.corrections.next_ms(), self._delist_ms)
        dues += [due for due in others if due is not None]
        return min(dues, default=None)

    def advance(self, now_ms: int) -> None:
        """Go to `now_ms` (an earlier time changes nothing); frames wait in the sessions then."""
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            due, _, subscription, stream = heapq.heappop(heap)
            found = self._streams.get(subscription)
            if found is None or found[0] is not stream or stream.due_ms is None:
                continue  # nobody listens any more, or it has ended
            self.now_ms = max(self.now_ms, due)
            frame = stream.fire(due)
            self._schedule(subscription)
            if frame is not None and not self._withholds(subscription, stream, frame, due):
                self.counts["frames"] += 1
                for session in found[1].values():
                    session.publish(subscription, frame, due)
        self.now_ms = max(self.now_ms, now_ms)
        for coin, open_ms in self.corrections.due(self.now_ms):
            self._correct(coin, open_ms)
        self._delist_in_time()
        for session in self.sessions.values():
            session.advance(self.now_ms, IDLE_MS)

    # --- faults ----------------------------------------------------------------------------------

    def told_ms(self) -> int:
        """The time that the exchange says it is."""
        return self._told_ms(self.now_ms)

    def _told_ms(self, ms: int) -> int:
        return ms + round(1000 * (self.faults.seconds("skew") or 0.0))

    def _withholds(self, subscription: Subscription, stream: Stream, frame: str, ms: int) -> bool:
        if not isinstance(stream, CandleStream) or subscription.interval != "1m":
            return False
        assert subscription.coin is not None  # a candle has one
        open_ms = json.loads(frame)["data"]["t"] if self.faults.share("correct") else 0
        return bool(open_ms) and self.corrections.withholds(subscription.coin, open_ms, frame, ms)

    def _correct(self, coin: str, open_ms: int) -> None:
        """Tell the last trades of a minute that is over."""
        minute = INTERVALS["1m"]
        subscription = Subscription("candle", "1m", coin)
        bar = self.desk(coin).series.bar(minute, minute.after(open_ms) - 1)
        if bar is None or subscription not in self._streams:
            return
        desk = self.desk(coin)
        frame = desk.series.frame(desk.coin_json, minute, bar)
        for session in self._streams[subscription][1].values():
            session.publish(subscription, frame, self.now_ms)

    def _delist_in_time(self) -> None:
        if self._version != self.faults.version:
            self._version = self.faults.version
            self._delist_ms = None
        if self._delist_ms is None:
            after = self.faults.after_ms("delist", self._delist_dice)
            self._delist_ms = None if after is None else self.now_ms + after
        elif self.now_ms >= self._delist_ms:
            self._delist_ms = None
            traded = [
                market.coin
                for market in self.world.markets
                if market.kind == "perp"
                and not market.delisted
                and market.replay is None
                and market.coin not in {"BTC", "ETH"}
            ]
            if traded:
                self.faults.counts["delist"] += 1
                self.delist(self._delist_dice.choice(traded))

    def delist(self, coin: str) -> None:
        """End the trading of a market, now and for good; KeyError, ConfigError."""
        if self.world.by_coin[coin].replay is not None:
            raise ConfigError("delist", coin, "a market with invented trading")
        desk = self.desk(coin)
        self.world.delist(coin)
        desk.end(self.world.by_coin[coin], self.now_ms)
        for subscription, (stream, _) in self._streams.items():
            if subscription.coin == coin:
                stream.due_ms = None

    def missing_tails(self) -> int:
        """Bars whose last trades no subscriber was told about."""
        for stream, _ in self._streams.values():
            self._count_tails(stream)
        return self.counts["missing_tails"]
