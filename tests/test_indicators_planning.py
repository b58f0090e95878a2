"""A plan lists columns in the order asked for, each once, and binds them to where they lie."""

from __future__ import annotations

import math

import numpy as np
import pytest

from indicators import (
    MissingColumn,
    Registry,
    StatColumn,
    UnknownStat,
    WindowTooLong,
    compute,
    default_registry,
    period,
    plan,
    stat,
)
from indicators.jit import Floats, Ints


@stat(
    "SPAN",
    version=3,
    meaning="highest high, lowest low and the day's minute, a toy with everything",
    source="none",
    parameters=(period(5),),
    inputs=("high", "low", "time"),
    outputs=("u", "l", ""),
    state=("count",),
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
)
def span(floats: Floats, ints: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    n = int(par[0])
    floats[cols[6], i] = age + 1.0
    floats[cols[5], i] = float(ints[cols[2], i] // 60_000 % 1440)
    floats[cols[3], i] = np.nan
    floats[cols[4], i] = np.nan
    if age >= n - 1:
        upper = floats[cols[0], i]
        lower = floats[cols[1], i]
        for j in range(i - n + 1, i):
            upper = max(upper, floats[cols[0], j])
            lower = min(lower, floats[cols[1], j])
        floats[cols[3], i] = upper
        floats[cols[4], i] = lower


TOYS = Registry((*default_registry(), span))


def test_public_columns_come_first_in_the_order_asked_for() -> None:
    planned = plan(["RSI5", "ATR14", "EMA20_hlc3"], history=1440)
    assert planned.columns == (
        StatColumn("RSI5", "RSI/3 n=5 input=close", "0..100", "RSI5"),
        StatColumn("ATR14", "ATR/2 n=14 input=high,low,close", "price", "ATR14"),
        StatColumn("EMA20_hlc3", "EMA/3 n=20 input=hlc3/1", "price", "EMA20_hlc3"),
        StatColumn("_hlc3", "hlc3/1", "price", "hlc3"),
        StatColumn("_RSI5_gain", "RSI/3 n=5 input=close state=gain", "state", "RSI5"),
        StatColumn("_RSI5_loss", "RSI/3 n=5 input=close state=loss", "state", "RSI5"),
    )
    assert [column.private for column in planned.columns] == [False] * 3 + [True] * 3


def test_duplicates_collapse_onto_the_first() -> None:
    planned = plan(["RSI", "ATR5", "RSI14", "RSI14_close", "ATR5"], history=1440)
    assert planned.stats == ("RSI14", "ATR5")
    assert len(planned.operations) == 2


def test_one_output_brings_the_whole_stat() -> None:
    planned = plan(["SPANl7", "SPAN7", "SPANu"], history=1440, registry=TOYS)
    assert planned.stats == ("SPAN7", "SPAN5")
    names = [column.name for column in planned.columns]
    assert names == ["SPANu7", "SPANl7", "SPAN7", "SPANu5", "SPANl5", "SPAN5",
                     "_SPAN7_count", "_SPAN5_count"]  # fmt: skip
    assert planned.columns[0].definition == "SPAN/3 n=7 input=high,low,time output=u"
    assert planned.columns[0].stat == "SPAN7"


def test_the_unit_of_an_average_is_its_inputs() -> None:
    planned = plan(["EMA20", "EMA20_volume", "SMA5_hl2"], history=1440)
    assert [column.unit for column in planned.columns[:3]] == ["price", "volume", "price"]


def test_counts_of_rows_are_the_largest_over_the_stats() -> None:
    planned = plan(["ATR14", "SMA100", "EMA20"], history=1440)
    assert planned.lookback == 99
    assert planned.warmup == 99
    assert planned.settling == math.ceil(math.log(1e-9) / math.log(1 - 1 / 14)) == 280
    assert planned.runup == 14 + 280
    empty = plan([], history=1440)
    assert (empty.columns, empty.lookback, empty.runup) == ((), 0, 0)


def test_a_window_as_long_as_the_history_is_the_longest() -> None:
    assert plan(["ATR1440", "SMA1441"], history=1440).lookback == 1440
    assert plan(["ATR2000"], history=None).lookback == 2000
    with pytest.raises(WindowTooLong) as caught:
        plan(["RSI5", "ATR1441"], history=1440)
    assert (caught.value.text, caught.value.lookback, caught.value.history) == (
        "ATR1441", 1441, 1440,
    )  # fmt: skip


def test_an_unregistered_stat_is_refused() -> None:
    with pytest.raises(UnknownStat):
        plan(["SPAN5"], history=1440)


def test_a_table_names_the_rows_of_the_columns_and_keeps_the_kernels() -> None:
    planned = plan(["SMA3", "RSI5"], history=1440)
    table = planned.bind({"RSI5": 7, "SMA3": 6, "close": 2, "_RSI5_loss": 9, "_RSI5_gain": 8})
    assert table.ops[:, 0].tolist() == [kernel.address for kernel in table.kernels]
    # Warm-up and look-back say from which age on it no longer matters.
    assert table.ops[:, 1:].tolist() == [[5, 2, 6, 0, 0], [11, 2, 7, 8, 9]]
    assert table.pars.tolist() == [[3.0], [5.0]]
    assert table.ops.flags.c_contiguous
    assert table.pars.flags.c_contiguous


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingColumn) as caught:
        plan(["RSI5"], history=1440).bind({"close": 0, "RSI5": 1})
    assert caught.value.column == "_RSI5_gain"


def test_a_stat_of_ones_own_runs_like_ours() -> None:
    """Several outputs, private state, an integer input: nothing but a declaration and a kernel."""
    minutes = np.arange(100)
    high = np.random.default_rng(1).uniform(2.0, 3.0, 100)
    rows = {"high": high, "low": high - 1.0, "time": minutes * np.int64(60_000)}
    values = compute(["SPAN4", "SMA2_high"], rows, registry=TOYS)
    assert list(values) == ["SPANu4", "SPANl4", "SPAN4", "SMA2_high"]
    windows = np.lib.stride_tricks.sliding_window_view(high, 4)
    assert np.isnan(values["SPANu4"][:3]).all()
    assert np.array_equal(values["SPANu4"][3:], windows.max(axis=1))
    assert np.array_equal(values["SPANl4"][3:], windows.min(axis=1) - 1.0)
    assert np.array_equal(values["SPAN4"], minutes)
