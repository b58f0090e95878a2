"""The byte layout: what a reader in another language relies on."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from ringbuf import layout
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import in_memory

FIELDS: dict[str, Any] = dict(layout.HEADER_DTYPE.fields or {})


def test_the_header_is_one_page_and_a_control_record_four_cache_lines() -> None:
    assert layout.HEADER_DTYPE.itemsize == layout.HEADER_SIZE == 4096
    assert layout.CONTROL_DTYPE.itemsize == 4 * layout.ALIGNMENT


def test_a_table_row_starts_on_a_cache_line() -> None:
    assert layout.COLUMN_DTYPE.itemsize % layout.ALIGNMENT == 0
    assert layout.SERIES_DTYPE.itemsize % layout.ALIGNMENT == 0


@pytest.mark.parametrize("name", [name for name in FIELDS if not name.startswith("_")])
def test_every_number_is_aligned_to_its_size(name: str) -> None:
    dtype, offset = FIELDS[name][:2]
    assert offset % dtype.base.itemsize == 0


def test_what_changes_shares_no_cache_line_with_what_is_fixed() -> None:
    assert FIELDS["state"][1] % layout.ALIGNMENT == 0
    assert FIELDS["published"][1] % layout.ALIGNMENT == 0
    assert FIELDS["counters"][1] % layout.ALIGNMENT == 0


def test_the_numbers_are_little_endian_on_every_machine() -> None:
    kinds = [dtype.base.str for dtype, *_ in FIELDS.values()]
    assert not [kind for kind in kinds if kind.startswith(">")]
    assert all(kind.startswith("<") for kind in layout.KINDS.values())


def test_words_are_counted_in_eights_of_the_control_record() -> None:
    fields: dict[str, Any] = dict(layout.CONTROL_DTYPE.fields or {})
    assert {name: fields[name][1] // 8 for name in layout.WORD} == layout.WORD
    assert len(layout.WORD) <= layout.CONTROL_WORDS


def test_the_reserved_words_leave_room_for_later_minors() -> None:
    assert len(layout.WORD) + 8 <= layout.CONTROL_WORDS
    assert FIELDS["_reserved"][0].itemsize >= 1024


def test_the_specification_names_what_the_code_calls_by_name() -> None:
    text = layout.__doc__ or ""
    for name in ("sequence", "dirty_from", "rewinds", "newest", "closed", "start", "grid", "ready"):
        assert f"`{name}" in text
    for dtype in ("HEADER_DTYPE", "COLUMN_DTYPE", "SERIES_DTYPE", "CONTROL_DTYPE"):
        assert dtype in text


def test_an_empty_time_is_numpys_not_a_time() -> None:
    assert np.isnat(np.int64(layout.EMPTY_TIME).view("M8[ms]"))


def test_the_newest_value_is_found_with_struct_alone() -> None:
    """No numpy, nothing of the library: the header's numbers and the text are enough."""
    columns = (Column("time", "M"), Column("close"), Column("trades", "i"))
    spec = StoreSpec("by_hand", (Series("a"), Series("b")), columns, 5, 60_000)
    writer = in_memory(spec)
    for bar in range(1000, 1100):
        writer.put(1, bar, {"close": bar / 8, "trades": bar})
    memory = bytes(writer.memory)

    magic, ready, major, _ = struct.unpack_from("<8sIHH", memory, 0)
    assert (magic, ready, major) == (b"ringbuf\n", 0x59444552, 1)
    fixed = struct.unpack_from("<18q", memory, 16)
    _, document_offset, document_size, _, _, columns_count, _, _, series_count = fixed[:9]
    control, control_stride, data, record, column, capacity, history, interval, _ = fixed[9:]
    assert (columns_count, series_count, history, interval) == (3, 2, 5, 60_000)
    words = struct.unpack_from("<5q", memory, control + 1 * control_stride)
    newest = words[2]
    at = data + 1 * record + 8 * (newest % capacity + capacity)
    assert struct.unpack_from("<q", memory, at) == (1099 * 60_000,)
    assert struct.unpack_from("<d", memory, at + column) == (1099 / 8,)
    assert struct.unpack_from("<q", memory, at + 2 * column) == (1099,)
    document = json.loads(memory[document_offset : document_offset + document_size])
    assert document["control"]["words"][2] == "newest"
    assert document["data"]["offset"] == data
