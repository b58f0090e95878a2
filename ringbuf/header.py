"""Reading and trusting a segment's header: the gate that every reader passes.

Nothing is mapped before the header has said what it is, and the file is at least as long as it
claims. All numbers of a `Header` come from the segment, none from settings.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from . import layout
from .errors import NotAStore, NotReady, WrongVersion

__all__ = ["Header"]


@dataclass(frozen=True)
class Header:
    """What a header said when it was read; the names are those of `layout.HEADER_DTYPE`."""

    size: int
    document_offset: int
    document_size: int
    columns_offset: int
    columns_stride: int
    columns: int
    series_offset: int
    series_stride: int
    series: int
    control_offset: int
    control_stride: int
    data_offset: int
    record_stride: int
    column_stride: int
    capacity: int
    history: int
    interval_ms: int
    created_ms: int
    minor: int
    writer_pid: int

    @classmethod
    def read(cls, descriptor: int, name: str) -> Header:
        """Read and check the header of an open segment.

        Raises NotAStore, WrongVersion or NotReady, each saying what was found and expected.
        """
        raw = os.pread(descriptor, layout.HEADER_SIZE, 0)
        return cls.parse(raw, os.fstat(descriptor).st_size, name)

    @classmethod
    def parse(cls, raw: bytes, length: int, name: str) -> Header:
        """The same from the first bytes of a segment of `length` bytes."""
        if len(raw) < layout.HEADER_SIZE:
            raise NotAStore(name, f"{len(raw)} bytes", f"a header of {layout.HEADER_SIZE} bytes")
        record: Any = np.frombuffer(raw, layout.HEADER_DTYPE)[0]
        if bytes(record["magic"]) != layout.MAGIC.rstrip(b"\0"):
            raise NotAStore(name, f"magic {bytes(raw[:8])!r}", repr(layout.MAGIC))
        if record["major"] != layout.MAJOR:
            raise WrongVersion(name, int(record["major"]), layout.MAJOR)
        if record["ready"] != layout.READY:
            raise NotReady(name)
        header = cls(**{field.name: int(record[field.name]) for field in fields(cls)})
        header._check(name, length)
        return header

    def _check(self, name: str, length: int) -> None:
        if length < self.size:
            raise NotAStore(name, f"a file of {length} bytes", f"{self.size} as its header says")
        records = self.data_offset + self.record_stride * self.series
        sections = {
            "the document": self.document_offset + self.document_size,
            "the columns": self.columns_offset + self.columns_stride * self.columns,
            "the series": self.series_offset + self.series_stride * self.series,
            "the control records": self.control_offset + self.control_stride * self.series,
            "the data": records,
        }
        for section, end in sections.items():
            if not 0 < end <= self.size:
                raise NotAStore(name, f"{section} ending at byte {end}", f"at most {self.size}")
        words = ("control_offset", "control_stride", "data_offset", "record_stride")
        for field in (*words, "column_stride"):
            if getattr(self, field) % layout.WORD_SIZE:
                found = f"{field} = {getattr(self, field)}"
                raise NotAStore(name, found, f"a multiple of {layout.WORD_SIZE}")
        smallest = {
            "document_offset": layout.HEADER_SIZE,
            "document_size": 2,
            "columns_offset": layout.HEADER_SIZE,
            "columns_stride": layout.COLUMN_DTYPE.itemsize,
            "series_offset": layout.HEADER_SIZE,
            "series_stride": layout.SERIES_DTYPE.itemsize,
            "control_offset": layout.HEADER_SIZE,
            "data_offset": layout.HEADER_SIZE,
            "capacity": self.history,
            "history": 1,
            "interval_ms": 1,
            "columns": 1,
            "series": 1,
            "column_stride": 2 * self.capacity * layout.WORD_SIZE,
            "record_stride": self.column_stride * self.columns,
            "control_stride": layout.CONTROL_DTYPE.itemsize,
        }
        for field, least in smallest.items():
            if getattr(self, field) < least:
                raise NotAStore(name, f"{field} = {getattr(self, field)}", f"at least {least}")
