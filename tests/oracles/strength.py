"""Oracles of the strength of a trend."""

from __future__ import annotations

import talib

from .common import TALIB, Oracle, Oracles, Outputs
from .markets import Floats
from .oscillators import enlarged, points

__all__ = ["ORACLES"]


def _adx(high: Floats, low: Floats, close: Floats, n: int) -> Outputs:
    h, l, c = enlarged(high, low, close)
    return talib.ADX(h, l, c, n), talib.PLUS_DI(h, l, c, n), talib.MINUS_DI(h, l, c, n)


ORACLES: Oracles = {
    "ADX": Oracle(TALIB, _adx, ((3,), (2,), (5,), (14,), (37,)), absolute=points),
    # TA-Lib has the lower one first.
    "AROON": Oracle(
        TALIB, lambda high, low, n: talib.AROON(high, low, n)[::-1], ((5,), (2,), (14,), (25,))
    ),
}
