"""Does a segment keep its promises: every invariant of `layout`, asked of the memory itself.

`check` is for the doctor and for tests. It only reads, needs numpy alone, and may look at a store
that is being written: each series is taken in one consistent state, and what looks broken is looked
at again before it is reported, because a minute's roll clears slots that no reader can see yet.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import layout
from .errors import DAMAGES, StoreRefused
from .header import Header
from .ring import fence

__all__ = ["Problem", "ahead_of_its_clock", "check", "check_outline"]

LOOKS = 6
"""How often a series that looks broken is looked at; the pauses in between double from 1 ms."""

STUCK_S = 0.1
"""How long a sequence word must have been odd at the last look to be one that stays so."""

_RESTLESS = "never at rest"

AHEAD_MS = 86_400_000
"""How far the grid may be ahead of the writer's clock as last told: both are told by one thread."""

_WORD = layout.WORD
_COLUMN: Final = layout.COLUMN_DTYPE.names or ()
_NO_TIME: Final = 2**62
"""Milliseconds that no bar begins at: numpy would wrap round."""


@dataclass(frozen=True)
class Problem:
    """One broken invariant: `where` is a part of the segment or a series, `what` says how."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def check(memory: Any, name: str = "store") -> list[Problem]:
    """The broken invariants of the segment in `memory` (any buffer); none if it is sound.

    The first of each kind in each series. What depends on a broken part is not looked at.
    """
    problems = check_outline(memory, name)
    if problems:
        return problems
    view = memoryview(memory)
    header = Header.parse(bytes(view[: layout.HEADER_SIZE]), len(view), name)
    document = _read_document(header, view)
    columns = document["columns"]
    try:
        statuses = len(document["statuses"])
    except DAMAGES as error:
        return [Problem("document", f"{type(error).__name__}: {error}")]
    for position, entry in enumerate(document["series"]):
        look = _Series(view, header, position, columns, statuses)
        problems += [Problem(entry["name"], what) for what in look.problems()]
    return problems


def check_outline(memory: Any, name: str = "store") -> list[Problem]:
    """The same of the header, the tables and the document alone: what does not change."""
    view = memoryview(memory)
    try:
        header = Header.parse(bytes(view[: layout.HEADER_SIZE]), len(view), name)
    except StoreRefused as error:
        return [Problem("header", str(error))]
    problems = list(_header(header, view))
    try:
        return [*problems, *_document(_read_document(header, view), header, view)]
    except DAMAGES as error:
        return [*problems, Problem("document", f"{type(error).__name__}: {error}")]


def _read_document(header: Header, view: memoryview) -> Any:
    start = header.document_offset
    return json.loads(bytes(view[start : start + header.document_size]))


def ahead_of_its_clock(header: Header, live: np.void) -> tuple[str, str] | None:
    """What was found and expected where the grid is of a time that the writer cannot have seen.

    Such a store can never be written again: rows of the present are older than all that it holds.
    None if it is sound, or if its writer tells no time (`clock_ms` is 0).
    """
    grid, clock_ms = int(live["grid"]), int(live["clock_ms"])
    latest = (clock_ms + AHEAD_MS) // header.interval_ms
    if clock_ms <= 0 or grid <= latest:
        return None
    clock = np.datetime64(clock_ms, "ms")
    return f"grid {grid}", f"at most {latest}, as its writer's clock last said {clock}Z"


def _header(header: Header, view: memoryview) -> Iterator[Problem]:
    sections = (
        ("header", 0, layout.HEADER_SIZE),
        ("document", header.document_offset, header.document_size),
        ("columns", header.columns_offset, header.columns_stride * header.columns),
        ("series", header.series_offset, header.series_stride * header.series),
        ("control", header.control_offset, header.control_stride * header.series),
        ("data", header.data_offset, header.record_stride * header.series),
    )
    for (before, start, size), (after, offset, _) in itertools.pairwise(sections):
        if start + size > offset:
            yield Problem("header", f"{after} at {offset}, inside of {before}")
    if header.capacity < header.history + 1:
        found = f"capacity {header.capacity}, history {header.history}"
        yield Problem("header", f"{found}: no slot to keep clear")
    live = np.frombuffer(view, layout.HEADER_DTYPE, 1)[0]
    if not 0 <= live["state"] < len(layout.STATES):
        yield Problem("header", f"state {live['state']}, expected one of {layout.STATES}")
    if not -1 <= live["grid"] < _NO_TIME // header.interval_ms:
        yield Problem("header", f"grid {live['grid']}, expected a bar or -1")
    if wrong := ahead_of_its_clock(header, live):
        yield Problem("header", "{}, expected {}".format(*wrong))


def _document(document: Any, header: Header, view: memoryview) -> Iterator[Problem]:
    """Numbers and tables against what the document says of them."""
    words = document["control"]["words"]
    dtype = np.dtype(document["data"]["dtype"])
    offsets = [(dtype.fields or {})[name][1] for name in dtype.names or ()]
    said = {
        "size": (document["size"], header.size),
        "history": (document["history"], header.history),
        "capacity": (document["capacity"], header.capacity),
        "interval_ms": (document["interval_ms"], header.interval_ms),
        "control offset": (document["control"]["offset"], header.control_offset),
        "control stride": (document["control"]["stride"], header.control_stride),
        "control words": (words[: len(_WORD)], list(_WORD)),
        "data offset": (document["data"]["offset"], header.data_offset),
        "data shape": (document["data"]["shape"], [header.series]),
        "record size": (dtype.itemsize, header.record_stride),
        "column offsets": (offsets, [header.column_stride * k for k in range(header.columns)]),
        "dtype names": (list(dtype.names or ()), [c["name"] for c in document["columns"]]),
        "series": (
            [(entry["name"], entry["alias"]) for entry in document["series"]],
            _table(view, layout.SERIES_DTYPE, header, "series"),
        ),
        "columns": (
            [tuple(entry[key] for key in _COLUMN) for entry in document["columns"]],
            _table(view, layout.COLUMN_DTYPE, header, "columns"),
        ),
    }
    for what, (document_says, header_says) in said.items():
        if document_says != header_says:
            yield Problem("document", f"{what} {document_says!r}, the segment has {header_says!r}")


def _table(
    view: memoryview, dtype: np.dtype[np.void], header: Header, section: str
) -> list[tuple[str, ...]]:
    offset, stride = getattr(header, f"{section}_offset"), getattr(header, f"{section}_stride")
    rows: Any = np.ndarray((getattr(header, section),), dtype, view, offset, (stride,))
    return [tuple(text.decode() for text in row) for row in rows.tolist()]


class _Series:
    """One series, as often as it takes to be sure."""

    def __init__(
        self,
        view: memoryview,
        header: Header,
        position: int,
        columns: list[dict[str, str]],
        statuses: int,
    ) -> None:
        self.header = header
        self.columns = columns
        self.statuses = statuses
        self._odd = 0
        self.live: Any = np.frombuffer(view, layout.HEADER_DTYPE, 1)
        self.control = np.ndarray(
            layout.CONTROL_WORDS,
            np.int64,
            view,
            header.control_offset + position * header.control_stride,
        )
        self.record = np.ndarray(
            (header.columns, 2 * header.capacity),
            np.int64,
            view,
            header.data_offset + position * header.record_stride,
            (header.column_stride, layout.WORD_SIZE),
        )

    def problems(self) -> list[str]:
        """What is still broken at the last look."""
        found: list[str] = []
        for look in range(LOOKS):
            found = self._look()
            if not found:
                return []
            if look < LOOKS - 1:
                time.sleep(0.001 * 2**look)
        if self._odd:
            # A busy writer may have been put aside by the system in the middle of a write.
            time.sleep(STUCK_S)
            found = self._look()
        return found

    def _look(self) -> list[str]:
        before, grid = int(self.control[0]), int(self.live["grid"][0])
        met, self._odd = self._odd, before if before & 1 else 0
        if self._odd:
            broken = f"sequence {before} is odd: a write was begun and never finished"
            return [broken if met == before else _RESTLESS]
        fence()
        control, record = self.control.copy(), self.record.copy()
        fence()
        if self.control[0] != before or self.live["grid"][0] != grid:
            return [_RESTLESS]
        words = {name: int(control[k]) for name, k in _WORD.items()}
        return [
            what
            for what in (
                self._words(words, grid),
                self._copies(record),
                self._times(record[0, : self.header.capacity], grid),
                self._run(record[0], words, grid),
                self._empty(record[:, : self.header.capacity]),
            )
            if what
        ]

    def _words(self, words: dict[str, int], grid: int) -> str:
        newest, start, closed = words["newest"], words["start"], words["closed"]
        oldest = grid + 2 - self.header.capacity
        for broken, what in (
            (newest > grid, f"newest {newest} is ahead of the grid, {grid}"),
            (newest < -1, f"newest {newest}, expected a bar or -1"),
            (closed > newest, f"closed {closed} is ahead of newest {newest}"),
            (newest >= 0 and start > newest, f"start {start} is ahead of newest {newest}"),
            (newest >= 0 and start < oldest, f"start {start}, the ring begins at {oldest}"),
            (
                newest >= 0 and words["origin"] > start,
                f"origin {words['origin']} is ahead of start {start}",
            ),
            (closed < -1, f"closed {closed}, expected a bar or -1"),
            (
                not -2 <= words["confirmed"] <= max(grid, closed),
                f"confirmed {words['confirmed']}, expected at most {max(grid, closed)}",
            ),
            *(
                (words[word] < 0, f"{word} {words[word]}, expected no less than 0")
                for word in ("revision", "rewinds", "frames", "corrected", "repaired", "rejected")
            ),
            (
                not 0 <= words["status"] < self.statuses,
                f"status {words['status']}, expected less than {self.statuses}",
            ),
        ):
            if broken:
                return what
        return ""

    def _copies(self, record: npt.NDArray[np.int64]) -> str:
        capacity = self.header.capacity
        differ = record[:, :capacity] != record[:, capacity:]
        if not differ.any():
            return ""
        column, slot = (int(where[0]) for where in differ.nonzero())
        return f"column {self._name(column)}: the two copies of slot {slot} differ"

    def _times(self, times: npt.NDArray[np.int64], grid: int) -> str:
        """Every slot holds the one bar of the grid's last round that belongs there, or none."""
        capacity = self.header.capacity
        slots = np.arange(capacity)
        bars = grid - (grid - slots) % capacity
        wrong = (times != layout.EMPTY_TIME) & (times != bars * self.header.interval_ms)
        if wrong.any():
            slot = int(wrong.argmax())
            expected = int(bars[slot]) * self.header.interval_ms
            return f"time of slot {slot} is {times[slot]}, expected {expected} or none"
        ahead = (grid + 1) % capacity
        if times[ahead] != layout.EMPTY_TIME:
            return f"slot {ahead}, of the bar after the grid's, holds time {times[ahead]}"
        return ""

    def _run(self, times: npt.NDArray[np.int64], words: dict[str, int], grid: int) -> str:
        newest, start, capacity = words["newest"], words["start"], self.header.capacity
        oldest = grid + 2 - capacity
        if grid < 0:
            return ""
        bars = np.arange(oldest, grid + 1)
        filled = times[bars % capacity] != layout.EMPTY_TIME
        run = (bars >= start) & (bars <= newest)
        if newest >= 0 and not filled[run].all():
            missing = int(bars[run][~filled[run]][0])
            return f"bar {missing} is empty, in the run from {start} to {newest}"
        late = filled & (bars > newest)
        if late.any():
            return f"bar {int(bars[late][0])} has a row, newest is {newest}"
        return ""

    def _empty(self, record: npt.NDArray[np.int64]) -> str:
        empty = record[0] == layout.EMPTY_TIME
        for column, described in enumerate(self.columns):
            cells = record[column]
            kind = described["kind"]
            if kind == "f":
                blank = np.isnan(cells.view(np.float64))
            else:
                blank = cells == (layout.EMPTY_TIME if kind == "M" else 0)
            wrong = empty & ~blank
            if wrong.any():
                slot = int(wrong.argmax())
                return f"column {self._name(column)}: slot {slot} has a value but no time"
        return ""

    def _name(self, column: int) -> str:
        return repr(self.columns[column]["name"])
