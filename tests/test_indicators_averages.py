"""Moving averages leave no trace of what is out of their window, and settle as they say."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute, plan
from oracles.markets import flat


def test_a_spike_leaves_no_trace_in_an_sma_once_out_of_its_window() -> None:
    clean = np.random.default_rng(1).normal(100.0, 1.0, 200)
    spiked = clean.copy()
    spiked[50] = 1e12
    before, after = (compute(["SMA10"], {"close": c})["SMA10"] for c in (clean, spiked))
    assert np.array_equal(before[60:], after[60:])
    assert not np.any(before[50:60] == after[50:60])


def test_period_one_is_the_input_itself() -> None:
    close = np.random.default_rng(1).normal(100.0, 1.0, 50)
    assert np.array_equal(compute(["SMA1"], {"close": close})["SMA1"], close)
    np.testing.assert_allclose(compute(["EMA1"], {"close": close})["EMA1"], close, rtol=1e-15)


def test_two_origins_agree_after_the_run_up() -> None:
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.01, 1200)))
    for name in ("EMA20", "EMA50", "SMA30"):
        runup = plan([name], history=1440).runup
        early = compute([name], {"close": close})[name]
        late = compute([name], {"close": close[333:]})[name]
        np.testing.assert_allclose(late[runup:], early[333 + runup :], rtol=1e-9)


@pytest.mark.parametrize("price", [1e-8, 0.1, 1.1, 12345.6, 1e8])
def test_the_average_of_a_flat_market_is_its_price_to_the_last_bit(price: float) -> None:
    names = [f"{letters}7" for letters in ("SMA", "EMA", "RMA", "WMA", "HMA", "DEMA", "TEMA")]
    names += ["KAMA7", "VWMA7", "VWAP_close", "VWAP7_close"]
    rows = {**flat(price, 60), "volume": np.random.default_rng(1).exponential(1.0, 60)}
    for name, values in compute(names, rows).items():
        assert set(values[~np.isnan(values)]) == {price}, name


def test_a_hull_average_lags_two_thirds_of_a_row_where_the_plain_one_lags_seven() -> None:
    line = 5.0 + 3.0 * np.arange(60)
    values = compute(["HMA16", "SMA15"], {"close": line})
    np.testing.assert_allclose(values["HMA16"][18:], line[18:] - 2.0, rtol=1e-14)
    np.testing.assert_allclose(values["SMA15"][14:], line[14:] - 21.0, rtol=1e-14)


def test_an_adaptive_average_is_fast_on_a_straight_way_and_slow_to_and_fro() -> None:
    line, zigzag = 100.0 + np.arange(60.0), 100.0 + np.arange(60) % 2
    fast, slow = (compute(["KAMA10"], {"close": close})["KAMA10"] for close in (line, zigzag))
    weight = (2.0 / 3.0) ** 2
    # A step a row: behind by what the weight leaves of it, row after row.
    np.testing.assert_allclose(line[59] - fast[59], (1.0 - weight) / weight, rtol=1e-9)
    assert np.abs(np.diff(slow[10:])).max() < (2.0 / 31.0) ** 2
