"""What a death in mid-write leaves, found and mended before anybody is told that the store lives.

A writer can die between any two of its stores. What it leaves then is one of these:

* a series' sequence word is odd: rows from ``dirty_from`` on may be half written, half stepped, or
  differ in their two copies; the run's words may be half changed. Everything before is intact;
* slots that were being cleared for a bar to come, all of them before the readable run.

By themselves the bytes do not tell which rows behind ``dirty_from`` are whole. Whoever wrote them
may know: a `Mender` makes each of them whole or empty, and does what follows from them again.
Without one `repair` keeps what is intact and drops the rest: it never guesses what a half-written
row was going to be, and whoever fills the store asks its source for the rows that are gone. What no
death can leave (a readable row at the wrong slot, a run ahead of the grid) is met in the same way:
the run ends before the first row that is not what it says.

A death during the repair is like the first one: the sequence word stays odd until all is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from . import kernels
from .layout import WORD

if TYPE_CHECKING:
    from .writer import Writer

__all__ = ["Mender", "repair"]

_COUNTERS = ("revision", "rewinds", "frames", "corrected", "repaired", "rejected")


class Mender(Protocol):
    """What the writer of a store's rows knows about a death in the middle of them."""

    def settle(self, writer: Writer, series: int) -> bool:
        """Make every row from ``dirty_from`` on one whole row, twice, or an empty one.

        False, and nothing changed, where that cannot be done for this store.
        """

    def follow(self, writer: Writer, series: int, first: int, last: int) -> None:
        """The readable run is found to be first..last: make all else agree with it."""


def repair(writer: Writer, mender: Mender | None = None) -> int:
    """Bring every series to rest; how many of them had to be mended.

    Afterwards each series is one that `check` finds nothing wrong with. Without a `mender` its
    readable rows are a beginning of those that were readable before.
    """
    series = range(len(writer.spec.series))
    return sum(_Series(writer, position, mender).mend() for position in series)


class _Series:
    """One series of a store that nobody else writes."""

    def __init__(self, writer: Writer, position: int, mender: Mender | None) -> None:
        self.writer = writer
        self.position = position
        self.mender = mender
        self.control = writer.controls[position]
        self.record = writer.integers[position]
        self.blank = writer.blank
        self.capacity = capacity = writer.geometry.capacity
        self.grid = grid = writer.grid
        slots = np.arange(capacity)
        # The one bar of the grid's last round that belongs in each slot.
        self.bars = grid - (grid - slots) % capacity
        self.times = self.bars * writer.spec.interval_ms
        self._look()

    def _look(self) -> None:
        """Which slots hold the row that belongs there, which hold none?"""
        first, second = self.record[:, : self.capacity], self.record[:, self.capacity :]
        self.good = (first[0] == self.times) & (self.grid >= 0)
        equal: npt.NDArray[np.bool_] | bool = True
        if not np.array_equal(first, second):
            equal = (first == second).all(axis=0)
            self.good &= equal
        self.good[(self.grid + 1) % self.capacity] = False
        # Most slots hold a row: only the others are looked at cell by cell.
        self.empty = ~self.good & equal
        (rest,) = self.empty.nonzero()
        self.empty[rest] = (first[:, rest] == self.blank[:, np.newaxis]).all(axis=0)

    def mend(self) -> bool:
        """True if readers can see a difference."""
        counters = [WORD[word] for word in _COUNTERS]
        self.control[counters] = np.maximum(self.control[counters], 0)
        if not 0 <= self._word("status") < max(1, len(self.writer.spec.statuses)):
            self.control[WORD["status"]] = 0
        start, newest = self._word("start"), self._word("newest")
        odd = self._word("sequence") & 1
        if odd and self.mender is not None and self.mender.settle(self.writer, self.position):
            self._look()
            first, last = self._newest_run(self.grid)
            self._rewrite(first, last, self._word("dirty_from"), self.mender)
            return True
        if odd:
            first, last = self._newest_run(self._word("dirty_from") - 1)
        else:
            first, last = self._at_rest(start, newest)
        if not odd and self._sound(first, last, start, newest):
            self._clear(~self.good & ~self.empty)
            return False
        self._rewrite(first, last, last + 1 if first == start else 0)
        return True

    def _word(self, name: str) -> int:
        return int(self.control[WORD[name]])

    def _newest_run(self, last: int) -> tuple[int, int]:
        """First and last bar of the newest run of rows up to `last`.

        Not by the run's own words: the write may have been changing them.
        """
        origin = self._word("origin")
        last = min(last, self.grid)
        known = self.bars[self.good & (self.bars <= last) & (self.bars >= origin)]
        if not len(known):
            return 0, -1
        known.sort()
        breaks = np.flatnonzero(np.diff(known) != 1)
        return int(known[breaks[-1] + 1 if len(breaks) else 0]), int(known[-1])

    def _at_rest(self, start: int, newest: int) -> tuple[int, int]:
        """The readable run, up to its first row that is not what it says."""
        if start < self.grid + 2 - self.capacity:
            return 0, -1
        bars = np.arange(start, min(newest, self.grid) + 1)
        count = int(np.append(self.good[bars % self.capacity], False).argmin())
        return (start, start + count - 1) if count else (0, -1)

    def _sound(self, first: int, last: int, start: int, newest: int) -> bool:
        """Do the words and the slots behind the run agree with what is there?"""
        closed = self._word("closed")
        if closed < -1 or not -2 <= self._word("confirmed") <= max(self.grid, closed):
            return False
        if newest < 0:
            return newest == -1 and closed == -1 and not self.good[self.bars > closed].any()
        behind = self.good[self.bars > newest].any()
        agreed = (first, last) == (start, newest) and closed <= newest
        return bool(agreed and self._word("origin") <= start and not behind)

    def _rewrite(
        self, first: int, last: int, dirty_from: int, mender: Mender | None = None
    ) -> None:
        """Leave the rows first..last readable, those of older runs where they are, nothing else."""
        control = self.control
        kernels.begin(control, dirty_from)
        self._clear(~self.good | (self.bars > last))
        control[WORD["revision"]] += self._word("closed") > last
        control[WORD["start"]] = first
        control[WORD["newest"]] = last
        control[WORD["closed"]] = max(min(self._word("closed"), last), -1)
        control[WORD["confirmed"]] = max(min(self._word("confirmed"), last), -2)
        control[WORD["origin"]] = min(self._word("origin"), first)
        if mender is not None and last >= 0:
            mender.follow(self.writer, self.position, first, last)
        kernels.commit(control)

    def _clear(self, slots: npt.NDArray[np.bool_]) -> None:
        (at,) = slots.nonzero()
        for place in (at, at + self.capacity):
            self.record[:, place] = self.blank[:, np.newaxis]
