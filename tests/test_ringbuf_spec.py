"""What a store is to hold, and the sizes that follow."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuf import LayoutError, layout
from ringbuf.spec import SPARE_BARS, Column, Geometry, Series, StoreSpec, capacity_for

TIME = Column("time", "M", "ms", "open time")
GOOD = StoreSpec("good", (Series("a", "A"),), (TIME, Column("close")), 10, 60_000)

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
short = names.filter(lambda name: len(name.encode()) <= 63)


@given(st.integers(1, 100_000), st.integers(0, 10_000))
def test_the_ring_has_room_for_what_must_stay_intact(history: int, lookback: int) -> None:
    capacity = capacity_for(history, lookback)
    assert history + lookback + SPARE_BARS + 2 <= capacity <= history + lookback + SPARE_BARS + 9


@given(st.integers(1, 100_000), st.integers(0, 10_000))
def test_a_column_is_an_odd_number_of_cache_lines_long(history: int, lookback: int) -> None:
    lines, rest = divmod(2 * 8 * capacity_for(history, lookback), layout.ALIGNMENT)
    assert (lines % 2, rest) == (1, 0)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 127, 128, 256])
def test_records_never_share_all_their_cache_sets(count: int) -> None:
    """64 columns would make records a multiple of 4 KiB apart; one empty column more avoids it."""
    columns = (TIME, *(Column(f"c{k}") for k in range(1, count)))
    geometry = Geometry.of(dataclasses.replace(GOOD, columns=columns))
    assert geometry.record_stride % 4096
    assert geometry.record_stride >= geometry.column_stride * count


@given(st.integers(1, 70), st.integers(1, 50), st.integers(1, 3000))
def test_sections_follow_each_other_and_end_at_the_size(
    columns: int, series: int, history: int
) -> None:
    spec = dataclasses.replace(
        GOOD,
        columns=(TIME, *(Column(f"c{k}") for k in range(1, columns))),
        series=tuple(Series(f"s{k}") for k in range(series)),
        history=history,
    )
    g = Geometry.of(spec)
    assert g.document_offset == layout.HEADER_SIZE
    assert g.columns_offset == g.document_offset + g.document_size
    assert g.series_offset == g.columns_offset + columns * layout.COLUMN_DTYPE.itemsize
    assert g.control_offset == g.series_offset + series * layout.SERIES_DTYPE.itemsize
    assert g.data_offset >= g.control_offset + series * layout.CONTROL_DTYPE.itemsize
    assert g.size == g.data_offset + series * g.record_stride
    assert g.control_offset % layout.ALIGNMENT == g.data_offset % 4096 == 0


@given(st.lists(short, unique=True, max_size=80), st.lists(short, unique=True, min_size=1))
def test_the_document_has_room_for_any_names(columns: list[str], series: list[str]) -> None:
    spec = dataclasses.replace(
        GOOD,
        columns=(TIME, *(Column(name) for name in columns if name != "time")),
        series=tuple(Series(name, name) for name in series),
    )
    geometry = Geometry.of(spec)
    text = geometry.document(spec)
    assert len(text) == geometry.document_size
    document = json.loads(text)
    assert [entry["name"] for entry in document["series"]] == series
    assert document["data"]["dtype"]["names"][1:] == [name for name in columns if name != "time"]


def test_many_columns_with_the_longest_names_fit_into_the_document() -> None:
    columns = (TIME, *(Column(f"{k:03d}".ljust(15, "\U0001f40b")[:18]) for k in range(200)))
    spec = dataclasses.replace(GOOD, columns=columns, history=1_000_000)
    assert json.loads(Geometry.of(spec).document(spec))["columns"][-1]["name"] == columns[-1].name


def test_the_documents_dtype_describes_a_whole_record() -> None:
    geometry = Geometry.of(GOOD)
    data = json.loads(geometry.document(GOOD))["data"]
    dtype = np.dtype(data["dtype"])
    assert dtype.itemsize == geometry.record_stride
    assert dtype["close"].shape == (2 * geometry.capacity,)
    assert dtype["time"].base == np.dtype("<M8[ms]")
    assert data["shape"] == [1]


def test_a_header_is_not_ready_before_its_segment_is() -> None:
    header = Geometry.of(GOOD).header(GOOD, 5)
    assert header["ready"][0] == 0
    assert header["created_ms"][0] == 5
    assert header["grid"][0] == -1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"columns": ()}, "first column must be 'time'"),
    ({"columns": (Column("close"),)}, "first column must be 'time'"),
    ({"columns": (Column("time", "f"),)}, "first column must be 'time'"),
    ({"columns": (TIME, Column("x"), Column("x"))}, r"column names are the same: \['x'\]"),
    ({"columns": (TIME, Column("x", "q"))}, "column kind 'q': expected one of"),
    ({"columns": (TIME, Column(""))}, "column without a name"),
    ({"columns": (TIME, Column("x" * 64))}, "column name 'x+': expected at most 63 bytes"),
    ({"columns": (TIME, Column("é" * 32))}, "column name 'é+': expected at most 63 bytes"),
    ({"columns": (TIME, Column("x\0"))}, "none of them zero"),
    ({"columns": (TIME, Column("x", unit="u" * 33))}, "unit 'u+': expected at most 32 bytes"),
    ({"columns": (TIME, Column("x", definition="d" * 153))}, "definition 'd+': expected at most"),
    ({"series": ()}, "at least one series"),
    ({"series": (Series("a"), Series("a"))}, r"series names are the same: \['a'\]"),
    ({"series": (Series("a" * 64),)}, "series name 'a+': expected at most 63 bytes"),
    ({"series": (Series("a", "b" * 65),)}, "alias 'b+': expected at most 64 bytes"),
    ({"history": 0}, "must be positive"),
    ({"lookback": -1}, "must be positive, lookback not negative"),
    ({"interval_ms": 0}, "must be positive"),
    ({"counters": tuple(str(k) for k in range(65))}, "65 counters, at most 64"),
]


@pytest.mark.parametrize(("change", "says"), BAD)
def test_what_cannot_be_built_is_refused_in_words(change: dict[str, Any], says: str) -> None:
    with pytest.raises(LayoutError, match=says):
        dataclasses.replace(GOOD, **change)


def test_a_name_that_starts_with_an_underscore_is_the_writers_own() -> None:
    assert Column("x").public
    assert not Column("_x").public
