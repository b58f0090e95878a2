"""Loops over what is new: each closed row of a series once, and the series that have changed.

Both end by `StoreEnded` when nothing more can come from this store: its service died, stopped, or
has moved to a newer segment, or the store was closed here. What was published before is given
first. A death wakes nobody, so both look for one every `LOOK_S`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import layout, moments, waiting
from .errors import RowsLost, StoreEnded
from .layout import WORD
from .ring import fence
from .watching import LOOK_S

if TYPE_CHECKING:
    from .attachment import Attachment
    from .moments import Moment
    from .reader import Store
    from .ring import Ring

__all__ = ["Closes", "Updates"]

_GRID, _STATE, _RETIRED = (
    layout.offset(field) // layout.WORD_SIZE for field in ("grid", "state", "retired")
)


def _ended(store: Attachment) -> str | None:
    """Why nothing more will be published in this store; None while there is a writer."""
    life = store.life
    if life == "closed":
        return life
    if store.retired:
        return "retired"
    return None if life == "running" else life


def _closings(ring: Ring) -> tuple[int, ...]:
    """Other numbers whenever a row may have closed, or the store ended."""
    fence()
    words = ring._words
    return ring._word("closed"), ring._word("start"), words[_STATE], words[_RETIRED]


class Closes(AsyncIterator[dict[str, Any]]):
    """Each row of `ring` once, in order, as soon as it is closed. Made by `Ring.closes`.

    For one task at a time. Whoever is cancelled while waiting has lost nothing: the next
    ``anext`` goes on where this one was.
    """

    def __init__(self, ring: Ring, since: Moment | None) -> None:
        self._ring = ring
        self._next, self._anchored = self._begin(since)
        look = partial(_closings, ring)  # not of this object: it would be kept by its own watch
        self._watch = ring._attachment.watch(look, look())

    def _begin(self, since: Moment | None) -> tuple[int, bool]:
        """First bar to give; and whether there must be rows from there on, or need not."""
        store = self._ring._attachment
        if since is not None:
            return moments.milliseconds(since) // store.interval_ms, True
        closed = self._ring._word("closed")
        # Of a series without rows the bars that are open now are the first ones that can close.
        return (closed + 1, True) if closed >= 0 else (store.words[_GRID], False)

    def __aiter__(self) -> Closes:
        return self

    async def __anext__(self) -> dict[str, Any]:
        import asyncio

        # A task that always finds a row can be cancelled, too.
        await asyncio.sleep(0)
        while True:
            ended = _ended(self._ring._attachment)  # before the rows: the last ones are given first
            row = self._take()
            if row is not None:
                return row
            if ended:
                raise StoreEnded(self._ring._attachment.name, ended)
            await self._watch.wait_async(LOOK_S)

    def _take(self) -> dict[str, Any] | None:
        """The next row, if it is closed and there."""
        row, first, newest = self._ring._consistent(self._read)
        interval, history = self._ring._attachment.interval_ms, self._ring._history
        if row is not None:
            self._next, self._anchored = first + 1, True
        elif self._anchored and self._next <= newest - history:
            oldest = newest - history + 1
            raise RowsLost(self._ring.name, self._next * interval, oldest * interval)
        return row

    def _read(self, ceiling: int | None) -> tuple[dict[str, Any] | None, int, int]:
        """The row to give and its bar, or None; and the newest bar of all.

        A row that is not there although later ones are is in a hole, which is being filled.
        """
        ring = self._ring
        newest = ring._word("newest")
        first, stop = ring._span(None, True, ceiling)
        if first == stop:
            return None, 0, newest
        last = ring._bar(stop - 1)
        oldest = last - (stop - first) + 1
        bar = self._next
        if not self._anchored and bar < oldest:
            bar = oldest if bar >= 0 else last
        place = stop - 1 - (last - bar)
        return (ring._cells(place) if first <= place < stop else None), bar, newest


class Updates(Iterator["tuple[Ring, ...]"]):
    """The series that have changed since the round before. Made by `Store.updates`.

    The first round tells what has changed since the object was made.
    """

    def __init__(self, store: Store, timeout: float | None) -> None:
        self._store = store
        self._timeout = timeout
        self._rings = tuple(store.values())
        header = store.header
        shape, strides = (header.series,), (header.control_stride,)
        self._words = [
            np.ndarray(
                shape,
                np.int64,
                store._attachment.memory,
                header.control_offset + WORD[name] * layout.WORD_SIZE,
                strides,
            )
            for name in ("sequence", "status")
        ]
        self._seen = self._look()

    def _look(self) -> npt.NDArray[np.int64]:
        """``int64[2, series]``: other numbers after every change, the same while one is made."""
        fence()
        sequences, statuses = self._words
        return np.stack((sequences >> 1, statuses))

    def __iter__(self) -> Updates:
        return self

    def __next__(self) -> tuple[Ring, ...]:
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        word = self._store._attachment.published
        while True:
            published = int(word[0])
            ended = _ended(
                self._store._attachment
            )  # before the looking: what came last is told first
            now = self._look()
            changed = np.flatnonzero((now != self._seen).any(axis=0))
            if len(changed):
                self._seen = now
                return tuple(self._rings[k] for k in changed.tolist())
            if ended:
                raise StoreEnded(self._store.name, ended)
            left = LOOK_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return ()
            waiting.wait(word, published, min(left, LOOK_S))
