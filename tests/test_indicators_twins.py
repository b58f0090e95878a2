"""The twins say what textbooks say, on examples small enough to check by hand."""

from __future__ import annotations

import math

import pytest

from indicators.twins import twin
from indicators.twins.averages import ema, sma, wilder
from indicators.twins.momentum import rsi
from indicators.twins.volatility import atr, true_range

NAN = math.nan


def test_averages_by_hand() -> None:
    assert sma([1.0, 2.0, 6.0], 2) == pytest.approx([NAN, 1.5, 4.0], nan_ok=True)
    assert ema([1.0, 2.0, 6.0], 2) == pytest.approx([NAN, 1.5, 4.5], nan_ok=True)
    assert wilder([1.0, 2.0, 6.0], 2) == pytest.approx([NAN, 1.5, 3.75], nan_ok=True)


def test_ranges_by_hand() -> None:
    high, low, close = [2.0, 5.0, 4.0], [1.0, 4.0, 3.0], [1.5, 4.5, 3.5]
    assert true_range(high, low, close) == [3.5, 1.5]
    assert atr(high, low, close, 2) == pytest.approx([NAN, NAN, 2.5], nan_ok=True)


def test_strength_by_hand() -> None:
    assert rsi([1.0, 4.0, 3.0, 3.0], 2) == pytest.approx([NAN, NAN, 75.0, 75.0], nan_ok=True)
    assert rsi([1.0, 1.0, 1.0], 2) == pytest.approx([NAN, NAN, 50.0], nan_ok=True)


def test_nothing_gives_nothing() -> None:
    assert sma([], 3) == ema([], 3) == rsi([], 3) == atr([], [], [], 3) == []


def test_a_twin_is_found_by_the_stats_name() -> None:
    rows = {"high": [3.0, 5.0], "low": [1.0, 3.0]}
    assert twin("SMA2_hl2", rows)[0] == pytest.approx([NAN, 3.0], nan_ok=True)
