"""A reader of today and a writer of tomorrow: a minor version only adds, a major one is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import ringbuf
from ringbuf import WrongVersion, layout, segment
from ringbuf.layout import WORD
from ringbuf.spec import Column, Geometry, Series, StoreSpec
from ringbuf.writer import Writer, in_memory

SERIES = (Series("btcusd_perp", "BTC"), Series("ethusd_perp", "ETH"))
NEWER_MINOR = layout.MINOR + 3


def filled(name: str) -> Writer:
    """A store of today's version, with a column that today's readers do not expect."""
    columns = (Column("time", "M"), Column("close"), Column("depth", "i"), Column("_carry"))
    spec = StoreSpec(name, SERIES, columns, 5, 60_000, source={"network": "test"})
    writer = in_memory(spec)
    for bar in range(1000, 1003):
        writer.put(0, bar, {"close": bar / 8, "depth": bar})
        writer.put(1, bar, {"close": -bar / 8})
    writer.controls[:, WORD["closed"]] = 1001
    writer.set_state(layout.RUNNING)
    return writer


def moved(old: bytes, header: Any, section: str, size: int, count: int, more: int) -> list[bytes]:
    """The records of a section, each `more` bytes longer, filled with what nobody knows."""
    start = int(header[f"{section}_offset"][0])
    return [old[start + size * k : start + size * (k + 1)] + b"\xa5" * more for k in range(count)]


def of_a_later_minor(writer: Writer) -> bytes:
    """The same store as a later minor version might make it.

    Every table's records are longer, there is a new section in front of the data, new words in what
    was reserved, a new column behind the known ones and new keys in the document.
    """
    old, geometry = bytes(writer.memory), writer.geometry
    header = np.frombuffer(bytearray(old[: layout.HEADER_SIZE]), layout.HEADER_DTYPE, 1)
    columns, series = int(header["columns"][0]), int(header["series"][0])
    document = json.loads(old[geometry.document_offset :][: geometry.document_size])
    document |= {"novelty": {"of": "tomorrow"}}
    for described in (*document["series"], *document["columns"]):
        described["novelty"] = 1
    text = json.dumps(document).encode().ljust(len(old) // 64 * 64)

    more = {"columns": 64, "series": 32, "control": 256}
    blocks = {
        "columns": moved(
            old, header, "columns", layout.COLUMN_DTYPE.itemsize, columns, more["columns"]
        ),
        "series": moved(
            old, header, "series", layout.SERIES_DTYPE.itemsize, series, more["series"]
        ),
        "control": moved(
            old, header, "control", layout.CONTROL_DTYPE.itemsize, series, more["control"]
        ),
    }
    for section, size in more.items():
        header[f"{section}_stride"] += size
    # One column more in every record, after those that the columns' table names.
    records = moved(old, header, "data", geometry.record_stride, series, geometry.column_stride)
    header["record_stride"] += geometry.column_stride

    whole = bytearray(layout.HEADER_SIZE)
    header["document_offset"], header["document_size"] = len(whole), len(text)
    whole += text
    for section, block in blocks.items():
        header[f"{section}_offset"] = len(whole)
        whole += b"".join(block)
    whole += b"\xa5" * (-len(whole) % 4096 + 4096)  # a section that today has no name for
    header["data_offset"] = len(whole)
    whole += b"".join(records)
    header["minor"], header["size"] = NEWER_MINOR, len(whole)
    fields: Any = layout.HEADER_DTYPE.fields
    first = bytearray(header.tobytes())
    for reserved in ("_fixed", "_live", "_published", "_reserved"):
        dtype, at = fields[reserved][:2]
        first[at : at + dtype.itemsize] = b"\xa5" * dtype.itemsize
    whole[: layout.HEADER_SIZE] = first
    for position in range(series):
        at = int(header["control_offset"][0]) + position * int(header["control_stride"][0])
        whole[at + len(WORD) * 8 : at + layout.CONTROL_DTYPE.itemsize] = b"\xa5" * (
            layout.CONTROL_DTYPE.itemsize - len(WORD) * 8
        )
    return bytes(whole)


@pytest.fixture
def newer(segment_name: str) -> str:
    segment.path_of(segment_name).write_bytes(of_a_later_minor(filled(segment_name)))
    return segment_name


def test_what_a_later_minor_adds_does_not_disturb_a_reader(newer: str) -> None:
    with ringbuf.attach(newer) as store:
        assert store.header.minor == NEWER_MINOR
        assert store.markets == ("btcusd_perp", "ethusd_perp")
        assert store.columns == ("time", "close", "depth")
        ring = store["BTC"]
        assert ring["close"].tolist() == [125.0, 125.125, 125.25]
        assert ring.view("close", closed=True).tolist() == [125.0, 125.125]
        last = ring.last()
        assert (last["close"], last["depth"], last["closed"]) == (125.25, 1002, False)
        assert store["ETH"].snapshot()["close"].tolist() == [-125.0, -125.125, -125.25]
        assert store.matrix("close", last=2).tolist() == [[125.125, 125.25], [-125.125, -125.25]]
        assert store.matrix("close", last=1, copy=True).tolist() == [[125.25], [-125.25]]
        assert store.health()["markets"]["btcusd_perp"]["rows"] == 3
        assert store.wait(0) is False
        assert store["BTC"].wait(0) is False
        # Its sizes are of today in its document; its new keys are nothing to complain about.
        assert not [each for each in store.check() if each.what.startswith(("columns", "series"))]


def test_a_new_column_of_a_later_minor_is_one_like_the_others(segment_name: str) -> None:
    """Readers take the columns from the segment: one more is one more."""
    writer = filled(segment_name)
    assert "depth" in {column.name for column in writer.spec.columns}
    segment.path_of(segment_name).write_bytes(bytes(writer.memory))
    with ringbuf.attach(segment_name) as store:
        assert store["BTC"]["depth"].tolist() == [1000, 1001, 1002]


def test_another_major_is_refused_with_both_versions_named(segment_name: str) -> None:
    memory = bytearray(filled(segment_name).memory)
    np.frombuffer(memory, layout.HEADER_DTYPE, 1)["major"] = layout.MAJOR + 1
    segment.path_of(segment_name).write_bytes(memory)
    expected = (
        f"layout version {layout.MAJOR + 1}, this library reads version {layout.MAJOR}; use the "
        f"same release"
    )
    with pytest.raises(WrongVersion, match=expected):
        ringbuf.attach(segment_name)


def test_a_record_may_hold_more_than_the_columns_need() -> None:
    """The writer of today does it as well, where the strides would meet in the cache."""
    columns = (Column("time", "M"), *(Column(f"c{k}") for k in range(63)))
    geometry = Geometry.of(StoreSpec("x", SERIES, columns, 5, 60_000))
    assert geometry.record_stride == geometry.column_stride * 65
