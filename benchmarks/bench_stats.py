"""What do sixteen stats cost: a tick, a million rows, 256 markets, a correction; and with others?

The same sixteen everywhere. A *tick* is a new state of the open candle and ends with the values of
all sixteen; Python's call is part of it. Peers: talipp, made for ticks, replaces its last value;
TA-Lib 0.8 has handles that `peek` at a forming candle; and many recompute the whole history with
TA-Lib's batch functions. The ratios within one group of one run are the answer; the absolute times
are the machine's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import talib
from numba import njit
from talib import stream
from talipp import indicators as talipp
from talipp.ohlcv import OHLCV

from indicators import Table, compute, plan
from indicators.dispatch import run, step
from indicators.jit import OPTIONS, Floats
from indicators.ticking import Stepper
from monitor import compiled

STATS = [
    *("ATR14", "RSI14", "EMA20", "SMA20", "WMA20", "DEMA20", "MACD12_26_9", "BB20_2"),
    *("STOCH14_3_3", "CCI14", "WILLR14", "ROC10", "ADX14", "AROON25", "OBV", "UO7_14_28"),
]
HISTORY = 1_440
MILLION = 1_000_000
MARKETS = 256
INPUTS = ("open", "high", "low", "close", "volume")

compiled.keep_cache()


def candles(rows: int, seed: int = 1) -> dict[str, Floats]:
    """A random walk."""
    draw = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(draw.normal(0.0, 1e-3, rows)))
    opens = np.concatenate([close[:1], close[:-1]])
    return {
        "open": opens,
        "high": np.maximum(opens, close) * (1.0 + 1e-3 * draw.random(rows)),
        "low": np.minimum(opens, close) * (1.0 - 1e-3 * draw.random(rows)),
        "close": close,
        "volume": draw.exponential(5.0, rows),
    }


def block(names: list[str], rows: int, markets: int = 1) -> tuple[Table, Floats]:
    """A bound table, and columns with candles and stats: float64[markets, columns, rows]."""
    planned = plan(names, history=None)
    order = [*INPUTS, *(column.name for column in planned.columns)]
    table = planned.bind({name: row for row, name in enumerate(order)})
    floats = np.full((markets, len(order), rows), np.nan)
    for market in range(markets):
        floats[market, : len(INPUTS)] = list(candles(rows, market).values())
        run(table.ops, table.pars, floats[market], floats[market].view(np.int64), 0, rows)
    return table, floats


# -- a tick ----------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="a tick of sixteen stats, one market")
def bench_tick_ours(benchmark: Any) -> None:
    """How long does one call take that steps the newest row?"""
    table, floats = block(STATS, HISTORY)
    record, row = floats[0], HISTORY - 1
    benchmark(Stepper(table, record), row, row)
    assert np.isfinite(record[:, row]).all()


@pytest.mark.benchmark(group="a tick of sixteen stats, one market")
def bench_tick_nothing(benchmark: Any) -> None:
    """How much of it is Python's call, made for no stat at all?"""
    table, floats = block([], HISTORY)
    benchmark(Stepper(table, floats[0]), HISTORY - 1, HISTORY - 1)


@pytest.mark.benchmark(group="a tick of sixteen stats, one market")
def bench_tick_talipp(benchmark: Any) -> None:
    """How long do sixteen updates of talipp's take?"""
    rows = [OHLCV(*values) for values in zip(*candles(HISTORY).values(), strict=True)]
    closes = [row.close for row in rows]
    of_prices = [
        talipp.RSI(14),
        talipp.EMA(20),
        talipp.SMA(20),
        talipp.WMA(20),
        talipp.DEMA(20),
        talipp.MACD(12, 26, 9),
        talipp.BB(20, 2),
        talipp.ROC(10),
    ]
    of_candles = [
        talipp.ATR(14),
        talipp.Stoch(14, 3),
        talipp.CCI(14),
        talipp.Williams(14),
        talipp.ADX(14, 14),
        talipp.Aroon(25),
        talipp.OBV(),
        talipp.UO(7, 14, 28),
    ]
    assert len(of_prices) + len(of_candles) == len(STATS)
    for indicators, values in ((of_prices, closes), (of_candles, rows)):
        for indicator in indicators:
            for value in values:
                indicator.add(value)
    last, price = rows[-1], closes[-1]

    def tick() -> None:
        for indicator in of_prices:
            indicator.update(price)
        for indicator in of_candles:
            indicator.update(last)

    benchmark(tick)


@pytest.mark.benchmark(group="a tick of sixteen stats, one market")
def bench_tick_talib_peek(benchmark: Any) -> None:
    """How long do sixteen peeks of TA-Lib's handles take?"""
    rows = candles(HISTORY)
    _, h, l, c, v = (values[:-1].copy() for values in rows.values())
    hlc, hl, close = [[values[-1] for values in group] for group in ((h, l, c), (h, l), (c,))]
    with_volume = [c[-1], v[-1]]
    peeks: list[tuple[Callable[..., object], list[float]]] = [
        (stream.ATR(h, l, c, 14).peek, hlc),
        (stream.RSI(c, 14).peek, close),
        (stream.EMA(c, 20).peek, close),
        (stream.SMA(c, 20).peek, close),
        (stream.WMA(c, 20).peek, close),
        (stream.DEMA(c, 20).peek, close),
        (stream.MACD(c, 12, 26, 9).peek, close),
        (stream.BBANDS(c, 20, 2.0, 2.0).peek, close),
        (stream.STOCH(h, l, c, 14, 3, 0, 3, 0).peek, hlc),
        (stream.CCI(h, l, c, 14).peek, hlc),
        (stream.WILLR(h, l, c, 14).peek, hlc),
        (stream.ROC(c, 10).peek, close),
        (stream.ADX(h, l, c, 14).peek, hlc),
        (stream.PLUS_DI(h, l, c, 14).peek, hlc),
        (stream.MINUS_DI(h, l, c, 14).peek, hlc),
        (stream.AROON(h, l, 25).peek, hl),
        (stream.OBV(c, v).peek, with_volume),
        (stream.ULTOSC(h, l, c, 7, 14, 28).peek, hlc),
    ]

    def tick() -> None:
        for peek, values in peeks:
            peek(*values)

    benchmark(tick)


def recomputed(rows: dict[str, Floats]) -> None:
    """All sixteen by TA-Lib's batch functions."""
    h, l, c, v = rows["high"], rows["low"], rows["close"], rows["volume"]
    talib.ATR(h, l, c, 14)
    talib.RSI(c, 14)
    talib.EMA(c, 20)
    talib.SMA(c, 20)
    talib.WMA(c, 20)
    talib.DEMA(c, 20)
    talib.MACD(c, 12, 26, 9)
    talib.BBANDS(c, 20, 2.0, 2.0)
    talib.STOCH(h, l, c, fastk_period=14, slowk_period=3, slowd_period=3)
    talib.CCI(h, l, c, 14)
    talib.WILLR(h, l, c, 14)
    talib.ROC(c, 10)
    talib.ADX(h, l, c, 14)
    talib.PLUS_DI(h, l, c, 14)
    talib.MINUS_DI(h, l, c, 14)
    talib.AROON(h, l, 25)
    talib.OBV(c, v)
    talib.ULTOSC(h, l, c, 7, 14, 28)


@pytest.mark.benchmark(group="a tick of sixteen stats, one market")
def bench_tick_talib_recompute(benchmark: Any) -> None:
    """How long does TA-Lib take over all 1,440 rows again?"""
    benchmark(recomputed, candles(HISTORY))


# -- many rows -------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="a correction of the oldest of 1,440 rows, sixteen stats")
def bench_correction_ours(benchmark: Any) -> None:
    """How long does it take to step all of them again?"""
    table, floats = block(STATS, HISTORY)
    record = floats[0]
    benchmark(run, table.ops, table.pars, record, record.view(np.int64), 0, HISTORY)


@pytest.mark.benchmark(group="a correction of the oldest of 1,440 rows, sixteen stats")
def bench_correction_talib(benchmark: Any) -> None:
    """How long do TA-Lib's batch functions take?"""
    benchmark(recomputed, candles(HISTORY))


def _in_place(benchmark: Any, name: str) -> None:
    table, floats = block([name], MILLION)
    record = floats[0]
    benchmark(run, table.ops, table.pars, record, record.view(np.int64), 0, MILLION)


@pytest.mark.benchmark(group="ATR14 over 1,000,000 rows")
def bench_million_atr_ours(benchmark: Any) -> None:
    """How long in place, in a column block that is there?"""
    _in_place(benchmark, "ATR14")


@pytest.mark.benchmark(group="ATR14 over 1,000,000 rows")
def bench_million_atr_compute(benchmark: Any) -> None:
    """And from plain arrays, copied in and out?"""
    benchmark(compute, ["ATR14"], candles(MILLION))


@pytest.mark.benchmark(group="ATR14 over 1,000,000 rows")
def bench_million_atr_talib(benchmark: Any) -> None:
    """How long does TA-Lib's C function take?"""
    rows = candles(MILLION)
    benchmark(talib.ATR, rows["high"], rows["low"], rows["close"], 14)


@pytest.mark.benchmark(group="RSI14 over 1,000,000 rows")
def bench_million_rsi_ours(benchmark: Any) -> None:
    """How long in place, in a column block that is there?"""
    _in_place(benchmark, "RSI14")


@pytest.mark.benchmark(group="RSI14 over 1,000,000 rows")
def bench_million_rsi_compute(benchmark: Any) -> None:
    """And from a plain array, copied in and out?"""
    benchmark(compute, ["RSI14"], candles(MILLION))


@pytest.mark.benchmark(group="RSI14 over 1,000,000 rows")
def bench_million_rsi_talib(benchmark: Any) -> None:
    """How long does TA-Lib's C function take?"""
    benchmark(talib.RSI, candles(MILLION)["close"], 14)


# -- many markets ----------------------------------------------------------------------------------


def _each(ops: Any, pars: Any, floats: Any, integers: Any, row: int) -> None:
    for market in range(floats.shape[0]):
        step(ops, pars, floats[market], integers[market], row, row)


_all = njit(**{**OPTIONS, "cache": False})(_each)


@pytest.mark.benchmark(group="a new minute of 256 markets, sixteen stats")
def bench_markets_one_call(benchmark: Any) -> None:
    """How long does one call take that steps the newest row of every market?"""
    table, floats = block(STATS, 300, MARKETS)
    integers = floats.view(np.int64)
    _all(table.ops, table.pars, floats, integers, 299)
    benchmark(_all, table.ops, table.pars, floats, integers, 299)


@pytest.mark.benchmark(group="a new minute of 256 markets, sixteen stats")
def bench_markets_a_call_each(benchmark: Any) -> None:
    """And one call for each market?"""
    table, floats = block(STATS, 300, MARKETS)
    pairs = [(record, record.view(np.int64)) for record in floats]

    def tick() -> None:
        for record, integers in pairs:
            step(table.ops, table.pars, record, integers, 299, 299)

    benchmark(tick)
