"""The invented trading: the same whenever it is asked for, and written as the exchange writes."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.exchange import Market
from monitor.exchange.prices import (
    SeededProcess,
    chance,
    format_decimal,
    format_volume,
    round_prices,
)

START_MS = 1_795_377_833_665
PERP = Market("BTC", "perp", 30.0, 85_800.0, 5, 0.0004)


@given(st.floats(1e-6, 1e7), st.integers(0, 8))
def test_a_rounded_price_has_five_figures_and_no_more_decimals_than_allowed(
    price: float, decimals: int
) -> None:
    rounded = float(round_prices(np.array([price]), decimals)[0])
    text = format_decimal(rounded, decimals)
    digits = Decimal(text).normalize()
    assert float(text) == rounded > 0
    exponent = digits.as_tuple().exponent
    assert isinstance(exponent, int)
    assert -exponent <= decimals
    assert exponent >= 0 or len(digits.as_tuple().digits) <= 5
    tick = max(10.0**-decimals, 10.0 ** (np.floor(np.log10(price)) - 4)) if price < 1e5 else 1.0
    assert abs(rounded - price) <= max(tick / 2 * (1 + 1e-9), 10.0**-decimals)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (85_827.0, 1, "85827.0"),
        (92.652, 4, "92.652"),
        (0.000226, 8, "0.000226"),
        (1e-8, 8, "0.00000001"),
        (118_712.0, 0, "118712.0"),
        (0.0, 5, "0.0"),
    ],
)
def test_decimals_are_written_as_the_exchange_writes_them(
    value: float, places: int, text: str
) -> None:
    assert format_decimal(value, places) == text


@given(st.integers(0, 10**16), st.integers(0, 5))
def test_a_volume_reads_back_as_the_same_double(units: int, places: int) -> None:
    value = units / 10**places
    text = format_volume(value, places)
    assert float(text) == value
    assert "e" not in text
    assert "." in text


def test_large_volumes_carry_binary_noise_as_recorded() -> None:
    assert format_volume(3_495_670.84, 2) == "3495670.8399999999"


def test_a_chunk_is_the_same_in_any_order_of_asking() -> None:
    one, other = SeededProcess(PERP, 7, START_MS), SeededProcess(PERP, 7, START_MS)
    chunk = one.chunk_of(START_MS)
    numbers = range(chunk - 3, chunk + 4)
    forwards = {k: one.generate(k) for k in numbers}
    backwards = {k: other.generate(k) for k in reversed(numbers)}
    for k in numbers:
        assert forwards[k].lists == backwards[k].lists
        start, end = one.span(k)
        times = forwards[k].times
        assert np.all((times >= start) & (times < end))
        assert np.all(np.diff(times) >= 0)
        assert np.all(forwards[k].sz > 0)


def test_another_seed_gives_other_prices_and_another_start_the_same_ones() -> None:
    one = SeededProcess(PERP, 7, START_MS)
    chunk = one.chunk_of(START_MS)
    later = SeededProcess(PERP, 7, START_MS + 86_400_000)
    other = SeededProcess(PERP, 8, START_MS)
    assert one.generate(chunk).lists == later.generate(chunk).lists
    assert one.generate(chunk).lists != other.generate(other.chunk_of(START_MS)).lists


def test_prices_go_on_across_chunks_without_a_jump() -> None:
    process = SeededProcess(PERP, 3, START_MS)
    chunk = process.chunk_of(START_MS)
    for k in range(chunk - 4, chunk + 4):
        left, right = process.generate(k).px[-1], process.generate(k + 1).px[0]
        assert abs(left / right - 1) < 0.01


def test_a_delisted_market_stopped_trading_before_the_start_and_has_history() -> None:
    process = SeededProcess(Market("MATIC", delisted=True), 1, START_MS)
    first, last = process.first_chunk, process.last_chunk
    trades = [process.generate(k) for k in range(first, last + 1)]
    times = np.concatenate([one.times for one in trades])
    assert times[-1] < START_MS - 20 * 3_600_000
    assert (times[-1] - times[0]) / 60_000 > 5_000


def test_chances_are_spread_over_the_unit_interval() -> None:
    numbers = [chance(5, k) for k in range(2_000)]
    assert 0 <= min(numbers) < 0.01
    assert 0.99 < max(numbers) < 1
    assert abs(sum(numbers) / len(numbers) - 0.5) < 0.03
