"""The markets of one store: their rows, their ledgers, and the stats to step.

What the two halves of the engine share: `engine` writes what streams tell, `history` what REST
answers. Nothing here decides; it finds rows and says what they mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from indicators import Plan
from ringbuf.layout import WORD
from ringbuf.writer import Writer

from .kernels import CANDLE_COLUMNS, CLOSED
from .ledger import Ledger
from .rows import RETENTION

__all__ = [
    "COUNTERS",
    "GRACE_MS",
    "INTERVAL_MS",
    "LIVE",
    "REJECTED",
    "STALE",
    "STATUSES",
    "TROUBLED",
    "Book",
    "Note",
    "Rows",
    "recall",
    "rows_of",
]

INTERVAL_MS: Final = 60_000
GRACE_MS: Final = 2_500.0
"""After a minute's end, how long its last frame may still be on its way: the exchange sends at most
one or two a second for a market."""

AWAITED_BARS: Final = 3
"""A market with an older minute that nobody could close is not up to date, whatever it tells."""

STATUSES: Final = ("syncing", "live", "quiet", "stale", "delisted")
TROUBLED: Final = ("syncing", "stale")
"""Those of them that say that a market is not up to date."""
_SYNCING, LIVE, _QUIET, STALE, _DELISTED = range(5)

REJECTED: Final = "rejected_"
"""Before the reason that `protocol.check_candle` gives, with ``_`` for a blank: its counter."""

COUNTERS: Final = (
    "frames",
    "placed",
    "older",
    "late",
    "rejected",
    "rejected_coin",
    "rejected_future",
    "rejected_interval",
    "rejected_no_trades",
    "rejected_price",
    "rejected_time",
    "rejected_trades",
    "rejected_volume",
    "unknown_coin",
    "malformed",
    "opened",
    "closed",
    "corrected",
    "repaired",
    "carried",
    "omitted",
    "lost_histories",
    "rest_requests",
    "rest_weight",
    "rest_weight_minute",
    "rest_errors",
    "connects",
    "connects_minute",
    "disconnects",
    "renewals",
    "stalls",
    "quarantined",
    "delisted",
    "offered",
    "renamed",
    "sockets",
    "on_two_sockets",
    "lag_p50_ms",
    "lag_p99_ms",
    "names_restored",
    "archived",
    "archive_errors",
    "archive_damaged",
)

_COLUMN = {name: position for position, name in enumerate(CANDLE_COLUMNS)}
_CLOSED = WORD["closed"]
_CONFIRMED = WORD["confirmed"]
_NEWEST = WORD["newest"]
_START = WORD["start"]
_ORIGIN = WORD["origin"]
_STATUS = WORD["status"]


@dataclass(frozen=True)
class Note:
    """Something a person should know; notes of one `key` are repetitions of each other."""

    key: str
    text: str


@dataclass(frozen=True)
class Rows:
    """A copy of consecutive rows: float64[n, 5] open..volume, int64[n] each; `known`: bool[n]."""

    prices: npt.NDArray[np.float64]
    trades: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]

    @property
    def closed(self) -> npt.NDArray[np.bool_]:
        """bool[n]: the row is there, and readers have seen it closed."""
        closed: npt.NDArray[np.bool_] = self.known & (self.flags & CLOSED != 0)
        return closed


def rows_of(writer: Writer, market: int, first: int, last: int) -> Rows:
    """Copy of the rows first..last (fewer than the ring holds) of a market, known ones marked."""
    capacity, control = writer.geometry.capacity, writer.controls[market]
    count = last - first + 1
    end = last % capacity + capacity + 1
    window = slice(end - count, end)
    floats, integers = writer.floats[market], writer.integers[market]
    bars = np.arange(first, last + 1)
    known = integers[_COLUMN["time"], window] == bars * INTERVAL_MS
    if control[_NEWEST] >= 0:
        known &= bars >= control[_ORIGIN]
    return Rows(
        prices=floats[_COLUMN["open"] : _COLUMN["volume"] + 1, window].T.copy(),
        trades=integers[_COLUMN["trades"], window].copy(),
        flags=integers[_COLUMN["flags"], window].copy(),
        known=known,
    )


def recall(writer: Writer, market: int, enough: int = 0) -> Ledger:
    """The ledger of a market as far as its rows and control words tell.

    One with fewer than `enough` rows has no history yet.
    """
    control = writer.controls[market]
    newest, origin = int(control[_NEWEST]), int(control[_ORIGIN])
    held = writer.grid + 2 - writer.geometry.capacity
    low = max(origin, held)
    if newest < low:
        return Ledger()
    rows = rows_of(writer, market, low, newest)
    traded = np.flatnonzero(rows.known & (rows.trades > 0))
    ledger = Ledger(status=STALE, traded=low + int(traded[-1]) if len(traded) else -1)
    first = int(rows.known.argmax())
    # A hole that was larger than the ring has left nothing but the live rows behind it; one
    # slot at the old end may have been cleared for a minute that never came.
    gone = low + first > max(origin, held + 2)
    short = newest + 1 - (low + first) < enough
    # REST has vouched for the rows from the origin on, or for there being none before it.
    if control[_CONFIRMED] >= origin - 1 and not gone and not short:
        ledger.filled = True
        ledger.certain = low + first + int(np.append(rows.closed[first:], False).argmin()) - 1
    return ledger


class Book:
    """State of all markets; held by one engine, in one thread.

    coins: the exchange's name of each series of the store, in the store's order.
    depth: bars of a first history: what readers see, and the rows in which seeds settle.

    What the store already has is taken up: of each market, the rows from its origin that are closed
    are certain, and what follows is for streams and REST to tell. With `deeper`, a market that has
    less than `depth` is asked for all of it, once.
    """

    def __init__(
        self, writer: Writer, plan: Plan, coins: Sequence[str], *, deeper: bool = False
    ) -> None:
        self.writer = writer
        self.controls = writer.controls
        self.capacity = writer.geometry.capacity
        self.coins = tuple(coins)
        self.index = {coin: market for market, coin in enumerate(coins)}
        self.depth = writer.spec.history + plan.runup
        self._lookback = plan.lookback
        self.counters: Counter[str] = Counter()
        self.notes: list[Note] = []
        # Kept, because it owns the compiled kernels whose addresses are in `ops`.
        self._table = plan.bind(writer.column)
        self.arrays = (
            writer.floats,
            writer.integers,
            writer.controls,
            self._table.ops,
            self._table.pars,
        )
        enough = min(self.depth, RETENTION) if deeper else 0
        self.ledgers = [recall(writer, market, enough) for market in range(len(coins))]
        self.controls[:, _STATUS] = [ledger.status for ledger in self.ledgers]

    def note(self, key: str, text: str) -> None:
        """Leave a note for the log."""
        self.notes.append(Note(key, text))

    def newest(self, market: int) -> int:
        """The newest bar of `market`, -1 if it has no row."""
        return int(self.controls[market, _NEWEST])

    def oldest(self, grid: int = -1) -> int:
        """The oldest bar that can be stepped: all that its stats look back on is still there.

        `grid`: a bar that the grid is going to be moved to, where that is ahead.
        """
        return max(self.writer.grid, grid) + 2 - self.capacity + self._lookback

    def whole(self, market: int) -> bool:
        """Does the readable run reach back to the origin, without a hole that is being repaired?"""
        ledger = self.ledgers[market]
        return ledger.filled and int(self.controls[market, _START]) <= ledger.certain + 1

    def traded(self, market: int, bar: int) -> bool:
        """Does the ring's row of `bar` have trades?"""
        trades = self.writer.integers[market, _COLUMN["trades"], bar % self.capacity]
        return bool(trades > 0)

    def rows(self, market: int, first: int, last: int) -> Rows:
        """Copy of the rows first..last (fewer than the ring holds), known ones marked."""
        return rows_of(self.writer, market, first, last)

    def _awaits(self, market: int, now_bar: int) -> bool:
        return int(self.controls[market, _CLOSED]) < now_bar - AWAITED_BARS

    def judge(self, market: int, now_ms: float) -> bool:
        """Set the status that readers see; True if it changed."""
        ledger = self.ledgers[market]
        newest = self.newest(market)
        since = ledger.since
        hole = newest >= 0 and (not self.whole(market) or newest + 1 < (since or 0))
        if ledger.delisted:
            status = _DELISTED
        elif since is None:
            status = STALE if newest >= 0 else _SYNCING
        elif not ledger.filled or hole:
            status = _SYNCING
        elif newest >= 0 and self._awaits(market, int(now_ms // INTERVAL_MS)):
            status = STALE  # nobody vouches for what its only stream does not tell
        elif ledger.heard_ms // INTERVAL_MS >= now_ms // INTERVAL_MS - 1:
            status = LIVE
        else:
            status = _QUIET
        if status == ledger.status:
            return False
        self.controls[market, _STATUS] = ledger.status = status
        return True
