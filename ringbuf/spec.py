"""What a store is to hold, and the sizes and offsets that follow from it.

`StoreSpec` is the writer's order: which series, which columns, how much history. `Geometry` is the
arithmetic of `layout`: the one place where offsets are computed, for the writer that lays a segment
out and for the check that a found segment agrees with its own header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from . import layout
from .errors import LayoutError
from .header import Header

__all__ = ["Column", "Geometry", "Series", "StoreSpec", "capacity_for"]

SPARE_BARS = 60
"""Bars that a full-history view stays intact after it was taken: one hour of minutes."""


@dataclass(frozen=True)
class Column:
    """One column: `kind` is a key of `layout.KINDS`; a leading ``_`` makes it the writer's own."""

    name: str
    kind: str = "f"
    unit: str = ""
    definition: str = ""

    @property
    def public(self) -> bool:
        """Is it for readers?"""
        return not self.name.startswith("_")


@dataclass(frozen=True)
class Series:
    """One series: its name here, and `alias`, its name at the source of the data."""

    name: str
    alias: str = ""


@dataclass(frozen=True)
class StoreSpec:
    """What to build.

    history: rows a reader can see of each series, the newest included (>= 1).
    lookback: rows that must stay intact behind the oldest visible one (>= 0).
    source: where the rows come from; any JSON object. Rows of another source never mix.
    counters: names of the header's counters, at most `layout.COUNTERS`.
    statuses: words for the values of the control record's `status`.
    troubled: those of them that say that a series is not up to date.
    """

    name: str
    series: tuple[Series, ...]
    columns: tuple[Column, ...]
    history: int
    interval_ms: int
    lookback: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)
    software: str = ""
    counters: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ("",)
    troubled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns or self.columns[0] != Column("time", "M", *_rest(self.columns)):
            raise LayoutError("the first column must be 'time' of kind 'M'")
        for what, names in (
            ("column", [column.name for column in self.columns]),
            ("series", [series.name for series in self.series]),
        ):
            twice = (
                {name for name in names if names.count(name) > 1} if len(names) < 2000 else set()
            )
            if twice or len(set(names)) != len(names):
                raise LayoutError(f"two of the {what} names are the same: {sorted(twice)}")
            if not all(names):
                raise LayoutError(f"a {what} without a name")
        for field_name, room, texts in self._texts():
            for text in texts:
                if len(text.encode()) > room or "\0" in text:
                    raise LayoutError(
                        f"{field_name} {text!r}: expected at most {room} bytes, none of them zero"
                    )
        if not self.series:
            raise LayoutError("a store needs at least one series")
        if self.history < 1 or self.lookback < 0 or self.interval_ms < 1:
            raise LayoutError("history and interval_ms must be positive, lookback not negative")
        if len(self.counters) > layout.COUNTERS:
            raise LayoutError(f"{len(self.counters)} counters, at most {layout.COUNTERS}")
        unknown = [column.kind for column in self.columns if column.kind not in layout.KINDS]
        if unknown:
            raise LayoutError(f"column kind {unknown[0]!r}: expected one of {list(layout.KINDS)}")

    def _texts(self) -> list[tuple[str, int, list[str]]]:
        """What the column and series tables hold: each text's field, its room in bytes, itself."""
        return [
            ("column name", 63, [column.name for column in self.columns]),
            ("unit", 32, [column.unit for column in self.columns]),
            ("definition", 152, [column.definition for column in self.columns]),
            ("series name", 63, [series.name for series in self.series]),
            ("alias", 64, [series.alias for series in self.series]),
        ]

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> StoreSpec:
        """What a segment's document says was asked for, but for `lookback`, which it does not say.

        Raises LayoutError, KeyError or TypeError where the document is not one of ours.
        """
        return cls(
            name=document["name"],
            series=tuple(Series(s["name"], s["alias"]) for s in document["series"]),
            columns=tuple(
                Column(c["name"], c["kind"], c["unit"], c["definition"])
                for c in document["columns"]
            ),
            history=document["history"],
            interval_ms=document["interval_ms"],
            source=document["source"],
            software=document["software"],
            counters=tuple(document["counters"]),
            statuses=tuple(document["statuses"]),
            troubled=tuple(document.get("troubled", ())),
        )

    def document(self) -> dict[str, Any]:
        """The part of the JSON document that numbers in the header cannot say."""
        return {
            "name": self.name,
            "software": self.software,
            "source": dict(self.source),
            "interval_ms": self.interval_ms,
            "history": self.history,
            "series": [{"name": s.name, "alias": s.alias} for s in self.series],
            "columns": [
                {"name": c.name, "kind": c.kind, "unit": c.unit, "definition": c.definition}
                for c in self.columns
            ],
            "counters": list(self.counters),
            "statuses": list(self.statuses),
            "troubled": list(self.troubled),
        }


def _rest(columns: tuple[Column, ...]) -> tuple[str, str]:
    return columns[0].unit, columns[0].definition


def capacity_for(history: int, lookback: int) -> int:
    """Rows of the ring: history, look-back, an hour's spare, the next slot kept clear; padded.

    The padding makes a column (16 bytes a row, for the two copies) an odd number of cache lines
    long: columns of one row then spread over all cache sets. A 4 KiB stride measured 40 % slower.
    """
    rows = history + lookback + SPARE_BARS + 2
    quads = -(-rows // 4)
    return 4 * (quads + 1 - quads % 2)


@dataclass(frozen=True)
class Geometry:
    """Offsets and strides of a segment, all in bytes; the names are those of the header."""

    capacity: int
    document_offset: int
    document_size: int
    columns_offset: int
    series_offset: int
    control_offset: int
    data_offset: int
    column_stride: int
    record_stride: int
    size: int

    @classmethod
    def found(cls, header: Header) -> Geometry:
        """The sizes that a segment's header says it has."""
        return cls(**{field.name: getattr(header, field.name) for field in fields(cls)})

    @classmethod
    def of(cls, spec: StoreSpec) -> Geometry:
        """The sizes of the segment that `spec` asks for."""
        capacity = capacity_for(spec.history, spec.lookback)
        column_stride = 2 * capacity * layout.WORD_SIZE
        # A record of a multiple of 64 columns would put every series on the same cache sets: it
        # gets an empty column more, which no column record names.
        held = len(spec.columns) + (len(spec.columns) % 64 == 0)
        record_stride = column_stride * held
        # The document holds the data's offset, and its length moves that offset: it is padded to a
        # size that does not depend on the digits.
        described = sum(len(json.dumps(column.name)) + 64 for column in spec.columns)
        document_size = _aligned(len(json.dumps(spec.document())) + 1024 + described)
        columns_offset = layout.HEADER_SIZE + document_size
        series_offset = columns_offset + layout.COLUMN_DTYPE.itemsize * len(spec.columns)
        control_offset = series_offset + layout.SERIES_DTYPE.itemsize * len(spec.series)
        control_end = control_offset + layout.CONTROL_DTYPE.itemsize * len(spec.series)
        data_offset = _aligned(control_end, 4096)
        return cls(
            capacity=capacity,
            document_offset=layout.HEADER_SIZE,
            document_size=document_size,
            columns_offset=columns_offset,
            series_offset=series_offset,
            control_offset=control_offset,
            data_offset=data_offset,
            column_stride=column_stride,
            record_stride=record_stride,
            size=data_offset + record_stride * len(spec.series),
        )

    def document(self, spec: StoreSpec) -> bytes:
        """The segment's JSON document, padded with spaces to `document_size`.

        Its ``data`` object is what a reader without this library needs: `offset` and `shape` for
        ``numpy.ndarray``, and `dtype` for ``numpy.dtype``.
        """
        whole = spec.document()
        whole["layout"] = {"major": layout.MAJOR, "minor": layout.MINOR}
        whole["capacity"] = self.capacity
        whole["size"] = self.size
        whole["control"] = {
            "offset": self.control_offset,
            "stride": layout.CONTROL_DTYPE.itemsize,
            "words": list(layout.WORD),
        }
        whole["data"] = {
            "offset": self.data_offset,
            "shape": [len(spec.series)],
            "dtype": {
                "names": [column.name for column in spec.columns],
                "formats": [
                    f"({2 * self.capacity},){layout.KINDS[column.kind]}" for column in spec.columns
                ],
                "offsets": [self.column_stride * k for k in range(len(spec.columns))],
                "itemsize": self.record_stride,
            },
        }
        text = json.dumps(whole).encode()
        assert len(text) <= self.document_size, (len(text), self.document_size)
        return text.ljust(self.document_size)

    def header(self, spec: StoreSpec, created_ms: int) -> np.ndarray[Any, np.dtype[np.void]]:
        """The header as it is written first: everything that is fixed, and `ready` still 0."""
        header = np.zeros(1, layout.HEADER_DTYPE)
        fixed: dict[str, int | bytes] = {
            "magic": layout.MAGIC,
            "major": layout.MAJOR,
            "minor": layout.MINOR,
            "size": self.size,
            "document_offset": self.document_offset,
            "document_size": self.document_size,
            "columns_offset": self.columns_offset,
            "columns_stride": layout.COLUMN_DTYPE.itemsize,
            "columns": len(spec.columns),
            "series_offset": self.series_offset,
            "series_stride": layout.SERIES_DTYPE.itemsize,
            "series": len(spec.series),
            "control_offset": self.control_offset,
            "control_stride": layout.CONTROL_DTYPE.itemsize,
            "data_offset": self.data_offset,
            "record_stride": self.record_stride,
            "column_stride": self.column_stride,
            "capacity": self.capacity,
            "history": spec.history,
            "interval_ms": spec.interval_ms,
            "created_ms": created_ms,
            "state": layout.STARTING,
            "grid": -1,
        }
        for name, value in fixed.items():
            header[name] = value
        return header


def _aligned(size: int, to: int = layout.ALIGNMENT) -> int:
    return -(-size // to) * to
