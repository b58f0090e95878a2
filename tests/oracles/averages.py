"""Oracles of the moving averages."""

from __future__ import annotations

import numpy as np
import talib

from .common import TALIB, Oracle, Oracles, one, residue
from .markets import Floats

__all__ = ["ORACLES"]

_PERIODS = ((3,), (1,), (2,), (5,), (14,), (37,))


def kama(values: Floats, n: int) -> Floats:
    """TA-Lib's KAMA where its running sum is exact: over whole numbers.

    In a silent market what that sum has rounded off stands in for the way gone, which is none.
    Prices are a power of two of a whole number, up to 2⁻⁵² of the largest of them.
    """
    if values.size == 0:
        return values
    unit = 2.0 ** (np.floor(np.log2(max(float(np.max(np.abs(values))), 1e-300))) - 45)
    result: Floats = talib.KAMA(np.round(values / unit), n) * unit
    return result


ORACLES: Oracles = {
    "DEMA": Oracle(TALIB, one(talib.DEMA), _PERIODS, absolute=residue),
    "EMA": Oracle(TALIB, one(talib.EMA), _PERIODS),
    "HMA": Oracle(TALIB, one(talib.HMA), (*_PERIODS, (4,), (16,)), absolute=residue),
    # The rounding to whole numbers is 2⁻⁴⁶ of the price, of its movements a thousand times that.
    "KAMA": Oracle(f"{TALIB} over prices as whole numbers", one(kama), _PERIODS, relative=1e-9),
    "RMA": Oracle(TALIB, one(talib.RMA), _PERIODS),
    "SMA": Oracle(TALIB, one(talib.SMA), _PERIODS, absolute=residue),
    "TEMA": Oracle(TALIB, one(talib.TEMA), _PERIODS, absolute=residue),
    "WMA": Oracle(TALIB, one(talib.WMA), _PERIODS, absolute=residue),
}
