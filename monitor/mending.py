"""Rows that a death left in work, put right from what the store itself still has.

The kernels write so that of each row one of the two copies is a whole candle, and a mark says which
(`kernels`, "Death between two stores"). Everything else follows from candles: stats are stepped
again, carried rows are flat again at the close before, ``closed`` is as far as rows are marked so.
The candle under write is as it was before or as it was going to be; no other is touched.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from indicators import IndicatorError, Plan, plan
from indicators.planning import Table
from ringbuf.layout import WORD
from ringbuf.spec import Column
from ringbuf.writer import Writer

from . import kernels
from .book import INTERVAL_MS, recall, rows_of
from .kernels import CANDLE_COLUMNS, CLOSED, CONFIRMED, WORKING

__all__ = ["Mender"]

_TIME, _FLAGS = CANDLE_COLUMNS.index("time"), CANDLE_COLUMNS.index("flags")
_DIRTY, _CLOSED, _CONFIRMED = WORD["dirty_from"], WORD["closed"], WORD["confirmed"]
_ORIGIN, _REVISION = WORD["origin"], WORD["revision"]


class Mender:
    """See `ringbuf.repair.Mender`. Good for any store of candles whose stats are known here."""

    def __init__(self) -> None:
        self._columns: tuple[Column, ...] = ()
        self._stats: tuple[Plan, Table] | None = None

    def settle(self, writer: Writer, market: int) -> bool:
        """Of each row from ``dirty_from`` on take the copy that is whole; False if none can be."""
        if self._known(writer) is None:
            return False
        record, capacity = writer.integers[market], writer.geometry.capacity
        oldest = max(int(writer.controls[market, _DIRTY]), writer.grid + 2 - capacity, 0)
        bars = np.arange(oldest, writer.grid + 1)
        lower, upper = bars % capacity, bars % capacity + capacity
        working = record[_FLAGS, upper] & WORKING != 0
        for column in (*(c for c in range(len(record)) if c != _FLAGS), _FLAGS):
            # The mark goes last: whoever dies here finds it again.
            record[column, upper[working]] = record[column, lower[working]]
        empty = record[_TIME, upper] != bars * INTERVAL_MS
        record[:, upper[empty]] = writer.blank[:, np.newaxis]
        record[:, lower] = record[:, upper]
        return True

    def follow(self, writer: Writer, market: int, first: int, last: int) -> None:
        """Marks and words of the run first..last, then everything that follows from its candles."""
        control, capacity = writer.controls[market], writer.geometry.capacity
        dirty, known_closed = int(control[_DIRTY]), int(control[_CLOSED])
        bars = np.arange(first, last + 1)
        marks = rows_of(writer, market, first, last).flags
        closed = int(np.append(marks & CLOSED != 0, False).argmin())
        for copy in (0, capacity):
            at = bars[closed:] % capacity + copy
            writer.integers[market, _FLAGS, at] &= ~(CLOSED | CONFIRMED)
        control[_CLOSED] = first + closed - 1 if closed else min(known_closed, first - 1)
        # REST has not seen the row in work; that there is nothing before the origin is still true.
        confirmed, origin = int(control[_CONFIRMED]), int(control[_ORIGIN])
        if confirmed >= dirty:
            control[_CONFIRMED] = max(dirty - 1, min(confirmed, origin - 1))
        control[_REVISION] += dirty <= known_closed
        self._restep(writer, market, dirty, first, last)

    def _restep(self, writer: Writer, market: int, dirty: int, start: int, last: int) -> None:
        """Step the rows that follow the origin's without a hole; others have no stats."""
        known = self._known(writer)
        assert known is not None
        stats, table = known
        origin = int(writer.controls[market, _ORIGIN])
        held = writer.grid + 2 - writer.geometry.capacity
        low = max(origin, held)
        ledger = recall(writer, market)
        # What the stats of rows before this one look back on is no longer there: they are as good
        # as they were.
        sure = low if origin >= held else held + stats.lookback
        here = np.flatnonzero(rows_of(writer, market, low, last).known) + low
        cuts = [0, *(np.flatnonzero(np.diff(here) != 1) + 1).tolist(), len(here)]
        whole = ledger.filled and start <= ledger.certain + 1
        for piece, (begin, end) in enumerate(pairwise(cuts)):
            newest = int(here[end - 1])
            stepping = whole if newest == last else ledger.filled and piece == 0
            first = max(int(here[begin]), dirty, sure if stepping else 0)
            if first <= newest:
                kernels.rework(
                    writer.floats[market],
                    writer.integers[market],
                    table.ops,
                    table.pars,
                    origin,
                    first,
                    newest,
                    stepping,
                )

    def _known(self, writer: Writer) -> tuple[Plan, Table] | None:
        """The stats of the store's columns, by their names; None where one means something else."""
        columns = writer.spec.columns
        if columns != self._columns:
            self._columns, self._stats = columns, None
            stats = columns[len(CANDLE_COLUMNS) :]
            names = [column.name for column in stats if not column.name.startswith("_")]
            candles = tuple(column.name for column in columns[: len(CANDLE_COLUMNS)])
            try:
                found = plan(names, history=None)
            except IndicatorError:
                return None
            if candles == CANDLE_COLUMNS and {(c.name, c.definition) for c in stats} == {
                (c.name, c.definition) for c in found.columns
            }:
                self._stats = found, found.bind(writer.column)
        return self._stats
