"""Oracles of the oscillators of momentum."""

from __future__ import annotations

import numpy as np
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


def _roundings(values: Floats, n: int) -> tuple[Floats]:
    """Allow the roundings of two derived prices, whose difference may be small."""
    return (1e-15 * (np.abs(values) + np.abs(np.roll(values, n))),)


ORACLES: Oracles = {
    "MOM": Oracle(TALIB, one(talib.MOM), ((3,), (1,), (10,)), absolute=_roundings),
    # TA-Lib takes 1 from a quotient.
    "ROC": Oracle(TALIB, one(talib.ROC), ((3,), (1,), (10,)), absolute=lambda *_: (1e-13,)),
    # A derived price is rounded; its change, which RSI is made of, is a thousandth of it.
    "RSI": Oracle(
        TALIB, one(rsi), ((3,), (2,), (5,), (14,), (37,)), relative=1e-9, refused=((1,),)
    ),
}
