"""`compute` serves plain arrays of any kind and leaves them as they were."""

from __future__ import annotations

import numpy as np

from indicators import compute

CLOSE = np.random.default_rng(1).normal(100.0, 1.0, 60)
ROWS = {"high": CLOSE + 1.0, "low": CLOSE - 1.0, "close": CLOSE, "volume": np.arange(60)}


def test_lists_integers_and_strided_arrays_serve_like_float_arrays() -> None:
    expected = compute(["SMA3_volume"], {"volume": np.arange(60.0)})["SMA3_volume"]
    for volume in (np.arange(60), list(range(60)), np.arange(120.0)[::2] / 2.0):
        found = compute(["SMA3_volume"], {"volume": volume})["SMA3_volume"]
        assert np.array_equal(found, expected, equal_nan=True)


def test_the_given_arrays_are_not_written() -> None:
    close = CLOSE.copy()
    close.flags.writeable = False
    values = compute(["EMA5"], {"close": close})["EMA5"]
    assert values.flags.writeable
    assert np.array_equal(close, CLOSE)


def test_adding_a_stat_changes_no_bit_of_the_others() -> None:
    names = ["ATR14", "RSI5", "EMA9_hlc3", "SMA20", "RSI14_volume"]
    together = compute(names, ROWS)
    assert list(together) == names
    for name in names:
        assert np.array_equal(compute([name], ROWS)[name], together[name], equal_nan=True)


def test_no_stat_gives_no_column() -> None:
    assert compute([], ROWS) == {}
