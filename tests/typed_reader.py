"""A reader as users write one, with every type written out: `mypy --strict` has to agree.

It is no test itself: test_typing.py has mypy check it, and runs it on a small store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

import ringbuf
from ringbuf import Ring, Store

__all__ = ["closing", "rounds", "study", "tables"]


def study(name: str) -> dict[str, float]:
    """What can be asked of a store, each answer under its type."""
    found: dict[str, float] = {}
    with ringbuf.attach(name) as store:
        everything: Mapping[str, Ring] = store
        markets: tuple[str, ...] = store.markets
        columns: tuple[str, ...] = store.columns
        ring: Ring = store[markets[0]]
        closes: npt.NDArray[Any] = ring["close"]
        hour: npt.NDArray[Any] = ring.view("close", last=60, closed=True)
        row: dict[str, Any] = ring.last()
        rows: npt.NDArray[np.void] = ring.snapshot(last=3)
        at: dict[str, Any] = ring.at(datetime.now(timezone.utc) if len(ring) == 0 else row["time"])
        later: npt.NDArray[np.void] = ring.since("2026-01-01T00:00Z", closed=True)
        bars: npt.NDArray[np.void] = ring.resample("5m", last=2)
        matrix: npt.NDArray[Any] = store.matrix("close", last=3, copy=True)
        latest: npt.NDArray[np.void] = store.latest()
        age: float = ring.age
        status: str = f"{ring.status} {store.condition} {store.life}"
        revision: int = ring.revision
        gone: bool = store.retired or not store.alive
        healthy: dict[str, Any] = store.health()
        source: dict[str, Any] = store.source
        news: bool = store.wait(timeout=0.0)
        same: Store = store.refresh()
        found["close"] = float(closes[-1])
        found["mean"] = float(hour.mean())
        found["at"] = float(at["close"])
        found["rows"] = len(rows) + len(later) + len(bars) + len(latest) + matrix.shape[1]
        found["rest"] = len(columns) + len(everything) + len(healthy) + len(source) + revision
        found["told"] = float(news) + float(gone) + float(same is store) + (age > 0) + len(status)
    return found


def tables(store: Store) -> int:
    """How many rows the tables of other libraries have."""
    ring = store[store.markets[0]]
    long = len(store.to_pandas()) + store.to_polars().height + store.to_arrow().num_rows
    wide = len(store.to_pandas("close", last=2, copy=True))
    return int(long + wide + len(ring.to_pandas(last=2)) + ring.to_polars(2, closed=True).height)


def rounds(store: Store) -> Iterator[list[str]]:
    """The names of what changed, until the service is gone."""
    try:
        for rings in store.updates(timeout=0.0):
            yield [ring.name for ring in rings]
    except ringbuf.StoreEnded as ended:
        yield [ended.condition]


async def closing(ring: Ring, since: int) -> list[float]:
    """The closes of all rows from `since` on, until the service is gone."""
    closes: list[float] = []
    try:
        async for row in ring.closes(since=since):
            closes.append(float(row["close"]))  # noqa: PERF401 - they are kept when it ends
    except ringbuf.StoreEnded:
        pass
    return closes
