"""Oracles of the averages weighted by volume."""

from __future__ import annotations

import numpy as np
import talib

from .common import TALIB, Oracle, Oracles, one
from .markets import Floats

__all__ = ["ORACLES"]


def vwma(values: Floats, volume: Floats, n: int) -> Floats:
    """TA-Lib's VWMA window by window, its running sum new in each; without volume, its SMA."""
    result = np.full(values.size, np.nan)
    for row in range(n - 1, values.size):
        window = slice(row - n + 1, row + 1)
        if volume[window].any():
            result[row] = talib.VWMA(values[window].copy(), volume[window].copy(), n)[-1]
        else:
            result[row] = talib.SMA(values[window].copy(), n)[-1]
    return result


def vwap(values: Floats, volume: Floats, time: Floats, n: int) -> Floats:
    """TA-Lib's VWAP of each day on its own; its 0 before a first trade is the price with us."""
    if n:
        return vwma(values, volume, n)
    result = np.full(values.size, np.nan)
    for day in np.unique(time // 86_400_000):
        rows = time // 86_400_000 == day
        price, traded = values[rows].copy(), volume[rows].copy()
        # Of three equal prices the typical one is that price.
        average = talib.VWAP(price, price, price, traded)
        result[rows] = np.where(np.cumsum(traded) > 0.0, average, price)
    return result


ORACLES: Oracles = {
    "VWAP": Oracle(f"{TALIB}, day by day", one(vwap), ((), (3,), (1,)), relative=1e-12),
    "VWMA": Oracle(TALIB, one(vwma), ((3,), (1,), (2,), (14,), (37,)), relative=1e-12),
}
