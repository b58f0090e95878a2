"""What a death in mid-write leaves, found and mended before anybody is told that the store lives.

A writer can die between any two of its stores. What it leaves then is one of these:

* a series' sequence word is odd: rows from ``dirty_from`` on may be half written, half stepped, or
  differ in their two copies; the run's words may be half changed. Everything before is intact;
* slots that were being cleared for a bar to come, all of them before the readable run.

`repair` keeps what is intact and drops the rest: it never guesses what a half-written row was going
to be. Whoever fills the store asks its source for the rows that are gone. What no death can leave
(a readable row at the wrong slot, a run ahead of the grid) is met in the same way: the run ends
before the first row that is not what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from . import kernels
from .layout import WORD

if TYPE_CHECKING:
    from .writer import Writer

__all__ = ["repair"]


def repair(writer: Writer) -> int:
    """Bring every series to rest; how many of them had to be mended.

    Afterwards each series is one that `check` finds nothing wrong with, and its readable rows are
    a beginning of those that were readable before.
    """
    return sum(_Series(writer, position).mend() for position in range(len(writer.spec.series)))


class _Series:
    """One series of a store that nobody else writes."""

    def __init__(self, writer: Writer, position: int) -> None:
        self.control = writer.controls[position]
        self.record = writer.integers[position]
        self.blank = writer.blank
        self.capacity = capacity = writer.geometry.capacity
        self.grid = grid = writer.grid
        slots = np.arange(capacity)
        # The one bar of the grid's last round that belongs in each slot.
        self.bars = grid - (grid - slots) % capacity
        first, second = self.record[:, :capacity], self.record[:, capacity:]
        equal = (first == second).all(axis=0)
        self.good = equal & (first[0] == self.bars * writer.spec.interval_ms) & (grid >= 0)
        self.good[(grid + 1) % capacity] = False
        self.empty = equal & (first == self.blank[:, np.newaxis]).all(axis=0)

    def mend(self) -> bool:
        """True if readers can see a difference."""
        start, newest = self._word("start"), self._word("newest")
        odd = self._word("sequence") & 1
        first, last = self._interrupted() if odd else self._at_rest(start, newest)
        if not odd and self._sound(first, last, start, newest):
            self._clear(~self.good & ~self.empty)
            return False
        self._rewrite(first, last, start)
        return True

    def _word(self, name: str) -> int:
        return int(self.control[WORD[name]])

    def _is_good(self, bar: int) -> bool:
        """Is the row of `bar` there, and whole?"""
        return self.grid + 1 - self.capacity < bar <= self.grid and bool(
            self.good[bar % self.capacity]
        )

    def _interrupted(self) -> tuple[int, int]:
        """First and last bar of the newest run that the write under way has not touched.

        Not by the run's own words: the write may have been changing them.
        """
        origin = self._word("origin")
        last = min(self._word("dirty_from") - 1, self.grid)
        known = self.bars[self.good & (self.bars <= last) & (self.bars >= origin)]
        if not len(known):
            return 0, -1
        last = first = int(known.max())
        while first > origin and self._is_good(first - 1):
            first -= 1
        return first, last

    def _at_rest(self, start: int, newest: int) -> tuple[int, int]:
        """The readable run, up to its first row that is not what it says."""
        last = start
        while last <= newest and self._is_good(last):
            last += 1
        return (start, last - 1) if last > start else (0, -1)

    def _sound(self, first: int, last: int, start: int, newest: int) -> bool:
        """Do the words and the slots behind the run agree with what is there?"""
        closed = self._word("closed")
        if newest < 0:
            return newest == -1 and closed == -1 and not self.good[self.bars > closed].any()
        behind = self.good[self.bars > newest].any()
        agreed = (first, last) == (start, newest) and closed <= newest
        return bool(agreed and self._word("origin") <= start and not behind)

    def _rewrite(self, first: int, last: int, start: int) -> None:
        """Leave the rows first..last readable, those of older runs where they are, nothing else."""
        control = self.control
        kernels.begin(control, last + 1 if first == start else 0)
        self._clear(~self.good | (self.bars > last))
        control[WORD["revision"]] += self._word("closed") > last
        control[WORD["start"]] = first
        control[WORD["newest"]] = last
        control[WORD["closed"]] = min(self._word("closed"), last)
        control[WORD["confirmed"]] = min(self._word("confirmed"), last)
        control[WORD["origin"]] = min(self._word("origin"), first)
        kernels.commit(control)

    def _clear(self, slots: npt.NDArray[np.bool_]) -> None:
        (at,) = slots.nonzero()
        for place in (at, at + self.capacity):
            self.record[:, place] = self.blank[:, np.newaxis]
