"""Returns add up, keep their digits where nothing moves, and never divide by nothing."""

from __future__ import annotations

import math

import numpy as np

from indicators import compute
from oracles.markets import walk


def test_the_return_of_n_rows_is_the_sum_of_the_returns_between() -> None:
    values = compute(["LOGRET1", "LOGRET5"], walk(100.0))
    single = np.convolve(values["LOGRET1"][1:], np.ones(5), "valid")
    np.testing.assert_allclose(values["LOGRET5"][5:], single, rtol=1e-10, atol=1e-15)


def test_a_small_return_keeps_its_digits() -> None:
    close = [64.0, 64.0 + 2.0**-40]
    assert compute(["LOGRET1"], {"close": close})["LOGRET1"][1] == math.log1p(2.0**-46)


def test_a_volume_of_nothing_has_no_return() -> None:
    values = compute(["LOGRET1_volume", "RV2_volume"], {"volume": [0.0, 3.0, 0.0, 0.0, 6.0]})
    assert values["LOGRET1_volume"][1:].tolist() == [0.0] * 4
    assert values["RV2_volume"][2:].tolist() == [0.0] * 3


def test_realised_volatility_by_hand() -> None:
    values = compute(["RV2"], {"close": [1.0, math.e, 1.0, 1.0]})["RV2"]
    np.testing.assert_allclose(values[2:], [math.sqrt(2.0), 1.0], rtol=1e-15)


def test_it_grows_with_the_root_of_the_window() -> None:
    """A walk of 0.4 % a minute is one of 0.4 % · √n over n minutes."""
    values = compute(["RV100"], walk(100.0, 2000))["RV100"]
    assert abs(np.nanmean(values) / (0.004 * math.sqrt(100.0)) - 1.0) < 0.05
