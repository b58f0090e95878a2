"""Oracles of the oscillators of momentum."""

from __future__ import annotations

import talib

from .common import TALIB, Oracle, Oracles, one
from .markets import Floats

__all__ = ["ORACLES"]


def rsi(values: Floats, n: int) -> Floats:
    """TA-Lib's RSI but for 0/0, its 0: where mirrored prices are at 0 as well, nothing moved."""
    result: Floats = talib.RSI(values, n)
    mirrored = talib.RSI(-values, n)
    result[(result == 0.0) & (mirrored == 0.0)] = 50.0
    return result


ORACLES: Oracles = {
    # A derived price is rounded; its change, which RSI is made of, is a thousandth of it.
    "RSI": Oracle(
        TALIB, one(rsi), ((3,), (2,), (5,), (14,), (37,)), relative=1e-9, refused=((1,),)
    ),
}
