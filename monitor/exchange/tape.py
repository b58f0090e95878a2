"""A market's trades read in order: a small cache of chunks, and cursors that walk over them."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .prices import Process, Trades

__all__ = ["Cursor", "Tape"]

_CACHED_CHUNKS = 3


class Tape:
    """The chunks of one process, the last few kept."""

    def __init__(self, process: Process) -> None:
        """Nothing is generated before it is asked for."""
        self.process = process
        self._chunks: OrderedDict[int, Trades] = OrderedDict()

    def chunk(self, number: int) -> Trades:
        """The chunk's trades."""
        found = self._chunks.get(number)
        if found is None:
            found = self._chunks[number] = self.process.generate(number)
            while len(self._chunks) > _CACHED_CHUNKS:
                self._chunks.popitem(last=False)
        else:
            self._chunks.move_to_end(number)
        return found

    def forget(self) -> None:
        """Make the chunks anew: the process has changed."""
        self._chunks.clear()

    def recent(self, as_of_ms: int, count: int) -> list[tuple[int, float, int]]:
        """The last `count` trades up to `as_of_ms`, oldest first: (ms, price, size units)."""
        found: list[tuple[int, float, int]] = []
        process = self.process
        number = min(process.chunk_of(as_of_ms), process.last_chunk)
        while number >= process.first_chunk and len(found) < count:
            times, px, sz, counted = self.chunk(number).lists
            for i in range(bisect_right(times, as_of_ms) - 1, -1, -1):
                if counted[i]:
                    found.append((times[i], px[i], sz[i]))
                    if len(found) == count:
                        break
            number -= 1
        return found[::-1]


class Cursor:
    """A place between two trades of a tape; it only moves forward, but for `seek`."""

    __slots__ = ("_at", "_chunk", "_counted", "_px", "_sz", "_tape", "_times")

    def __init__(self, tape: Tape, ms: int) -> None:
        """Stand behind the last trade that is not later than `ms`."""
        self._tape = tape
        self.seek(ms)

    def seek(self, ms: int) -> None:
        """Stand behind the last trade that is not later than `ms`."""
        process = self._tape.process
        self._load(min(max(process.chunk_of(ms), process.first_chunk), process.last_chunk + 1))
        self._at = bisect_right(self._times, ms)

    def _load(self, chunk: int) -> None:
        self._chunk = chunk
        self._times, self._px, self._sz, self._counted = self._tape.chunk(chunk).lists
        self._at = 0

    def next_time(self, horizon_ms: int) -> int | None:
        """Time of the next trade; None if it is not in a chunk that starts by `horizon_ms`."""
        process = self._tape.process
        while self._at >= len(self._times):
            if self._chunk > process.last_chunk or process.span(self._chunk)[1] > horizon_ms:
                return None
            self._load(self._chunk + 1)
        return self._times[self._at]

    def wake_ms(self) -> int | None:
        """When to look again after `next_time` said None; None: there will be no trade."""
        process = self._tape.process
        if self._chunk >= process.last_chunk:
            return None
        return process.span(self._chunk)[1]

    def take(self, until_ms: int) -> list[tuple[int, float, int, int]]:
        """Pass all trades up to `until_ms`: (ms, price, size units, counted)."""
        taken: list[tuple[int, float, int, int]] = []
        while self.next_time(until_ms) is not None:
            stop = bisect_right(self._times, until_ms, self._at)
            if stop == self._at:
                break
            span = slice(self._at, stop)
            taken += zip(
                self._times[span], self._px[span], self._sz[span], self._counted[span], strict=True
            )
            self._at = stop
        return taken
