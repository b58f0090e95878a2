"""The connections: each keeps one share of the markets told, whatever becomes of its sockets.

One socket follows the other (`sockets`), with jittered, capped pauses between those that failed. A
socket that nears the age at which the exchange ends it is replaced before: its successor subscribes
first, and the old one is closed when the new one tells.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterator

import anyio

from .backoff import delays
from .budget import ConnectionBudget, MessageBudget, SubscriptionBudget
from .clock import ExchangeClock
from .ledger import Stream
from .protocol import Subscription
from .sharing import Share
from .sockets import Listener, Means, Socket, Timing

__all__ = ["Connection"]

log = logging.getLogger(__name__)

_EXPIRED = "Expired"
_EARLIER = 0.9
"""A socket is replaced at this part of the age at which one was seen to be ended."""
_MINUTE_MS = 60_000
_MIDST = (10_000, 40_000)
"""When in a minute a socket is replaced: far from its ends, where a gap would cost a minute."""


class Connection:
    """One socket after the other for one share of the markets. `run` ends only by cancellation.

    `before` is awaited on each new socket before anything is subscribed; OSError ends the socket.
    """

    def __init__(
        self,
        name: str,
        url: str,
        share: Share,
        beacon: str,
        listener: Listener,
        clock: ExchangeClock,
        *,
        connections: ConnectionBudget,
        messages: MessageBudget,
        subscriptions: SubscriptionBudget,
        before: Callable[[], Awaitable[None]] | None = None,
        pongs_prove: bool = False,
        timing: Timing | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.share = share
        self._beacon = Subscription("bbo", beacon)
        self._listener = listener
        self._clock = clock
        self._timing = timing if timing is not None else Timing()
        self._means = Means(
            name,
            url,
            listener,
            clock,
            connections,
            messages,
            subscriptions,
            self._timing,
            before,
            pongs_prove,
        )
        self._rng = rng if rng is not None else random.Random()
        self._renew_s = self._timing.renew
        self._forgotten: set[str] = set()
        self._refused: set[Subscription] = set()
        self._sockets: list[Socket] = []

    @property
    def wanted(self) -> list[Subscription]:
        """What each new socket asks for, in this order: what no other socket tells goes first."""
        coins = [coin for coin in self.share.coins if coin not in self._forgotten]
        coins.sort(key=self.share.paired.__contains__)
        return [self._beacon, *(_candles(coin) for coin in coins)]

    async def run(self) -> None:
        """Keep the share subscribed until cancelled."""
        pauses = self._pauses()
        old: Socket | None = None
        async with anyio.create_task_group() as tasks:
            while True:
                socket = Socket(self._means, self.wanted, beside=old is not None, ended=self._ended)
                self._sockets.append(socket)
                tasks.start_soon(socket.run)
                if old is not None and not await self._replaced(old, socket):
                    socket = old
                await self._until_old(socket)
                if not socket.over.is_set():
                    old = socket
                    continue
                old = None
                self._sockets.clear()
                if socket.lived_s > self._timing.steady:
                    pauses = self._pauses()
                await anyio.sleep(next(pauses))

    async def _replaced(self, old: Socket, new: Socket) -> bool:
        """Close `old` once `new` tells; False if `new` does not get there."""
        if await new.settled(self._timing.settle):
            await old.retire()
            new.take_over()
            self._sockets.remove(old)
            self._listener.count("renewals")
            return True
        log.warning("socket %s: could not be replaced, goes on", self.name)
        await new.retire()
        self._sockets.remove(new)
        with anyio.move_on_after(self._timing.steady):
            await old.over.wait()
        return False

    def again(self, coin: str, stream: Stream) -> bool:
        """Subscribe `coin` anew on the socket of `stream`; False if it is not subscribed there."""
        for socket in self._sockets:
            if socket.stream is stream and socket.roster.renew(_candles(coin)):
                self._listener.unwatched(coin, stream)
                return True
        return False

    def renew(self, coin: str) -> None:
        """Subscribe `coin` anew on every socket of its share, those to come included."""
        self._forgotten.discard(coin)
        if coin in self.share.coins:
            for socket in self._sockets:
                if not socket.roster.renew(_candles(coin)):
                    socket.want(_candles(coin))

    def forget(self, coin: str) -> None:
        """Sockets to come do not ask for `coin` any more: the exchange no longer knows it."""
        self._forgotten.add(coin)

    async def _until_old(self, socket: Socket) -> None:
        """Return when `socket` has ended, or is old enough to be replaced, in mid-minute."""
        with anyio.move_on_after(self._renew_s * (0.9 + 0.1 * self._rng.random()) - socket.lived_s):
            await socket.over.wait()
        low, high = _MIDST
        while not socket.over.is_set():
            if low <= (now := self._clock.now_ms()) % _MINUTE_MS <= high:
                return
            ahead = (low - now) % _MINUTE_MS / 1_000.0 / self._clock.rate
            with anyio.move_on_after(ahead + 0.001):
                await socket.over.wait()

    def _pauses(self) -> Iterator[float]:
        return delays(self._timing.base, self._timing.cap, self._rng)

    def _ended(self, socket: Socket) -> None:
        if socket.close_reason == _EXPIRED and socket.lived_s > self._timing.steady:
            self._renew_s = min(self._renew_s, _EARLIER * socket.lived_s)
        if socket.retired or not socket.roster.works:
            return
        unanswered = [each for each in socket.roster.unanswered if each != self._beacon]
        refused = self._means.suspects.blame(unanswered, self._clock.monotonic())
        if refused is not None:
            self._listener.count("quarantined")
            if refused not in self._refused:
                self._refused.add(refused)
                log.error(
                    "market %s: the exchange ends the socket that asks for it; it is left out, and "
                    "asked for again now and then, the others go on",
                    refused.coin,
                )


def _candles(coin: str) -> Subscription:
    return Subscription("candle", coin, "1m")
