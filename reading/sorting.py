"""The order of the markets: the store's own, or by what their newest rows have in a column."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import ringbuf

__all__ = ["DERIVED", "column_keys", "ordered"]

DERIVED = "%"
"""Behind an ATR's name: in percent of the close. The table has it, rows do not."""

_AS_SHOWN = {"UTC": "time", "age": "age_s"}


def column_keys(row: Iterable[str]) -> list[str]:
    """What rows with these keys can be sorted by, as `ordered` names it."""
    keys = list(row)
    return [*keys, *(f"{key}{DERIVED}" for key in keys if key.startswith("ATR"))]


def ordered(found: list[dict[str, Any]], sort: str | None) -> list[dict[str, Any]]:
    """The rows with their markets in the order of column `sort`, with ``-`` in front descending.

    The rows of a market stay together, in their order; the last of them counts. Markets without a
    value there come last, equal ones in the order that they had. `sort` is a key of the rows, or
    what the table calls it (UTC, age, ATR14%). Raises UnknownName.
    """
    if not sort:
        return found
    known = column_keys(found[0])
    name = sort if sort in known else sort.removeprefix("-")
    down, key = name != sort, _AS_SHOWN.get(name, name)
    if key not in known:
        raise ringbuf.UnknownName("column", name, known)
    groups = [list(group) for _, group in groupby(found, lambda row: row["market"])]
    valued = [(_value(group[-1], key), group) for group in groups]
    there = [pair for pair in valued if pair[0] is not None]
    there.sort(key=lambda pair: pair[0], reverse=down)
    missing = [pair for pair in valued if pair[0] is None]
    return [row for _, group in [*there, *missing] for row in group]


def _value(row: dict[str, Any], key: str) -> Any:
    if not key.endswith(DERIVED):
        return row[key]
    stat, close = row[key.removesuffix(DERIVED)], row["close"]
    return stat / close if stat is not None and close else None
