"""Oracles of ranges and volatility."""

from __future__ import annotations

import talib

from .common import TALIB, Oracle, Oracles, one

__all__ = ["ORACLES"]

ORACLES: Oracles = {
    "ATR": Oracle(TALIB, one(talib.ATR), ((3,), (1,), (2,), (5,), (14,), (37,))),
}
