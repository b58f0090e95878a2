"""What a subscription sends, and when: one stream for each distinct subscription.

A stream is shared by all sockets that subscribed to it: every frame is made once. `due_ms` is
when it has something to say next (None: never), `fire` says it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from .candles import Bar
from .prices import chance, stable_key
from .tape import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable

    from .desk import Desk
    from .intervals import Interval

__all__ = [
    "BboStream",
    "BookStream",
    "CandleStream",
    "ContextStream",
    "MidsStream",
    "Stream",
    "TradesStream",
    "dump",
]

_LAG_MS = 40
_GAP_MS = (600, 1_100)
_BLOCK_MS = 100
_REPLAYED_TRADES = 30
_MIDS_MS = 5_000
_CONTEXT_MS = 1_000
_LATE_SHARE = 0.3


def dump(document: Any) -> str:
    """Compact JSON, as the exchange writes it."""
    return json.dumps(document, separators=(",", ":"))


class Stream(Protocol):
    """What the exchange asks of a stream."""

    due_ms: int | None

    def snapshot(self, now_ms: int) -> str | None:
        """The frame for a new subscriber, if there is one."""
        ...

    def fire(self, now_ms: int) -> str | None:
        """The frame that is due at `now_ms`, if any; sets the next `due_ms`."""
        ...


class CandleStream:
    """Candle frames of one market and interval.

    Trades drive it, at most one to two frames a second. The end of a bar is said by no frame.
    What is traded in the last 5 to 50 ms of a bar is usually not sent any more (sometimes late);
    the first trade of a bar always is. `tails` counts bars whose last trades were not sent.
    """

    def __init__(self, desk: Desk, interval: Interval, now_ms: int) -> None:
        """Begin behind the trades up to `now_ms`."""
        self._desk = desk
        self._interval = interval
        self._key = stable_key(desk.key, interval.name)
        self._cursor = Cursor(desk.tape, now_ms)
        self._bar = desk.series.bar(interval, now_ms)
        # Whoever subscribes first gets the open bar as a snapshot: it counts as sent.
        self._sent_open = self._bar.open_ms if self._bar else -1
        self._sent_ms = now_ms - _GAP_MS[1]
        self._target: int | None = None
        self._frames = 0
        self.tails = 0
        self.due_ms: int | None = None
        self._plan(now_ms)

    def _plan(self, now_ms: int) -> None:
        """Find when the next frame is due, and of which bar (`_target`)."""
        while True:
            traded = self._cursor.next_time(now_ms)
            if traded is None:
                self._target = None
                self.due_ms = self._cursor.wake_ms()
                return
            open_ms = self._interval.floor(traded)
            end = self._interval.after(open_ms)
            dice = chance(self._key, open_ms)
            cut = end - 5 - int(dice * 45)
            self._frames += 1
            low, high = _GAP_MS
            gap = low + int(chance(self._key, self._frames) * (high - low))
            due = max(traded + _LAG_MS, self._sent_ms + gap)
            if due > cut:
                if traded <= cut:
                    due = cut
                elif self._sent_open != open_ms or chance(self._key, end) < _LATE_SHARE:
                    due = max(end + 15 + int(dice * 200), now_ms)
                else:
                    self.tails += 1
                    self._cursor.take(end - 1)
                    continue
            self._target, self.due_ms = open_ms, max(due, now_ms)
            return

    def snapshot(self, now_ms: int) -> str | None:
        """The state of the open bar, None without a trade in it."""
        desk = self._desk
        bar = desk.series.bar(self._interval, now_ms)
        return desk.series.frame(desk.coin_json, self._interval, bar) if bar else None

    def fire(self, now_ms: int) -> str | None:
        """The state of the target bar at `now_ms`."""
        target = self._target
        if target is None:
            self._plan(now_ms)
            return None
        bar = self._bar
        until = min(now_ms, self._interval.after(target) - 1)
        for _, px, units, counted in self._cursor.take(until):
            if bar is None or bar.open_ms != target:
                bar = self._bar = Bar(target, px, units, counted)
            else:
                bar.add(px, units, counted)
        self._sent_ms, self._sent_open = now_ms, target
        self._plan(now_ms)
        if bar is None or not bar.trades:
            return None
        return self._desk.series.frame(self._desk.coin_json, self._interval, bar)


class TradesStream:
    """Trades of one market, those of a block together."""

    def __init__(self, desk: Desk, now_ms: int) -> None:
        """Begin behind the trades up to `now_ms`."""
        self._desk = desk
        self._cursor = Cursor(desk.tape, now_ms)
        self.due_ms: int | None = None
        self._plan(now_ms)

    def _plan(self, now_ms: int) -> None:
        traded = self._cursor.next_time(now_ms)
        if traded is None:
            self.due_ms = self._cursor.wake_ms()
        else:
            self.due_ms = max((traded // _BLOCK_MS + 1) * _BLOCK_MS, now_ms)

    def snapshot(self, now_ms: int) -> str | None:
        """The last few trades."""
        trades = self._desk.trades(now_ms, _REPLAYED_TRADES)
        return dump({"channel": "trades", "data": trades}) if trades else None

    def fire(self, now_ms: int) -> str | None:
        """All trades since the last frame."""
        taken = self._cursor.take(now_ms)
        self._plan(now_ms)
        desk = self._desk
        trades = [desk.trade(ms, px, units) for ms, px, units, counted in taken if counted]
        return dump({"channel": "trades", "data": trades}) if trades else None


class BboStream:
    """Best bid and offer of one market, on change, at most once a block; BTC 5 to 8 a second."""

    def __init__(self, desk: Desk, now_ms: int, told_ms: Callable[[int], int]) -> None:
        """The pace follows the market's trading; `told_ms` is what is told for a block's time."""
        self._desk = desk
        self._told_ms = told_ms
        rate = min(max(desk.market.trades_per_minute * 0.072, 0.05), 6.5)
        self._pause_ms = 1000 / rate
        self._silent = desk.market.delisted
        self.due_ms: int | None = None
        self._plan(now_ms)

    def _plan(self, now_ms: int) -> None:
        if not self._desk.quoted:
            return
        spread = 0.8 + 0.4 * chance(self._desk.key, now_ms)
        self.due_ms = now_ms + max(1, round(self._pause_ms * spread))

    def snapshot(self, now_ms: int) -> str | None:
        """The current state; a delisted market is silent."""
        return None if self._silent else self._frame(now_ms)

    def _frame(self, now_ms: int) -> str:
        desk = self._desk
        bids, asks = desk.book(now_ms, 1)
        sides = [bids[0] if bids else None, asks[0] if asks else None]
        return dump(
            {
                "channel": "bbo",
                "data": {"coin": desk.market.coin, "time": self._told_ms(now_ms), "bbo": sides},
            }
        )

    def fire(self, now_ms: int) -> str | None:
        """The state at `now_ms`, which is the time of the block."""
        self._plan(now_ms)
        return self._frame(now_ms)


class _Paced:
    """A frame made anew every `pause_ms`."""

    def __init__(self, make: Callable[[int], str | None], pause_ms: int, now_ms: int) -> None:
        """`make` gives the frame at a time."""
        self._make = make
        self._pause_ms = pause_ms
        self.due_ms: int | None = now_ms + pause_ms

    def snapshot(self, now_ms: int) -> str | None:
        """The frame as of now."""
        return self._make(now_ms)

    def fire(self, now_ms: int) -> str | None:
        """The frame as of now; the next one a pause later."""
        self.due_ms = now_ms + self._pause_ms
        return self._make(now_ms)


class ContextStream(_Paced):
    """Context of one market, about once a second; a delisted one gets its first frame only."""

    def __init__(self, desk: Desk, now_ms: int) -> None:
        """Choose the channel by the kind of market."""
        name = "activeSpotAssetCtx" if desk.market.kind == "spot" else "activeAssetCtx"

        def make(ms: int) -> str:
            data = {"coin": desk.market.coin, "ctx": desk.context(ms)}
            return dump({"channel": name, "data": data})

        super().__init__(make, _CONTEXT_MS, now_ms)
        if desk.market.delisted:
            self.due_ms = None


class BookStream(_Paced):
    """Order book of one market: 20 levels every 5.4 s, with `fast` 5 levels every 0.54 s."""

    def __init__(self, desk: Desk, now_ms: int, *, fast: bool) -> None:
        """Choose depth and pace."""
        depth = 5 if fast else 20

        def make(ms: int) -> str | None:
            if desk.market.delisted:
                return None
            data = {"coin": desk.market.coin, "time": ms, "levels": desk.book(ms, depth)}
            return dump({"channel": "l2Book", "data": data})

        super().__init__(make, 540 if fast else 5_400, now_ms)


class MidsStream(_Paced):
    """All mid prices of a dex, every 5 s."""

    def __init__(self, mids: Callable[[int], dict[str, str]], dex: str, now_ms: int) -> None:
        """`mids` gives the map at a time."""

        def make(ms: int) -> str:
            data: dict[str, Any] = {"mids": mids(ms)}
            if dex:
                data["dex"] = dex
            return dump({"channel": "allMids", "data": data})

        super().__init__(make, _MIDS_MS, now_ms)
