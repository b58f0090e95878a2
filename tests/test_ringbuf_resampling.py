"""Longer bars: pandas' own resampling as the oracle, and what pandas does not know about edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import ringbuf
from ringbuf import kernels, layout
from ringbuf.layout import WORD
from ringbuf.resampling import BAR_DTYPE, duration_ms
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

INTERVAL_MS = 60_000
HISTORY = 3_000
PRICES = ("open", "high", "low", "close", "volume")
COLUMNS = (Column("time", "M"), *(Column(name) for name in PRICES), Column("trades", "i"))
MIDNIGHT = 1_795_305_600_000 // INTERVAL_MS
RULES = {"5m": "5min", "7m": "7min", "15m": "15min", "1h": "1h", "4h": "4h", "1d": "1440min"}

Candle = dict[str, Any]


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    series = (Series("a"), Series("b"))
    with create(StoreSpec(segment_name, series, COLUMNS, HISTORY, INTERVAL_MS)) as writer:
        writer.set_state(layout.RUNNING)
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


def candle(close: float, before: float, trades: int) -> Candle:
    """One that moved from `before` to `close`; a flat one where nobody traded."""
    if not trades:
        return {**dict.fromkeys(PRICES, before), "volume": 0.0, "trades": 0}
    prices = {"open": close - 1, "high": close + 2, "low": close - 3, "close": close}
    return {**prices, "volume": trades / 8, "trades": trades}


def candles(count: int, seed: int) -> list[Candle]:
    """Minutes that wander, every third one silent, and a silent stretch of forty."""
    random = np.random.default_rng(seed)
    found: list[Candle] = []
    before = 1000.0
    for k in range(count):
        silent = random.random() < 0.3 or 100 <= k < 140
        trades = 0 if silent else int(random.integers(1, 50))
        found.append(candle(before + float(random.integers(-8, 9)), before, trades))
        before = found[-1]["close"]
    return found


def write(writer: Writer, first: int, rows: list[Candle], *, closed: int | None = None) -> None:
    """Rows from bar `first` on; all but the last one are closed."""
    for k, row in enumerate(rows):
        writer.put(0, first + k, row)
    control = writer.controls[0]
    kernels.begin(control, first)
    control[WORD["closed"]] = first + len(rows) - 2 if closed is None else closed
    kernels.commit(control)


def oracle(rows: pd.DataFrame, rule: str) -> pd.DataFrame:
    """What pandas makes of the minutes with trades; without any, a bar is flat at its close."""
    rows = rows.set_axis(rows.index.as_unit("ns"))  # pandas 2 loses bars of seven minutes in ms
    every = rows.resample(rule, origin="epoch")
    traded = rows[rows["trades"] > 0].resample(rule, origin="epoch")
    bars = pd.DataFrame(
        {
            "open": traded["open"].first(),
            "high": traded["high"].max(),
            "low": traded["low"].min(),
            "close": every["close"].last(),
            "volume": every["volume"].sum(),
            "trades": every["trades"].sum(),
            "rows": every["close"].count(),
        }
    )
    bars = bars[bars["rows"] > 0]
    for name in ("open", "high", "low"):
        bars[name] = bars[name].fillna(bars["close"])
    return bars


def agree(bars: npt.NDArray[np.void], expected: pd.DataFrame) -> None:
    index = expected.index.as_unit("ms").asi8
    np.testing.assert_array_equal(bars["time"].astype(np.int64), index)
    for name in expected.columns:
        np.testing.assert_array_equal(bars[name], expected[name].to_numpy(), name)


# -- the oracle ----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", RULES)
def test_bars_are_those_of_pandas(made: Writer, store: ringbuf.Store, length: str) -> None:
    for seed, count in ((1, 1), (2, 47), (3, 2_500)):
        first = MIDNIGHT + seed * 100_000 + 13
        write(made, first, candles(count, seed))
        agree(store["a"].resample(length), oracle(store["a"].to_pandas(copy=True), RULES[length]))


def test_a_history_that_has_gone_round_is_resampled_as_well(
    made: Writer, store: ringbuf.Store
) -> None:
    write(made, MIDNIGHT, candles(3 * HISTORY, 4))
    assert len(store["a"]) == HISTORY
    agree(store["a"].resample("15m"), oracle(store["a"].to_pandas(copy=True), "15min"))


def test_bars_begin_at_multiples_of_their_length_since_the_epoch(
    made: Writer, store: ringbuf.Store
) -> None:
    write(made, MIDNIGHT - 300, candles(600, 5))
    for length in RULES:
        starts = store["a"].resample(length)["time"].astype(np.int64)
        assert not np.any(starts % duration_ms(length, INTERVAL_MS))
    days = store["a"].resample("1d")["time"]
    assert days.tolist() == pd.to_datetime(["2026-11-21", "2026-11-22"]).to_pydatetime().tolist()
    assert store["a"].resample("4h")["time"][0] == np.datetime64("2026-11-21T16:00")


# -- edges ---------------------------------------------------------------------------------------


def test_bars_at_the_edges_are_marked(made: Writer, store: ringbuf.Store) -> None:
    """12 rows from minute 3 on, the last one open: 2 + 5 + 5, of which the last is not closed."""
    write(made, MIDNIGHT + 3, candles(12, 6))
    bars = store["a"].resample("5m")
    assert bars["rows"].tolist() == [2, 5, 5]
    assert bars["complete"].tolist() == [False, True, False]
    write(made, MIDNIGHT + 3, candles(12, 6), closed=MIDNIGHT + 14)
    assert store["a"].resample("5m")["complete"].tolist() == [False, True, True]


def test_closed_bars_are_those_that_are_over(made: Writer, store: ringbuf.Store) -> None:
    """Behind the newest closed row there may be two more, and each in another bar."""
    write(made, MIDNIGHT, candles(11, 7), closed=MIDNIGHT + 8)
    assert store["a"].resample("5m")["rows"].tolist() == [5, 5, 1]
    assert store["a"].resample("5m", closed=True)["rows"].tolist() == [5]
    write(made, MIDNIGHT, candles(11, 7), closed=MIDNIGHT + 9)
    bars = store["a"].resample("5m", closed=True)
    assert bars["rows"].tolist() == [5, 5]
    assert bars["complete"].all()
    assert len(store["a"].resample("1h", closed=True)) == 0


def test_the_oldest_bar_of_a_full_history_is_marked(made: Writer, store: ringbuf.Store) -> None:
    write(made, MIDNIGHT, candles(HISTORY + 13, 8))
    bars = store["a"].resample("1h")
    assert bars["rows"][0] == 47
    assert not bars["complete"][0]
    assert bars["complete"][1:-1].all()


def test_a_hole_ends_the_run_and_marks_the_bar(made: Writer, store: ringbuf.Store) -> None:
    """What is behind a hole is all that can be read until it is mended."""
    write(made, MIDNIGHT, candles(8, 9))
    write(made, MIDNIGHT + 12, candles(9, 10))
    bars = store["a"].resample("5m")
    assert bars["rows"].tolist() == [3, 5, 1]
    assert bars["complete"].tolist() == [False, True, False]


def test_silent_minutes_do_not_touch_the_prices_of_a_bar(
    made: Writer, store: ringbuf.Store
) -> None:
    silent = candle(0, 100.0, 0)
    late = [silent, silent, candle(120.0, 100.0, 7), candle(0, 120.0, 0), candle(0, 120.0, 0)]
    write(made, MIDNIGHT, late + [candle(0, 120.0, 0)] * 6)
    bar, flat, _ = store["a"].resample("5m")
    assert tuple(bar)[1:] == (119.0, 122.0, 117.0, 120.0, 7 / 8, 7, 5, 4, True)
    assert tuple(flat)[1:] == (120.0, 120.0, 120.0, 120.0, 0.0, 0, 5, 5, True)


def test_last_counts_bars(made: Writer, store: ringbuf.Store) -> None:
    write(made, MIDNIGHT, candles(20, 11))
    every = store["a"].resample("5m")
    assert store["a"].resample("5m", 2).tolist() == every[-2:].tolist()
    assert store["a"].resample("5m", last=99).tolist() == every.tolist()
    assert len(store["a"].resample("5m", 0)) == 0
    with pytest.raises(ValueError, match="last=-1"):
        store["a"].resample("5m", -1)


def test_rows_in_work_are_left_out(made: Writer, store: ringbuf.Store) -> None:
    write(made, MIDNIGHT, candles(10, 12), closed=MIDNIGHT + 9)
    kernels.begin(made.controls[0], MIDNIGHT + 7)
    made.disown()
    bars = store["a"].resample("5m")
    assert bars["rows"].tolist() == [5, 2]
    assert bars["complete"].tolist() == [True, False]


def test_no_rows_give_no_bars(store: ringbuf.Store) -> None:
    bars = store["b"].resample("1h")
    assert bars.dtype == BAR_DTYPE
    assert len(bars) == 0


def test_bars_are_a_copy_of_ones_own(made: Writer, store: ringbuf.Store) -> None:
    write(made, MIDNIGHT, candles(5, 13))
    bars = store["a"].resample("5m")
    bars["close"] = 0.0
    assert store["a"].resample("5m")["close"][0] != 0.0


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["", "5", "m", "0m", "-5m", "5 m", "1w", "1M", "5min", 5, None])
def test_what_is_no_length_is_refused(store: ringbuf.Store, length: Any) -> None:
    with pytest.raises(ValueError, match="expected a number and s, m, h or d"):
        store["a"].resample(length)


def test_a_length_that_cuts_rows_is_refused(store: ringbuf.Store) -> None:
    with pytest.raises(ValueError, match="found '90s', expected a multiple of 60 s"):
        store["a"].resample("90s")
    assert duration_ms("120s", INTERVAL_MS) == 120_000


def test_a_store_without_candles_cannot_be_resampled(segment_name: str) -> None:
    columns = (Column("time", "M"), Column("close"))
    with (
        create(StoreSpec(segment_name, (Series("a"),), columns, 5, INTERVAL_MS)),
        ringbuf.attach(segment_name) as store,
        pytest.raises(ringbuf.UnknownName, match="no column named 'open'"),
    ):
        store["a"].resample("5m")
