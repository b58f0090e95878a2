"""Every kernel equals its readable twin and TA-Lib's batch function, at every row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import talib

from indicators import compute, default_registry
from indicators.twins import TWINS, twin

Floats = npt.NDArray[np.float64]
Rows = dict[str, Floats]

# 41 minutes of AAVE's perpetual, open, high, low, close, volume, from 2025-07-22T17:41Z on.
REAL = """
    305.06,305.06,304.35,304.45,159.51
    304.48,304.86,304.48,304.7,27.82
    304.85,305.34,304.85,305.32,21.83
    304.89,305.02,304.73,304.81,15.42
    304.78,304.91,304.44,304.63,17.68
    304.42,304.73,304.35,304.42,8.38
    304.45,304.45,304.08,304.28,32.69
    304.37,304.74,304.37,304.67,26.16
    304.33,304.49,304.14,304.14,6.04
    304.29,304.47,304.27,304.47,7.13
    304.39,304.61,304.35,304.52,18.76
    304.42,304.8,304.42,304.8,22.73
    304.85,304.87,304.68,304.87,8.15
    304.9,305.23,304.78,305.22,14.02
    305.11,305.22,304.87,305.22,11.39
    305.17,305.51,305.13,305.14,9.01
    305.19,305.55,305.07,305.55,18.06
    305.55,305.61,304.97,305.07,21.43
    304.94,304.94,304.94,304.94,0.06
    304.77,305.0,304.77,304.98,25.45
    304.93,304.93,304.61,304.67,64.55
    304.7,305.44,304.7,305.26,4.12
    305.14,305.14,304.72,304.72,5.5
    304.79,304.79,304.63,304.63,1.37
    304.57,304.85,304.57,304.85,1.04
    304.92,305.23,304.92,305.23,10.18
    305.41,305.69,305.41,305.69,0.2
    305.8,305.95,305.41,305.46,136.69
    305.43,305.43,305.17,305.3,7.59
    304.84,304.84,303.91,303.91,21.02
    303.84,304.09,303.62,304.09,72.77
    304.04,304.14,303.87,304.05,205.58
    303.98,304.83,303.82,304.83,353.97
    304.96,305.61,304.96,305.44,18.38
    305.05,305.32,304.99,304.99,12.22
    304.85,304.91,304.44,304.44,43.4
    304.43,305.19,304.35,304.35,24.79
    304.23,304.81,303.67,304.81,103.09
    304.56,304.75,304.5,304.58,18.83
    304.49,304.58,304.02,304.39,465.59
    304.49,304.83,304.42,304.83,8.29
"""


def candles(closes: Floats, seed: int = 1, spread: float = 0.002) -> Rows:
    """Dress closes up as candles: opens a gap away from the close before, wicks around both."""
    draw = np.random.default_rng(seed)
    opens = np.concatenate([closes[:1], closes[:-1]]) * draw.normal(1.0, 2 * spread, closes.size)
    reach = 1.0 + np.abs(draw.normal(0.0, spread, (2, closes.size)))
    return {
        "open": opens,
        "high": np.maximum(opens, closes) * reach[0],
        "low": np.minimum(opens, closes) / reach[1],
        "close": closes,
        "volume": draw.exponential(10.0, closes.size),
    }


def walk(scale: float, rows: int = 600, seed: int = 2) -> Rows:
    steps = np.random.default_rng(seed).normal(0.0, 0.004, rows)
    return candles(scale * np.exp(np.cumsum(steps)), seed)


def flat(price: float, rows: int = 300) -> Rows:
    return {name: np.full(rows, price) for name in ("open", "high", "low", "close")} | {
        "volume": np.zeros(rows)
    }


def silent() -> Rows:
    """A market that moves, falls silent for hours, moves once and falls silent again."""
    rows = walk(64.0, 80)
    still = flat(64.0, 900)
    still["high"][500] = still["close"][500] = 64.5
    return {name: np.concatenate([rows[name], still[name]]) for name in rows}


def gaps() -> Rows:
    steps = np.random.default_rng(3).normal(0.0, 0.01, 400)
    steps[[50, 51, 200, 333]] = [2.0, -2.5, 1.0, -3.0]
    return candles(10.0 * np.exp(np.cumsum(steps)), 3)


def sparse_volume() -> Rows:
    rows = walk(1.0, 500, 5)
    rows["volume"][np.random.default_rng(5).random(500) < 0.6] = 0.0
    rows["volume"][120:260] = 0.0
    return rows


def real() -> Rows:
    table = np.array([[float(x) for x in line.split(",")] for line in REAL.split()])
    names = ("open", "high", "low", "close", "volume")
    return {name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(names)}


MARKETS: dict[str, Callable[[], Rows]] = {
    "walk at 1e-8": lambda: walk(1e-8),
    "walk at 1e-4": lambda: walk(1e-4),
    "walk at 1": lambda: walk(1.0),
    "walk at 1e5": lambda: walk(1e5),
    "walk at 1e8": lambda: walk(1e8),
    "flat": lambda: flat(0.1),
    "flat and tiny": lambda: flat(1e-8),
    "silent": silent,
    "gaps": gaps,
    "sparse volume": sparse_volume,
    "real": real,
}

DERIVED: dict[str, Callable[[Rows], Floats]] = {
    "hl2": lambda rows: talib.MEDPRICE(rows["high"], rows["low"]),
    "hlc3": lambda rows: talib.TYPPRICE(rows["high"], rows["low"], rows["close"]),
    "ohlc4": lambda rows: talib.AVGPRICE(rows["open"], rows["high"], rows["low"], rows["close"]),
}


def talib_rsi(values: Floats, n: int) -> Floats:
    """TA-Lib's RSI but for 0/0, its 0: where mirrored prices are at 0 as well, nothing moved."""
    result: Floats = talib.RSI(values, n)
    mirrored = talib.RSI(-values, n)
    result[(result == 0.0) & (mirrored == 0.0)] = 50.0
    return result


def oracle(text: str, rows: Rows) -> Floats:
    """TA-Lib's values of a stat of ours."""
    stat = default_registry().resolve(text)
    n = int(stat.values[0])
    values = [DERIVED[name](rows) if name in DERIVED else rows[name] for name in stat.inputs]
    functions: dict[str, Callable[..., Floats]] = {
        "ATR": talib.ATR,
        "EMA": talib.EMA,
        "RSI": talib_rsi,
        "SMA": talib.SMA,
    }
    return functions[stat.definition.name](*values, n)


def assert_equal(found: Floats, expected: Floats, relative: float, absolute: float = 0.0) -> None:
    """Same rows NaN, the others within the tolerance (1e-300: subnormals are flushed to zero)."""
    assert found.shape == expected.shape
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=relative, atol=max(absolute, 1e-300))


def residue(text: str, rows: Rows) -> float:
    """What TA-Lib's running sum of an SMA may keep of values that have left the window."""
    if not text.startswith("SMA"):
        return 0.0
    column = text.partition("_")[2] or "close"
    return 1e-13 * float(np.max(rows.get(column, rows["high"]), initial=0.0))


PERIODS = (1, 2, 3, 5, 14, 37)
INPUTS = ("open", "high", "low", "volume", "hl2", "hlc3", "ohlc4")


@pytest.mark.parametrize("market", MARKETS)
def test_kernel_twin_and_talib_agree_at_every_row_and_period(market: str) -> None:
    rows = MARKETS[market]()
    lists = {name: values.tolist() for name, values in rows.items()}
    for letters in ("ATR", "RSI", "EMA", "SMA"):
        for n in PERIODS:
            name = f"{letters}{n}"
            found = compute([name], rows)[name]
            assert_equal(found, np.array(twin(name, lists)[0]), 1e-11)
            if name != "RSI1":  # TA-Lib refuses this one
                assert_equal(found, oracle(name, rows), 1e-11, residue(name, rows))


@pytest.mark.parametrize("selected", INPUTS)
@pytest.mark.parametrize("market", ["walk at 1e-8", "gaps", "sparse volume", "real"])
def test_every_input_gives_the_stat_of_that_column(market: str, selected: str) -> None:
    rows = MARKETS[market]()
    lists = {name: values.tolist() for name, values in rows.items()}
    for base in ("RSI5", "EMA9", "SMA20"):
        name = f"{base}_{selected}"
        found = compute([name], rows)[name]
        # A derived price is rounded; its change, which RSI is made of, is a thousandth of it.
        relative = 1e-9 if name.startswith("RSI") else 1e-11
        assert_equal(found, np.array(twin(name, lists)[0]), relative)
        assert_equal(found, oracle(name, rows), relative, residue(name, rows))


@pytest.mark.parametrize("letters", ["ATR", "RSI", "EMA", "SMA"])
@pytest.mark.parametrize("n", [2, 5, 14])
def test_short_histories_are_nan_where_talib_is(letters: str, n: int) -> None:
    for length in (0, 1, n - 1, n, n + 1, n + 2):
        rows = {name: values[:length] for name, values in walk(1.0).items()}
        name = f"{letters}{n}"
        found = compute([name], rows)[name]
        assert_equal(found, oracle(name, rows), 1e-11)
        lists = {column: values.tolist() for column, values in rows.items()}
        assert_equal(found, np.array(twin(name, lists)[0]), 1e-11)


def test_first_value_is_at_the_declared_warm_up() -> None:
    rows = walk(1.0)
    for text in ("ATR14", "ATR1", "RSI14", "RSI1", "EMA9", "EMA1", "SMA20", "SMA1", "EMA9_hl2"):
        values = compute([text], rows)[text]
        assert int(np.isnan(values).sum()) == default_registry().resolve(text).warmup
        assert not np.isnan(values[-1])


def test_every_stat_has_a_twin() -> None:
    assert {definition.name for definition in default_registry()} <= set(TWINS)
