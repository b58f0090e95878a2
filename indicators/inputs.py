"""What a stat can be computed of: the candle's columns, and prices derived from them.

A derived price is a kernel like any other. It writes one private column (`_hlc3`), runs before
the stats and is shared by all that name it; a kernel that reads a window of it finds the earlier
rows in the ring instead of computing each of them again.
"""

from __future__ import annotations

from .definition import Definition, stat
from .jit import Floats, Ints

__all__ = ["BASE_UNITS", "DERIVED", "INTEGER_COLUMNS", "SELECTABLE"]

BASE_UNITS = {
    "open": "price",
    "high": "price",
    "low": "price",
    "close": "price",
    "volume": "volume",
    "time": "time",
    "trades": "count",
    "flags": "bits",
}
"""Columns that the caller brings, and their units."""

INTEGER_COLUMNS = frozenset({"time", "trades", "flags"})
"""Those that kernels read through I, as int64."""


@stat(
    "hl2",
    version=1,
    meaning="middle of the candle, (high + low) / 2",
    source="TA-Lib MEDPRICE",
    inputs=("high", "low"),
)
def hl2(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """(high + low) / 2."""
    F[cols[2], i] = (F[cols[0], i] + F[cols[1], i]) / 2.0


@stat(
    "hlc3",
    version=1,
    meaning="typical price, (high + low + close) / 3",
    source="TA-Lib TYPPRICE",
    inputs=("high", "low", "close"),
)
def hlc3(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """(high + low + close) / 3."""
    F[cols[3], i] = (F[cols[0], i] + F[cols[1], i] + F[cols[2], i]) / 3.0


@stat(
    "ohlc4",
    version=1,
    meaning="average price, (open + high + low + close) / 4",
    source="TA-Lib AVGPRICE",
    inputs=("open", "high", "low", "close"),
)
def ohlc4(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """(open + high + low + close) / 4."""
    F[cols[4], i] = (F[cols[0], i] + F[cols[1], i] + F[cols[2], i] + F[cols[3], i]) / 4.0


DERIVED: dict[str, Definition] = {d.name: d for d in (hl2, hlc3, ohlc4)}

SELECTABLE = ("close", "open", "high", "low", "volume", *DERIVED)
"""Inputs that a name may select (`EMA20_hlc3`); close is the one that goes without saying."""
