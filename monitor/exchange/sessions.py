"""One websocket as the exchange sees it, without the socket: texts in, frames out."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .damage import damage_frame
from .errors import ExchangeError
from .faults import DAMAGES
from .intervals import INTERVALS, MINUTE_MS

if TYPE_CHECKING:
    from .faults import Faults
    from .world import World

__all__ = ["Closing", "Malformed", "Session", "Subscription", "Unknown", "parse_subscription"]

_MOST_WAITING = 20_000
_TAIL_MS = 3_000
_COIN_TYPES = frozenset({"trades", "bbo", "activeAssetCtx"})
_REFUSED_TYPES = frozenset(
    {
        "allDexsAssetCtxs",
        "fastAssetCtxs",
        "assetCtxs",
        "spotAssetCtxs",
        "outcomeMetaUpdates",
        "notification",
        "webData3",
        "orderUpdates",
        "userEvents",
        "userFills",
        "userFundings",
        "userNonFundingLedgerUpdates",
        "activeAssetData",
    }
)


class Malformed(ExchangeError):
    """A subscription that cannot be parsed."""


class Unknown(ExchangeError):
    """A subscription to a market that does not exist: it costs the client its socket."""


@dataclass(frozen=True)
class Subscription:
    """One subscription. The order of the fields is the order of the echo."""

    type: str
    interval: str | None = None
    coin: str | None = None
    dex: str | None = None
    fast: bool = False
    n_sig_figs: int | None = None
    mantissa: int | None = None

    @property
    def echo(self) -> dict[str, Any]:
        """The normalised form, for acknowledgements and errors."""
        if self.type == "l2Book":
            return {
                "type": "l2Book",
                "coin": self.coin,
                "nSigFigs": self.n_sig_figs,
                "mantissa": self.mantissa,
                "fast": self.fast,
            }
        named = {"interval": self.interval, "coin": self.coin, "dex": self.dex}
        return {"type": self.type} | {key: value for key, value in named.items() if value}


def parse_subscription(document: Any, world: World) -> Subscription | None:
    """The subscription, None if it is well-formed but not served; Malformed, Unknown."""
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise Malformed
    kind = document["type"]
    if kind in _REFUSED_TYPES:
        return None
    if kind == "allMids":
        dex = document.get("dex") or ""
        if not isinstance(dex, str):
            raise Malformed
        return Subscription(kind, dex=dex) if dex in world.dexes else None
    coin = document.get("coin")
    if not isinstance(coin, str):
        raise Malformed
    interval: str | None = None
    fast, figures, mantissa = False, None, None
    if kind == "candle":
        interval = document.get("interval")
        if not isinstance(interval, str) or interval not in INTERVALS:
            raise Malformed
    elif kind == "l2Book":
        fast = document.get("fast") or False
        figures, mantissa = document.get("nSigFigs"), document.get("mantissa")
        whole = all(value is None or type(value) is int for value in (figures, mantissa))
        if not isinstance(fast, bool) or not whole:
            raise Malformed
    elif kind not in _COIN_TYPES:
        raise Malformed
    if coin not in world.by_coin:
        raise Unknown
    return Subscription(kind, interval, coin, fast=fast, n_sig_figs=figures, mantissa=mantissa)


@dataclass(frozen=True)
class Closing:
    """How a socket ends: with a close frame, or (`code` None) by dropping the TCP connection."""

    code: int | None = None
    reason: str = ""


class Session:
    """State of one socket. Only the exchange changes it; the shell takes frames out of it."""

    def __init__(self, number: int, now_ms: int, faults: Faults) -> None:
        """A socket that was opened at `now_ms`."""
        self.number = number
        self.opened_ms = now_ms
        self.spoken_ms = now_ms
        self.closing: Closing | None = None
        self.subscriptions: dict[Subscription, None] = {}
        self.muted: set[Subscription] = set()
        self.hushed = False
        self.half_open = False
        self._waiting: deque[str] = deque()
        self._late: list[tuple[int, int, str]] = []
        self._under_way: deque[tuple[int, str]] = deque()
        self._held: str | None = None
        self._tails: dict[Subscription, tuple[int, bool]] = {}
        self._faults = faults
        self._dice = faults.dice("socket", number)
        self._doomed: tuple[int, Closing, str] | None = None
        self._due: dict[str, int] = {}
        self._plan(now_ms)

    def _plan(self, now_ms: int) -> None:
        """Say when the faults that have a time will strike, as they are set now."""
        faults, dice = self._faults, self._dice
        self._version = faults.version
        if self._doomed is not None and self._doomed[2]:
            self._doomed = None
        for name, closing in (("drop", Closing()), ("close", Closing(1001, "Going away"))):
            after = faults.after_ms(name, dice)
            if after is not None:
                self.doom(now_ms + after, closing, name)
        expire = faults.seconds("expire")
        if expire is not None:
            at = max(now_ms, self.opened_ms + round(expire * 1000))
            self.doom(at, Closing(1000, "Expired"), "expire")
        self._due.clear()
        for name in ("stall", "hush", "half_open"):
            self._again(name, now_ms)

    def _again(self, name: str, now_ms: int) -> None:
        after = self._faults.after_ms(name, self._dice)
        if after is not None:
            self._due[name] = now_ms + after

    def doom(self, at_ms: int, closing: Closing, fault: str = "") -> None:
        """Close the socket at a time, unless it will end earlier; `fault` is to blame for it."""
        if self._doomed is None or at_ms < self._doomed[0]:
            self._doomed = (at_ms, closing, fault)

    def due_ms(self, idle_ms: int) -> int:
        """When this socket next needs attention."""
        if self._version != self._faults.version:
            return self.opened_ms  # at once
        dues = [self.spoken_ms + idle_ms, *self._due.values()]
        if self._doomed:
            dues.append(self._doomed[0])
        if self._late:
            dues.append(self._late[0][0])
        if self._under_way:
            dues.append(self._under_way[0][0])
        return min(dues)

    def advance(self, now_ms: int, idle_ms: int) -> None:
        """Send what was delayed; end the socket when its time has come."""
        if self._version != self._faults.version:
            self._plan(now_ms)
        while self._late and self._late[0][0] <= now_ms:
            self.send(heapq.heappop(self._late)[2], now_ms)
        while self._under_way and self._under_way[0][0] <= now_ms:
            self._queue(self._under_way.popleft()[1], now_ms)
        for name in [name for name, at_ms in self._due.items() if at_ms <= now_ms]:
            del self._due[name]
            self._strike(name, now_ms)
        if self.closing is None and self._doomed and now_ms >= self._doomed[0]:
            self.closing = self._doomed[1]
            if self._doomed[2]:
                self._faults.counts[self._doomed[2]] += 1
        if self.closing is None and now_ms - self.spoken_ms >= idle_ms:
            self.closing = Closing()

    def _strike(self, name: str, now_ms: int) -> None:
        if name == "stall":
            self._again(name, now_ms)
            speaking = [sub for sub in self.subscriptions if sub not in self.muted]
            if not speaking:
                return
            self.muted.add(self._dice.choice(speaking))
        elif name == "hush":
            self.hushed = True
        else:
            self.half_open = True
        self._faults.counts[name] += 1

    def send(self, frame: str, now_ms: int) -> None:
        """Queue a frame; a client that does not read for long is dropped."""
        lag = self._faults.seconds("lag")
        if lag is None and not self._under_way:
            self._queue(frame, now_ms)
        elif self.closing is None:
            # Never before one that left earlier, whatever the lag has become.
            last = self._under_way[-1][0] if self._under_way else 0
            self._under_way.append((max(now_ms + round((lag or 0) * 1000), last), frame))
            self._faults.counts["lag"] += 1

    def _queue(self, frame: str, now_ms: int) -> None:
        if self.closing is not None or self.half_open:
            return
        self.spoken_ms = now_ms
        self._waiting.append(frame)
        if len(self._waiting) > _MOST_WAITING:
            self.closing = Closing()

    def publish(self, subscription: Subscription, frame: str, now_ms: int) -> None:
        """Send a frame of a subscription, as far as the faults let it through."""
        if subscription in self.muted or self.hushed:
            return
        if subscription.type != "candle":
            self.send(frame, now_ms)
            return
        faults, dice = self._faults, self._dice
        if faults.hits("missing", dice) or self._in_tail(subscription, now_ms):
            return
        for kind in DAMAGES:
            if faults.hits(kind, dice):
                self.send(damage_frame(frame, kind, dice), now_ms)
                return
        if faults.hits("late", dice):
            delay = 1_000 + int(dice.random() * 7_000)
            heapq.heappush(self._late, (now_ms + delay, dice.getrandbits(32), frame))
            return
        if self._held is None and faults.hits("reorder", dice):
            self._held = frame
            return
        self.send(frame, now_ms)
        if self._held is not None:
            held, self._held = self._held, None
            self.send(held, now_ms)
        if faults.hits("duplicate", dice):
            self.send(frame, now_ms)

    def _in_tail(self, subscription: Subscription, now_ms: int) -> bool:
        """Is this the end of a minute of which the end is not sent?"""
        if subscription.interval != "1m" or not self._faults.share("tail"):
            return False
        # The last frame may leave a moment after the minute has ended.
        minute, at = divmod(now_ms - 300, MINUTE_MS)
        if at < MINUTE_MS - _TAIL_MS:
            return False
        decided = self._tails.get(subscription)
        if decided is None or decided[0] != minute:
            decided = (minute, self._faults.hits("tail", self._dice))
            self._tails[subscription] = decided
        return decided[1]

    @property
    def waiting(self) -> bool:
        """Whether there is something for the shell to do."""
        return bool(self._waiting) or self.closing is not None

    def take(self) -> list[str]:
        """All frames that wait to be sent, oldest first."""
        frames = list(self._waiting)
        self._waiting.clear()
        return frames
