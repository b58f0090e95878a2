"""One socket, from the handshake to its end: subscriptions go out, frames come in.

What it hears goes to a `Listener`, with the `Stream` that says how far this socket is proven to
have told everything.

Why a stream may be believed: frames of one socket arrive in the order in which they left. A block
time in a ``bbo`` frame therefore proves that whatever the exchange had sent before has arrived.
Each socket listens to the ``bbo`` of one busy market, the *beacon*, for that and for the exchange's
clock. Where there is no busy market, the pong to a ping sent at a known time has to do.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from . import protocol
from .backoff import retryable
from .budget import ConnectionBudget, MessageBudget, SubscriptionBudget
from .clock import ExchangeClock
from .ledger import Stream
from .logs import RateLimited
from .protocol import Bbo, Candle, Malformed, Pong, ServerError, Subscribed, Subscription
from .roster import Roster, Suspects
from .websocket import TROUBLES, WebSocket, connect

__all__ = ["Listener", "Means", "Socket", "Timing"]

log = logging.getLogger(__name__)

_WITHOUT_CANDLES = frozenset({"bbo", "pong", "error", "subscriptionResponse"})
_BRISK_S = 0.1
"""How often a socket looks after its subscriptions while some are open."""


@dataclass(frozen=True)
class Timing:
    """How patient a connection is; seconds of this machine, whatever the exchange's rate.

    silence: no frame, not even a pong, for this long, and the socket is dead, whatever TCP thinks;
        frames that are all later than that are worth no more.
    ack: a subscription without an answer for this long is sent again.
    steady: a socket that lived this long was good: the next pause begins small again.
    base, cap: of the pauses between two sockets.
    look: how often a connection looks after all this.
    renew: age at which a socket is replaced; the exchange is said to end them after about 3 hours.
    settle: how long the successor may take to be told about.
    """

    open: float = 10.0
    ping: float = 5.0
    silence: float = 12.0
    ack: float = 10.0
    steady: float = 60.0
    base: float = 0.25
    cap: float = 20.0
    look: float = 0.5
    renew: float = 9_900.0
    settle: float = 30.0


class Listener(Protocol):
    """What a connection tells. All calls come from the event loop's thread and must not block."""

    def candle(self, candle: Candle, stream: Stream) -> None:
        """A candle frame came on `stream`."""

    def unreadable(self, stream: Stream) -> None:
        """A frame of `stream` could not be understood: what it told, and of whom, is lost."""

    def watching(self, coin: str, stream: Stream) -> None:
        """`coin` is subscribed on `stream`: its state was told, what follows will be."""

    def unwatched(self, coin: str, stream: Stream) -> None:
        """`stream` no longer tells about `coin`."""

    def lost(self, stream: Stream) -> None:
        """`stream` is gone; nothing of what it told is proven beyond its ``alive_ms``."""

    def lagged(self, ms: float) -> None:
        """A frame of the beacon came so much later than the quickest of late; exchange's ms."""

    def count(self, counter: str) -> None:
        """Something happened that is counted by name."""


@dataclass(frozen=True)
class Means:
    """What the sockets of one connection share.

    `before` is awaited on each new socket before anything is subscribed; OSError ends the socket.
    pongs_prove: a pong proves that what left before its ping has arrived. Not where the beacon is a
    busy market: streams that stop while pongs go on are known, and then its silence is the sign.
    """

    name: str
    url: str
    listener: Listener
    clock: ExchangeClock
    connections: ConnectionBudget
    messages: MessageBudget
    subscriptions: SubscriptionBudget
    timing: Timing
    before: Callable[[], Awaitable[None]] | None = None
    pongs_prove: bool = False
    suspects: Suspects = field(default_factory=Suspects)
    complaints: RateLimited = field(default_factory=lambda: RateLimited(log))


class Socket:
    """One socket that asks for `wanted`, in this order; `run` returns when it has ended.

    `beside`: the one that it replaces is still there, so that it takes what subscriptions are left,
    until `take_over`. `ended` is called if it was connected and is not any more.
    """

    def __init__(
        self,
        means: Means,
        wanted: Sequence[Subscription],
        *,
        beside: bool = False,
        ended: Callable[[Socket], None] | None = None,
    ) -> None:
        self.stream = Stream(means.name)
        self.roster = Roster(wanted, means.suspects)
        self.over = anyio.Event()
        self.retired = False
        self.close_reason = ""
        self._means = means
        self._clock = means.clock
        self._listener = means.listener
        self._ended = ended
        self._wants = len(wanted)
        self._coins = frozenset(each.coin for each in wanted if each.type == "candle")
        self._beside = beside
        self._room = 0
        self._settled = anyio.Event()
        self._pings: list[float] = []
        self._began_s = self._heard_s = self._fresh_s = self._clock.monotonic()
        self._socket: WebSocket | None = None
        self._scope = anyio.CancelScope()

    @property
    def lived_s(self) -> float:
        """Seconds since it began to connect."""
        return self._clock.monotonic() - self._began_s

    async def settled(self, seconds: float) -> bool:
        """Wait until all is acknowledged that has room; False if it ended, or is too late."""
        with anyio.move_on_after(seconds):
            await self._settled.wait()
        return self._settled.is_set() and not self.over.is_set()

    async def retire(self) -> None:
        """End it, another one having its place; return when its subscriptions are free."""
        self.retired = True
        if self._socket is not None:
            await self._socket.close()
        else:
            self._scope.cancel()
        await self.over.wait()

    def want(self, subscription: Subscription) -> None:
        """Ask for it as well, from now on."""
        if self.roster.want(subscription):
            self._wants += 1
            if subscription.type == "candle":
                self._coins |= {subscription.coin}

    def take_over(self) -> None:
        """The socket before this one is closed: ask for the rest."""
        self._beside = False

    async def run(self) -> None:
        """Connect, and live until the end of the socket."""
        try:
            with self._scope:
                await self._admitted()
                await self._attempt()
        finally:
            self.over.set()
            self._settled.set()

    async def _attempt(self) -> None:
        means = self._means
        self._began_s = self._clock.monotonic()
        try:
            await self._live()
        except TROUBLES as error:
            level = logging.WARNING if retryable(error) else logging.ERROR
            means.complaints.log(means.name, level, "socket %s: %s", means.name, _said(error))
        finally:
            means.connections.release()

    async def _admitted(self) -> None:
        """Wait until one more socket is within the budget."""
        while True:
            now = self._clock.now_ms()
            ready = self._means.connections.reserve(now)
            if ready is None:
                await anyio.sleep(1.0)
            elif ready > now:
                await self._clock.sleep_until(ready)
            else:
                return

    def _take_room(self) -> None:
        """Subscriptions for what is wanted; where the old socket still has its own, what is left.

        OSError where there are too few.
        """
        subscriptions = self._means.subscriptions
        if subscriptions.take(self._wants):
            self._room = self._wants
        elif not self._beside:
            raise OSError(
                f"{self._wants} subscriptions more than the budget of MONITOR_SUBSCRIPTIONS"
            )
        else:
            self._room = max(0, subscriptions.free)
            subscriptions.take(self._room)

    async def _live(self) -> None:
        means, listener = self._means, self._listener
        try:
            self._take_room()
            async with connect(means.url, seconds=means.timing.open) as socket:
                if means.before is not None:
                    await means.before()
                listener.count("connects")
                self._heard_s = self._fresh_s = self._clock.monotonic()
                self._socket = socket
                log.info("socket %s: connected, %d subscriptions", means.name, self._wants)
                try:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._tend, socket)
                        await socket.listen(self._hear)
                        tasks.cancel_scope.cancel()
                finally:
                    listener.lost(self.stream)
                    listener.count("disconnects")
                    self.close_reason = socket.close_reason
                    if self._ended is not None:
                        self._ended(self)
                ending = f"{socket.close_code} {socket.close_reason}".strip()
                if self.retired:
                    log.info("socket %s: replaced after %.0f s", means.name, self.lived_s)
                else:
                    log.warning("socket %s: closed: %s", means.name, ending)
        finally:
            means.subscriptions.release(self._room)

    def _hear(self, frame: bytes) -> None:
        event = protocol.decode(frame)
        if type(event) is Candle:
            if event.coin in self._coins:
                self._listener.candle(event, self.stream)
            else:
                # Nothing of the kind was subscribed here: the name may be what is damaged.
                self._listener.count("unknown_coin")
                self._listener.unreadable(self.stream)
        elif type(event) is Bbo:
            if self._clock.observe(event.time_ms):
                self._prove(event.time_ms)
                self._listener.lagged(self._clock.lag_ms)
        elif type(event) is Pong:
            sent_ms = self._pings.pop(0) if self._pings else 0.0
            if self._means.pongs_prove:
                self._prove(sent_ms)
        elif type(event) is Subscribed:
            if event.method == "subscribe":
                self._acknowledged(event.subscription)
            else:
                self.roster.left(event.subscription)
        elif type(event) is ServerError:
            self._complained(event)
        elif type(event) is Malformed:
            self._listener.count("malformed")
            if event.channel not in _WITHOUT_CANDLES:
                self._listener.unreadable(self.stream)
            self._means.complaints.log(
                "malformed",
                logging.WARNING,
                "unreadable frame: %s: %s",
                event.reason,
                event.excerpt,
            )
        self._heard_s = self._clock.monotonic()

    def _prove(self, alive_ms: float) -> None:
        now_ms = self._clock.now_ms()
        if (
            now_ms - self._clock.ahead_ms - alive_ms
            < self._means.timing.silence * 1_000.0 * self._clock.rate
        ):
            self._fresh_s = self._clock.monotonic()
        # A block time cannot be later than now: one that is would prove what has not happened yet.
        self.stream.alive_ms = max(self.stream.alive_ms, min(alive_ms, now_ms))

    def _acknowledged(self, subscription: Subscription) -> None:
        asked = self.roster.acknowledged(subscription)
        if asked and subscription.type == "candle" and subscription.coin is not None:
            self._listener.watching(subscription.coin, self.stream)

    def _complained(self, error: ServerError) -> None:
        if error.kind == "already_subscribed" and error.subscription is not None:
            self._acknowledged(error.subscription)  # the acknowledgement was lost, the deed was not
            return
        if error.kind == "already_unsubscribed" and error.subscription is not None:
            self.roster.left(error.subscription)
            return
        if (
            error.kind == "invalid_subscription"
            and error.subscription is not None
            and self.roster.refused(error.subscription, self._clock.monotonic())
        ):
            self._listener.count("quarantined")
        means = self._means
        means.complaints.log(
            error.kind, logging.ERROR, "socket %s: the exchange says: %s", means.name, error.text
        )

    async def _tend(self, socket: WebSocket) -> None:
        """Subscribe what is not acknowledged, ping, and end a socket that has gone silent."""
        means, roster = self._means, self.roster
        name, timing = means.name, means.timing
        ping_at = self._clock.monotonic() + timing.ping
        while True:
            now_s = self._clock.monotonic()
            if now_s - self._heard_s > timing.silence:
                log.warning("socket %s: nothing heard for %.0f s", name, now_s - self._heard_s)
                # No closing handshake with somebody who does not answer.
                socket.abort()
                return
            if now_s - self._fresh_s > timing.silence:
                log.warning("socket %s: what it tells is older than %.0f s", name, timing.silence)
                socket.abort()
                return
            with contextlib.suppress(*TROUBLES):
                for subscription in roster.leaving(now_s, timing.ack):
                    await self._send(socket, protocol.unsubscribe(subscription))
                missing = self._wants - self._room
                # Another connection, which is being replaced too, may have been quicker: it gives
                # back as many soon.
                if missing and not self._beside and means.subscriptions.take(missing):
                    self._room = self._wants
                for subscription in roster.due(now_s, timing.ack, self._room):
                    await self._send(socket, protocol.subscribe(subscription))
                if now_s >= ping_at:
                    ping_at = now_s + timing.ping
                    self._pings.append(self._clock.now_ms())
                    await self._send(socket, protocol.PING)
            if roster.complete or (self._beside and roster.settled):
                self._settled.set()
            await anyio.sleep(timing.look if roster.complete else min(timing.look, _BRISK_S))

    async def _send(self, socket: WebSocket, message: bytes) -> None:
        while (now := self._clock.now_ms()) < (ready := self._means.messages.reserve(now)):
            await self._clock.sleep_until(ready)
        await socket.send(message)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
