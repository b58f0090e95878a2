"""Oracles of the stops that turn with a trend."""

from __future__ import annotations

import numpy as np
import talib

from .common import TALIB, Oracle, Oracles, Outputs, one
from .markets import Floats

__all__ = ["ORACLES"]


def supertrend(high: Floats, low: Floats, close: Floats, n: int, k: float) -> Outputs:
    """TA-Lib's SUPERTREND, its direction as floats, NaN where there is none."""
    stop, trend = talib.SUPERTREND(high, low, close, n, k)
    return stop, np.where(np.isnan(stop), np.nan, trend.astype(np.float64))


ORACLES: Oracles = {
    "SAR": Oracle(
        TALIB, one(talib.SAR), ((0.02, 0.2), (0.05, 0.1), (0.3, 0.2), (0.0, 0.2)), relative=1e-12
    ),
    "SUPERT": Oracle(TALIB, supertrend, ((3, 2), (10, 3), (2, 0.5), (7, 1.25)), exponents=(1, 0)),
}
