"""ATR counts gaps, needs no movement to be defined, and settles as it says."""

from __future__ import annotations

import numpy as np

from indicators import compute, plan


def test_a_gap_counts_as_range() -> None:
    price = np.array([10.0, 20.0, 5.0])
    values = compute(["ATR1"], {"high": price, "low": price, "close": price})["ATR1"]
    assert values[1:].tolist() == [10.0, 15.0]


def test_a_flat_market_has_no_range() -> None:
    flat = np.full(30, 3.3)
    values = compute(["ATR14"], {"high": flat, "low": flat, "close": flat})["ATR14"]
    assert values[14:].tolist() == [0.0] * 16


def test_the_first_value_is_the_mean_of_the_first_n_ranges() -> None:
    high = np.array([5.0, 6.0, 8.0, 11.0])
    low = high - 1.0
    values = compute(["ATR3"], {"high": high, "low": low, "close": low})["ATR3"]
    assert np.isnan(values[:3]).all()
    assert values[3] == (2.0 + 3.0 + 4.0) / 3.0


def test_two_origins_agree_after_the_run_up() -> None:
    draw = np.random.default_rng(2)
    close = 100.0 * np.exp(np.cumsum(draw.normal(0.0, 0.01, 1200)))
    rows = {"high": close + draw.random(1200), "low": close - draw.random(1200), "close": close}
    runup = plan(["ATR14"], history=1440).runup
    early = compute(["ATR14"], rows)["ATR14"]
    late = compute(["ATR14"], {name: c[200:] for name, c in rows.items()})["ATR14"]
    np.testing.assert_allclose(late[runup:], early[200 + runup :], rtol=1e-9)
