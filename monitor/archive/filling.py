"""Archived rows, put into a store that has none, or fewer: which may be, and how they get there.

A run of archived rows is as good as one of another store's: the service goes on with it, asks REST
for what came since, and has what REST still knows compared in the background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from indicators import Plan
from monitor import kernels
from monitor.book import INTERVAL_MS, rows_of
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.rows import RETENTION
from ringbuf.layout import WORD
from ringbuf.writer import Writer

from .minutes import Minutes

__all__ = ["Held", "confirmed", "held", "place", "usable"]

MARGIN: Final = 60
"""How close to the end of REST's memory a gap may begin: it is asked for a little later."""

_NEWEST, _ORIGIN, _START = WORD["newest"], WORD["origin"], WORD["start"]
_CONFIRMED = WORD["confirmed"]
_CLOSE = 3


@dataclass(frozen=True)
class Held:
    """The rows that a store has of a market: the bars first..newest, one run. -1, -1: none.

    carried: the close of the first one, where it was carried from a row before it.
    """

    first: int = -1
    newest: int = -1
    carried: float | None = None


def held(writer: Writer, market: int) -> Held | None:
    """What the store has of the market; None where there is a hole in it, which is REST's to mend.

    Rows that the ring has no room for any more are not missing.
    """
    control = writer.controls[market]
    newest = int(control[_NEWEST])
    if newest < 0:
        return Held()
    first = max(int(control[_ORIGIN]), writer.grid + 2 - writer.geometry.capacity)
    if control[_START] > first or newest < first:
        return None
    rows = rows_of(writer, market, first, newest)
    if not rows.known.all():
        return None
    carried = rows.flags[0] & CARRIED != 0
    return Held(first, newest, float(rows.prices[0, _CLOSE]) if carried else None)


def usable(run: Minutes, there: Held, now_bar: int, depth: int) -> bool:
    """May `run`, an unbroken one, be put in front of what is `there`?

    Only where it gives more than REST would, which is asked for everything otherwise; and where no
    hole remains: between the two, or one that REST does not remember far enough to fill.
    """
    if not len(run) or run.bars[0] > now_bar - min(depth, RETENTION):
        return False
    last = int(run.bars[-1])
    if there.newest >= 0:
        meets = there.carried is None or there.carried == float(run.prices[-1, _CLOSE])
        return last == there.first - 1 and meets
    return last + 1 >= now_bar - RETENTION + MARGIN


def place(writer: Writer, stats: Plan, market: int, run: Minutes, now_ms: float) -> None:
    """Write the rows of a `usable` run, and step every stat from there to the newest row."""
    control = writer.controls[market]
    first, last = int(run.bars[0]), int(run.bars[-1])
    before = control[_NEWEST] >= 0
    counts = np.empty((len(run), 2), np.int64)
    counts[:, 0] = run.trades
    counts[:, 1] = np.where(run.carried, CLOSED | CONFIRMED | CARRIED, CLOSED | CONFIRMED)
    # Kept, because it owns the compiled kernels whose addresses are in `ops`.
    table = stats.bind(writer.column)
    writer.advance(last)
    kernels.fill(
        writer.floats,
        writer.integers,
        writer.controls,
        table.ops,
        table.pars,
        market,
        first,
        INTERVAL_MS,
        np.ascontiguousarray(run.prices),
        counts,
        first,
        first,
        last,
        first - 1,
        first,
        0,
        bool(before),
        int(now_ms),
    )
    # REST has confirmed all of them once, and is asked again about those that it still has.
    control[_CONFIRMED] = first - 1


def confirmed(writer: Writer, market: int, first: int, last: int) -> Minutes:
    """Copy of those of the bars first..last that REST has confirmed; a day's at most."""
    rows = rows_of(writer, market, first, last)
    these = rows.known & (rows.flags & CONFIRMED != 0)
    return Minutes(
        np.arange(first, last + 1)[these],
        rows.prices[these],
        rows.trades[these],
        rows.flags[these] & CARRIED != 0,
    )
