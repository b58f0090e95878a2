"""What REST has to say, and what its answers prove: first histories, repairs, confirmations.

The live half (`engine`) never waits for this one. `wanted` names the requests that would settle the
most, in order; whoever has the budget sends them, and brings back `answer` or `failed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ringbuf.layout import WORD

from . import kernels
from .book import INTERVAL_MS, Book
from .ledger import Ask, Ledger
from .protocol import Candle, check_candle
from .rows import RETENTION, Existing, Settled, settle

__all__ = ["History"]

SETTLE_MS: Final = 3_000.0
"""How long after a minute's end and grace REST is asked about it: it may lag behind the socket."""
RETRY_MS: Final = 15_000.0
"""Pause before the same question is asked again."""
PATIENCE: Final = 4
"""Answers that lag behind the socket before the silence of the last one is believed."""

_ORDER: Final = {"repair": 0, "last_close": 1, "fill": 2, "confirm": 3}
_CLOSED = WORD["closed"]
_START = WORD["start"]
_ORIGIN = WORD["origin"]
_CONFIRMED = WORD["confirmed"]
_REPAIRED = WORD["repaired"]
_HEARD = WORD["heard_ns"]
_CLOSE = 3  # in `Rows.prices`


class History:
    """The REST half of an engine; shares its `Book`, and its thread."""

    def __init__(self, book: Book, grace_ms: float) -> None:
        self.book = book
        self._settling_ms = grace_ms + SETTLE_MS

    # -- questions -----------------------------------------------------------------------------

    def wanted(self, now_ms: float) -> list[Ask]:
        """What to ask REST now, the most urgent first; nothing under way, nothing just tried.

        First what is missing behind live rows (the shortest first: soonest cured), then first
        histories, then closed rows that REST has not confirmed.
        """
        settled = int((now_ms - self._settling_ms) // INTERVAL_MS) - 1
        ended = int(now_ms // INTERVAL_MS) - 1
        asks = []
        for market, ledger in enumerate(self.book.ledgers):
            if ledger.asked is None and now_ms >= ledger.retry_ms:
                ask = self._ask(market, ledger, settled, ended)
                if ask is not None:
                    asks.append(ask)
        asks.sort(key=lambda ask: (_ORDER[ask.kind], ask.last - ask.first))
        return asks

    def _ask(self, market: int, ledger: Ledger, settled: int, ended: int) -> Ask | None:
        book = self.book
        missing = ledger.missing(book.depth)
        if missing is None:
            return self._confirmation(market, ledger, settled)
        first, last = missing
        if ledger.filled and first <= book.oldest:
            book.note(
                f"lost {book.coins[market]}",
                f"{book.coins[market]}: {last - first + 1} minutes are missing, more than the "
                f"store holds; its history begins anew",
            )
            book.counters["lost_histories"] += 1
            ledger.restart()
            first = last + 1 - book.depth
        if ledger.filled:
            last = min(last, settled)
            return (
                Ask(market, "repair", first, last, settled, ledger.traded)
                if last >= first
                else None
            )
        kind = "last_close" if ledger.dormant else "fill"
        last = min(last, ended)
        return Ask(market, kind, max(first, last + 1 - RETENTION), last, settled, ledger.traded)

    def _confirmation(self, market: int, ledger: Ledger, settled: int) -> Ask | None:
        """Closed rows that REST has not seen, if a trade has come since: else it has no news."""
        control = self.book.controls[market]
        first = max(int(control[_CONFIRMED]) + 1, int(control[_ORIGIN]))
        first = max(first, self.book.oldest)
        last = min(ledger.certain, settled)
        if self.book.newest(market) < 0 or last < first:
            return None
        if not self.book.rows(market, first, last).trades.any():
            return None
        return Ask(market, "confirm", first, last, settled, ledger.traded)

    def sent(self, ask: Ask) -> None:
        """`ask` is under way: it is not wanted again before `answer` or `failed`."""
        self.book.ledgers[ask.market].asked = ask

    def failed(self, ask: Ask, now_ms: float) -> None:
        """`ask` got no answer: it will be wanted again after a pause."""
        ledger = self.book.ledgers[ask.market]
        ledger.asked = None
        ledger.retry_ms = now_ms + RETRY_MS

    # -- answers -------------------------------------------------------------------------------

    def answer(self, ask: Ask, listed: Sequence[Candle], now_ms: float, now_ns: int) -> bool:
        """REST's answer to `ask`; True if readers can now see something new.

        For ``last_close`` the rows are of a longer interval, and only the last close counts.
        """
        book, ledger = self.book, self.book.ledgers[ask.market]
        ledger.asked = None
        book.controls[ask.market, _HEARD] = now_ns
        close_before = float("nan")
        if ask.kind == "last_close":
            ledger.dormant = False
            if ledger.traded > ask.last:
                return False  # it woke up meanwhile: REST lists its rows again
            if listed:
                close_before = listed[-1].close
            listed = []
        rows = book.rows(ask.market, ask.first, ask.last)
        before = book.rows(ask.market, ask.first - 1, ask.first - 1)
        if ledger.filled and before.known[0]:
            close_before = float(before.prices[0, _CLOSE])
        found = settle(
            self._valid(ask, listed, now_ms),
            ask.first,
            ask.last,
            Existing(
                close_before=close_before,
                known=rows.known,
                closed=rows.closed,
                prices=rows.prices,
                trades=rows.trades,
                traded_after=ask.traded > ask.last,
                latest=int(now_ms // INTERVAL_MS),
            ),
            interval_ms=INTERVAL_MS,
            settled=ask.settled,
            patient=ledger.attempts < PATIENCE,
        )
        if found.lagging:
            ledger.attempts += 1
            ledger.retry_ms = now_ms + RETRY_MS
        else:
            ledger.attempts = 0
        if len(found.prices):
            return self._write(ask, found, now_ms)
        if not found.lagging:
            self._nothing(ask, now_ms)
        return False

    def _valid(self, ask: Ask, listed: Sequence[Candle], now_ms: float) -> list[Candle]:
        """The rows that may be placed; behind one that may not, the history begins anew."""
        book, coin = self.book, self.book.coins[ask.market]
        valid: list[Candle] = []
        for row in listed:
            fault = "coin" if row.coin != coin else check_candle(row, now_ms=now_ms)
            if fault is None:
                valid.append(row)
                continue
            book.counters["rejected"] += 1
            book.note(f"rejected {coin}", f"REST row rejected for its {fault}: {row}")
            if ask.first <= row.open_ms // INTERVAL_MS <= ask.last:
                valid.clear()
        return valid

    def _nothing(self, ask: Ask, now_ms: float) -> None:
        """The exchange has no row of the market, and none was there before."""
        ledger = self.book.ledgers[ask.market]
        if ask.kind == "fill":
            ledger.dormant = True  # not for as long as the history reaches: ever?
            return
        ledger.filled = True
        ledger.certain = max(ledger.certain, ask.last)
        self.book.judge(ask.market, now_ms)

    def _write(self, ask: Ask, found: Settled, now_ms: float) -> bool:
        book, market, ledger = self.book, ask.market, self.book.ledgers[ask.market]
        control = book.controls[market]
        last = found.first + len(found.prices) - 1
        newest = book.newest(market)
        if newest > last and last + 1 < int(control[_START]):
            return False  # it does not reach the live rows yet: nothing to show for it
        book.writer.advance(last)
        # What the ring cannot hold any more was asked for too long ago.
        held = book.writer.grid + 2 - book.capacity
        drop = max(0, held - found.first)
        first = found.first + drop
        begins = found.lost or not ledger.filled or int(control[_ORIGIN]) > first or newest < 0
        origin = first if begins else int(control[_ORIGIN])
        closed = min(last, ask.settled)
        behind = ledger.filled and found.added > 0
        kernels.fill(
            *book.arrays,
            market,
            first,
            INTERVAL_MS,
            found.prices[drop:],
            found.counts[drop:],
            max(origin, held),
            origin,
            closed,
            max(found.first + found.differs, first if origin == first else book.oldest),
            found.changed,
            behind or found.changed > 0,
            int(now_ms),
        )
        ledger.filled = True
        ledger.certain = max(ledger.certain, closed)
        if newest > last and int(control[_CLOSED]) > closed:
            ledger.certain = int(control[_CLOSED])  # live rows closed while the hole was open
        traded = np.flatnonzero(found.counts[:, 0])
        if len(traded):
            ledger.traded = max(ledger.traded, found.first + int(traded[-1]))
            if found.first + traded[-1] >= now_ms // INTERVAL_MS - 1:
                ledger.heard_ms = now_ms
        self._count(ask, found)
        book.judge(market, now_ms)
        return True

    def _count(self, ask: Ask, found: Settled) -> None:
        book, coin = self.book, self.book.coins[ask.market]
        if ask.kind == "repair":
            book.counters["repaired"] += found.added
            book.controls[ask.market, _REPAIRED] += found.added
        book.counters["carried"] += found.carried
        book.counters["omitted"] += found.omitted
        book.counters["corrected"] += found.changed
        if found.lost:
            book.counters["lost_histories"] += 1
            book.note(
                f"lost {coin}",
                f"{coin}: the exchange no longer has the minutes before "
                f"{np.datetime64(found.first * INTERVAL_MS, 'ms')}; its history begins there",
            )
        if found.changed:
            book.note(f"corrected {coin}", f"{coin}: {found.changed} closed rows corrected by REST")
        if found.omitted:
            book.note(
                f"omitted {coin}",
                f"{coin}: {found.omitted} minutes not listed between two listed ones, carried",
            )
