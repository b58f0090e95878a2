"""Derived prices are TA-Lib's to the bit, and one private column serves all that name it."""

from __future__ import annotations

import numpy as np
import talib

from indicators import compute, plan
from indicators.inputs import DERIVED, SELECTABLE

DRAW = np.random.default_rng(1)
LOW = DRAW.uniform(1.0, 2.0, 500)
HIGH = LOW + DRAW.uniform(0.0, 1.0, 500)
OPEN, CLOSE = DRAW.uniform(LOW, HIGH), DRAW.uniform(LOW, HIGH)
ROWS = {"open": OPEN, "high": HIGH, "low": LOW, "close": CLOSE}


def test_derived_prices_are_talibs() -> None:
    expected = {
        "hl2": talib.MEDPRICE(HIGH, LOW),
        "hlc3": talib.TYPPRICE(HIGH, LOW, CLOSE),
        "ohlc4": talib.AVGPRICE(OPEN, HIGH, LOW, CLOSE),
    }
    assert expected.keys() == DERIVED.keys() <= set(SELECTABLE)
    for name, values in expected.items():
        found = compute([f"SMA1_{name}"], ROWS)[f"SMA1_{name}"]
        np.testing.assert_allclose(found, values, rtol=4e-16)


def test_one_private_column_serves_all_that_name_it() -> None:
    planned = plan(["EMA20_hlc3", "SMA5_hlc3", "RSI5_hl2"], history=1440)
    private = [column.name for column in planned.columns if column.private]
    assert private == ["_hlc3", "_hl2", "_RSI5_hl2_gain", "_RSI5_hl2_loss"]
    assert len(planned.operations) == 5
    assert planned.inputs == ("high", "low", "close")
