"""RSI where it is not TA-Lib's: flat windows, one-row windows, silent markets."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute, plan


@pytest.mark.parametrize("price", [1e-8, 0.1, 1.0, 12345.6, 1e8])
@pytest.mark.parametrize("name", ["RSI2", "RSI14", "RSI5_ohlc4"])
def test_a_window_without_change_is_the_middle(price: float, name: str) -> None:
    flat = np.full(40, price)
    rows = dict.fromkeys(("open", "high", "low", "close"), flat)
    values = compute([name], rows)[name]
    assert set(values[~np.isnan(values)]) == {50.0}


def test_a_window_without_volume_is_the_middle() -> None:
    values = compute(["RSI3_volume"], {"volume": np.zeros(10)})["RSI3_volume"]
    assert values[3:].tolist() == [50.0] * 7


def test_only_rises_are_100_and_only_falls_0() -> None:
    rise = np.linspace(1.0, 2.0, 30)
    assert set(compute(["RSI5"], {"close": rise})["RSI5"][5:]) == {100.0}
    assert set(compute(["RSI5"], {"close": rise[::-1]})["RSI5"][5:]) == {0.0}


def test_a_period_of_one_is_the_direction_of_the_last_change() -> None:
    values = compute(["RSI1"], {"close": np.array([1.0, 2.0, 2.0, 1.5])})["RSI1"]
    assert np.isnan(values[0])
    assert values[1:].tolist() == [100.0, 50.0, 0.0]


@pytest.mark.parametrize("exponent", [-27, -13, 13, 27])
def test_the_scale_of_prices_does_not_change_a_bit(exponent: int) -> None:
    steps = np.random.default_rng(1).normal(0.0, 0.01, 300)
    close = np.exp(np.cumsum(steps))
    close[100:] = close[100]
    expected = compute(["RSI7"], {"close": close})["RSI7"]
    assert np.array_equal(
        compute(["RSI7"], {"close": close * 2.0**exponent})["RSI7"], expected, equal_nan=True
    )


@pytest.mark.parametrize("name", ["RSI5", "RSI14"])
def test_two_origins_agree_after_the_run_up(name: str) -> None:
    steps = np.random.default_rng(4).normal(0.0, 0.01, 1500)
    steps[::3] = 0.0
    close = 100.0 * np.exp(np.cumsum(steps))
    early = compute([name], {"close": close})[name]
    runup = plan([name], history=1440).runup
    for origin in (1, 100, 590):
        late = compute([name], {"close": close[origin:]})[name]
        np.testing.assert_allclose(late[runup:], early[origin + runup :], rtol=1e-8)


def test_a_silent_market_keeps_the_ratio_of_its_last_movements() -> None:
    close = np.concatenate([np.random.default_rng(4).normal(100.0, 1.0, 50), np.full(1500, 100.0)])
    values = compute(["RSI14"], {"close": close})["RSI14"]
    np.testing.assert_allclose(values[51:], values[51], rtol=1e-11)
    assert values[51] != 50.0


def test_rounding_of_a_derived_price_is_no_movement() -> None:
    """Open and close change places: the four sum up to the same, not always to the same bits."""
    draw = np.random.default_rng(7)
    for low, high in draw.uniform(1.0, 2.0, (20, 2)):
        one, other = np.resize([low, high], 20), np.resize([high, low], 20)
        wide, deep = np.full(20, max(low, high) * 1.1), np.full(20, min(low, high) * 0.9)
        rows = {"open": one, "high": wide, "low": deep, "close": other}
        assert set(compute(["RSI5_ohlc4"], rows)["RSI5_ohlc4"][5:]) == {50.0}


def test_averages_of_a_silent_market_reach_zero_instead_of_subnormals() -> None:
    volume = np.zeros(4000)
    volume[3] = 1.0
    values = compute(["RSI2_volume", "EMA2_volume"], {"volume": volume})
    assert values["RSI2_volume"][-1] == 50.0
    assert values["EMA2_volume"][-1] == 0.0
