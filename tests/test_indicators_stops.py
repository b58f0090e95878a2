"""Stops stay on their side of the price, turn with it, and forget where they began."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute, plan
from oracles.markets import Rows, flat, walk


def test_a_direction_is_up_or_down_and_says_on_which_side_the_stop_is() -> None:
    rows = walk(100.0)
    values = compute(["SUPERT10_3"], rows)
    stop, direction = values["SUPERT10_3"][10:], values["SUPERTd10_3"][10:]
    assert set(direction) == {1.0, -1.0}
    assert np.array_equal(stop < rows["close"][10:], direction > 0.0)


def test_a_supertrend_only_follows_while_its_trend_lasts() -> None:
    values = compute(["SUPERT10_3"], walk(100.0))
    stop, direction = values["SUPERT10_3"][10:], values["SUPERTd10_3"][10:]
    lasts = direction[1:] == direction[:-1]
    moved = np.diff(stop) * direction[1:]
    assert (moved[lasts] >= 0.0).all()
    assert lasts.sum() < lasts.size


def test_a_sar_turns_where_the_price_meets_it() -> None:
    rows = walk(100.0)
    sar = compute(["SAR"], rows)["SAR0p02_0p2"][1:]
    below, above = sar <= rows["low"][1:], sar >= rows["high"][1:]
    assert (below | above).all()
    assert below.any()
    assert above.any()


def test_a_sar_by_hand() -> None:
    """Up from the first two rows, faster with each new high, then over the high it reached."""
    high, low = [10.0, 11.0, 12.0, 12.5, 11.0], [9.0, 10.0, 11.0, 11.5, 8.0]
    values = compute(["SAR0p1_0p2"], {"high": high, "low": low})["SAR0p1_0p2"]
    second = 9.0 + 0.1 * (11.0 - 9.0)
    third = second + 0.2 * (12.0 - second)
    assert np.isnan(values[0])
    assert values[1:].tolist() == pytest.approx([9.0, second, third, 12.5], rel=1e-15)


@pytest.mark.parametrize("price", [1e-8, 0.1, 1e8])
def test_a_flat_market_has_its_stop_at_the_price(price: float) -> None:
    values = compute(["SAR", "SUPERT"], flat(price, 60))
    assert set(values["SAR0p02_0p2"][1:]) == {price}
    assert set(values["SUPERT10_3"][10:]) == {price}
    assert set(values["SUPERTd10_3"][10:]) == {1.0}


def from_row(rows: Rows, origin: int) -> Rows:
    return {name: column[origin:] for name, column in rows.items()}


@pytest.mark.parametrize("name", ["SAR0p02_0p2", "SAR0p01_0p1", "SUPERT10_3", "SUPERT7_2"])
def test_two_origins_agree_after_the_run_up(name: str) -> None:
    runup = plan([name], history=1440).runup
    for seed in range(5):
        rows = walk(100.0, 1500, seed)
        early = compute([name], rows)
        for origin in (1, 100, 777):
            for column, late in compute([name], from_row(rows, origin)).items():
                expected = early[column][origin + runup :]
                np.testing.assert_allclose(late[runup:], expected, rtol=1e-9)
