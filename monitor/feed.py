"""The sockets: they carry subscriptions out and frames in, and decide nothing about candles.

Each `Connection` owns a share of the markets and the will to have them: it connects, subscribes,
asks again for what was not acknowledged, pings, notices when the other side is gone, and begins
anew with jittered, capped pauses. What it hears goes to a `Listener`, with the `Stream` that says
how far this socket is proven to have told everything.

Why a stream may be believed: frames of one socket arrive in the order in which they left. A block
time in a ``bbo`` frame, or the pong to a ping sent at a known time, therefore proves that whatever
the exchange had sent before has arrived. Each socket listens to the ``bbo`` of one busy market, the
*beacon*, for that and for the exchange's clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from . import protocol
from .backoff import delays, retryable
from .budget import ConnectionBudget, MessageBudget, SubscriptionBudget
from .clock import ExchangeClock
from .ledger import Stream
from .logs import RateLimited
from .protocol import Bbo, Candle, Malformed, Pong, ServerError, Subscribed, Subscription
from .urls import is_loopback

__all__ = ["Connection", "Listener", "Timing", "needed", "share_out"]

log = logging.getLogger(__name__)

MARKETS_PER_SOCKET = 200
"""So that one lost socket is a part of the whole; the exchange would take many more."""
_MAX_FRAME = 2**22
_WITHOUT_CANDLES = frozenset({"bbo", "pong", "error", "subscriptionResponse"})


@dataclass(frozen=True)
class Timing:
    """How patient a connection is; seconds of this machine, whatever the exchange's rate.

    silence: no frame, not even a pong, for this long, and the socket is dead, whatever TCP thinks.
    ack: a subscription without an answer for this long is sent again.
    steady: a socket that lived this long was good: the next pause begins small again.
    base, cap: of the pauses between two sockets.
    look: how often a connection looks after all this.
    """

    open: float = 10.0
    ping: float = 5.0
    silence: float = 12.0
    ack: float = 10.0
    steady: float = 60.0
    base: float = 0.25
    cap: float = 20.0
    look: float = 0.5


class Listener(Protocol):
    """What a connection tells. All calls come from the event loop's thread and must not block."""

    def candle(self, candle: Candle) -> None:
        """A candle frame came."""

    def unreadable(self, stream: Stream) -> None:
        """A frame of `stream` could not be understood: what it told, and of whom, is lost."""

    def watching(self, coin: str, stream: Stream) -> None:
        """`coin` is subscribed on `stream`: its state was told, what follows will be."""

    def lost(self, stream: Stream) -> None:
        """`stream` is gone; nothing of what it told is proven beyond its ``alive_ms``."""

    def count(self, counter: str) -> None:
        """Something happened that is counted by name."""


def share_out(coins: Sequence[str], *, per_socket: int = MARKETS_PER_SOCKET) -> list[list[str]]:
    """Shares of about equal size, dealt out in turn: neighbours in a list are alike."""
    sockets = max(1, -(-len(coins) // per_socket))
    return [list(coins[k::sockets]) for k in range(sockets)]


def needed(markets: int) -> int:
    """Subscriptions that so many markets take: one each, and a beacon for each socket."""
    return markets + max(1, -(-markets // MARKETS_PER_SOCKET))


class Connection:
    """One socket after the other for one share of the markets. `run` ends only by cancellation.

    `before` is awaited on each new socket before anything is subscribed; OSError ends the socket.
    """

    def __init__(
        self,
        name: str,
        url: str,
        coins: Sequence[str],
        beacon: str,
        listener: Listener,
        clock: ExchangeClock,
        *,
        connections: ConnectionBudget,
        messages: MessageBudget,
        subscriptions: SubscriptionBudget,
        before: Callable[[], Awaitable[None]] | None = None,
        timing: Timing | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._url = url
        self._coins = frozenset(coins)
        self._beacon = Subscription("bbo", beacon)
        self._wanted = [self._beacon, *(Subscription("candle", coin, "1m") for coin in coins)]
        self._listener = listener
        self._clock = clock
        self._connections = connections
        self._messages = messages
        self._subscriptions = subscriptions
        self._before = before
        self._timing = timing if timing is not None else Timing()
        self._rng = rng if rng is not None else random.Random()
        self._complaints = RateLimited(log)
        self._stream = Stream(name)
        self._asked: dict[Subscription, float] = {}
        self._pings: list[float] = []
        self._heard_s = 0.0

    async def run(self) -> None:
        """Keep the share subscribed until cancelled."""
        pauses = self._pauses()
        while True:
            await self._admitted()
            began = self._clock.monotonic()
            try:
                await self._live()
            except (
                WebSocketException,
                OSError,
                EOFError,
                asyncio.TimeoutError,
                ImportError,  # a SOCKS proxy in the environment takes a library more
            ) as error:
                level = logging.WARNING if retryable(error) else logging.ERROR
                self._complaints.log(self.name, level, "socket %s: %s", self.name, _describe(error))
            finally:
                self._connections.release()
            if self._clock.monotonic() - began > self._timing.steady:
                pauses = self._pauses()
            await anyio.sleep(next(pauses))

    def _pauses(self) -> Iterator[float]:
        return delays(self._timing.base, self._timing.cap, self._rng)

    async def _admitted(self) -> None:
        """Wait until one more socket is within the budget."""
        while True:
            now = self._clock.now_ms()
            ready = self._connections.reserve(now)
            if ready is None:
                await anyio.sleep(1.0)
            elif ready > now:
                await self._clock.sleep_until(ready)
            else:
                return

    async def _live(self) -> None:
        """One socket, from the handshake to its end."""
        count = len(self._wanted)
        if not self._subscriptions.take(count):
            raise OSError(f"{count} subscriptions more than the budget of MONITOR_SUBSCRIPTIONS")
        try:
            async with connect(
                self._url,
                compression=None,
                ping_interval=None,
                open_timeout=self._timing.open,
                close_timeout=1.0,
                max_size=_MAX_FRAME,
                # No proxy leads to this machine, though the environment may name one for all else.
                proxy=None if is_loopback(self._url) else True,
            ) as socket:
                if self._before is not None:
                    await self._before()
                self._listener.count("connects")
                self._stream = Stream(self.name)
                self._asked = dict.fromkeys(self._wanted, float("-inf"))
                self._pings.clear()
                self._heard_s = self._clock.monotonic()
                log.info("socket %s: connected, %d subscriptions", self.name, count)
                try:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._tend, socket)
                        await self._listen(socket)
                        tasks.cancel_scope.cancel()
                finally:
                    self._listener.lost(self._stream)
                    self._listener.count("disconnects")
                    # Also when cancelled: what is left open is complained about at exit.
                    with anyio.CancelScope(shield=True):
                        await socket.close()
                ending = f"{int(socket.close_code or 1006)} {socket.close_reason or ''}".strip()
                log.warning("socket %s: closed: %s", self.name, ending)
        finally:
            self._subscriptions.release(count)

    async def _listen(self, socket: ClientConnection) -> None:
        # While frames are waiting, `recv` returns without a turn of the event loop: a burst is
        # taken in whole before anything that the listener scheduled (waking readers) runs.
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._hear(await socket.recv(decode=False))

    def _hear(self, frame: bytes) -> None:
        event = protocol.decode(frame)
        if type(event) is Candle:
            if event.coin in self._coins:
                self._listener.candle(event)
            else:
                # Nothing of the kind was subscribed here: the name may be what is damaged.
                self._listener.count("unknown_coin")
                self._listener.unreadable(self._stream)
        elif type(event) is Bbo:
            if self._clock.observe(event.time_ms):
                self._prove(event.time_ms)
        elif type(event) is Pong:
            if self._pings:
                self._prove(self._pings.pop(0))
        elif type(event) is Subscribed:
            if event.method == "subscribe":
                self._acknowledged(event.subscription)
        elif type(event) is ServerError:
            self._complained(event)
        elif type(event) is Malformed:
            self._listener.count("malformed")
            if event.channel not in _WITHOUT_CANDLES:
                self._listener.unreadable(self._stream)
            self._complaints.log(
                "malformed",
                logging.WARNING,
                "unreadable frame: %s: %s",
                event.reason,
                event.excerpt,
            )
        self._heard_s = self._clock.monotonic()

    def _prove(self, alive_ms: float) -> None:
        # A block time cannot be later than now: one that is would prove what has not happened yet.
        self._stream.alive_ms = max(self._stream.alive_ms, min(alive_ms, self._clock.now_ms()))

    def _acknowledged(self, subscription: Subscription) -> None:
        asked = self._asked.pop(subscription, None) is not None
        if asked and subscription.type == "candle" and subscription.coin is not None:
            self._listener.watching(subscription.coin, self._stream)

    def _complained(self, error: ServerError) -> None:
        if error.kind == "already_subscribed" and error.subscription is not None:
            self._acknowledged(error.subscription)  # the acknowledgement was lost, the deed was not
            return
        self._complaints.log(
            error.kind, logging.ERROR, "socket %s: the exchange says: %s", self.name, error.text
        )

    async def _tend(self, socket: ClientConnection) -> None:
        """Subscribe what is not acknowledged, ping, and end a socket that has gone silent."""
        ping_at = self._clock.monotonic() + self._timing.ping
        while True:
            now_s = self._clock.monotonic()
            if now_s - self._heard_s > self._timing.silence:
                log.warning("socket %s: nothing heard for %.0f s", self.name, now_s - self._heard_s)
                # No closing handshake with somebody who does not answer.
                socket.transport.abort()
                return
            with contextlib.suppress(ConnectionClosed):
                for subscription, asked_s in list(self._asked.items()):
                    if now_s - asked_s > self._timing.ack and subscription in self._asked:
                        self._asked[subscription] = now_s
                        await self._send(socket, protocol.subscribe(subscription))
                if now_s >= ping_at:
                    ping_at = now_s + self._timing.ping
                    self._pings.append(self._clock.now_ms())
                    await self._send(socket, protocol.PING)
            await anyio.sleep(self._timing.look)

    async def _send(self, socket: ClientConnection, message: bytes) -> None:
        while (now := self._clock.now_ms()) < (ready := self._messages.reserve(now)):
            await self._clock.sleep_until(ready)
        await socket.send(message, text=True)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
