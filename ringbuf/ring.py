"""One series of an attached store: its views, its consistent copies, its waiting.

**Views and copies.** ``ring["close"]`` and `Ring.view` are views of the memory the service writes:
they cost nothing, they show the newest values without another call, and their oldest rows are
overwritten an hour after they were taken. `Ring.last` and `Ring.snapshot` are consistent copies:
one state of the series, never a mixture of two.

**Ordering.** A consistent copy is a sequence-lock read (`layout`, "Sequence lock"): load the
sequence word, copy, load it again. Each load is one aligned 8-byte access made by CPython or numpy.
On x86-64 the processor performs loads in program order, and neither can be moved by a compiler
across the C calls in between. Elsewhere (ARM) the processor may reorder them: there `fence`, a
release and then an acquire of an uncontended lock, keeps the loads on their sides.
"""

from __future__ import annotations

import operator
import platform
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import layout
from .errors import NeverAtRest, UnknownName

if TYPE_CHECKING:
    from .attachment import Attachment
    from .following import Closes
    from .frames import ArrowTable, PandasFrame, PolarsFrame
    from .moments import Moment
    from .watching import Watch

__all__ = ["ENDURANCE_S", "PATIENCE_S", "Ring", "fence", "natural"]

PATIENCE_S = 0.25
"""How long a consistent read tries again before it settles for the rows that are not in work."""

ENDURANCE_S = 5.0
"""How long it tries for those. Only a writer that goes back to older rows again and again without a
pause, each time within the copy of a reader, can take so long; no read waits without bound."""

_ENDURANCE = 100
"""And how many times: a process that was stopped for seconds has not tried."""

_T = TypeVar("_T")
_WORD = layout.WORD
_DIRTY, _NEWEST, _CLOSED, _START, _REWINDS = (
    _WORD[name] for name in ("dirty_from", "newest", "closed", "start", "rewinds")
)
_EMPTY: dict[str, Any] = {"f": np.nan, "i": 0, "M": np.datetime64("NaT", "ms")}
_STATE, _RETIRED = (layout.offset(field) // layout.WORD_SIZE for field in ("state", "retired"))
_ORDERED = platform.machine().lower() in ("x86_64", "amd64")
_lock = threading.Lock()


def natural(last: int) -> int:
    """`last` as a number of rows; TypeError for what is none, ValueError for a negative one."""
    expected = "expected a number of rows, or None for all"
    if isinstance(last, bool) or not hasattr(last, "__index__"):
        raise TypeError(f"found last={last!r}, {expected}")
    if last < 0:
        raise ValueError(f"found last={last}, {expected}")
    return operator.index(last)


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

    def __init__(self, attachment: Attachment, position: int) -> None:
        self.name, self.alias = attachment.series[position]
        self._attachment = attachment
        header = attachment.header
        self._base = (header.control_offset + header.control_stride * position) // 8
        self._data = (header.data_offset + header.record_stride * position) // 8
        self._words = attachment.words
        self._record = attachment.data[position]
        self._columns = {name: block[position] for name, block in attachment.blocks.items()}
        self._capacity = header.capacity
        self._history = header.history
        self._look = partial(_change, self._words, self._base)
        self._attached = self._look()
        self._watch: Watch | None = None
        # The whole history's place in the columns, and the sequence number that it was found at.
        self._whole = (-1, slice(0, 0))

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
        try:
            block = self._columns[column]
        except KeyError:
            raise UnknownName("column", column, self._attachment.columns) from None
        sequence, whole = self._whole
        # While nothing was written since, the rows are where they were: one look is a proof.
        rows: npt.NDArray[Any] = block[
            whole if self._words[self._base] == sequence else self._whole_again()
        ]
        return rows

    def view(
        self, column: str, last: int | None = None, *, closed: bool = False
    ) -> npt.NDArray[Any]:
        """The newest `last` rows of `column` (all: None) as a zero-copy, read-only view.

        ``closed=True`` leaves out what is not closed yet. Fewer rows where there are fewer.
        """
        try:
            block = self._columns[column]
        except KeyError:
            raise UnknownName("column", column, self._attachment.columns) from None
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

    def at(self, time: Moment) -> dict[str, Any]:
        """The row of the minute that `time` is in, consistent: a mapping as `last` gives it.

        `time` is a datetime (naive: UTC), a numpy.datetime64, an ISO 8601 text, or an int of
        milliseconds since 1970. Raises NoRow (a LookupError), which says what rows there are.
        """
        from . import moments

        return moments.row_at(self, time)

    def since(self, time: Moment, *, closed: bool = False) -> npt.NDArray[np.void]:
        """The rows from the minute that `time` is in to the newest: a copy as `snapshot` gives it.

        No rows where `time` is still to come; from the oldest on where it is older than that.
        """
        from . import moments

        return moments.rows_since(self, time, closed)

    def resample(
        self, length: str, last: int | None = None, *, closed: bool = False
    ) -> npt.NDArray[np.void]:
        """The newest `last` bars of `length` (``5m``, ``15m``, ``1h``, ``4h``, ``1d`` …): a copy.

        A structured array, its fields and rules in `ringbuf.resampling`. A bar is ``complete``
        where each of its minutes is there and closed: the oldest one often is not, the newest one
        seldom is. ``closed=True`` leaves out bars that are not over. Raises ValueError for
        a length that is no multiple of the rows', UnknownName where there are no candles.
        """
        from . import resampling

        return resampling.resample(self, length, last, closed)

    def _aligned(self, view: npt.NDArray[Any], grid: int) -> npt.NDArray[Any]:
        """A consistent copy of `view`, rows up to bar `grid`; what is in work is left empty."""

        def copy(ceiling: int | None) -> npt.NDArray[Any]:
            rows = view.copy()
            if ceiling is not None and ceiling < grid:
                rows[max(0, len(rows) - (grid - ceiling)) :] = _EMPTY[view.dtype.kind]
            return rows

        return self._consistent(copy)

    # -- as other libraries have it ------------------------------------------------------------

    def to_pandas(
        self, last: int | None = None, *, closed: bool = False, copy: bool = False
    ) -> PandasFrame:
        """The newest `last` rows (all: None) as a DataFrame: a row a minute, a column a column.

        Its index is a DatetimeIndex, UTC, named ``time``. The columns are views of the live memory,
        as `view` gives them: good for an hour; ``copy=True`` for one consistent state that stays.
        Raises ImportError where pandas is not installed.
        """
        from . import frames

        return frames.ring_to_pandas(self, last, closed, copy)

    def to_polars(
        self, last: int | None = None, *, closed: bool = False, copy: bool = False
    ) -> PolarsFrame:
        """The same as a polars DataFrame, with ``time`` (UTC) as its first column."""
        from . import frames

        return frames.ring_to_polars(self, last, closed, copy)

    def to_arrow(
        self, last: int | None = None, *, closed: bool = False, copy: bool = False
    ) -> ArrowTable:
        """The same as a pyarrow Table, with ``time`` (UTC) as its first column."""
        from . import frames

        return frames.ring_to_arrow(self, last, closed, copy)

    # -- state ---------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """What the service says of this series; ``stopped`` or ``down`` when it is gone."""
        life = self._attachment.life
        if life != "running":
            return life
        number, statuses = self._word("status"), self._attachment.statuses
        return statuses[number] if 0 <= number < len(statuses) else f"unknown ({number})"

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

    def closes(self, since: Moment | None = None) -> Closes:
        """``async for row in ring.closes()``: each row once, in order, as soon as it is closed.

        Begins with the next row that closes, or with the one of the minute that `since` is in. None
        is left out, however many close at once: behind a hole it waits until that is filled. A row
        is a mapping as `last` gives it; that it is corrected later (`revision`) is not told.

        Raises StoreEnded when nothing more will come, and RowsLost where rows were overwritten
        before they were asked for.
        """
        from .following import Closes

        return Closes(self, since)

    def _watched(self) -> Watch:
        if self._watch is None:
            self._watch = self._attachment.watch(self._look, self._attached)
        return self._watch

    def __copy__(self) -> Ring:
        """The same series: there is but one, in memory that is nobody's to copy."""
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Ring:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Two names: where it is unpickled, its store is attached anew."""
        return _again, (self._attachment, self.name)

    def __repr__(self) -> str:
        return f"<Ring {self.name} ({self.alias}) {self.status}, {len(self)} rows>"

    def _repr_html_(self) -> str:
        """The newest rows as a notebook shows them."""
        from .showing import ring_html

        return ring_html(self)

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
        if last is not None and (last.__class__ is not int or rows > last):
            rows = min(rows, natural(last))
        if rows <= 0:
            return 0, 0
        end = stop % self._capacity + self._capacity + 1
        return end - rows, end

    def _whole_again(self) -> slice:
        """Where the whole history is, remembered for as long as nothing is written."""
        before = self._words[self._base]
        whole = slice(*self._consistent(self._span, None, False))
        if not before & 1 and self._words[self._base] == before:
            self._whole = before, whole
        return whole

    def _rows(self, last: int | None, closed: bool, ceiling: int | None) -> npt.NDArray[np.void]:
        first, stop = self._span(last, closed, ceiling)
        rows = np.empty(stop - first, self._attachment.row_dtype)
        # Every cell is one word, so columns that are neighbours turn into fields in one go: half
        # the time of one field after the other.
        words = rows.view(np.int64).reshape(len(rows), len(self._attachment.columns))
        for columns, fields in self._attachment.runs:
            words[:, fields] = self._record[columns, first:stop].T
        return rows

    def _row(self, closed: bool, ceiling: int | None) -> dict[str, Any]:
        first, stop = self._span(1, closed, ceiling)
        if first == stop:
            return {**self._attachment.empty_row, "closed": False}
        return self._cells(first)

    def _bar(self, index: int) -> int:
        """The bar of the row at `index` of the columns, as the row itself says it."""
        return self._words[self._data + index] // self._attachment.interval_ms

    def _cells(self, index: int) -> dict[str, Any]:
        """The row at `index` of the columns."""
        store, words = self._attachment, self._words
        at = self._data + index
        moment = words[at]
        row: dict[str, Any] = {"time": np.datetime64(moment, "ms")}
        for name, offset, cells in store.cells:
            row[name] = cells[at + offset]
        row["closed"] = moment <= words[self._base + _CLOSED] * store.interval_ms
        return row

    def _consistent(self, read: Callable[..., _T], *arguments: Any) -> _T:
        """``read(*arguments, None)`` of one state.

        After `PATIENCE_S`, and at once where the writer died in mid-write,
        ``read(*arguments, bar)`` of the rows up to `bar`, which are not in work. Raises NeverAtRest
        after `ENDURANCE_S` more.
        """
        words, base = self._words, self._base
        deadline, tries = 0.0, 0
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
            elif now > deadline or (before & 1 and not self._attachment.alive):
                rewinds = words[base + _REWINDS]
                fence()
                dirty = words[base + _DIRTY]
                fence()
                value = read(*arguments, dirty - 1)
                fence()
                if words[base + _REWINDS] == rewinds:
                    return value
                tries += 1
                if tries > _ENDURANCE and now > deadline + ENDURANCE_S:
                    raise NeverAtRest(self.name, now - deadline + PATIENCE_S)
            time.sleep(0)


def _again(attachment: Attachment, name: str) -> Ring:
    """The series `name` of a store that was attached anew: it may hold others now."""
    names = [name for name, _ in attachment.series]
    if name not in names:
        raise UnknownName("market", name, names)
    return Ring(attachment, names.index(name))


def _change(words: memoryview, base: int) -> tuple[int, ...]:
    """Another value after every change of the series, the same while a write is under way."""
    fence()
    return words[base] >> 1, words[base + _WORD["status"]], words[_STATE], words[_RETIRED]
