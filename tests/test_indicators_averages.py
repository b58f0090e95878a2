"""Moving averages leave no trace of what is out of their window, and settle as they say."""

from __future__ import annotations

import numpy as np

from indicators import compute, plan


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
