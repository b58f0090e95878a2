"""Moments as people write them, and the rows that they fall into."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import NoRow

if TYPE_CHECKING:
    from .reader import Store
    from .ring import Ring

__all__ = ["Moment", "latest", "milliseconds", "row_at", "rows_since"]

Moment: TypeAlias = "datetime | np.datetime64 | str | int"
"""A datetime (without a zone: UTC), a datetime64, an ISO 8601 text, or milliseconds since 1970."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FARTHEST = 2**62
_YEARS = 100_000_000
"""As many to either side of 1970 can be counted in milliseconds; numpy would wrap round."""
_SECONDS = range(10**9, 10**10)
"""As seconds they are of 2001 and later; as milliseconds of the spring of 1970."""


def milliseconds(moment: Moment) -> int:
    """`moment` as milliseconds since 1970-01-01 UTC, rounded down.

    Raises TypeError for anything but a `Moment`, ValueError for one that is none.
    """
    given: Any = _parsed(moment) if isinstance(moment, str) else moment  # whatever it is really
    if isinstance(given, datetime):
        if given.tzinfo is None:
            given = given.replace(tzinfo=timezone.utc)
        try:
            return int((given - _EPOCH) // timedelta(milliseconds=1))
        except ValueError:  # pandas' NaT is a datetime, too
            raise ValueError(f"found {given}, expected a time") from None
    if isinstance(given, np.datetime64):
        if np.isnat(given):
            raise ValueError("found NaT, expected a time")
        if abs(int(given.astype("M8[Y]").astype(np.int64))) > _YEARS:
            raise ValueError(f"found {given!r}, which milliseconds cannot count")
        return int(given.astype("M8[ms]").astype(np.int64))
    if isinstance(given, int | np.integer) and not isinstance(given, bool | np.timedelta64):
        if abs(int(given)) > _FARTHEST:
            raise ValueError(f"found {given}, expected milliseconds since 1970-01-01 UTC")
        if int(given) in _SECONDS:
            raise ValueError(f"found {given}, expected milliseconds since 1970: are these seconds?")
        return int(given)
    raise TypeError(
        f"found {given!r}, expected a datetime, a numpy.datetime64, an ISO 8601 text or an int of "
        f"milliseconds since 1970-01-01 UTC"
    )


def row_at(ring: Ring, moment: Moment) -> dict[str, Any]:
    """See `Ring.at`."""
    asked = milliseconds(moment)
    interval = ring._attachment.interval_ms
    row, oldest, newest = ring._consistent(_find, ring, asked // interval)
    if row is None:
        raise NoRow(ring.name, asked, oldest * interval, newest * interval)
    return row


def _find(ring: Ring, bar: int, ceiling: int | None) -> tuple[dict[str, Any] | None, int, int]:
    """The row of `bar`, if it can be read, and the bars between which there are rows."""
    first, stop = ring._span(None, False, ceiling)
    if first == stop:
        return None, 0, -1
    newest = ring._bar(stop - 1)
    place = stop - 1 - (newest - bar)
    row = ring._cells(place) if first <= place < stop else None
    return row, newest - (stop - first) + 1, newest


def rows_since(ring: Ring, moment: Moment, closed: bool) -> npt.NDArray[np.void]:
    """See `Ring.since`."""
    return ring._consistent(
        _rows_from, ring, milliseconds(moment) // ring._attachment.interval_ms, closed
    )


def _rows_from(ring: Ring, bar: int, closed: bool, ceiling: int | None) -> npt.NDArray[np.void]:
    first, stop = ring._span(None, closed, ceiling)
    rows = 0 if first == stop else max(0, min(ring._bar(stop - 1) - bar + 1, stop - first))
    return ring._rows(rows, closed, ceiling)


def latest(store: Store, closed: bool) -> npt.NDArray[np.void]:
    """See `Store.latest`."""
    widest = max(len(name) for name in store.markets)
    columns = [(name, store.row_dtype[name]) for name in store.columns]
    rows = np.empty(len(store), [("market", f"U{widest}"), *columns, ("closed", np.bool_)])
    for k, (name, ring) in enumerate(store.items()):
        rows[k] = (name, *ring.last(closed=closed).values())
    return rows


def _parsed(text: str) -> datetime:
    zoned = f"{text[:-1]}+00:00" if text[-1:] in {"Z", "z"} else text  # Python 3.10 knows no Z
    try:
        return datetime.fromisoformat(zoned)
    except ValueError:
        raise ValueError(
            f"found {text!r}, expected an ISO 8601 time such as 2026-11-22T17:20Z"
        ) from None
