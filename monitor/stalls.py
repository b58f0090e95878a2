"""Streams that fall silent while their socket goes on: found, and subscribed anew.

What the sockets tell goes through here on its way to a `Witness`; every second its findings are
acted upon. The day's volumes, which REST is asked for once a minute (20 weight a dex), are more
evidence: one that has grown is a trade; one that has not changed is none (`volumes`), which lets a
minute close that only one socket has been silent about.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import anyio

from .book import INTERVAL_MS
from .clock import ExchangeClock
from .engine import Engine
from .errors import ProtocolError, RestError
from .feed import Connection
from .ledger import Stream
from .logs import RateLimited
from .markets import Market
from .protocol import Candle, check_candle
from .rest import InfoClient
from .volumes import VOLUMES_LAG_MS, Scales, day_volumes, places
from .witness import PATIENCE_S, Witness

__all__ = ["Stalls"]

log = logging.getLogger(__name__)

LOOK_S = 1.0
_QUICKEST = 10.0
"""However fast an embedded exchange runs, this machine's delays stay: patience shrinks no more."""


class Stalls:
    """Looks after the streams of `connections`; `news` is called when readers can see something."""

    def __init__(
        self, engine: Engine, client: InfoClient, clock: ExchangeClock, news: Callable[[], None]
    ) -> None:
        self.connections: Sequence[Connection] = ()
        self._engine = engine
        self._client = client
        self._clock = clock
        self._news = news
        self._pace = min(max(clock.rate, 1.0), _QUICKEST)
        self._witness = Witness(PATIENCE_S / self._pace)
        self._notes = RateLimited(log)
        self._scales = Scales()

    def subscribe_anew(self, coin: str) -> None:
        """Have every socket tell `coin` from its present state on."""
        for connection in self.connections:
            connection.renew(coin)

    def forget(self, coin: str) -> None:
        """Sockets to come do not ask for `coin`, which the exchange does not know any more."""
        for connection in self.connections:
            connection.forget(coin)

    def told(self, candle: Candle, stream: Stream, now_ms: float) -> None:
        """A candle frame came on `stream`."""
        if candle.trades > 0 and check_candle(candle, now_ms=now_ms) is None:
            now_s = self._clock.monotonic()
            self._witness.told(candle.coin, stream, candle.open_ms, candle.trades, now_s)

    def watching(self, coin: str, stream: Stream) -> None:
        """See `sockets.Listener`."""
        self._witness.watching(coin, stream, self._clock.monotonic())

    def unwatched(self, coin: str, stream: Stream) -> None:
        """See `sockets.Listener`."""
        self._witness.unwatched(coin, stream)

    def lost(self, stream: Stream) -> None:
        """See `sockets.Listener`."""
        self._witness.lost(stream)

    async def look(self) -> None:
        """Act upon what the witness finds, until cancelled."""
        while True:
            await anyio.sleep(LOOK_S / self._pace)
            now_s = self._clock.monotonic()
            # Where the whole socket is silent, it is the socket that will be replaced.
            alive_ms = self._clock.now_ms() - PATIENCE_S * 1_000.0 * self._clock.rate
            for coin, stream, heard_s in self._witness.silent(now_s):
                if stream.alive_ms >= alive_ms:
                    self._renew(coin, stream, now_s - heard_s)

    def _renew(self, coin: str, stream: Stream, silent_s: float) -> None:
        book = self._engine.book
        market = book.index[coin]
        if not any(each.again(coin, stream) for each in self.connections):
            return
        book.counters["stalls"] += 1
        self._notes.log(
            "stall",
            logging.WARNING,
            "socket %s: silent about %s for %.0f s, against evidence: subscribed anew",
            stream.name,
            coin,
            silent_s,
        )
        if book.ledgers[market].since is None:
            # Nobody else has told what this stream has not: its silence proved nothing.
            now_ms = self._clock.now_ms()
            since_ms = now_ms - silent_s * 1_000.0 * self._clock.rate
            book.ledgers[market].disbelieve(
                int(since_ms // INTERVAL_MS), int(now_ms // INTERVAL_MS)
            )
        self._news()

    async def weigh(self, markets: Sequence[Market]) -> None:
        """Compare the streams of `markets` with the day's volumes, until cancelled."""
        listed = places(markets)
        coins = {market.coin for market in markets}
        book = self._engine.book
        while listed:
            now_ms = self._clock.now_ms()
            ended_ms = now_ms - (now_ms - VOLUMES_LAG_MS) % INTERVAL_MS
            await self._clock.sleep_until(ended_ms + INTERVAL_MS)
            asked_ms = self._clock.now_ms()
            try:
                # Not in the background: minutes wait for this one to be closed.
                base, quote = await day_volumes(self._client, listed, urgent=True)
            except (RestError, ProtocolError) as error:
                book.counters["rest_errors"] += 1
                self._notes.log("volumes", logging.WARNING, "the day's volumes: %s", error)
                continue
            mine = {coin: volume for coin, volume in base.items() if coin in coins}
            self._witness.volumes(mine, self._clock.monotonic())
            heard_ms = {coin: book.ledgers[book.index[coin]].heard_ms for coin in mine}
            told_ms = self._clock.now_ms()
            silent = self._scales.weigh(mine, quote, heard_ms, asked_ms, told_ms)
            for coin, (first, last) in silent.items():
                self._engine.silent(book.index[coin], first, last)
