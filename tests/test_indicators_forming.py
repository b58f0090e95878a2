"""The forming candle: at each of 100,000 ticks the stats are what TA-Lib's peek handles say."""

from __future__ import annotations

from typing import Any

import numpy as np
from talib import stream

from indicators import plan
from indicators.dispatch import run, step
from oracles.markets import Floats, walk

HISTORY, MINUTES, TICKS = 200, 500, 200

# Ours, TA-Lib's function with its inputs and parameters, and which of our columns its outputs are.
HLC = ("high", "low", "close")
HANDLES: tuple[tuple[str, str, tuple[str, ...], tuple[float, ...], tuple[str, ...]], ...] = (
    ("SMA20", "SMA", ("close",), (20,), ("SMA20",)),
    ("EMA20", "EMA", ("close",), (20,), ("EMA20",)),
    ("RMA14", "RMA", ("close",), (14,), ("RMA14",)),
    ("WMA20", "WMA", ("close",), (20,), ("WMA20",)),
    ("HMA20", "HMA", ("close",), (20,), ("HMA20",)),
    ("DEMA10", "DEMA", ("close",), (10,), ("DEMA10",)),
    ("TEMA10", "TEMA", ("close",), (10,), ("TEMA10",)),
    ("KAMA10", "KAMA", ("close",), (10,), ("KAMA10",)),
    ("VWMA20", "VWMA", ("close", "volume"), (20,), ("VWMA20",)),
    ("MACD", "MACD", ("close",), (12, 26, 9), ("MACD12_26_9", "MACDs12_26_9", "MACDh12_26_9")),
    ("PPO", "PPO", ("close",), (12, 26), ("PPO12_26",)),
    ("TRIX15", "TRIX", ("close",), (15,), ("TRIX15",)),
    ("RSI14", "RSI", ("close",), (14,), ("RSI14",)),
    ("MOM10", "MOM", ("close",), (10,), ("MOM10",)),
    ("ROC10", "ROC", ("close",), (10,), ("ROC10",)),
    ("CCI14", "CCI", HLC, (14,), ("CCI14",)),
    ("WILLR14", "WILLR", HLC, (14,), ("WILLR14",)),
    ("STOCH", "STOCH", HLC, (14, 3, 0, 3, 0), ("STOCHk14_3_3", "STOCHd14_3_3")),
    ("UO", "ULTOSC", HLC, (7, 14, 28), ("UO7_14_28",)),
    ("MFI14", "MFI", (*HLC, "volume"), (14,), ("MFI14",)),
    ("ADX14", "ADX", HLC, (14,), ("ADX14",)),
    ("ADX14", "PLUS_DI", HLC, (14,), ("ADXp14",)),
    ("ADX14", "MINUS_DI", HLC, (14,), ("ADXm14",)),
    ("AROON25", "AROON", ("high", "low"), (25,), ("AROONd25", "AROONu25")),
    ("ATR14", "ATR", HLC, (14,), ("ATR14",)),
    ("NATR14", "NATR", HLC, (14,), ("NATR14",)),
    ("TRUERANGE", "TRANGE", HLC, (), ("TRUERANGE",)),
    ("BB20_2", "BBANDS", ("close",), (20, 2.0, 2.0), ("BBu20_2", "BBm20_2", "BBl20_2")),
    ("KC", "KC", HLC, (20, 10, 2.0), ("KCu20_10_2", "KCm20_10_2", "KCl20_10_2")),
    ("DC20", "DONCHIAN", ("high", "low"), (20,), ("DCu20", "DCm20", "DCl20")),
    ("SUPERT", "SUPERTREND", HLC, (10, 3.0), ("SUPERT10_3", "SUPERTd10_3")),
    ("SAR", "SAR", ("high", "low"), (0.02, 0.2), ("SAR0p02_0p2",)),
    ("OBV", "OBV", ("close", "volume"), (), ("OBV",)),
    ("AD", "AD", (*HLC, "volume"), (), ("AD",)),
    ("ADOSC", "ADOSC", (*HLC, "volume"), (3, 10), ("ADOSC3_10",)),
    ("CMF20", "CMF", (*HLC, "volume"), (20,), ("CMF20",)),
    ("STDDEV20", "STDDEV", ("close",), (20, 1.0), ("STDDEV20",)),
    ("VAR20", "VAR", ("close",), (20,), ("VAR20",)),
    ("LINREG14", "LINEARREG", ("close",), (14,), ("LINREG14",)),
    ("SLOPE14", "LINEARREG_SLOPE", ("close",), (14,), ("SLOPE14",)),
)

INPUTS = ("open", "high", "low", "close", "volume")


def ticks(candle: Floats, draw: np.random.Generator) -> Floats:
    """States of a forming candle, float64[TICKS, inputs]: the last one is how it closes."""
    opened, high, low, close, volume = candle
    states = np.empty((TICKS, len(INPUTS)))
    prices = draw.uniform(low, high, TICKS)
    prices[draw.choice(TICKS - 1, 2, replace=False)] = high, low
    prices[-1] = close
    states[:, 0] = opened
    states[:, 1] = np.maximum(np.maximum.accumulate(prices), opened)
    states[:, 2] = np.minimum(np.minimum.accumulate(prices), opened)
    states[:, 3] = prices
    states[:, 4] = volume * np.linspace(0.01, 1.0, TICKS)
    return states


def as_tuple(values: Any) -> tuple[float, ...]:
    return tuple(values) if isinstance(values, tuple) else (values,)


def test_the_stats_of_every_tick_are_those_of_talibs_peek_handles() -> None:
    market = walk(300.0, HISTORY + MINUTES, 12)
    block = np.array([market[name] for name in INPUTS])
    planned = plan([name for name, *_ in HANDLES], history=None)
    order = (*INPUTS, *(column.name for column in planned.columns))
    index = {name: row for row, name in enumerate(order)}
    table = planned.bind(index)
    floats = np.full((len(order), HISTORY + MINUTES), np.nan)
    ints = floats.view(np.int64)
    floats[: len(INPUTS), :HISTORY] = block[:, :HISTORY]
    run(table.ops, table.pars, floats, ints, 0, HISTORY)

    handles, given, wanted = [], [], []
    for _, function, inputs, parameters, outputs in HANDLES:
        history = [np.ascontiguousarray(market[name][:HISTORY]) for name in inputs]
        handles.append(getattr(stream, function)(*history, *parameters))
        given.append([INPUTS.index(name) for name in inputs])
        wanted += [index[name] for name in outputs]
    draw = np.random.default_rng(12)
    found = np.empty((MINUTES * TICKS, len(wanted)))
    expected = np.empty_like(found)
    row = 0
    for minute in range(HISTORY, HISTORY + MINUTES):
        for state in ticks(block[:, minute], draw):
            floats[: len(INPUTS), minute] = state
            step(table.ops, table.pars, floats, ints, minute, minute)
            found[row] = floats[wanted, minute]
            values = state.tolist()
            expected[row] = [
                value
                for handle, places in zip(handles, given, strict=True)
                for value in as_tuple(handle.peek(*(values[place] for place in places)))
            ]
            row += 1
        closed = block[:, minute].tolist()
        for handle, places in zip(handles, given, strict=True):
            handle.update(*(closed[place] for place in places))
    assert row == 100_000
    # TA-Lib's running sums have come a long way by then: near zero they are as exact as elsewhere.
    scale = np.abs(expected).max(axis=0)
    apart = np.abs(found - expected) - 1e-9 * np.abs(expected) - 1e-10 * scale
    names = [order[column] for column in wanted]
    assert [n for n, most in zip(names, apart.max(axis=0), strict=True) if not most <= 0.0] == []
