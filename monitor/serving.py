"""A running service: everything that is not pure, tied together over one store.

Four things run side by side until somebody ends them: sockets (`feed`), REST (`asking`), the
minute's ticks, and the heartbeat. All of them feed one `Engine`, in one thread; readers are woken
once a burst.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from indicators import Plan
from ringbuf import layout
from ringbuf.writer import Writer

from .asking import Asking
from .book import INTERVAL_MS
from .budget import ConnectionBudget, MessageBudget, SubscriptionBudget, WeightBudget
from .clock import ExchangeClock
from .engine import Engine
from .errors import ProtocolError, RestError, SourceChanged
from .feed import Connection
from .lags import Lags
from .ledger import Stream
from .listing import Listing
from .logs import RateLimited
from .markets import Market
from .opening import HEARTBEAT_S
from .protocol import Candle
from .rest import InfoClient
from .settings import Settings
from .sharing import Share, busiest_first, plan
from .stalls import Stalls
from .volumes import day_volumes, places
from .wire import Embedded

if TYPE_CHECKING:
    from .archive.task import Archiving

__all__ = ["BEACON", "Service", "greet"]

log = logging.getLogger(__name__)

TICK_S = 0.1
ASK_TIME_S = 2.0
BEFORE_SOCKET_S = 2.0
"""How long a new socket waits for the time before it subscribes."""
BEACON = "BTC"
"""A busy market, on whose block times a socket can be judged."""
WEIGHT_OF_VOLUMES, WEIGHED_SHARE = 20, 0.1
"""What a dex' volumes cost each minute; how much of the budget they may take where not needed."""


async def greet(client: InfoClient, clock: ExchangeClock) -> Embedded | None:
    """Set the clock by the exchange; learn whether it is an embedded one, and how fast it runs.

    A rate other than 1 is believed of an embedded exchange only, and its answer names it.
    """
    asked_s = clock.monotonic()
    status = await client.exchange_status()
    if status.embedded is not None and status.embedded.rate != clock.rate:
        clock.set_rate(status.embedded.rate)
    clock.answered(status.time_ms, asked_s)
    return status.embedded


class Service:
    """A running service over one store; made once the exchange has answered.

    It is the sockets' `Listener`. `beacon` is a busy market whose block times set the clock;
    `deeper` as in `Engine`; `archiving` runs beside it.
    """

    def __init__(
        self,
        settings: Settings,
        markets: tuple[Market, ...],
        stats: Plan,
        writer: Writer,
        client: InfoClient,
        clock: ExchangeClock,
        weights: WeightBudget,
        connections: ConnectionBudget,
        beacon: str,
        *,
        deeper: bool = False,
        archiving: Archiving | None = None,
    ) -> None:
        self._settings = settings
        self._archiving = archiving
        self._markets = markets
        self._writer = writer
        self._client = client
        self._clock = clock
        self._weights = weights
        self._connections = connections
        self._beacon = beacon
        coins = [market.coin for market in markets]
        self.engine = Engine(writer, stats, coins, grace_ms=settings.grace_ms, deeper=deeper)
        self._counters = self.engine.book.counters
        self._notes = RateLimited(log)
        same = self.same_source if "run" in writer.spec.source else None
        self._same_source = same
        self._asking = Asking(self.engine, client, clock, self.publish_soon, self._ask_time, same)
        self._stalls = Stalls(self.engine, client, clock, self.publish_soon)
        self._listing = Listing(
            self.engine, markets, settings.markets, client, clock, self._stalls, self.publish_soon
        )
        self._lags = Lags()
        for market in markets:
            if market.delisted:
                self.engine.delist(self.engine.book.index[market.coin], clock.now_ms())
        self._publishing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.nameless = False

    # -- what the sockets tell -----------------------------------------------------------------

    def candle(self, candle: Candle, stream: Stream) -> None:
        """See `sockets.Listener`."""
        now_ms = self._clock.now_ms()
        if self.engine.candle(candle, now_ms, time.monotonic_ns()):
            self._clock.traded(candle.open_ms)
            self.publish_soon()
        self._stalls.told(candle, stream, now_ms)

    def unreadable(self, stream: Stream) -> None:
        """See `sockets.Listener`."""
        self.engine.unreadable(stream, self._clock.now_ms())
        self.publish_soon()

    def watching(self, coin: str, stream: Stream) -> None:
        """See `sockets.Listener`."""
        market = self.engine.book.index[coin]
        if self.engine.book.ledgers[market].delisted:
            return  # it is accepted, and silent for good: no stream tells about it
        self._stalls.watching(coin, stream)
        self.engine.watch(market, stream, self._clock.now_ms())
        self.publish_soon()

    def unwatched(self, coin: str, stream: Stream) -> None:
        """See `sockets.Listener`."""
        self._stalls.unwatched(coin, stream)
        self.engine.unwatch(stream, self._clock.now_ms(), [self.engine.book.index[coin]])
        self.publish_soon()

    def lost(self, stream: Stream) -> None:
        """See `sockets.Listener`."""
        self._stalls.lost(stream)
        self.engine.unwatch(stream, self._clock.now_ms())
        self.publish_soon()

    def lagged(self, ms: float) -> None:
        """See `sockets.Listener`."""
        self._lags.add(ms / self._clock.rate)

    def count(self, counter: str) -> None:
        """See `sockets.Listener`."""
        self._counters[counter] += 1

    # -- publishing ----------------------------------------------------------------------------

    def publish_soon(self) -> None:
        """Wake readers when the burst of frames that we are in is over: once, not once a frame."""
        if not self._publishing and self._loop is not None:
            self._publishing = True
            self._loop.call_soon(self._publish)

    def _publish(self) -> None:
        self._publishing = False
        self._writer.publish()

    # -- what runs side by side ----------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled, or until the store is `nameless`: then nobody can find it.

        The store is left as it is; closing it is the caller's.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._side_by_side()
        finally:
            # Also in the middle of the first fill: a bar has the terminal's cursor hidden.
            self._asking.close()

    async def _side_by_side(self) -> None:
        messages = MessageBudget()
        subscriptions = SubscriptionBudget(self._settings.subscriptions)
        shares = await self._shares()
        paired = frozenset[str]().union(*(share.paired for share in shares))
        self._stalls.connections = [
            Connection(
                str(number + 1),
                self._settings.ws_url,
                share,
                self._beacon,
                self,
                self._clock,
                connections=self._connections,
                messages=messages,
                subscriptions=subscriptions,
                before=self._same_source or self._before_socket,
                pongs_prove=self._beacon != BEACON,
            )
            for number, share in enumerate(shares)
        ]
        self._writer.set_state(layout.RUNNING)
        async with anyio.create_task_group() as tasks:
            for connection in self._stalls.connections:
                tasks.start_soon(connection.run)
            tasks.start_soon(self._tick)
            tasks.start_soon(self._keep_time)
            tasks.start_soon(self._beat, tasks.cancel_scope)
            tasks.start_soon(self._stalls.look)
            tasks.start_soon(self._stalls.weigh, self._weighed(paired))
            tasks.start_soon(self._listing.watch)
            if self._archiving is not None:
                tasks.start_soon(self._archiving.run, self.engine.book, self._clock.rate)
            await self._asking.run(tasks)

    @property
    def _living(self) -> list[Market]:
        return [market for market in self._markets if not market.delisted]

    def _weighed(self, paired: frozenset[str]) -> list[Market]:
        """The markets whose day's volume is looked at: all, or those on one socket if that is much.

        Two sockets of which each is silent about the same market need a third one to tell.
        """
        living = self._living
        if WEIGHT_OF_VOLUMES * len(places(living)) <= self._settings.rest_weight * WEIGHED_SHARE:
            return living
        return [market for market in living if market.coin not in paired]

    async def _shares(self) -> list[Share]:
        """Who tells what; where not every market can have two sockets, the busiest have."""
        coins = [market.coin for market in self._living]
        share_out = partial(
            plan,
            subscriptions=self._settings.subscriptions,
            redundant=self._settings.redundant,
        )
        shares = share_out(coins)
        pairs = sum(len(share.paired) for share in shares)
        if 0 < pairs < 2 * len(coins):
            try:
                _, volumes = await day_volumes(self._client, places(self._living), urgent=True)
            except (RestError, ProtocolError) as error:
                log.warning("the busiest markets are not known: %s", error)
            else:
                shares = share_out(busiest_first(coins, volumes))
        log.info("%d markets on %d sockets, %d of them on two", len(coins), len(shares), pairs // 2)
        return shares

    async def same_source(self) -> None:
        """Ask an embedded exchange whether it still is the one whose rows the store has."""
        try:
            embedded = await greet(self._client, self._clock)
        except (RestError, ProtocolError) as error:
            raise OSError(str(error)) from None
        expected = self._writer.spec.source["run"]
        found = embedded.run if embedded is not None else None
        if found != expected:
            raise SourceChanged(self._settings.api_url, found, expected)

    async def _keep_time(self) -> None:
        """Ask what time it is where all that the sockets tell is late: they are, or the clock."""
        while True:
            await anyio.sleep(ASK_TIME_S)
            if self._clock.doubtful:
                await self._ask_time()

    async def _ask_time(self) -> bool:
        """Set the clock by the exchange once more; False if it does not answer."""
        try:
            await greet(self._client, self._clock)
        except (RestError, ProtocolError):
            return False
        ahead_s = self._clock.ahead_ms / 1_000.0
        if ahead_s > 1.0:
            log.warning("the clock has leapt ahead: the exchange gets there in %.0f s", ahead_s)
        return True

    async def _before_socket(self) -> None:
        """Where the old socket seemed silent, the clock may have leapt.

        A REST that does not answer, or a spent budget, does not keep it from telling.
        """
        with anyio.move_on_after(BEFORE_SOCKET_S):
            await self._ask_time()

    async def _tick(self) -> None:
        pause = min(TICK_S, 1.0 / self._clock.rate)
        while True:
            now = self._clock.now_ms()
            # Before the rows of a time, the time: a store ahead of its clock is refused.
            self._writer.header["clock_ms"] = int(now)
            if self.engine.tick(now):
                self.publish_soon()
            to_minute = (INTERVAL_MS - now % INTERVAL_MS) / 1_000 / self._clock.rate
            await anyio.sleep(min(pause, to_minute + 0.001))

    async def _beat(self, all_of_it: anyio.CancelScope) -> None:
        writer, counters = self._writer, self._counters
        names = writer.spec.counters
        while True:
            writer.heartbeat()
            writer.header["clock_ms"] = int(self._clock.now_ms())
            if writer.restore_name():
                counters["names_restored"] += 1
                self._notes.log(
                    "name",
                    logging.WARNING,
                    "the name %s was unlinked and has been put back: some process attached with "
                    "multiprocessing.shared_memory without track=False (Python 3.13), or below "
                    "3.13 without unregistering it",
                    writer.spec.name,
                )
            elif writer.usurped:
                self._notes.log(
                    "usurped",
                    logging.WARNING,
                    "the name %s has been taken by something that is no store: nobody can attach "
                    "until it is removed (rm /dev/shm/%s); then the name is put back",
                    writer.spec.name,
                    writer.spec.name,
                )
            elif writer.nameless:
                self.nameless = True
                all_of_it.cancel()
            elif not writer.named and not writer.restore_name():
                self._notes.log(
                    "unnamed",
                    logging.WARNING,
                    "the name %s was unlinked and cannot be put back: nobody can attach until "
                    "/dev/shm has room for another file (df -i /dev/shm)",
                    writer.spec.name,
                )
            self._measure()
            writer.counters[: len(names)] = [counters[name] for name in names]
            self._tell_notes()
            await anyio.sleep(HEARTBEAT_S)

    def _measure(self) -> None:
        """The counters that say how things are, not how often they happened."""
        counters, ledgers = self._counters, self.engine.book.ledgers
        if self._archiving is not None:
            self._archiving.count(counters)
        counters["rest_requests"] = self._client.requests
        counters["rest_weight"] = self._weights.total
        counters["rest_weight_minute"] = self._weights.spent(self._clock.now_ms())
        counters["connects_minute"] = self._connections.spent(self._clock.now_ms())
        counters["sockets"] = counters["connects"] - counters["disconnects"]
        counters["on_two_sockets"] = sum(len(ledger.streams) > 1 for ledger in ledgers)
        counters["delisted"] = sum(ledger.delisted for ledger in ledgers)
        median, worst = self._lags.percentiles((0.5, 0.99))
        counters["lag_p50_ms"], counters["lag_p99_ms"] = round(median), round(worst)

    def _tell_notes(self) -> None:
        notes = self.engine.book.notes
        for note in notes:
            self._notes.log(note.key, logging.WARNING, "%s", note.text)
        notes.clear()
