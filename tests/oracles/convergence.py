"""Oracles of what a fast and a slow average say together."""

from __future__ import annotations

import talib

from .common import TALIB, Oracle, Oracles, one, residue
from .markets import Floats

__all__ = ["ORACLES"]


def ppo(values: Floats, fast: int, slow: int) -> Floats:
    """TA-Lib's PPO; its usual average is the EMA."""
    result: Floats = talib.PPO(values, fast, slow)
    return result


def percent(*_: object) -> tuple[float, ...]:
    """Allow what a ratio near one rounds off, in percent."""
    return (1e-12,)


ORACLES: Oracles = {
    # A difference of two averages is as exact as they are.
    "MACD": Oracle(
        TALIB,
        talib.MACD,
        ((3, 6, 4), (12, 26, 9), (6, 3, 4), (5, 5, 2), (2, 9, 1)),
        absolute=residue,
    ),
    "PPO": Oracle(TALIB, one(ppo), ((3, 6), (12, 26), (6, 3), (2, 2)), absolute=percent),
    "TRIX": Oracle(TALIB, one(talib.TRIX), ((3,), (1,), (2,), (15,)), absolute=percent),
}
