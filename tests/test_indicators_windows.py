"""Statistics of a window: exact where a window is flat or a line, at any distance from zero."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute

NAMES = ["STDDEV20", "VAR20", "ZSCORE20", "SLOPE14"]


@pytest.mark.parametrize("price", [1e-8, 0.1, 1.1, 12345.6, 1e8])
def test_a_flat_window_has_no_spread_to_the_last_bit(price: float) -> None:
    values = compute([*NAMES, "LINREG14"], {"close": np.full(60, price)})
    for name in NAMES:
        assert set(values[name][19:]) == {0.0}
    assert set(values["LINREG14"][13:]) == {price}


@pytest.mark.parametrize("level", [1.0, 2.0**20, 2.0**40])
def test_the_spread_does_not_depend_on_the_level(level: float) -> None:
    """Not to a bit, as long as the values themselves are not rounded."""
    steps = np.random.default_rng(3).integers(-8, 9, 200) / 64.0
    low = compute(NAMES, {"close": 1.0 + steps})
    high = compute(NAMES, {"close": level + steps})
    for name in NAMES:
        assert np.array_equal(low[name], high[name], equal_nan=True)


def test_a_line_is_its_own_regression() -> None:
    line = 5.0 + 0.25 * np.arange(50)
    values = compute(["SLOPE14", "LINREG14"], {"close": line})
    assert set(values["SLOPE14"][13:]) == {0.25}
    assert np.array_equal(values["LINREG14"][13:], line[13:])


def test_scores_by_hand() -> None:
    values = compute(["ZSCORE4", "STDDEV4", "VAR4"], {"close": [1.0, 1.0, 1.0, 5.0]})
    assert values["VAR4"][3] == 3.0
    assert values["STDDEV4"][3] == np.sqrt(3.0)
    assert values["ZSCORE4"][3] == pytest.approx(np.sqrt(3.0), rel=1e-15)


def test_what_a_derived_price_rounds_off_is_no_spread() -> None:
    """Open and close change places: the four sum up to the same, not always to the same bits."""
    draw = np.random.default_rng(7)
    for low, high in draw.uniform(1.0, 2.0, (20, 2)):
        one, other = np.resize([low, high], 30), np.resize([high, low], 30)
        wide, deep = np.full(30, max(low, high) * 1.1), np.full(30, min(low, high) * 0.9)
        rows = {"open": one, "high": wide, "low": deep, "close": other}
        values = compute(["ZSCORE5_ohlc4", "BB5_2_ohlc4"], rows)
        assert set(values["ZSCORE5_ohlc4"][4:]) == {0.0}
        assert set(values["BBp5_2_ohlc4"][4:]) == {0.5}
