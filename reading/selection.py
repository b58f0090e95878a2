"""The rows to show, as plain values: the keys and the order are those of the JSON output."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

import ringbuf

from .sorting import ordered

__all__ = [
    "DEMO_SEGMENT",
    "FIRST_STAT",
    "PRICES",
    "SEGMENT",
    "Choice",
    "Row",
    "attach",
    "rows",
    "serialized",
    "stats_of",
]

SEGMENT = "market_monitor"
DEMO_SEGMENT = "market_monitor_demo"

_CARRIED, _CLOSED = 1, 4
PRICES = ("open", "high", "low", "close")
_CANDLE = ("time", "closed", "carried", *PRICES, "volume", "trades")
FIRST_STAT = 2 + len(_CANDLE)
"""Position of the first stat in a row: behind market, coin and candle."""

Row = dict[str, Any]


class Choice(TypedDict):
    """Which rows: the arguments that `rows`, `table` and `watch` share."""

    markets: Sequence[str]
    stats: Sequence[str]
    last: int | None
    closed: bool
    sort: str | None


def attach(segment: str | None) -> ringbuf.Store:
    """The store of that name; without one the service's, or the demo's where there is none."""
    try:
        return ringbuf.attach(segment or SEGMENT)
    except ringbuf.StoreNotFound:
        if segment is None:
            with contextlib.suppress(ringbuf.StoreNotFound):
                return ringbuf.attach(DEMO_SEGMENT)
        raise


def stats_of(store: ringbuf.Store) -> tuple[str, ...]:
    """The stats' columns. Raises NotAStore for a store that is of something else than candles."""
    needed = {*_CANDLE, "flags"} - {"closed", "carried"}
    if not needed <= set(store.columns):
        found = f"columns {', '.join(store.columns)}"
        raise ringbuf.NotAStore(store.name, found, "those of candles, as the service writes them")
    return store.columns[store.columns.index("flags") + 1 :]


def rows(
    store: ringbuf.Store,
    *,
    markets: Sequence[str] = (),
    stats: Sequence[str] = (),
    last: int | None = None,
    closed: bool = False,
    sort: str | None = None,
) -> list[Row]:
    """The newest `last` rows (one) of each market, oldest first, with the keys of the JSON output.

    The rows of a market are one consistent copy. Without `markets` or `stats`: all of them. A
    market without rows gives one of None. `sort` orders the markets, see `sorting.ordered`. Raises
    UnknownName, and NotAStore as `stats_of`.
    """
    known = stats_of(store)
    named = [*store, *(ring.alias for ring in store.values())]
    for what, names, valid in (("market", markets, named), ("stat", stats, known)):
        for name in names:
            if name not in valid:
                raise ringbuf.UnknownName(what, name, valid)
    chosen = [stat for stat in known if not stats or stat in stats]
    rings = dict.fromkeys(store[market] for market in markets or store)
    silent = store.hung
    found = []
    for ring in rings:
        columns = _values(ring.snapshot(last or 1, closed=closed), chosen)
        status, age = ring.status, ring.age
        # Who does not respond cannot vouch for the status that it left.
        if silent and status in {"live", "quiet"}:
            status = "stale"
        first = {"market": ring.name, "coin": ring.alias}
        final = {"status": status, "age_s": None if math.isnan(age) else round(age, 1)}
        found += [
            {**first, **dict(zip(columns, values, strict=True)), **final}
            for values in zip(*columns.values(), strict=True)
        ]
    return ordered(found, sort)


def _values(copy: npt.NDArray[np.void], stats: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of a snapshot as plain values, in the order of the output."""
    names = [*_CANDLE, *stats]
    if not len(copy):
        return {name: [None] for name in names}
    times = np.datetime_as_string(copy["time"], unit="s", timezone="UTC").tolist()
    columns = {
        name: [value if math.isfinite(value) else None for value in copy[name].tolist()]
        for name in names
        if name not in {"time", "closed", "carried"}
    }
    columns["time"] = [None if moment == "NaT" else moment for moment in times]
    columns["closed"] = (copy["flags"] & _CLOSED != 0).tolist()
    columns["carried"] = (copy["flags"] & _CARRIED != 0).tolist()
    return {name: columns[name] for name in names}


def serialized(found: list[Row], form: str, *, stream: bool = False, first: bool = True) -> str:
    """The rows as JSON (one a line; in a stream one array a line) or CSV, newline included."""
    if form == "json":
        if stream:
            return json.dumps(found) + "\n"
        return "[\n  " + ",\n  ".join(map(json.dumps, found)) + "\n]\n"
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(found[0]), lineterminator="\n")
    if first:
        writer.writeheader()
    for row in found:
        writer.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()})
    return buffer.getvalue()
