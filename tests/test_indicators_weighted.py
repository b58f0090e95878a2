"""Averages by volume: what counts is what was traded, since midnight or in the window."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute, plan
from oracles.markets import Rows, walk

MINUTE = 60_000
DAY = 1440 * MINUTE


def around_midnight(before: int, count: int) -> Rows:
    """Candles whose first row is that many minutes before midnight."""
    rows = walk(100.0, count, 21)
    rows["time"] = DAY + MINUTE * (np.arange(count) - before)
    return rows


def test_a_day_begins_anew_at_midnight_utc() -> None:
    rows = around_midnight(5, 20)
    values = compute(["VWAP"], rows)["VWAP"]
    alone = compute(["VWAP"], {name: column[5:] for name, column in rows.items()})["VWAP"]
    assert np.array_equal(values[5:], alone)
    assert not np.array_equal(values[:5], compute(["VWAP"], around_midnight(0, 5))["VWAP"][:4])


def test_nothing_of_the_day_before_is_left() -> None:
    clean, spiked = around_midnight(5, 20), around_midnight(5, 20)
    for name in ("high", "low", "close", "volume"):
        spiked[name][3] = 1e12
    before, after = (compute(["VWAP"], rows)["VWAP"] for rows in (clean, spiked))
    assert np.array_equal(before[5:], after[5:])
    assert before[4] != after[4]


def test_origins_of_different_hours_agree_from_the_first_midnight_on() -> None:
    rows = around_midnight(700, 1600)
    early = compute(["VWAP"], rows)["VWAP"]
    for origin in (1, 300, 699, 700):
        late = compute(["VWAP"], {name: column[origin:] for name, column in rows.items()})["VWAP"]
        assert np.array_equal(late[700 - origin :], early[700:])
    assert plan(["VWAP"], history=1440).runup == 1440


def test_before_the_days_first_trade_it_is_the_price() -> None:
    rows = around_midnight(3, 12)
    rows["volume"][3:8] = 0.0
    values = compute(["VWAP", "SMA1_hlc3"], rows)
    assert np.array_equal(values["VWAP"][3:8], values["SMA1_hlc3"][3:8])
    assert values["VWAP"][9] != values["SMA1_hlc3"][9]


@pytest.mark.parametrize("name", ["VWMA5", "VWAP5_close"])
def test_a_window_without_volume_has_its_plain_mean(name: str) -> None:
    rows = around_midnight(3, 40)
    rows["volume"][10:25] = 0.0
    values = compute([name, "SMA5"], rows)
    assert np.array_equal(values[name][14:25], values["SMA5"][14:25])
    assert not np.any(values[name][25:] == values["SMA5"][25:])


def test_equal_volumes_weigh_nothing() -> None:
    rows = around_midnight(3, 40)
    rows["volume"][:] = 2.5
    values = compute(["VWMA7", "SMA7"], rows)
    np.testing.assert_allclose(values["VWMA7"], values["SMA7"], rtol=1e-15)


def test_with_a_number_it_is_the_vwma_of_the_typical_price() -> None:
    values = compute(["VWAP9", "VWMA9_hlc3"], around_midnight(10, 60))
    assert np.array_equal(values["VWAP9"], values["VWMA9_hlc3"], equal_nan=True)
