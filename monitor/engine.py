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
from .book import GRACE_MS, INTERVAL_MS, LIVE, REJECTED, STALE, Book
from .history import History
from .ledger import Ledger, Stream
from .protocol import Candle, check_candle

__all__ = ["Engine"]

MARGIN_MS = 1_500.0
"""A stream that begins this close to a minute's end is not trusted with that minute: our estimate
of the exchange's clock is late by the time that frames are under way."""
WITNESSES = 2
"""How many streams must have been silent about a minute for it to count as without trades."""
SECOND_MS = 10_000.0
"""How much later than one stream somebody else may say that a minute passed in silence: another
stream, or the day's volume, which is looked at a moment after each minute's end."""
LEAP_BARS = 10
"""More minutes than this without a row, on a stream that claims to be whole, are a hole."""

_NEWEST = WORD["newest"]
_CLOSED = WORD["closed"]
_CONFIRMED = WORD["confirmed"]
_START = WORD["start"]
_REJECTED = WORD["rejected"]


class Engine:
    """All markets of one store. Holds the store's `Writer`; one thread.

    `book` has the state, `history` the REST half. What the store holds already is gone on with
    (`book.Book`); `deeper` where more of it was asked for than it had room for before. `witnesses`
    streams make a silence; a test that has only one may ask for less.
    """

    def __init__(
        self,
        writer: Writer,
        plan: Plan,
        coins: Sequence[str],
        *,
        grace_ms: float = GRACE_MS,
        deeper: bool = False,
        witnesses: int = WITNESSES,
    ) -> None:
        self.book = Book(writer, plan, coins, deeper=deeper)
        self.history = History(self.book, grace_ms)
        self.grace_ms = grace_ms
        self._writer = writer
        self._witnesses = witnesses
        self._judged = 0

    # -- frames --------------------------------------------------------------------------------

    def candle(self, candle: Candle, now_ms: float, now_ns: int) -> bool:
        """Take one candle of a stream; True if readers can now see something new.

        Frames are states, not events: of two states of one minute the one with more trades (then
        volume) wins.
        """
        book = self.book
        counters = book.counters
        counters["frames"] += 1
        market = book.index.get(candle.coin)
        if market is None:
            counters["unknown_coin"] += 1
            book.note("unknown coin", f"a candle of {candle.coin!r}, which was not asked for")
            return False
        fault = check_candle(candle, now_ms=now_ms)
        if fault is not None or candle.trades == 0:
            # The socket tells trades only; a frame without any proves nothing.
            self._reject(market, candle, fault or "no trades", now_ms)
            return False
        ledger = book.ledgers[market]
        if ledger.delisted:
            return False  # nobody watches it: what it tells now could never be closed
        ledger.heard_ms = now_ms
        bar = candle.open_ms // INTERVAL_MS
        code = self._place(market, candle, ledger.certain, False, now_ms, now_ns)
        if code == kernels.AHEAD and book.newest(market) < 0 and self._bygone(bar, now_ms):
            # Its place in the ring may be a newer row's. What it told is left to REST.
            self._doubt(market, bar, now_ms)
            code = kernels.LATE
        if code == kernels.AHEAD:
            self._approach(market, bar, now_ms)
            self._writer.advance(bar)
            code = self._place(market, candle, ledger.certain, True, now_ms, now_ns)
            book.judge(market, now_ms)
        elif code == kernels.OLDER:
            counters["older"] += 1
            return False
        elif code == kernels.LATE:
            counters["late"] += 1
            return False
        elif code == kernels.CORRECTED:
            counters["corrected"] += 1
        counters["placed"] += 1
        ledger.traded = max(ledger.traded, bar)
        if ledger.status != LIVE:
            book.judge(market, now_ms)
        return True

    def _place(
        self, market: int, candle: Candle, certain: int, opens: bool, now_ms: float, now_ns: int
    ) -> int:
        code: int = kernels.place(
            *self.book.arrays,
            market,
            candle.open_ms,
            INTERVAL_MS,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.trades,
            certain,
            opens,
            int(now_ms),
            now_ns,
        )
        return code

    def _reject(self, market: int, candle: Candle, fault: str, now_ms: float) -> None:
        book = self.book
        book.counters["rejected"] += 1
        book.counters[REJECTED + fault.replace(" ", "_")] += 1
        book.controls[market, _REJECTED] += 1
        book.note(f"rejected {candle.coin}", f"rejected for its {fault}: {candle}")
        self._doubt(market, candle.open_ms // INTERVAL_MS, now_ms)

    @staticmethod
    def _bygone(bar: int, now_ms: float) -> bool:
        return bar < now_ms // INTERVAL_MS - LEAP_BARS

    def _doubt(self, market: int, bar: int, now_ms: float) -> None:
        """A frame, of `bar` by its own account, could not be used: what did it tell?"""
        now_bar = int(now_ms // INTERVAL_MS)
        if not 0 <= bar - now_bar <= LEAP_BARS:
            bar = now_bar  # of no known minute, or of one that is over and was told about before
        self.book.ledgers[market].doubt(bar)
        self.book.judge(market, now_ms)

    def _approach(self, market: int, bar: int, now_ms: float) -> None:
        """Get the market ready for its first row at `bar`, ahead of all that it has."""
        book, ledger = self.book, self.book.ledgers[market]
        newest = book.newest(market)
        if newest < 0:
            # Its first trade ever, it seems. The exchange now has one to list: what it says before
            # that is the proof.
            ledger.filled = False
        elif self._tells(ledger, newest + 1) and bar - newest <= LEAP_BARS:
            # The stream is in order: the minutes in between, not opened yet, were silent.
            for silent in range(newest + 1, bar):
                self._open_one(silent, [market], now_ms)

    @staticmethod
    def _tells(ledger: Ledger, bar: int) -> bool:
        since = ledger.since
        return since is not None and since <= bar

    def unreadable(self, stream: Stream, now_ms: float) -> None:
        """`stream` had a frame that nobody can read: any of its markets may have traded."""
        now_bar = int(now_ms // INTERVAL_MS)
        for market, ledger in enumerate(self.book.ledgers):
            if stream in ledger.streams:
                ledger.doubt(now_bar, stream)
                self.book.judge(market, now_ms)

    # -- streams -------------------------------------------------------------------------------

    def watch(self, market: int, stream: Stream, now_ms: float) -> None:
        """`stream` tells about `market` from now on: its subscription was acknowledged."""
        self.book.ledgers[market].watch(stream, int((now_ms + MARGIN_MS) // INTERVAL_MS))
        self.book.judge(market, now_ms)

    def unwatch(self, stream: Stream, now_ms: float, markets: Iterable[int] | None = None) -> None:
        """`stream` is gone, or no longer tells about `markets` (None: all of its own)."""
        for market in range(len(self.book.ledgers)) if markets is None else markets:
            if self.book.ledgers[market].streams.pop(stream, None) is not None:
                self.book.judge(market, now_ms)

    def silent(self, market: int, first: int, last: int) -> None:
        """The day's volume shows that `market` was not traded in the bars first..last."""
        self.book.ledgers[market].silence = (first, last)

    def delist(self, market: int, now_ms: float, *, delisted: bool = True) -> None:
        """The exchange trades `market` no more, or again: its rows stay, nobody tells new ones."""
        ledger = self.book.ledgers[market]
        ledger.delisted = delisted
        if delisted:
            ledger.streams.clear()
        self.book.judge(market, now_ms)

    # -- time ----------------------------------------------------------------------------------

    def tick(self, now_ms: float) -> bool:
        """Open and close minutes; True if readers can now see something new.

        To be called a few times a second.
        """
        now_bar = int(now_ms // INTERVAL_MS)
        opened = self._open(now_bar, now_ms)
        closed = self._close(now_bar, now_ms)
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
                ledger.doubt(now_bar - 1)
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

    def _close(self, now_bar: int, now_ms: float) -> bool:
        """Close what was observed to its end and grace, in every market."""
        book = self.book
        newest, closed = book.controls[:, _NEWEST], book.controls[:, _CLOSED]
        open_ = np.flatnonzero((newest >= 0) & (closed < np.minimum(newest, now_bar - 1)))
        closable = [
            (m, bar) for m in open_.tolist() if (bar := self._closable(m, now_bar, now_ms)) >= 0
        ]
        if not closable:
            return False
        markets, bars = np.array(closable, np.int64).T.copy()
        kernels.close_bars(self._writer.integers, book.controls, markets, bars)
        for market, bar in closable:
            if book.whole(market):
                book.ledgers[market].certain = bar
            if book.ledgers[market].status == STALE:
                book.judge(market, now_ms)
        book.counters["closed"] += len(closable)
        return True

    def _closable(self, market: int, now_bar: int, now_ms: float) -> int:
        """The newest bar up to which `market` can be closed now, -1 if none.

        A stream of a live socket can fall silent by itself. So a minute was without trades if two
        streams say so, or the day's volume, or else REST.
        """
        ledger, control = self.book.ledgers[market], self.book.controls[market]
        last = -1
        bar = max(int(control[_CLOSED]) + 1, int(control[_START]))
        while bar < now_bar and bar <= control[_NEWEST]:
            until_ms = (bar + 1) * INTERVAL_MS + self.grace_ms
            told = ledger.observed(bar, until_ms)
            enough = told >= self._witnesses or ledger.proven(bar) or self.book.traded(market, bar)
            if told and not enough:
                told = 0
                waited = int((now_ms - self.grace_ms - SECOND_MS) // INTERVAL_MS)
                if bar < waited:
                    ledger.doubt(waited - 1)  # all that has ended: one request for many minutes
            if not told:
                break
            last = bar
            bar += 1
        return last
