"""The reading side of a store: any process, any number of them, numpy and the stdlib only.

`attach` gives a `Store`; a `Store` gives a `Ring` for each series. Both only look: the memory is
mapped read-only, nothing here writes a byte that another process could see.

**Views and copies.** ``ring["close"]``, `Ring.view` and `Store.matrix` are views of the memory the
service writes: they cost nothing, they show the newest values without another call, and their
oldest rows are overwritten an hour after they were taken. `Ring.last`, `Ring.snapshot` and
``matrix(..., copy=True)`` are consistent copies: one state of the series, never a mixture of two.

**Ordering.** A consistent copy is a sequence-lock read (`layout`, "Sequence lock"): load the
sequence word, copy, load it again. Each load is one aligned 8-byte access made by CPython or numpy.
On x86-64 the processor performs loads in program order, and neither can be moved by a compiler
across the C calls in between. Elsewhere (ARM) the processor may reorder them: there `fence`, a
release and then an acquire of an uncontended lock, keeps the loads on their sides.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import layout, segment
from .errors import NotAStore, UnknownName
from .header import Header
from .watching import Sleeper, Watch

if TYPE_CHECKING:
    from .check import Problem

__all__ = ["Ring", "Store", "attach"]

PATIENCE_S = 0.25
"""How long a consistent read tries again before it settles for the rows that are not in work."""

HUNG_S = 10.0
"""A heartbeat this old, with the lock still held: the writer runs, but nothing moves in it."""

_T = TypeVar("_T")
_WORD = layout.WORD
_DIRTY, _NEWEST, _CLOSED, _START, _REWINDS = (
    _WORD[name] for name in ("dirty_from", "newest", "closed", "start", "rewinds")
)
_EMPTY: dict[str, Any] = {"f": np.nan, "i": 0, "M": np.datetime64("NaT", "ms")}
_GRID, _STATE, _RETIRED = (
    layout.offset(field) // layout.WORD_SIZE for field in ("grid", "state", "retired")
)
_lock = threading.Lock()


_ORDERED = platform.machine().lower() in ("x86_64", "amd64")


def _natural(last: int) -> int:
    if last < 0:
        raise ValueError(f"found last={last}, expected a number of rows, or None for all")
    return last


def fence() -> None:
    """Keep the loads before this call before those after it, on processors that need telling.

    Taken twice: loads may sink past an acquire or rise above a release, so that both could meet
    inside of one critical section. They cannot pass the release between two.
    """
    if not _ORDERED:
        with _lock:
            pass
        with _lock:
            pass


class Ring:
    """One series of a store: its rows from the oldest to the newest.

    Made by ``store[name]``. The number of rows, ``len(ring)``, grows to the store's history and
    stays there. Safe to use from several threads.
    """

    def __init__(self, store: Store, position: int, name: str, alias: str) -> None:
        self.name = name
        self.alias = alias
        self._store = store
        self._position = position
        header = store.header
        self._base = (header.control_offset + header.control_stride * position) // 8
        self._data = (header.data_offset + header.record_stride * position) // 8
        self._words = store.words
        self._columns = {name: block[position] for name, block in store.blocks.items()}
        self._capacity = header.capacity
        self._history = header.history
        self._attached = self._change()
        self._watch: Watch | None = None

    # -- views ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Readable rows, the open one included."""
        first, stop = self._consistent(self._span, None, False)
        return stop - first

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """The whole history of `column`, oldest to newest: a zero-copy, read-only view.

        float64[n] (datetime64[ms][n] for ``time``, int64[n] for integers). Raises UnknownName
        (a KeyError).
        """
        return self.view(column)

    def view(
        self, column: str, last: int | None = None, *, closed: bool = False
    ) -> npt.NDArray[Any]:
        """The newest `last` rows of `column` (all: None) as a zero-copy, read-only view.

        ``closed=True`` leaves out what is not closed yet. Fewer rows where there are fewer.
        """
        try:
            block = self._columns[column]
        except KeyError:
            raise UnknownName("column", column, self._store.columns) from None
        first, stop = self._consistent(self._span, last, closed)
        rows: npt.NDArray[Any] = block[first:stop]
        return rows

    # -- consistent copies ---------------------------------------------------------------------

    def last(self, *, closed: bool = False) -> dict[str, Any]:
        """The newest row, consistent: every public column by name, and ``closed``.

        ``time`` is datetime64[ms], integers are int, the rest float. A series without rows gives
        NaT, 0 and NaN.
        """
        return self._consistent(self._row, closed)

    def snapshot(self, last: int | None = None, *, closed: bool = False) -> npt.NDArray[np.void]:
        """A consistent copy of the newest `last` rows: a structured array, one field a column."""
        return self._consistent(self._rows, last, closed)

    def _aligned(self, view: npt.NDArray[Any], grid: int) -> npt.NDArray[Any]:
        """A consistent copy of `view`, rows up to bar `grid`; what is in work is left empty."""

        def copy(ceiling: int | None) -> npt.NDArray[Any]:
            rows = view.copy()
            if ceiling is not None and ceiling < grid:
                rows[max(0, len(rows) - (grid - ceiling)) :] = _EMPTY[view.dtype.kind]
            return rows

        return self._consistent(copy)

    # -- state ---------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """What the service says of this series; ``stopped`` or ``down`` when it is gone."""
        life = self._store.life
        return self._store.statuses[self._word("status")] if life == "running" else life

    @property
    def revision(self) -> int:
        """Grows whenever a closed row was corrected or filled in: take copies anew."""
        return self._word("revision")

    @property
    def age(self) -> float:
        """Seconds since the source last said anything about this series; NaN if it never has."""
        heard = self._word("heard_ns")
        return (time.monotonic_ns() - heard) / 1e9 if heard else float("nan")

    def state(self) -> dict[str, Any]:
        """The control words as numbers: for health checks and tests."""

        def read(_ceiling: int | None) -> dict[str, Any]:
            return {name: self._words[self._base + k] for name, k in _WORD.items()}

        return self._consistent(read)

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until rows or status of this series change, or its store stops or is retired.

        As `Store.wait`, but told of this series only.
        """
        return self._watched().wait(timeout)

    async def wait_async(self, timeout: float | None = None) -> bool:
        """The same in an asyncio task: see `Store.wait_async`."""
        return await self._watched().wait_async(timeout)

    def _watched(self) -> Watch:
        if self._watch is None:
            self._watch = self._store.watch(self._change, self._attached)
        return self._watch

    def _change(self) -> tuple[int, ...]:
        """Another value after every change of the series, the same while a write is under way."""
        fence()
        words, base = self._words, self._base
        return (
            words[base] >> 1,
            words[base + _WORD["status"]],
            words[_STATE],
            words[_RETIRED],
        )

    def __repr__(self) -> str:
        return f"<Ring {self.name} ({self.alias}) {self.status}, {len(self)} rows>"

    # -- the sequence lock ---------------------------------------------------------------------

    def _word(self, name: str) -> int:
        return self._words[self._base + _WORD[name]]

    def _span(self, last: int | None, closed: bool, ceiling: int | None) -> tuple[int, int]:
        """First and past-the-end index in the columns of the rows that may be looked at.

        Inside the columns whatever the control words say: they may be from two states.
        """
        words, base = self._words, self._base
        stop = newest = words[base + _NEWEST]
        oldest = words[base + _START]
        if newest < 0:
            return 0, 0
        if newest - oldest >= self._history:
            oldest = newest - self._history + 1
        if closed and (end := words[base + _CLOSED]) < stop:
            stop = end
        if ceiling is not None and ceiling < stop:
            stop = ceiling
        rows = stop - oldest + 1
        if last is not None and rows > last:
            rows = _natural(last)
        if rows <= 0:
            return 0, 0
        end = stop % self._capacity + self._capacity + 1
        return end - rows, end

    def _rows(self, last: int | None, closed: bool, ceiling: int | None) -> npt.NDArray[np.void]:
        first, stop = self._span(last, closed, ceiling)
        rows = np.empty(stop - first, self._store.row_dtype)
        for name in self._store.columns:
            rows[name] = self._columns[name][first:stop]
        return rows

    def _row(self, closed: bool, ceiling: int | None) -> dict[str, Any]:
        first, stop = self._span(1, closed, ceiling)
        store, words = self._store, self._words
        if first == stop:
            return {**store.empty_row, "closed": False}
        at = self._data + first
        moment = words[at]
        row: dict[str, Any] = {"time": np.datetime64(moment, "ms")}
        for name, offset, cells in store.cells:
            row[name] = cells[at + offset]
        row["closed"] = moment <= words[self._base + _CLOSED] * store.interval_ms
        return row

    def _consistent(self, read: Callable[..., _T], *arguments: Any) -> _T:
        """``read(*arguments, None)`` of one state.

        After `PATIENCE_S`, and at once where the writer died in mid-write,
        ``read(*arguments, bar)`` of the rows up to `bar`, which are not in work.
        """
        words, base = self._words, self._base
        deadline = 0.0
        while True:
            before = words[base]
            if not before & 1:
                if _ORDERED:
                    value = read(*arguments, None)
                else:
                    fence()
                    value = read(*arguments, None)
                    fence()
                if words[base] == before:
                    return value
            now = time.monotonic()
            if not deadline:
                deadline = now + PATIENCE_S
            elif now > deadline or (before & 1 and not self._store.alive):
                rewinds = words[base + _REWINDS]
                fence()
                dirty = words[base + _DIRTY]
                fence()
                value = read(*arguments, dirty - 1)
                fence()
                if words[base + _REWINDS] == rewinds:
                    return value
            time.sleep(0)


class Store(Mapping[str, Ring]):
    """A store, attached read-only: a mapping of series names to `Ring`.

    Accepts the canonical name or the source's own. Views hold the memory: they stay valid after
    `close`, after the object is gone, and after the store's name is. Safe in several threads and
    after a fork.
    """

    def __init__(self, name: str) -> None:
        descriptor = segment.open_readonly(name)
        try:
            self.header = Header.read(descriptor, name)
            self._memory = segment.map_readonly(descriptor, self.header.size)
        except BaseException:
            segment.close(descriptor)
            raise
        self._descriptor: int | None = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self.name = name
        header = self.header
        view = memoryview(self._memory)[: header.size // 8 * 8]
        self.words = view.cast("q")
        self._doubles = view.cast("d")
        self._live: Any = np.frombuffer(self._memory, layout.HEADER_DTYPE, 1)
        self._published: npt.NDArray[np.uint32] = self._live["published"]
        self.interval_ms = header.interval_ms
        try:
            self._read_document()
            self._read_columns()
            self._read_series()
        except (ValueError, KeyError, TypeError) as error:
            self.close()
            raise NotAStore(name, f"{type(error).__name__}: {error}", "whole tables") from error
        # Refers to this object, so it comes last: what was refused goes at once, its memory too.
        self._sleeper = Sleeper(self._published)
        self._watch = self.watch(self._change, self._change())

    def _read_document(self) -> None:
        start = self.header.document_offset
        self.document: dict[str, Any] = json.loads(
            self._memory[start : start + self.header.document_size]
        )
        self.statuses: list[str] = self.document["statuses"]

    def _read_columns(self) -> None:
        header = self.header
        shape = (header.series, header.columns, 2 * header.capacity)
        strides = (header.record_stride, header.column_stride, 8)
        data = np.ndarray(shape, np.int64, self._memory, header.data_offset, strides)
        table = self._table(layout.COLUMN_DTYPE, "columns")
        kinds = {bytes(row["name"]).decode(): bytes(row["kind"]).decode() for row in table}
        self.blocks = {
            name: data[:, k].view(layout.KINDS[kind])
            for k, (name, kind) in enumerate(kinds.items())
        }
        self.columns = tuple(name for name in kinds if not name.startswith("_"))
        self.row_dtype = np.dtype([(name, layout.KINDS[kinds[name]]) for name in self.columns])
        self.cells = [
            (
                name,
                k * header.column_stride // layout.WORD_SIZE,
                self._doubles if kind == "f" else self.words,
            )
            for k, (name, kind) in enumerate(kinds.items())
            if name in self.columns and name != "time"
        ]
        self.empty_row: dict[str, Any] = {"time": np.datetime64("NaT", "ms")}
        for name, _, cells in self.cells:
            self.empty_row[name] = float("nan") if cells is self._doubles else 0

    def _read_series(self) -> None:
        table = self._table(layout.SERIES_DTYPE, "series")
        names = [(bytes(row["name"]).decode(), bytes(row["alias"]).decode()) for row in table]
        self.markets = tuple(name for name, _ in names)
        self._rings = {name: Ring(self, k, name, alias) for k, (name, alias) in enumerate(names)}
        self._aliases = {alias: name for name, alias in names if alias and alias not in self._rings}

    def _table(self, dtype: np.dtype[np.void], section: str) -> npt.NDArray[np.void]:
        header = self.header
        offset, stride = getattr(header, f"{section}_offset"), getattr(header, f"{section}_stride")
        return np.ndarray((getattr(header, section),), dtype, self._memory, offset, (stride,))

    # -- series --------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Ring:
        """The series `name`; raises UnknownName (a KeyError that names the nearest)."""
        ring = self._rings.get(name)
        if ring is None:
            try:
                ring = self._rings[self._aliases[name]]
            except KeyError:
                known = [*self._rings, *self._aliases]
                raise UnknownName("market", name, known) from None
        return ring

    def __iter__(self) -> Iterator[str]:
        return iter(self.markets)

    def __len__(self) -> int:
        return len(self.markets)

    def matrix(
        self, column: str, last: int | None = None, *, copy: bool = False
    ) -> npt.NDArray[Any]:
        """`column` of all series over the newest `last` bars of the grid: ``[series, n]``.

        Aligned by time: the last column is the newest bar that any series has; a series that has
        no row for a bar shows NaN (NaT, 0) there. A zero-copy view, or with ``copy=True`` a copy in
        which each series is one consistent state.
        """
        try:
            block = self.blocks[column]
        except KeyError:
            raise UnknownName("column", column, self.columns) from None
        history, capacity = self.header.history, self.header.capacity
        rows = history if last is None or last > history else _natural(last)
        grid = self.words[_GRID]
        end = grid % capacity + capacity + 1 if grid >= 0 else capacity
        view: npt.NDArray[Any] = block[:, end - rows : end]
        if not copy:
            return view
        copied = np.empty(view.shape, view.dtype)
        for position, ring in enumerate(self._rings.values()):
            copied[position] = ring._aligned(view[position], grid)
        return copied

    # -- life ----------------------------------------------------------------------------------

    @property
    def source(self) -> dict[str, Any]:
        """Where the rows come from, as the service said it."""
        source: dict[str, Any] = self.document["source"]
        return source

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
    def hung(self) -> bool:
        """Does a writer hold the store, and yet has shown no sign of life for `HUNG_S`?"""
        return self.life == "running" and self.heartbeat_age > HUNG_S

    @property
    def condition(self) -> str:
        """How the store is, in one word, the worst first.

        ``down`` (its writer died), ``stopped`` (cleanly, or a newer segment has its place),
        ``hung`` (held, without a heartbeat), ``starting``, ``degraded`` (a series is not up to
        date), ``live``.
        """
        if (life := self.life) != "running":
            return life
        if self.hung:
            return "hung"
        if self.words[_STATE] == layout.STARTING:
            return "starting"
        troubled = self.document.get("troubled", ())
        return "degraded" if any(r.status in troubled for r in self.values()) else "live"

    @property
    def retired(self) -> bool:
        """Has a newer segment taken the store's name? Then nothing is written here any more.

        Its readers are woken once when that happens: `refresh` gives them the newer one.
        """
        return bool(self._live["retired"][0]) or (not self.alive and self._replaced())

    def refresh(self) -> Store:
        """The store as it is now under this name: this object, or a new one if it was retired.

        This one and all of its views stay valid, and show what they last showed. Series and columns
        of the new one may be others. Raises as `attach` does.
        """
        return attach(self.name) if self.retired or self._replaced() else self

    def _replaced(self) -> bool:
        """Does the name lead to another segment than this one?

        A writer that died between its swap and saying so leaves it like that.
        """
        try:
            inode = segment.path_of(self.name).stat().st_ino
        except FileNotFoundError:
            return False
        return inode != self._inode

    @property
    def heartbeat_age(self) -> float:
        """Seconds since the writer last showed that it works."""
        return (time.monotonic_ns() - int(self._live["heartbeat_ns"][0])) / 1e9

    def live(self) -> dict[str, int]:
        """The numbers of the header that change while the store lives, but for the counters."""
        names = ("state", "writer_pid", "started_ms", "heartbeat_ns", "heartbeat_ms", "grid")
        return {
            name: int(self._live[name][0]) for name in (*names, "clock_ms", "retired", "published")
        }

    def health(self) -> dict[str, Any]:
        """Condition, writer, heartbeat, counters and the freshness of each series, as plain values.

        The pid is what the writer calls itself: in a container it means nothing outside of it.
        """
        live = self._live[0]
        names = self.document["counters"]
        interval = self.header.interval_ms

        def moment(bar: int) -> str | None:
            return None if bar < 0 else str(np.datetime64(bar * interval, "ms")) + "Z"

        series = {}
        for name, ring in self._rings.items():
            state = ring.state()
            series[name] = {
                "coin": ring.alias,
                "status": ring.status,
                "rows": len(ring),
                "newest": moment(state["newest"]),
                "closed": moment(state["closed"]),
                "confirmed": moment(state["confirmed"]),
                "age_s": ring.age,
                "revision": state["revision"],
                "frames": state["frames"],
                "corrected": state["corrected"],
                "repaired": state["repaired"],
                "rejected": state["rejected"],
            }
        return {
            "name": self.name,
            "status": self.condition,
            "life": self.life,
            "retired": self.retired,
            "writer": {
                "pid": int(live["writer_pid"]),
                "software": self.document["software"],
                "started": str(np.datetime64(int(live["started_ms"]), "ms")) + "Z",
            },
            "heartbeat_age_s": self.heartbeat_age,
            "source": self.source,
            "published": int(live["published"]),
            "counters": dict(zip(names, live["counters"].tolist(), strict=False)),
            "markets": series,
        }

    def check(self) -> list[Problem]:
        """The broken invariants of the segment: none if it is sound. Milliseconds a market."""
        from .check import check

        return check(self._memory, self.name)

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until something is published that this thread has not waited for yet.

        True at once where that has already happened since its last call (or since `attach`), False
        after `timeout` seconds (None: no limit). Rows, a change of the service's state and
        retirement are published; a death is not: with a `timeout` and `alive` it is noticed.
        """
        return self._watch.wait(timeout)

    async def wait_async(self, timeout: float | None = None) -> bool:
        """The same for the running asyncio task (anyio's on asyncio, too).

        The loop goes on meanwhile; whoever is cancelled misses nothing. A task's first call starts
        where its thread's last one, or that of another task there, left off. On Python before 3.12
        `asyncio.wait_for` makes a task of its own for each call: give `timeout` here instead where
        several tasks wait.
        """
        return await self._watch.wait_async(timeout)

    def watch(self, look: Callable[[], Any], attached: Any) -> Watch:
        """A watch of what `look` sees of this store; it saw `attached` when that was attached."""
        return Watch(self._published, look, attached, self._sleeper)

    def _change(self) -> int:
        return int(self._published[0])

    def close(self) -> None:
        """Let go of the store. Never raises; views that still exist stay valid. Idempotent."""
        if self._descriptor is not None:
            segment.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def __repr__(self) -> str:
        return f"<Store {self.name}: {len(self)} markets, {self.life}, from {self.source}>"


def attach(name: str) -> Store:
    """Attach to the store `name`, read-only.

    Raises StoreNotFound; NotAStore, WrongVersion or NotReady (all StoreRefused) for a segment that
    cannot be used; PermissionError where its mode does not let this user read it.
    """
    return Store(name)
