"""The writing side of a store: exactly one process, one thread.

`create` builds a new segment and returns its `Writer` (`adoption.open_store` goes on with one that
is there). It holds the memory as numpy arrays for the compiled code that fills it, and does the few
things that are not rows: the grid, the heartbeat, the state word, waking readers. Importing this
module loads numba; readers never do.
"""

from __future__ import annotations

import os
import stat
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import kernels, layout, segment, waiting
from .errors import LayoutError, UnknownName
from .ownership import refuse_if_held
from .spec import Geometry, StoreSpec

__all__ = ["Writer", "create", "in_memory"]


_shared: weakref.WeakSet[Writer] = weakref.WeakSet()


def _forked() -> None:
    for writer in list(_shared):
        writer.disown()


os.register_at_fork(after_in_child=_forked)


class Writer:
    """The one writer of a segment. Not thread-safe; misuse corrupts rows.

    `floats` and `integers` are the data block as ``[series, columns, 2 * capacity]`` (the same
    memory twice), `controls` the control words as ``int64[series, 32]``. Code that writes rows
    brackets them with `kernels.begin` and `kernels.commit`, then calls `publish` once a burst.

    `memory` is any writable buffer laid out by `Geometry`; `life` is the descriptor that holds the
    segment's life lock, or None for a store that is not shared (tests, dry runs).
    """

    def __init__(
        self, spec: StoreSpec, geometry: Geometry, memory: Any, life: int | None = None
    ) -> None:
        self.spec = spec
        self.geometry = geometry
        self.memory = memory
        self._life = life
        self.inode = os.fstat(life).st_ino if life is not None else 0
        if life is not None:
            _shared.add(self)
        self.header = np.frombuffer(memory, layout.HEADER_DTYPE, 1)
        self._published = self.header["published"]
        count = len(spec.series)
        self.controls: npt.NDArray[np.int64] = np.frombuffer(
            memory, np.int64, count * layout.CONTROL_WORDS, geometry.control_offset
        ).reshape(count, layout.CONTROL_WORDS)
        held = geometry.record_stride // geometry.column_stride
        shape = (count, held, 2 * geometry.capacity)
        self.integers: npt.NDArray[np.int64] = np.ndarray(
            shape, np.int64, memory, geometry.data_offset
        )
        self.floats: npt.NDArray[np.float64] = self.integers.view(np.float64)
        self.counters: npt.NDArray[np.int64] = self.header["counters"][0]
        self.index = {series.name: k for k, series in enumerate(spec.series)}
        self.column = {column.name: k for k, column in enumerate(spec.columns)}
        self.blank = _blank_row([column.kind for column in spec.columns], held)

    @property
    def grid(self) -> int:
        """The newest bar that any series has published; -1 before the first."""
        return int(self.header["grid"][0])

    def advance(self, bar: int) -> None:
        """Move the grid to `bar` (never back), emptying the slots up to the one after it."""
        grid = self.grid
        if bar <= grid:
            return
        first = max(grid + 2, bar + 2 - self.geometry.capacity) if grid >= 0 else bar + 1
        kernels.clear_ahead(self.integers, self.controls, self.blank, first, bar + 1)
        self.header["grid"] = bar

    def put(self, series: int, bar: int, row: Mapping[str, float | int]) -> None:
        """Write one row by column name; absent columns are empty. The general, slow way.

        `bar` is any bar from one before the readable run to any later one; a gap starts a new run.
        Raises LayoutError for a bar that the ring no longer holds, or that is not part of the run,
        UnknownName for a column; nothing has changed then.
        """
        words = self.blank.copy()
        words[0] = bar * self.spec.interval_ms
        for name, value in row.items():
            column = self._position(name)
            kind = self.spec.columns[column].kind
            words[column] = np.float64(value).view(np.int64) if kind == "f" else np.int64(value)
        control = self.controls[series]
        newest, start = int(control[layout.WORD["newest"]]), int(control[layout.WORD["start"]])
        oldest = max(self.grid + 2 - self.geometry.capacity, start - 1 if newest >= 0 else 0, 0)
        if bar < oldest:
            raise LayoutError(f"bar {bar} of series {series}: expected {oldest} on")
        self.advance(bar)
        kernels.put_words(self.integers[series], control, words, bar, self.geometry.capacity)

    def _position(self, column: str) -> int:
        try:
            return self.column[column]
        except KeyError:
            raise UnknownName("column", column, self.column) from None

    def publish(self) -> None:
        """Tell readers that something is new: once a burst, after its last commit."""
        kernels.publish(self._published, waiting.FUTEX)

    def set_state(self, state: int) -> None:
        """One of `layout.STARTING`, `RUNNING`, `STOPPED`; wakes readers."""
        self.header["state"] = state
        self.publish()

    def heartbeat(self) -> None:
        """Show that the writer is alive; call about twice a second."""
        self.header["heartbeat_ms"] = time.time_ns() // 1_000_000
        self.header["heartbeat_ns"] = time.monotonic_ns()

    def restore_name(self) -> bool:
        """Put the segment's name back if somebody unlinked it; True if that was needed."""
        return self._life is not None and segment.restore(self.spec.name, self.inode)

    @property
    def named(self) -> bool:
        """Does the store's name lead to this segment?"""
        return self._life is None or segment.leads_to(segment.path_of(self.spec.name), self.inode)

    @property
    def nameless(self) -> bool:
        """Can nobody attach to this segment any more, and never again? See `rescue`.

        Not while its second link is there: from that the name is put back as soon as it can be,
        unless another store of this library has it by now.
        """
        return not self.named and not segment.can_be_restored(self.spec.name, self.inode)

    @property
    def usurped(self) -> bool:
        """Has something that is no store the name, which is put back as soon as that is gone?"""
        return self._life is not None and segment.is_usurped(self.spec.name, self.inode)

    @property
    def mode(self) -> int:
        """The permission bits of the segment; those of a private one for a store not shared."""
        return 0o600 if self._life is None else stat.S_IMODE(os.fstat(self._life).st_mode)

    def begin_life(self) -> None:
        """Say in the header who writes now, from when on; what was counted before is forgotten.

        So is the clock: rows of now may be written before this writer has told the time, and by
        that of the one before they would be of a time that nobody can have seen.
        """
        self.header["state"] = layout.STARTING
        self.header["retired"] = 0
        self.header["writer_pid"] = os.getpid()
        self.header["started_ms"] = time.time_ns() // 1_000_000
        self.header["clock_ms"] = 0
        self.counters[:] = 0
        self.heartbeat()

    def retire(self) -> None:
        """Say that a newer segment has this one's name, and wake its readers: nobody else will."""
        self.header["state"] = layout.STOPPED
        self.header["retired"] = 1
        self.publish()

    def hand_over(self, spec: StoreSpec) -> Writer:
        """The same writer for what turned out to be asked for; this one must not be used again."""
        life, self._life = self._life, None
        return Writer(spec, self.geometry, self.memory, life)

    def close(self) -> None:
        """Stop cleanly: the store stays, readable, marked stopped. Idempotent."""
        if self._life is not None:
            self.restore_name()
            self.set_state(layout.STOPPED)
            self.disown()

    def disown(self) -> None:
        """Let go of the life lock without a word: in a forked child the store is its parent's."""
        if self._life is not None:
            os.close(self._life)
            self._life = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self.disown()  # a crash is not a clean stop: readers are told that the writer died
        else:
            self.close()


def create(spec: StoreSpec, *, mode: int = 0o600) -> Writer:
    """Build the store's segment and become its writer.

    The segment is finished under another name and then takes its own, so that no reader ever opens
    a half-made one. A store of that name without a live writer is replaced.

    Raises StoreBusy where a live process writes it, NoSpace, LayoutError.
    """
    geometry = Geometry.of(spec)
    with segment.name_lock(spec.name):
        refuse_if_held(spec.name)
        descriptor, temporary = segment.reserve(spec.name, geometry.size)
        try:
            memory = segment.map_writable(descriptor, geometry.size)
            writer = Writer(spec, geometry, memory, segment.take(temporary, spec.name))
            try:
                lay_out(writer)
                os.fchmod(descriptor, mode)
                segment.publish(temporary, spec.name)
            except BaseException:
                writer.disown()
                raise
        finally:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)
    return writer


def in_memory(spec: StoreSpec) -> Writer:
    """A writer over private memory: the same store, shared with nobody."""
    geometry = Geometry.of(spec)
    writer = Writer(spec, geometry, bytearray(geometry.size))
    lay_out(writer)
    return writer


def lay_out(writer: Writer) -> None:
    """Fill a new segment: fixed parts, empty rows, and the ready word last."""
    spec, geometry, memory = writer.spec, writer.geometry, writer.memory
    writer.header[:] = geometry.header(spec, time.time_ns() // 1_000_000)
    document = geometry.document(spec)
    memory[geometry.document_offset : geometry.document_offset + len(document)] = document
    columns = np.frombuffer(memory, layout.COLUMN_DTYPE, len(spec.columns), geometry.columns_offset)
    columns[:] = [
        (c.name.encode(), c.kind.encode(), c.unit.encode(), c.definition.encode())
        for c in spec.columns
    ]
    series = np.frombuffer(memory, layout.SERIES_DTYPE, len(spec.series), geometry.series_offset)
    series[:] = [(s.name.encode(), s.alias.encode()) for s in spec.series]
    for word, value in (("newest", -1), ("closed", -1), ("confirmed", -1)):
        writer.controls[:, layout.WORD[word]] = value
    writer.integers[:] = writer.blank[:, np.newaxis]
    writer.begin_life()
    kernels.settle()  # SYNC: everything before the ready word
    writer.header["ready"] = layout.READY


def _blank_row(kinds: list[str], held: int) -> npt.NDArray[np.int64]:
    """An empty row as bit patterns: NaT, NaN or 0 for each of the `held` columns, by its kind."""
    empty: dict[str, Any] = {"f": np.float64(np.nan).view(np.int64), "M": layout.EMPTY_TIME, "i": 0}
    words = np.zeros(held, np.int64)
    words[: len(kinds)] = [empty[kind] for kind in kinds]
    return words
