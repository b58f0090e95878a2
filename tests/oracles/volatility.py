"""Oracles of ranges."""

from __future__ import annotations

import talib

from .common import TALIB, Oracle, Oracles, one

__all__ = ["ORACLES"]

ORACLES: Oracles = {
    "ATR": Oracle(TALIB, one(talib.ATR), ((3,), (1,), (2,), (5,), (14,), (37,))),
    # Of one row it is the range itself there, not in percent.
    "NATR": Oracle(TALIB, one(talib.NATR), ((3,), (2,), (14,), (37,)), refused=((1,),)),
    "TRUERANGE": Oracle(TALIB, one(talib.TRANGE), ((),), relative=1e-15),
}
