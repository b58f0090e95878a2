"""Tables of other libraries over the store's memory: what is shared, and what is a copy."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import ringbuf
from reader_kit import HISTORY, INTERVAL_MS, PRICES, row, spec
from ringbuf import kernels, layout
from ringbuf.layout import WORD
from ringbuf.writer import Writer, create

FIRST = 1_000
NAMES = (*PRICES, "trades")
EXTRAS = {"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    """Two series that the ring has gone round with; the second one is a minute behind."""
    with create(spec(segment_name)) as writer:
        writer.set_state(layout.RUNNING)
        for k in range(200):
            writer.put(0, FIRST + k, row(k))
            if k < 199:
                writer.put(1, FIRST + k, row(1000 + k))
        for series, bar in ((0, FIRST + 198), (1, FIRST + 198)):
            close(writer, series, bar)
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


def close(writer: Writer, series: int, bar: int) -> None:
    control = writer.controls[series]
    kernels.begin(control, bar)
    control[WORD["closed"]] = bar
    kernels.commit(control)


def bars(first: int, stop: int) -> np.ndarray[Any, Any]:
    return (np.arange(FIRST + first, FIRST + stop) * INTERVAL_MS).view("M8[ms]")


def arrow_values(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = column.chunk(0).to_numpy(zero_copy_only=True)
    return values


def address(values: np.ndarray[Any, Any]) -> int:
    return int(values.__array_interface__["data"][0])


# -- one series ----------------------------------------------------------------------------------


def test_pandas_has_a_row_a_minute_indexed_by_utc_time(store: ringbuf.Store) -> None:
    frame = store["BTC"].to_pandas()
    assert list(frame.columns) == list(NAMES)
    assert frame.index.name == "time"
    assert str(frame.index.dtype) == "datetime64[ms, UTC]"
    assert frame["close"].tolist() == [195.0, 196.0, 197.0, 198.0, 199.0]
    assert frame["trades"].dtype == np.int64
    assert frame.index.tz_localize(None).to_numpy().tolist() == bars(195, 200).tolist()
    assert frame.loc["1970-01-01 19:58":"1970-01-01 19:59", "close"].tolist() == [198.0, 199.0]


def test_pandas_looks_at_the_stores_own_memory(store: ringbuf.Store) -> None:
    ring = store["BTC"]
    frame = ring.to_pandas()
    for name in NAMES:
        assert address(frame[name].to_numpy()) == address(ring[name]), name
        assert np.shares_memory(frame[name].to_numpy(), ring[name]), name


def test_polars_and_arrow_look_at_all_of_it_time_too(store: ringbuf.Store) -> None:
    ring = store["BTC"]
    frame, table = ring.to_polars(), ring.to_arrow()
    assert frame.columns == table.column_names == list(store.columns)
    assert frame.schema["time"] == pl.Datetime("ms", "UTC")
    assert table.schema.field("time").type == pa.timestamp("ms", tz="UTC")
    for name in store.columns:
        shared = frame[name].to_physical().to_numpy(allow_copy=False)
        assert address(shared) == address(ring[name]), name
        (chunk,) = table[name].chunks
        assert chunk.buffers()[1].address == address(ring[name]), name
        assert not chunk.buffers()[1].is_mutable
    assert frame["time"].dt.epoch("ms").to_list() == ring["time"].astype(np.int64).tolist()


def test_shared_tables_follow_the_memory_and_copies_do_not(
    made: Writer, store: ringbuf.Store
) -> None:
    ring = store["BTC"]
    pandas, polars, arrow = ring.to_pandas(), ring.to_polars(), ring.to_arrow()
    copies = ring.to_pandas(copy=True), ring.to_polars(copy=True), ring.to_arrow(copy=True)
    made.put(0, FIRST + 199, row(7))
    assert pandas["close"].iloc[-1] == 7.0
    assert polars["close"][-1] == 7.0
    assert arrow["close"][-1].as_py() == 7.0
    assert copies[0]["close"].iloc[-1] == 199.0
    assert copies[1]["close"][-1] == 199.0
    assert copies[2]["close"][-1].as_py() == 199.0


@pytest.mark.parametrize("copy", [False, True])
def test_the_rows_are_those_of_a_snapshot(store: ringbuf.Store, copy: bool) -> None:
    ring = store["BTC"]
    for last in (None, 0, 2, 100):
        for closed in (False, True):
            rows = ring.snapshot(last, closed=closed)
            pandas = ring.to_pandas(last, closed=closed, copy=copy)
            polars = ring.to_polars(last, closed=closed, copy=copy)
            arrow = ring.to_arrow(last, closed=closed, copy=copy)
            assert len(pandas) == len(polars) == len(arrow) == len(rows)
            for name in NAMES:
                assert pandas[name].tolist() == rows[name].tolist()
                assert polars[name].to_list() == rows[name].tolist()
                assert arrow[name].to_pylist() == rows[name].tolist()
    with pytest.raises(ValueError, match="last=-1"):
        ring.to_pandas(-1)


def test_a_series_without_rows_is_an_empty_table(segment_name: str) -> None:
    with create(spec(segment_name)), ringbuf.attach(segment_name) as store:
        for copy in (False, True):
            assert store["BTC"].to_pandas(copy=copy).shape == (0, len(NAMES))
            assert store["BTC"].to_polars(copy=copy).shape == (0, len(store.columns))
            assert store["BTC"].to_arrow(copy=copy).shape == (0, len(store.columns))
        assert store.to_pandas().shape == (0, len(NAMES))
        assert store.to_pandas().index.names == ["market", "time"]
        assert store.to_polars().shape == store.to_arrow().shape == (0, len(NAMES) + 2)
        assert store.to_pandas("close").shape == (0, 2)
        assert store.to_polars("close").shape == store.to_arrow("close").shape == (0, 3)


def test_warm_up_is_nan_and_not_null(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, FIRST + 199, {"open": 1.0})
    assert np.isnan(store["BTC"].to_polars()["close"][-1])
    assert store["BTC"].to_arrow()["close"].null_count == 0
    assert store["BTC"].to_pandas()["close"].isna().tolist() == [False] * 4 + [True]


def test_tables_outlive_the_store_and_its_name(made: Writer) -> None:
    store = ringbuf.attach(made.spec.name)
    tables = store["BTC"].to_pandas(), store["BTC"].to_polars(), store["BTC"].to_arrow()
    wide = store.to_pandas("close"), store.to_polars("close"), store.to_arrow("close")
    store.close()
    del store
    gc.collect()
    made.put(0, FIRST + 199, row(8))
    assert [float(table["close"].sum()) for table in tables[:2]] == [794.0, 794.0]
    assert sum(tables[2]["close"].to_pylist()) == 794.0
    assert float(wide[0]["btcusd_perp"].sum()) == float(wide[1]["btcusd_perp"].sum()) == 794.0
    assert sum(wide[2]["btcusd_perp"].to_pylist()) == 794.0


def test_writing_into_a_table_never_reaches_the_store(store: ringbuf.Store) -> None:
    """Neither a crash nor another reader's surprise: it is refused, or done to a copy."""
    ring = store["BTC"]
    before = ring.snapshot()
    pandas = ring.to_pandas()
    with pytest.raises(ValueError, match="read-only"):
        pandas.loc[pandas.index[0], "close"] = -1.0
    pandas["close"] = 0.0
    polars = ring.to_polars()
    polars[0, "close"] = -1.0
    polars["open"].scatter(1, -1.0)
    with pytest.raises(ValueError, match="read-only"):
        store.to_pandas("close").to_numpy()[0, 0] = -1.0
    np.testing.assert_array_equal(ring.snapshot(), before)


# -- the whole store -----------------------------------------------------------------------------


def test_the_long_table_has_every_market_one_after_the_other(store: ringbuf.Store) -> None:
    frame = store.to_pandas(last=2)
    assert frame.index.names == ["market", "time"]
    assert list(frame.columns) == list(NAMES)
    assert frame.loc["btcusd_perp", "close"].tolist() == [198.0, 199.0]
    assert frame.loc["ethusd_perp", "close"].tolist() == [1197.0, 1198.0]
    assert str(frame.index.levels[1].dtype) == "datetime64[ms, UTC]"
    assert frame.index.is_monotonic_increasing
    moment = pd.Timestamp(bars(198, 199)[0], tz="UTC")
    assert frame.xs(moment, level="time")["close"].tolist() == [198.0, 1198.0]
    side_by_side = frame["close"].unstack("market")
    assert side_by_side.shape == (3, 2)
    assert side_by_side.columns.tolist() == ["btcusd_perp", "ethusd_perp"]


def test_the_long_table_is_the_same_in_all_three(store: ringbuf.Store) -> None:
    pandas, polars, arrow = store.to_pandas(), store.to_polars(), store.to_arrow()
    assert polars.columns == arrow.column_names == ["market", *store.columns]
    assert polars.schema["market"] == pl.Enum(store.markets)
    assert polars["market"].to_list() == arrow["market"].to_pylist()
    assert polars["market"].to_list() == pandas.index.get_level_values("market").tolist()
    for name in NAMES:
        assert pandas[name].tolist() == polars[name].to_list() == arrow[name].to_pylist()
    stamps = pandas.index.get_level_values("time").as_unit("ms").asi8.tolist()
    assert polars["time"].dt.epoch("ms").to_list() == stamps
    assert arrow["time"].cast(pa.int64()).to_pylist() == stamps


def test_closed_rows_of_the_long_table_end_where_each_market_has_closed(
    store: ringbuf.Store,
) -> None:
    closes = store.to_pandas(last=1, closed=True)["close"]
    assert closes.tolist() == [198.0, 1198.0]


def test_a_column_over_the_markets_is_the_matrix_itself(store: ringbuf.Store) -> None:
    matrix = store.matrix("close")
    pandas, polars, arrow = (
        store.to_pandas("close"),
        store.to_polars("close"),
        store.to_arrow("close"),
    )
    assert pandas.shape == (HISTORY, 2)
    assert polars.columns == arrow.column_names == ["time", *store.markets]
    assert pandas.index.tz_localize(None).to_numpy().tolist() == bars(195, 200).tolist()
    assert polars["time"].dt.epoch("ms").to_list() == bars(195, 200).astype(np.int64).tolist()
    for k, market in enumerate(store.markets):
        assert address(pandas[market].to_numpy()) == address(matrix[k])
        assert address(polars[market].to_numpy(allow_copy=False)) == address(matrix[k])
        assert address(arrow_values(arrow[market])) == address(matrix[k])
    assert np.isnan(pandas["ethusd_perp"].iloc[-1])
    assert pandas.index.name == "time"


def test_a_copied_column_over_the_markets_shares_nothing(
    made: Writer, store: ringbuf.Store
) -> None:
    frame = store.to_pandas("close", last=2, copy=True)
    assert not np.shares_memory(frame["btcusd_perp"].to_numpy(), store.matrix("close"))
    made.put(0, FIRST + 199, row(9))
    assert frame["btcusd_perp"].tolist() == [198.0, 199.0]


def test_closed_rows_of_a_column_over_the_markets_are_refused(store: ringbuf.Store) -> None:
    with pytest.raises(ValueError, match="do not close at once"):
        store.to_pandas("close", closed=True)
    with pytest.raises(ringbuf.UnknownName, match="nearest: close"):
        store.to_polars("closes")


# -- libraries that are not there ----------------------------------------------------------------


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_library_names_its_extra(
    store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, EXTRAS[extra], None)
    calls: list[Callable[[], object]] = [
        getattr(store["BTC"], f"to_{extra}"),
        getattr(store, f"to_{extra}"),
    ]
    for call in calls:
        with pytest.raises(
            ImportError, match=rf"pip install 'market-monitor\[{extra}\]'"
        ) as caught:
            call()
        assert caught.value.name == EXTRAS[extra]


def test_every_extra_that_an_error_names_can_be_installed() -> None:
    project = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text("utf-8")
    for extra, library in EXTRAS.items():
        assert re.search(rf'^{extra} = \[.*"{library}>=', project, re.MULTILINE), extra
