"""Oracles of the flow of volume."""

from __future__ import annotations

import numpy as np
import talib

from .common import TALIB, Oracle, Oracles, one
from .markets import Floats
from .oscillators import largest, points, windowed

__all__ = ["ORACLES"]


def _mfi(values: Floats, volume: Floats, n: int) -> Floats:
    """TA-Lib's but for 0/0, its 0."""
    result = windowed(lambda x, v: talib.MFI(x, x, x, v, n), n + 1, values, volume)
    money = np.zeros(values.size)
    moved = np.abs(np.diff(values)) > 1e-14 * values[1:]
    money[1:] = np.where(moved, values[1:] * volume[1:], 0.0)
    result[(largest(money, n) == 0.0) & ~np.isnan(result)] = 50.0
    return result


def _cmf(high: Floats, low: Floats, close: Floats, volume: Floats, n: int) -> Floats:
    """TA-Lib's, over each window alone: what its running sums keep is divided by next to nothing
    where there is no volume.
    """
    return windowed(lambda h, l, c, v: talib.CMF(h, l, c, v, n), n, high, low, close, volume)


def _roundings(*inputs: Floats | int) -> tuple[float]:
    """Allow roundings of a sum of all volume."""
    volume = inputs[1] if len(inputs) == 2 else inputs[3]
    return (1e-15 * float(np.sum(volume)),)


ORACLES: Oracles = {
    "OBV": Oracle(TALIB, one(talib.OBV), ((),), absolute=_roundings, path=True),
    "AD": Oracle(TALIB, one(talib.AD), ((),), absolute=_roundings, path=True),
    "ADOSC": Oracle(TALIB, one(talib.ADOSC), ((2, 5), (3, 10), (12, 4)), absolute=_roundings),
    # Flows of both signs.
    "CMF": Oracle(TALIB, one(_cmf), ((5,), (2,), (20,)), absolute=lambda *_: (1e-13,)),
    "MFI": Oracle(TALIB, one(_mfi), ((3,), (2,), (14,), (37,)), absolute=points),
}
