"""What REST has to say, and what its answers prove: first histories, repairs, confirmations.

The live half (`engine`) never waits for this one. `wanted` names the requests that would settle the
most, in order; whoever has the budget sends them, and brings back `answer` or `failed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from ringbuf.layout import WORD

from . import kernels
from .book import INTERVAL_MS, REJECTED, Book
from .ledger import Ask, Ledger
from .protocol import Candle, check_candle
from .rows import RETENTION, Existing, Settled, settle

__all__ = ["History"]

SETTLE_MS: Final = 3_000.0
"""How long after a minute's end and grace REST is asked about it: it may lag behind the socket."""
RETRY_MS: Final = 15_000.0
"""Pause before the same question is asked again; doubled each time that it was refused."""
SOON_MS: Final = 3_000.0
"""The first such pause after an answer that lags behind the socket or is damaged: most often the
next one does not, and readers are waiting for it."""
PATIENCE: Final = 5
"""Answers that lag behind the socket before the silence of the last one is believed."""

RECHECK_MS: Final = 1_800_000.0
"""After so long REST is asked about a silent market, too: its last trade may have been lost."""
RECHECK_BARS: Final = 30
"""Confirmed rows that a request for newer ones asks again: they cost next to nothing, and nobody
has proved that the exchange never corrects a row after it has listed it."""

_DOUBLINGS: Final = 7
_VAIN_DOUBLINGS: Final = 3
_MARGIN: Final = 60

_ORDER: Final = {"repair": 0, "last_close": 1, "fill": 2, "confirm": 3}
_DAY_MS: Final = 86_400_000
_CLOSED = WORD["closed"]
_START = WORD["start"]
_ORIGIN = WORD["origin"]
_CONFIRMED = WORD["confirmed"]
_REPAIRED = WORD["repaired"]
_HEARD = WORD["heard_ns"]
_CLOSE = 3  # in `Rows.prices`


def _urgency(ask: Ask) -> tuple[int, int]:
    rows = ask.last - ask.first
    return _ORDER[ask.kind], -rows if ask.kind == "confirm" else rows


class History:
    """The REST half of an engine; shares its `Book`, and its thread."""

    def __init__(self, book: Book, grace_ms: float) -> None:
        self.book = book
        self._settling_ms = grace_ms + SETTLE_MS

    # -- questions -----------------------------------------------------------------------------

    def wanted(self, now_ms: float) -> list[Ask]:
        """What to ask REST now, the most urgent first; nothing under way, nothing just tried.

        First what is missing behind live rows (the shortest first: soonest cured), then first
        histories, then closed rows that REST has not confirmed (the longest first: one request for
        many, and every market has its turn).
        """
        settled = int((now_ms - self._settling_ms) // INTERVAL_MS) - 1
        ended = int(now_ms // INTERVAL_MS) - 1
        starts = self.book.controls[:, _START].tolist()
        asks = []
        for market, ledger in enumerate(self.book.ledgers):
            if ledger.asked is None and now_ms >= ledger.retry_ms:
                missing = ledger.missing(self.book.depth, starts[market])
                if missing is None and ledger.delisted:
                    missing = self._left_open(market, ledger)
                if missing is None:
                    ask = self._confirmation(market, ledger, settled, now_ms)
                else:
                    ask = self._ask(market, ledger, *missing, settled, ended)
                if ask is not None:
                    asks.append(ask)
        asks.sort(key=_urgency)
        return asks

    def _left_open(self, market: int, ledger: Ledger) -> tuple[int, int] | None:
        """First and last bar of what nobody will close any more, as the market is delisted."""
        first, last = ledger.certain + 1, self.book.newest(market)
        if not ledger.filled or last < first or first <= self.book.oldest(last + 1):
            return None
        return first, last

    def _ask(
        self, market: int, ledger: Ledger, first: int, last: int, settled: int, ended: int
    ) -> Ask | None:
        """For what is missing, first..last, as far as REST can tell now."""
        book = self.book
        start, newest = int(book.controls[market, _START]), book.newest(market)
        if ledger.filled and first <= book.oldest(last + 1):
            if newest >= 0:
                self._lost(market, f"{last - first + 1} minutes are missing, more than is stored")
            ledger.restart()
            first = last + 1 - book.depth
        if ledger.filled:
            kind, last = "repair", min(last, settled)
        else:
            kind, last = "last_close" if ledger.dormant else "fill", min(last, ended)
            first = max(first, last + 1 - RETENTION)
        if last < first or self._short(last, start, newest):
            return None
        return Ask(market, kind, first, last, settled, ledger.traded)

    @staticmethod
    def _short(last: int, start: int, newest: int) -> bool:
        """Do rows up to `last` not reach the live ones? Then there is nothing to show for them."""
        return newest > last and last + 1 < start

    def _lost(self, market: int, why: str) -> None:
        coin = self.book.coins[market]
        self.book.counters["lost_histories"] += 1
        self.book.note(f"lost {coin}", f"{coin}: {why}; its history begins anew")

    def _confirmation(self, market: int, ledger: Ledger, settled: int, now_ms: float) -> Ask | None:
        """Closed rows that REST has not seen, if a trade has come since: else it has no news."""
        if self.book.newest(market) < 0 or now_ms < ledger.checked_ms + self._vain_ms(ledger):
            return None
        last = min(ledger.certain, settled)
        unsure = ledger.unsure is not None and ledger.unsure[0] <= last
        silent = ledger.traded <= self.book.controls[market, _CONFIRMED]
        if silent and not unsure and now_ms < ledger.checked_ms + RECHECK_MS:
            return None
        first = self._unconfirmed(market, last, settled)
        if last < first:
            return None
        if not (silent or unsure) and not self.book.rows(market, first, last).trades.any():
            return None  # it was traded in a minute that is asked about later
        first = max(first - RECHECK_BARS, self._rememberable(market, last, settled))
        return Ask(market, "confirm", first, last, settled, ledger.traded)

    @staticmethod
    def _vain_ms(ledger: Ledger) -> float:
        """How long not to ask for confirmation after answers that confirmed nothing."""
        return RETRY_MS * 2 ** min(ledger.vain, _VAIN_DOUBLINGS) if ledger.vain else 0.0

    def _unconfirmed(self, market: int, last: int, settled: int) -> int:
        """The first bar that REST has not confirmed, but could."""
        confirmed = int(self.book.controls[market, _CONFIRMED])
        return max(confirmed + 1, self._rememberable(market, last, settled))

    def _rememberable(self, market: int, last: int, settled: int) -> int:
        """The first bar that both the ring and REST still have when REST is asked up to `last`.

        REST counts from the newest bar there is, `settled` or later, which may be far ahead.
        """
        origin = int(self.book.controls[market, _ORIGIN])
        # What REST no longer has is no news, and an answer may come late.
        return max(origin, self.book.oldest(last), max(last, settled) + 1 - RETENTION + _MARGIN)

    def sent(self, ask: Ask) -> None:
        """`ask` is under way: it is not wanted again before `answer` or `failed`."""
        self.book.ledgers[ask.market].asked = ask

    def failed(self, ask: Ask, now_ms: float, *, refused: bool = False) -> None:
        """`ask` got no answer: it will be wanted again after a pause.

        `refused`: the exchange would say the same again, as of a name that it does not know. What
        is asked in vain takes from what can be had, so the pauses grow to half an hour.
        """
        ledger = self.book.ledgers[ask.market]
        ledger.asked = None
        ledger.retry_ms = now_ms + RETRY_MS * 2 ** min(ledger.refusals, _DOUBLINGS)
        ledger.refusals = ledger.refusals + 1 if refused else 0

    # -- answers -------------------------------------------------------------------------------

    def answer(self, ask: Ask, listed: Sequence[Candle], now_ms: float, now_ns: int) -> bool:
        """REST's answer to `ask`; True if readers can now see something new.

        For ``last_close`` the rows are of a longer interval, and only the last close counts.
        """
        book, ledger = self.book, self.book.ledgers[ask.market]
        ledger.asked = None
        ledger.refusals = 0
        ledger.checked_ms = now_ms
        book.controls[ask.market, _HEARD] = now_ns
        close_before, confirmed_before = float("nan"), True
        if ask.kind == "last_close":
            if ledger.traded >= ask.first:
                ledger.dormant = False
                return False  # it woke up meanwhile: REST lists its rows again
            days, refused, strayed = self._valid(ask, listed, now_ms, _DAY_MS)
            if (refused >= 0 or strayed) and self._again(ledger, now_ms):
                return False
            if not days and refused < 0 and self._never(ask.market, now_ms):
                return False
            ledger.dormant = False
            if days:
                later = days[-1].open_ms // _DAY_MS - ask.first * INTERVAL_MS // _DAY_MS
                if later > 0 or (later == 0 and ledger.empties < 2):
                    ledger.retry_ms = now_ms + RETRY_MS
                    return False  # it was traded within the history, or may have been: the same
                close_before = days[-1].close
            listed = []
        valid, refused, strayed = self._valid(ask, listed, now_ms, INTERVAL_MS)
        # What one damaged answer does not have, the next one may.
        if (refused >= 0 or strayed) and self._again(ledger, now_ms):
            return False
        if refused >= 0 and ledger.filled:
            if not self._beyond(ask, refused):
                return False
            ask = replace(ask, first=refused + 1)
        confirmed = int(book.controls[ask.market, _CONFIRMED])
        rows = book.rows(ask.market, ask.first, ask.last)
        before = book.rows(ask.market, ask.first - 1, ask.first - 1)
        if ledger.filled and before.known[0]:
            close_before = float(before.prices[0, _CLOSE])
            confirmed_before = bool(before.flags[0] & kernels.CONFIRMED) or ask.first <= confirmed
        found = settle(
            valid,
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
                confirmed_before=confirmed_before,
            ),
            interval_ms=INTERVAL_MS,
            settled=ask.settled,
            patient=ledger.attempts < PATIENCE,
        )
        if found.lagging:
            self._later(ledger, now_ms)
        else:
            ledger.attempts = 0
            ledger.asked_about(found.vouched)
        if len(found.prices):
            wrote = self._write(ask, found, now_ms)
        else:
            wrote = False
            if not found.lagging:
                self._nothing(ask, refused >= 0, now_ms)
        if ask.kind == "confirm" and not found.lagging:
            in_vain = int(book.controls[ask.market, _CONFIRMED]) == confirmed
            ledger.vain = ledger.vain + 1 if in_vain else 0
        return wrote

    @staticmethod
    def _again(ledger: Ledger, now_ms: float) -> bool:
        """Is the same to be asked once more, as the answer had rows that cannot be?"""
        if ledger.attempts >= PATIENCE:
            return False
        History._later(ledger, now_ms)
        return True

    def _never(self, market: int, now_ms: float) -> bool:
        """No day of it is listed: was it really never traded, or must that be asked again?"""
        ledger = self.book.ledgers[market]
        if self.book.newest(market) < 0:
            return self._again(ledger, now_ms)
        self._later(ledger, now_ms)  # it has been: there are rows of it
        return True

    @staticmethod
    def _later(ledger: Ledger, now_ms: float) -> None:
        """The answer to be waited for did not come yet: seldom asked for once patience is over."""
        doublings = min(max(ledger.attempts - PATIENCE, 0), _VAIN_DOUBLINGS)
        ledger.retry_ms = now_ms + (RETRY_MS * 2**doublings if ledger.attempts else SOON_MS)
        ledger.attempts += 1

    def _valid(
        self, ask: Ask, listed: Sequence[Candle], now_ms: float, interval_ms: int
    ) -> tuple[list[Candle], int, bool]:
        """The rows that may be placed, those behind the last one refused; its bar, -1 if none.

        And whether one strayed: it was refused and is of no minute asked for, by its own account,
        which is as wrong as it is; or it is not later than the one before it, as all are that the
        exchange lists. The minute that it was of now looks as if it had not been listed.
        """
        book, coin = self.book, self.book.coins[ask.market]
        valid: list[Candle] = []
        refused = -1
        times = [row.open_ms for row in listed]
        strayed = any(late <= early for early, late in pairwise(times))
        for row in listed:
            fault = "coin"
            if row.coin == coin:
                fault = check_candle(row, now_ms=now_ms, interval_ms=interval_ms) or ""
            if not fault:
                valid.append(row)
                continue
            book.counters["rejected"] += 1
            book.counters[REJECTED + fault] += 1
            book.note(f"rejected {coin}", f"REST row rejected for its {fault}: {row}")
            bar = row.open_ms // INTERVAL_MS
            if ask.first <= bar <= ask.last or interval_ms != INTERVAL_MS:
                valid.clear()
                refused = bar
            else:
                strayed = True
        return valid, refused, strayed

    def _beyond(self, ask: Ask, refused: int) -> bool:
        """REST insists on a row that cannot be: may the rows behind it be placed all the same?

        The rows before it stay unconfirmed, and a hole that cannot be filled begins the history
        anew.
        """
        ledger = self.book.ledgers[ask.market]
        if ask.kind == "confirm":
            control = self.book.controls[ask.market]
            control[_CONFIRMED] = max(int(control[_CONFIRMED]), refused)
            return refused < ask.last
        self._lost(ask.market, "REST has no valid rows of a hole")
        ledger.restart()
        return False

    def _nothing(self, ask: Ask, refused: bool, now_ms: float) -> None:
        """The exchange has no row of the market, and none was there before.

        `refused`: none that can be. So it was traded, and its last close is no row's before it.
        """
        book, ledger = self.book, self.book.ledgers[ask.market]
        if ask.kind == "fill" and ask.traded <= ask.last and not refused:
            ledger.dormant = True  # not for as long as the history reaches: ever?
            ledger.empties += 1
            return
        ledger.filled = True
        ledger.certain = max(ledger.certain, ask.last)
        if book.newest(ask.market) >= 0:
            # It was traded first when it was watched already: its live rows are all that there is.
            found = Settled(ask.last + 1, np.empty((0, 5)), np.empty((0, 2), np.int64), ask.last)
            self._write(ask, found, now_ms)
        book.judge(ask.market, now_ms)

    def _write(self, ask: Ask, found: Settled, now_ms: float) -> bool:
        book, market, ledger = self.book, ask.market, self.book.ledgers[ask.market]
        control = book.controls[market]
        last = found.first + len(found.prices) - 1
        newest = book.newest(market)
        start = int(control[_START])
        if self._short(last, start, newest):
            return False
        if last > ask.settled and newest > last and int(control[_CLOSED]) > ask.settled:
            return False  # live rows have been closed since it was asked: its last must be, too
        book.writer.advance(last)
        # What the ring cannot hold any more was asked for too long ago.
        held = book.writer.grid + 2 - book.capacity
        drop = max(0, held - found.first)
        first = found.first + drop
        begins = found.lost or not ledger.filled or int(control[_ORIGIN]) > first or newest < 0
        origin = first if begins else int(control[_ORIGIN])
        closed = min(last, ask.settled)
        vouched = min(closed, found.vouched)
        reaches = begins or first <= self._unconfirmed(market, closed, ask.settled)
        # Rows of a market without its history have no stats, whatever they hold.
        stepped = found.first + found.differs if ledger.filled else first
        behind = newest >= 0 and found.added > 0 and (first < start or found.lost)
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
            vouched if reaches else -1,
            max(stepped, first if origin == first else book.oldest()),
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
            begins = np.datetime64(found.first * INTERVAL_MS, "ms")
            self._lost(ask.market, f"the exchange no longer has the minutes before {begins}")
        if found.changed:
            book.note(f"corrected {coin}", f"{coin}: {found.changed} closed rows corrected by REST")
        if found.omitted:
            book.note(
                f"omitted {coin}",
                f"{coin}: {found.omitted} minutes not listed between two listed ones, carried",
            )
