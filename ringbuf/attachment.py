"""One mapping of a store: its memory, its tables, and the descriptor by which life is asked for.

A `Store` and all of its series share it. It refers to none of them, so that there is no cycle of
references: descriptors and memory are given back as soon as the last of them is dropped, whether or
not anybody closed the store, and without the garbage collector.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import layout, segment
from .errors import DAMAGES, NotAStore, StoreNotFound
from .header import Header
from .watching import Sleeper, Watch

__all__ = ["Attachment"]

_STATE = layout.offset("state") // layout.WORD_SIZE
_DOCUMENT = {"software": str, "source": dict, "counters": list, "statuses": list, "data": dict}


class Attachment:
    """The segment `name`, mapped read-only. Raises as `attach` does.

    Pickled it is its name: another process, and a later one, attaches anew.
    """

    def __init__(self, name: str) -> None:
        descriptor = segment.open_readonly(name)
        try:
            self.header = Header.read(descriptor, name)
            self.memory = segment.map_readonly(descriptor, self.header.size)
        except BaseException:
            segment.close(descriptor)
            raise
        self._descriptor: int | None = descriptor
        self.inode = os.fstat(descriptor).st_ino
        self.name = name
        self._view = memoryview(self.memory)[: self.header.size // 8 * 8]
        self.words = self._view.cast("q")
        self.interval_ms = self.header.interval_ms
        self.live: Any = np.frombuffer(self.memory, layout.HEADER_DTYPE, 1)
        self.published: npt.NDArray[np.uint32] = self.live["published"]
        self._sleeper = Sleeper(self.published)
        try:
            self._read_document()
            self._read_columns()
            self._read_series()
        except DAMAGES as error:
            self.close()
            raise NotAStore(name, f"{type(error).__name__}: {error}", "whole tables") from error

    def _read_document(self) -> None:
        start = self.header.document_offset
        self.document: dict[str, Any] = json.loads(
            self.memory[start : start + self.header.document_size]
        )
        self.statuses: list[str] = self.document["statuses"]
        for key, kind in _DOCUMENT.items():
            if not isinstance(self.document[key], kind):
                raise TypeError(f"{key} of the document: {self.document[key]!r}")
        for key in ("counters", "statuses"):
            if not all(isinstance(name, str) for name in self.document[key]):
                raise TypeError(f"{key} of the document: {self.document[key]!r}")

    def _read_columns(self) -> None:
        header = self.header
        shape = (header.series, header.columns, 2 * header.capacity)
        strides = (header.record_stride, header.column_stride, 8)
        data = np.ndarray(shape, np.int64, self.memory, header.data_offset, strides)
        table = self._table(layout.COLUMN_DTYPE, "columns")
        kinds = {bytes(row["name"]).decode(): bytes(row["kind"]).decode() for row in table}
        said = {column["name"]: column["kind"] for column in self.document["columns"]}
        if list(kinds.items()) != list(said.items()):
            raise ValueError(f"columns {kinds}, {said} in the document")
        self.data = data
        self.blocks = {
            name: data[:, k].view(layout.KINDS[kind])
            for k, (name, kind) in enumerate(kinds.items())
        }
        self.columns = tuple(name for name in kinds if not name.startswith("_"))
        self.row_dtype = np.dtype([(name, layout.KINDS[kinds[name]]) for name in self.columns])
        self.runs = _runs([k for k, name in enumerate(kinds) if name in self.columns])
        doubles = self._view.cast("d")
        self.cells = [
            (
                name,
                k * header.column_stride // layout.WORD_SIZE,
                doubles if kind == "f" else self.words,
            )
            for k, (name, kind) in enumerate(kinds.items())
            if name in self.columns and name != "time"
        ]
        self.empty_row: dict[str, Any] = {"time": np.datetime64("NaT", "ms")}
        for name, _, cells in self.cells:
            self.empty_row[name] = float("nan") if cells is doubles else 0

    def _read_series(self) -> None:
        table = self._table(layout.SERIES_DTYPE, "series")
        self.series = [(bytes(row["name"]).decode(), bytes(row["alias"]).decode()) for row in table]
        said = [(entry["name"], entry["alias"]) for entry in self.document["series"]]
        if self.series != said:
            raise ValueError(f"series {self.series}, {said} in the document")

    def _table(self, dtype: np.dtype[np.void], section: str) -> npt.NDArray[np.void]:
        header = self.header
        offset, stride = getattr(header, f"{section}_offset"), getattr(header, f"{section}_stride")
        return np.ndarray((getattr(header, section),), dtype, self.memory, offset, (stride,))

    @property
    def alive(self) -> bool:
        """Is there a writer? Asked of the kernel: a killed one is gone at once."""
        return self._descriptor is not None and segment.is_held(self._descriptor)

    @property
    def life(self) -> str:
        """``running``, ``stopped`` (cleanly) or ``down`` (died); ``closed`` once we let go."""
        if self._descriptor is None:
            return "closed"
        if self.words[_STATE] != layout.STOPPED and self.alive:
            return "running"
        # Looked at last: a writer says that it stops before it lets go of its lock.
        return "stopped" if self.words[_STATE] == layout.STOPPED else "down"

    @property
    def retired(self) -> bool:
        """Has another segment taken the store's name? Then nothing is written here any more.

        Not only by its own word: a writer that died between its swap and saying so did not say it.
        What has the name may be hidden from this user: that is a store of another mode.
        """
        if self.live["retired"][0]:
            return True
        path = segment.path_of(self.name)
        return not segment.leads_to(path, self.inode) and segment.is_ours(path, hidden=True) is True

    def watch(self, look: Callable[[], Any], attached: Any) -> Watch:
        """A watch of what `look` sees of this store; it saw `attached` when that was attached."""
        return Watch(self.published, look, attached, self._replaced_untold, self._sleeper)

    def _replaced_untold(self) -> bool:
        """Was it retired by a service that died before it said so?"""
        return not self.live["retired"][0] and self.retired

    def close(self) -> None:
        """Let go of the life lock's descriptor; the memory stays while views of it do."""
        if self._descriptor is not None:
            segment.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Asked here as well: what a pool's process raises while it unpickles a task, nobody hears.
        if not segment.path_of(self.name).exists():
            raise StoreNotFound(self.name)
        return Attachment, (self.name,)


def _runs(places: Sequence[int]) -> list[tuple[slice, slice]]:
    """`places`, ascending, as runs without gaps: each as a slice of the places and of their order.

    ``[0, 1, 2, 5]`` gives ``(0:3, 0:3), (5:6, 3:4)``.
    """
    starts = [k for k, place in enumerate(places) if not k or place != places[k - 1] + 1]
    stops = [*starts[1:], len(places)]
    return [
        (slice(places[first], places[stop - 1] + 1), slice(first, stop))
        for first, stop in zip(starts, stops, strict=True)
    ]
