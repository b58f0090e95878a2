"""The reading side of a store: any process, any number of them, numpy and the stdlib only.

`attach` gives a `Store`; a `Store` gives a `Ring` for each series (`ring`). Both only look: the
memory is mapped read-only, nothing here writes a byte that another process could see.

``store.matrix(column)`` is a view of the live memory, ``matrix(..., copy=True)`` a copy in which
each series is one consistent state: `ring` tells the one from the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import layout
from .attachment import Attachment
from .errors import UnknownName
from .ring import Ring, natural

if TYPE_CHECKING:
    from .check import Problem
    from .following import Updates
    from .frames import ArrowTable, PandasFrame, PolarsFrame

__all__ = ["Ring", "Store", "attach"]

HUNG_S = 10.0
"""A heartbeat this old, with the lock still held: the writer runs, but nothing moves in it."""

_NO_BAR = 2**62
"""Of no time that can be written: numpy would wrap round."""
_GRID, _STATE = (layout.offset(field) // layout.WORD_SIZE for field in ("grid", "state"))


class Store(Mapping[str, Ring]):
    """A store, attached read-only: a mapping of series names to `Ring`.

    Accepts the canonical name or the source's own. Views hold the memory: they stay valid after
    `close`, after the object is gone, and after the store's name is. Safe in several threads and
    after a fork. Pickled it is its name: the process that gets it attaches anew.

    ``inode`` is the segment's file number: another one under the same name is another segment.
    """

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self.name = attachment.name
        self.inode = attachment.inode
        self.header = attachment.header
        self.words = attachment.words
        self.data = attachment.data
        self.blocks = attachment.blocks
        self.columns = attachment.columns
        self.row_dtype = attachment.row_dtype
        self.interval_ms = attachment.interval_ms
        self.document = attachment.document
        self.statuses = attachment.statuses
        self._live = attachment.live
        names = attachment.series
        self.markets = tuple(name for name, _ in names)
        self._rings = {name: Ring(attachment, k) for k, name in enumerate(self.markets)}
        self._aliases = {alias: name for name, alias in names if alias and alias not in self._rings}
        change = partial(_publications, attachment.published)
        self._watch = attachment.watch(change, change())

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
        if last is None:
            rows = history
        elif last.__class__ is int and 0 <= last <= history:
            rows = last  # a call less: this is asked for again and again
        else:
            rows = min(history, natural(last))
        grid = self.words[_GRID]
        end = grid % capacity + capacity + 1 if grid >= 0 else capacity
        view: npt.NDArray[Any] = block[:, end - rows : end]
        if not copy:
            return view
        copied = np.empty(view.shape, view.dtype)
        for position, ring in enumerate(self._rings.values()):
            copied[position] = ring._aligned(view[position], grid)
        return copied

    def latest(self, *, closed: bool = False) -> npt.NDArray[np.void]:
        """The newest row of every series, each of one consistent state: a structured array.

        Its fields are ``market``, every public column, and ``closed`` (bool). A series without rows
        has NaT, NaN and 0. ``closed=True`` takes the newest closed rows. Series are not aligned:
        look at ``time``, or take a `matrix`.
        """
        from . import moments

        return moments.latest(self, closed)

    # -- as other libraries have it ------------------------------------------------------------

    def to_pandas(
        self,
        column: str | None = None,
        *,
        last: int | None = None,
        closed: bool = False,
        copy: bool = False,
    ) -> PandasFrame:
        """All columns of all series, or one `column` of them side by side, as a DataFrame.

        Without `column` a row for each series and minute, its index a MultiIndex of ``market`` and
        ``time`` (UTC); `last` counts the rows of each series. Always a copy, each series of one
        consistent state.

        With it a row a minute (a DatetimeIndex, UTC, named ``time``) and a column for each series,
        aligned as `matrix` is, whose view or copy (``copy=True``) it holds. Raises ValueError with
        ``closed=True`` there: series do not close at the same moment.

        Raises ImportError where pandas is not installed, UnknownName.
        """
        from . import frames

        return frames.store_to_pandas(self, column, last, closed, copy)

    def to_polars(
        self,
        column: str | None = None,
        *,
        last: int | None = None,
        closed: bool = False,
        copy: bool = False,
    ) -> PolarsFrame:
        """The same as a polars DataFrame: ``market`` (an Enum), ``time`` and all columns, or
        ``time`` and a column for each series.
        """
        from . import frames

        return frames.store_to_polars(self, column, last, closed, copy)

    def to_arrow(
        self,
        column: str | None = None,
        *,
        last: int | None = None,
        closed: bool = False,
        copy: bool = False,
    ) -> ArrowTable:
        """The same as a pyarrow Table: ``market`` (a dictionary), ``time`` and all columns, or
        ``time`` and a column for each series.
        """
        from . import frames

        return frames.store_to_arrow(self, column, last, closed, copy)

    # -- life ----------------------------------------------------------------------------------

    @property
    def source(self) -> dict[str, Any]:
        """Where the rows come from, as the service said it."""
        source: dict[str, Any] = self.document["source"]
        return source

    @property
    def alive(self) -> bool:
        """Is there a writer? Asked of the kernel: a killed one is gone at once."""
        return self._attachment.alive

    @property
    def life(self) -> str:
        """``running``, ``stopped`` (cleanly) or ``down`` (died); ``closed`` once we let go."""
        return self._attachment.life

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
        """Has another segment taken the store's name? Then nothing is written here any more.

        Its readers are woken once when that happens: `refresh` gives them the newer one.
        """
        return self._attachment.retired

    def refresh(self) -> Store:
        """The store as it is now under this name: this object, or a new one if it was retired.

        This one and all of its views stay valid, and show what they last showed. Series and columns
        of the new one may be others. Raises as `attach` does.
        """
        return attach(self.name) if self.retired else self

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
            told = 0 <= bar < _NO_BAR // interval  # more was written by no service
            return str(np.datetime64(bar * interval, "ms")) + "Z" if told else None

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

        return check(self._attachment.memory, self.name)

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until something is published that this thread has not waited for yet.

        True at once where that has already happened since its last call (or since `attach`), False
        after `timeout` seconds (None or infinity: no limit; zero or less: only looks). Rows, a
        change of the service's state and retirement are published; a death is not: with a `timeout`
        and `alive` it is noticed. Raises TypeError for a timeout that is no number, ValueError for
        NaN.
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

    def updates(self, timeout: float | None = None) -> Updates:
        """``for rings in store.updates()``: in each round the series that changed since the last.

        Sleeps until there are any; after `timeout` seconds without (None: no limit) the round is
        an empty tuple. Rows and statuses count. Raises StoreEnded when nothing more will come.
        """
        from .following import Updates

        return Updates(self, timeout)

    def close(self) -> None:
        """Let go of the store. Never raises; views that still exist stay valid. Idempotent."""
        self._attachment.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __copy__(self) -> Store:
        """The same store: there is but one, in memory that is nobody's to copy."""
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Store:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Its name: where it is unpickled it is attached anew, and raises as `attach` does."""
        return Store, (self._attachment,)

    def __repr__(self) -> str:
        return f"<Store {self.name}: {len(self)} markets, {self.life}, from {self.source}>"

    def _repr_html_(self) -> str:
        """The newest row of each series as a notebook shows it."""
        from .showing import store_html

        return store_html(self)


def attach(name: str) -> Store:
    """Attach to the store `name`, read-only.

    Raises StoreNotFound; NotAStore, WrongVersion or NotReady (all StoreRefused) for a segment that
    cannot be used; PermissionError where its mode does not let this user read it.
    """
    return Store(Attachment(name))


def _publications(published: npt.NDArray[np.uint32]) -> int:
    return int(published[0])
