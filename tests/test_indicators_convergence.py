"""Differences of averages: zero where nothing moves, whole from the first signal on."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute
from oracles.markets import flat, walk


def test_histogram_and_signal_add_up_to_the_line() -> None:
    values = compute(["MACD"], walk(100.0))
    line, signal, histogram = (values[f"MACD{letter}12_26_9"] for letter in ("", "s", "h"))
    np.testing.assert_allclose(signal + histogram, line, rtol=1e-12, atol=1e-15)
    assert [int(np.isnan(v).sum()) for v in values.values()] == [33, 33, 33]


@pytest.mark.parametrize("price", [1e-8, 0.1, 12345.6, 1e8])
def test_a_flat_market_has_no_difference_to_the_last_bit(price: float) -> None:
    values = compute(["MACD3_7_4", "PPO3_7", "TRIX3"], flat(price, 60))
    for column in values.values():
        assert set(column[~np.isnan(column)]) == {0.0}


def test_the_order_of_fast_and_slow_does_not_matter() -> None:
    rows = walk(100.0)
    values = compute(["MACD12_26_9", "MACD26_12_9", "PPO12_26", "PPO26_12"], rows)
    assert np.array_equal(values["MACDh12_26_9"], values["MACDh26_12_9"], equal_nan=True)
    assert np.array_equal(values["PPO12_26"], values["PPO26_12"], equal_nan=True)


def test_averages_of_no_volume_differ_by_nothing() -> None:
    values = compute(["PPO3_7_volume", "TRIX3_volume", "MACD3_7_4_volume"], flat(1.0, 60))
    for column in values.values():
        assert set(column[~np.isnan(column)]) == {0.0}
