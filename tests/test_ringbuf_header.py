"""The gate that every reader passes: nothing is mapped before the header is trusted."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringbuf
from ringbuf import NotAStore, NotReady, StoreRefused, WrongVersion, layout
from ringbuf.header import Header
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import in_memory

SPEC = StoreSpec(
    "header",
    (Series("a"), Series("b")),
    (Column("time", "M"), Column("x")),
    5,
    60_000,
    counters=("frames",),
)
WHOLE = bytes(in_memory(SPEC).memory)
KIND_AT = dict(layout.COLUMN_DTYPE.fields or {})["kind"][1]
FIELDS: dict[str, Any] = dict(layout.HEADER_DTYPE.fields or {})
NUMBERS = ["size", "capacity", "history", "interval_ms"] + [
    name for name in FIELDS if name.endswith(("_offset", "_size", "_stride", "columns", "series"))
]


def changed(field: str, value: int | bytes) -> bytes:
    dtype, offset = FIELDS[field][:2]
    raw = value if isinstance(value, bytes) else value.to_bytes(dtype.itemsize, "little")
    return WHOLE[:offset] + raw + WHOLE[offset + len(raw) :]


def parse(raw: bytes) -> Header:
    return Header.parse(raw[: layout.HEADER_SIZE], len(raw), "it")


def test_all_numbers_come_from_the_segment() -> None:
    header = parse(WHOLE)
    assert (header.series, header.columns, header.history, header.interval_ms) == (2, 2, 5, 60_000)
    assert header.size == len(WHOLE)


@pytest.mark.parametrize("length", [0, 1, 8, 4095])
def test_less_than_a_header_is_not_a_store(length: int) -> None:
    with pytest.raises(NotAStore, match=f"found {length} bytes, expected a header of 4096 bytes"):
        parse(WHOLE[:length])


def test_a_foreign_file_is_not_a_store() -> None:
    with pytest.raises(NotAStore, match=r"found magic b'PK\\x03\\x04.*expected b'ringbuf"):
        parse(b"PK\x03\x04".ljust(8192, b"x"))


def test_another_major_version_is_refused_naming_both() -> None:
    with pytest.raises(WrongVersion, match="layout version 2, this library reads version 1"):
        parse(changed("major", 2))


def test_a_later_minor_version_is_read() -> None:
    assert parse(changed("minor", 7)).minor == 7


def test_a_segment_in_the_making_is_not_ready() -> None:
    with pytest.raises(NotReady, match="still being made by its writer; try again"):
        parse(changed("ready", 0))


def test_a_truncated_segment_is_refused_naming_both_lengths() -> None:
    with pytest.raises(NotAStore, match=f"a file of {len(WHOLE) - 1} bytes, expected {len(WHOLE)}"):
        parse(WHOLE[:-1])


def test_a_longer_file_is_read_as_the_header_says() -> None:
    assert parse(WHOLE + bytes(4096)).size == len(WHOLE)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("history", 0, "history = 0, expected at least 1"),
        ("capacity", 4, "capacity = 4, expected at least 5"),
        ("interval_ms", 0, "interval_ms = 0, expected at least 1"),
        ("column_stride", 8, "column_stride = 8, expected at least"),
        ("control_offset", 4, "control_offset = 4, expected a multiple of 8"),
        ("data_offset", 0, "data_offset = 0, expected at least 4096"),
        ("series", 1000, "ending at byte"),
        ("columns_stride", 8, "columns_stride = 8, expected at least 256"),
    ],
)
def test_numbers_that_cannot_be_are_named(field: str, value: int, says: str) -> None:
    with pytest.raises(NotAStore, match=says):
        parse(changed(field, value))


@given(st.sampled_from(NUMBERS), st.integers(-(2**63), 2**63 - 1) | st.integers(-9000, 90_000))
def test_whatever_a_header_says_it_is_refused_or_stays_inside(field: str, value: int) -> None:
    try:
        header = parse(changed(field, struct.pack("<q", value)))
    except StoreRefused:
        return
    end = header.data_offset + header.record_stride * header.series
    assert layout.HEADER_SIZE <= header.data_offset < end <= header.size <= len(WHOLE)
    assert header.column_stride >= 16 * header.capacity


@given(st.data())
def test_any_bytes_are_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, 511))
    noise = data.draw(st.binary(max_size=64))
    raw = WHOLE[:at] + noise + WHOLE[at + len(noise) :]
    with contextlib.suppress(StoreRefused):
        assert parse(raw).size <= len(raw)


def broken_document(raw: bytearray) -> None:
    raw[layout.HEADER_SIZE] = ord("?")


def broken_kind(raw: bytearray) -> None:
    header = parse(WHOLE)
    raw[header.columns_offset + 64] = ord("z")


def broken_name(raw: bytearray) -> None:
    raw[parse(WHOLE).series_offset] = 0xFF


def other_kind(raw: bytearray) -> None:
    """Of an int64 column where the document says float64."""
    header = parse(WHOLE)
    place = header.columns_offset + header.columns_stride + KIND_AT
    assert raw[place] == ord("f")
    raw[place] = ord("i")


def other_name(raw: bytearray) -> None:
    raw[parse(WHOLE).series_offset] = ord("z")


def no_counter(raw: bytearray) -> None:
    """Of a list where a text should be."""
    at = raw.index(b'"counters": ["') + len('"counters": [')
    end = raw.index(b'"', at + 1)
    raw[at : end + 1] = b"[" + b" " * (end - at - 1) + b"]"


@pytest.mark.parametrize(
    "damage", [broken_document, broken_kind, broken_name, other_kind, other_name, no_counter]
)
def test_damaged_tables_are_refused_by_attach(
    damage: Callable[[bytearray], None], segment_name: str
) -> None:
    raw = bytearray(WHOLE)
    damage(raw)
    Path("/dev/shm", segment_name).write_bytes(raw)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, of a folder of links
    with pytest.raises(NotAStore, match="expected whole tables"):
        ringbuf.attach(segment_name)
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", NotAStore),
        (b"foreign", NotAStore),
        (WHOLE[:5000], NotAStore),
        (changed("major", 9), WrongVersion),
        (changed("ready", 0), NotReady),
    ],
    ids=["empty", "foreign", "truncated", "major", "ready"],
)
def test_attach_refuses_and_keeps_no_descriptor(
    raw: bytes, error: type[StoreRefused], segment_name: str
) -> None:
    Path("/dev/shm", segment_name).write_bytes(raw)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(error, match=segment_name):
        ringbuf.attach(segment_name)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
