"""Bands lie around their middle; a flat market closes them and is in the middle of them."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute
from oracles.markets import flat, walk


def test_bollingers_by_hand() -> None:
    values = compute(["BB3_2"], {"close": [1.0, 3.0, 8.0, 4.0]})
    deviation = np.sqrt(26.0 / 3.0)
    assert values["BBm3_2"][2] == 4.0
    assert values["BBu3_2"][2] == pytest.approx(4.0 + 2.0 * deviation, rel=1e-15)
    assert values["BBl3_2"][2] == pytest.approx(4.0 - 2.0 * deviation, rel=1e-15)
    assert values["BBw3_2"][2] == pytest.approx(100.0 * deviation, rel=1e-15)
    assert values["BBp3_2"][2] == pytest.approx(0.5 + 1.0 / deviation, rel=1e-15)
    assert all(np.isnan(column[:2]).all() for column in values.values())


@pytest.mark.parametrize("price", [1e-8, 0.1, 12345.6, 1e8])
def test_a_flat_market_is_in_the_middle_of_bands_without_width(price: float) -> None:
    values = compute(["BB20_2", "KC20_10_2", "DC20"], flat(price, 60))
    for name in ("BBu20_2", "BBm20_2", "BBl20_2", "DCu20", "DCm20", "DCl20"):
        assert set(values[name][19:]) == {price}
    # The typical price is a third of three times the price.
    typical = compute(["SMA1_hlc3"], flat(price, 1))["SMA1_hlc3"][0]
    for name in ("KCu20_10_2", "KCm20_10_2", "KCl20_10_2"):
        np.testing.assert_allclose(values[name][19:], typical, rtol=1e-15)
    assert set(values["BBw20_2"][19:]) == {0.0}
    assert set(values["BBp20_2"][19:]) == {0.5}


def test_the_place_is_none_at_the_lower_band_and_one_at_the_upper() -> None:
    rows = walk(100.0)
    values = compute(["BB20_2"], rows)
    upper, lower, place = (values[f"BB{letter}20_2"][19:] for letter in "ulp")
    np.testing.assert_allclose(lower + place * (upper - lower), rows["close"][19:], rtol=1e-13)


def test_bands_of_no_deviations_are_their_middle() -> None:
    values = compute(["BB5_0"], walk(100.0))
    assert np.array_equal(values["BBu5_0"], values["BBm5_0"], equal_nan=True)
    assert set(values["BBp5_0"][4:]) == {0.5}


def test_a_keltner_channel_takes_another_middle() -> None:
    values = compute(["KC20_10_2_close", "EMA20", "KC20_10_2"], walk(100.0))
    assert np.array_equal(values["KCm20_10_2_close"], values["EMA20"], equal_nan=True)
    first, second = (values[name] for name in ("KCu20_10_2_close", "KCu20_10_2"))
    np.testing.assert_allclose(
        first - values["KCm20_10_2_close"], second - values["KCm20_10_2"], rtol=1e-10
    )


def test_a_donchian_channel_holds_every_candle_of_its_window() -> None:
    rows = walk(100.0)
    values = compute(["DC20"], rows)
    windows = np.lib.stride_tricks.sliding_window_view
    assert np.array_equal(values["DCu20"][19:], windows(rows["high"], 20).max(axis=1))
    assert np.array_equal(values["DCl20"][19:], windows(rows["low"], 20).min(axis=1))
