"""The engine: what streams say and what the clock says go in, rows come out.

It decides what a reader sees: which candle is placed, when a minute opens and closes, which rows
are carried over silence. What must be asked of REST, and what the answers prove, is `history`'s
half. Neither does I/O or reads a clock: every call brings the exchange's time. So one process can
run a day of markets in a minute, and a failure can be replayed from its inputs.

A minute is *opened* when the clock reaches it, for every market whose stream is there to tell:
flat at the previous close, "no trade heard yet". It is *closed* when one stream that told all of it
is proven alive past its end and a grace period: by then its last frame has come. What no stream
observed to the end stays open until REST has settled it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from indicators import Plan
from ringbuf.layout import WORD
from ringbuf.writer import Writer

from . import kernels
from .book import GRACE_MS, INTERVAL_MS, Book
from .history import History
from .ledger import Ledger, Stream
from .protocol import Candle, check_candle

__all__ = ["Engine"]

MARGIN_MS = 1_500.0
"""A stream that begins this close to a minute's end is not trusted with that minute: our estimate
of the exchange's clock is late by the time that frames are under way."""
LEAP_BARS = 10
"""More minutes than this without a row, on a stream that claims to be whole, are a hole."""

_NEWEST = WORD["newest"]
_CLOSED = WORD["closed"]
_START = WORD["start"]
_CONFIRMED = WORD["confirmed"]
_REJECTED = WORD["rejected"]
_HEARD = WORD["heard_ns"]
_TRADES = kernels.CANDLE_COLUMNS.index("trades")
_VOLUME = kernels.CANDLE_COLUMNS.index("volume")


class Engine:
    """All markets of one store. Holds the store's `Writer`; one thread.

    `book` has the state, `history` the REST half.
    """

    def __init__(
        self, writer: Writer, plan: Plan, coins: Sequence[str], *, grace_ms: float = GRACE_MS
    ) -> None:
        self.book = Book(writer, plan, coins)
        self.history = History(self.book, grace_ms)
        self.grace_ms = grace_ms
        self._writer = writer
        self._judged = 0

    # -- frames --------------------------------------------------------------------------------

    def candle(self, candle: Candle, now_ms: float, now_ns: int) -> bool:
        """Take one candle of a stream; True if readers can now see something new.

        Frames are states, not events: of two states of one minute the one with more trades (then
        volume) wins.
        """
        book = self.book
        book.counters["frames"] += 1
        market = book.index.get(candle.coin)
        if market is None:
            book.counters["unknown_coin"] += 1
            book.note("unknown coin", f"a candle of {candle.coin!r}, which was not asked for")
            return False
        fault = check_candle(candle, now_ms=now_ms)
        if fault is None and candle.trades == 0:
            fault = "no trades"  # the socket tells trades only; such a frame proves nothing
        if fault is not None:
            book.counters["rejected"] += 1
            book.controls[market, _REJECTED] += 1
            book.note(f"rejected {candle.coin}", f"rejected for its {fault}: {candle}")
            return False
        control = book.controls[market]
        control[_HEARD] = now_ns
        book.ledgers[market].heard_ms = now_ms
        bar = candle.open_ms // INTERVAL_MS
        flags = 0
        if bar <= control[_NEWEST]:
            if bar < control[_START]:
                book.counters["late"] += 1
                return False
            if not self._newer(market, bar, candle):
                book.counters["older"] += 1
                return False
            if bar <= control[_CLOSED]:
                flags = kernels.CLOSED
                book.counters["corrected"] += 1
                # REST said less, or has not been asked: it is asked (again).
                control[_CONFIRMED] = min(int(control[_CONFIRMED]), bar - 1)
        else:
            self._approach(market, bar, now_ms)
        self._place(market, bar, candle, flags, now_ms, now_ns)
        return True

    def _newer(self, market: int, bar: int, candle: Candle) -> bool:
        column = bar % self.book.capacity
        trades = int(self._writer.integers[market, _TRADES, column])
        volume = float(self._writer.floats[market, _VOLUME, column])
        return (candle.trades, candle.volume) > (trades, volume)

    def _approach(self, market: int, bar: int, now_ms: float) -> None:
        """Get the market ready for its first row at `bar`, ahead of all that it has."""
        book, ledger = self.book, self.book.ledgers[market]
        newest = book.newest(market)
        if newest < 0:
            if ledger.filled:
                # Its first trade ever: nothing is missing before it.
                ledger.certain = bar - 1
                book.controls[market, _CLOSED] = bar - 1
        elif self._tells(ledger, newest + 1) and bar - newest <= LEAP_BARS:
            # The stream is in order: the minutes in between, not opened yet, were silent.
            for silent in range(newest + 1, bar):
                self._open_one(silent, [market], now_ms)

    @staticmethod
    def _tells(ledger: Ledger, bar: int) -> bool:
        since = ledger.since
        return since is not None and since <= bar

    def _place(
        self, market: int, bar: int, candle: Candle, flags: int, now_ms: float, now_ns: int
    ) -> None:
        book, ledger = self.book, self.book.ledgers[market]
        self._writer.advance(bar)
        ledger.traded = max(ledger.traded, bar)
        newest = book.newest(market)
        continues = newest >= 0 and bar <= newest + 1
        whole = book.whole(market) if continues else ledger.filled and bar == ledger.certain + 1
        kernels.update(
            *book.arrays,
            market,
            candle.open_ms,
            INTERVAL_MS,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.trades,
            flags,
            whole,
            int(now_ms),
            now_ns,
        )
        book.counters["placed"] += 1
        book.judge(market, now_ms)

    # -- streams -------------------------------------------------------------------------------

    def watch(self, market: int, stream: Stream, now_ms: float) -> None:
        """`stream` tells about `market` from now on: its subscription was acknowledged."""
        self.book.ledgers[market].streams[stream] = int((now_ms + MARGIN_MS) // INTERVAL_MS)
        self.book.judge(market, now_ms)

    def unwatch(self, stream: Stream, now_ms: float, markets: Iterable[int] | None = None) -> None:
        """`stream` is gone, or no longer tells about `markets` (None: all of its own)."""
        for market in range(len(self.book.ledgers)) if markets is None else markets:
            if self.book.ledgers[market].streams.pop(stream, None) is not None:
                self.book.judge(market, now_ms)

    # -- time ----------------------------------------------------------------------------------

    def tick(self, now_ms: float) -> bool:
        """Open and close minutes; True if readers can now see something new.

        To be called a few times a second.
        """
        now_bar = int(now_ms // INTERVAL_MS)
        opened = self._open(now_bar, now_ms)
        closed = self._close(now_bar)
        judged = False
        if now_bar != self._judged:
            self._judged = now_bar
            for market in range(len(self.book.ledgers)):
                judged = self.book.judge(market, now_ms) or judged
        return opened or closed or judged

    def _open(self, now_bar: int, now_ms: float) -> bool:
        """Open the running minute, and those before it that passed in silence."""
        newest = self.book.controls[:, _NEWEST]
        ready: dict[int, list[int]] = {}
        for market in np.flatnonzero((newest >= 0) & (newest < now_bar)).tolist():
            ledger = self.book.ledgers[market]
            bar = int(newest[market]) + 1
            if not self._tells(ledger, bar):
                continue
            if now_bar - bar > LEAP_BARS:
                for stream in ledger.streams:
                    ledger.streams[stream] = max(ledger.streams[stream], now_bar)
                continue
            for silent in range(bar, now_bar + 1):
                ready.setdefault(silent, []).append(market)
        for bar in sorted(ready):
            self._open_one(bar, ready[bar], now_ms)
        return bool(ready)

    def _open_one(self, bar: int, markets: list[int], now_ms: float) -> None:
        book = self.book
        self._writer.advance(bar)
        kernels.open_bars(
            *book.arrays,
            np.array(markets, np.int64),
            np.array([book.whole(market) for market in markets], np.bool_),
            bar,
            INTERVAL_MS,
            int(now_ms),
        )
        book.counters["opened"] += len(markets)

    def _close(self, now_bar: int) -> bool:
        """Close what was observed to its end and grace, in every market."""
        book = self.book
        newest, closed = book.controls[:, _NEWEST], book.controls[:, _CLOSED]
        open_ = np.flatnonzero((newest >= 0) & (closed < np.minimum(newest, now_bar - 1)))
        closable = [(m, bar) for m in open_.tolist() if (bar := self._closable(m, now_bar)) >= 0]
        if not closable:
            return False
        markets, bars = np.array(closable, np.int64).T.copy()
        kernels.close_bars(self._writer.integers, book.controls, markets, bars)
        for market, bar in closable:
            if book.whole(market):
                book.ledgers[market].certain = bar
        book.counters["closed"] += len(closable)
        return True

    def _closable(self, market: int, now_bar: int) -> int:
        """The newest bar up to which `market` can be closed now, -1 if none."""
        ledger, control = self.book.ledgers[market], self.book.controls[market]
        last = -1
        bar = max(int(control[_CLOSED]) + 1, int(control[_START]))
        while bar < now_bar and bar <= control[_NEWEST]:
            if not ledger.observed(bar, (bar + 1) * INTERVAL_MS + self.grace_ms):
                break
            last = bar
            bar += 1
        return last
