"""What a candle must be, said once more and independently of `monitor.protocol`: an oracle."""

from __future__ import annotations

import math

from monitor.protocol import Candle

__all__ = ["assert_valid"]

MINUTE = 60_000


def assert_valid(candle: Candle) -> None:
    """Finite positive prices, low and high around them, whole minutes, nothing negative."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    assert all(math.isfinite(price) and price > 0.0 for price in prices), candle
    assert candle.low == min(prices), candle
    assert candle.high == max(prices), candle
    assert math.isfinite(candle.volume), candle
    assert candle.volume >= 0.0, candle
    assert candle.trades >= 0, candle
    assert candle.open_ms > 0, candle
    assert candle.open_ms % MINUTE == 0, candle
    assert candle.coin == "C0", candle
    assert candle.interval == "1m", candle
