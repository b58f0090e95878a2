"""Longer bars from a series' rows: a copy, in which every bar says what it is made of.

Bars are aligned to multiples of their length since 1970-01-01 UTC, as the exchanges align theirs:
``4h`` begins at 00, 04, 08 … o'clock, ``1d`` at midnight UTC.

Fields of a bar: ``time`` (its start), ``open``, ``high``, ``low``, ``close``, ``volume`` and
``trades`` (sums), ``rows`` (how many rows it is made of), ``silent`` (how many of them are without
a trade) and ``complete`` (every one of its minutes is there, and closed).

**Silent rows** repeat the close before them. In a bar in which somebody traded they count for
nothing: its open is the first trade's price, its high and low are of trades. A bar of silent rows
alone is flat at their close.

**Edges.** The oldest bar usually begins before the history does, the newest one is not over yet:
both are there and are not ``complete``. A bar with a hole in it is not complete either, and one
without any row is left out.

Other columns are left out: a 1-minute ATR taken every five minutes is no ATR of 5-minute bars.
``indicators.compute`` gives that one from what comes from here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .errors import UnknownName
from .ring import natural

if TYPE_CHECKING:
    from .ring import Ring

__all__ = ["BAR_DTYPE", "duration_ms", "resample"]

BAR_DTYPE = np.dtype(
    [
        ("time", "<M8[ms]"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
        ("trades", "<i8"),
        ("rows", "<i8"),
        ("silent", "<i8"),
        ("complete", "?"),
    ]
)

_NEEDED = ("time", "open", "high", "low", "close", "volume", "trades")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(length: str, interval_ms: int) -> int:
    """``5m``, ``1h``, ``1d`` in milliseconds; raises ValueError for what is no number of rows."""
    match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", str(length))
    if match is None:
        raise ValueError(
            f"found {length!r}, expected a number and s, m, h or d: 5m, 15m, 1h, 4h, 1d"
        )
    duration = int(match[1]) * _UNIT_MS[match[2]]
    if duration % interval_ms:
        raise ValueError(f"found {length!r}, expected a multiple of {interval_ms / 1000:g} s")
    return duration


def resample(ring: Ring, length: str, last: int | None, closed: bool) -> npt.NDArray[np.void]:
    """See `Ring.resample`."""
    store = ring._attachment
    duration = duration_ms(length, store.interval_ms)
    for name in _NEEDED:
        if name not in store.columns:
            raise UnknownName("column", name, store.columns)

    def read(ceiling: int | None) -> tuple[npt.NDArray[np.void], int]:
        return ring._rows(None, False, ceiling), ring._word("closed")

    rows, newest_closed = ring._consistent(read)
    closed_ms = newest_closed * store.interval_ms
    bars = _bars(rows, closed_ms, duration, duration // store.interval_ms)
    if closed:
        ends = bars["time"].astype(np.int64) + duration - store.interval_ms
        bars = bars[ends <= closed_ms]
    return bars if last is None else bars[max(0, len(bars) - natural(last)) :]


def _bars(
    rows: npt.NDArray[np.void], closed_ms: int, duration: int, whole: int
) -> npt.NDArray[np.void]:
    """Bars of `duration` milliseconds, `whole` rows each; rows up to `closed_ms` are closed."""
    times = rows["time"].astype(np.int64)
    starts = times - times % duration
    first = np.flatnonzero(np.diff(starts, prepend=starts[:1] - 1))
    bars = np.empty(len(first), BAR_DTYPE)
    if not len(first):
        return bars
    traded = rows["trades"] > 0
    silent = np.add.reduceat(~traded, first, dtype=np.int64)
    count = np.diff(first, append=len(rows))
    # Where nobody traded in a whole bar, its silent rows are all there is.
    counts = traded | np.repeat(silent == count, count)
    bars["time"] = starts[first].view("M8[ms]")
    bars["rows"] = count
    bars["silent"] = silent
    opener = np.where(counts, np.arange(len(rows)), len(rows))
    bars["open"] = rows["open"][np.minimum.reduceat(opener, first)]
    bars["high"] = np.maximum.reduceat(np.where(counts, rows["high"], -np.inf), first)
    bars["low"] = np.minimum.reduceat(np.where(counts, rows["low"], np.inf), first)
    bars["close"] = rows["close"][first + count - 1]
    bars["volume"] = np.add.reduceat(rows["volume"], first)
    bars["trades"] = np.add.reduceat(rows["trades"], first)
    bars["complete"] = (count == whole) & (times[first + count - 1] <= closed_ms)
    return bars
