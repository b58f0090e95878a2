"""Oracles of the statistics of a window."""

from __future__ import annotations

import numpy as np
import talib

from indicators.names import Number

from .common import TALIB, Oracle, Oracles, one
from .markets import Floats

__all__ = ["ORACLES", "deviations", "kept"]


def kept(values: Floats) -> float:
    """What TA-Lib's running sums may keep of the largest value, as a share of that value."""
    return float(np.max(np.abs(values), initial=0.0))


def deviations(values: Floats, n: int) -> Floats:
    """TA-Lib's STDDEV of each window on its own: its running sums new, its prices near one."""
    result = np.full(values.size, np.nan)
    for row in range(n - 1, values.size):
        window = values[row - n + 1 : row + 1] - values[row]
        size = float(np.max(np.abs(window)))
        result[row] = talib.STDDEV(window / size, n)[-1] * size if size else 0.0
    return result


def variances(values: Floats, n: int) -> Floats:
    """Square of the deviations, which TA-Lib refuses for one row."""
    return deviations(values, n) ** 2 if n > 1 else talib.VAR(values, n)


def zscores(values: Floats, n: int) -> Floats:
    """Distance from TA-Lib's SMA in TA-Lib's STDDEV."""
    apart = deviations(values, n)
    result = np.full(values.size, np.nan)
    for row in range(n - 1, values.size):
        window = values[row - n + 1 : row + 1] - values[row]
        flat = apart[row] <= 1e-14 * abs(values[row])
        result[row] = 0.0 if flat else -talib.SMA(window, n)[-1] / apart[row]
    return result


def slopes(values: Floats, n: Number) -> tuple[Floats, ...]:
    """Allow what TA-Lib's sums of squares and products lose of a slope."""
    return (np.full(values.size, 2e-13 * kept(values)),)


def ends(values: Floats, n: Number) -> tuple[Floats, ...]:
    """Allow the same for a point half a window away."""
    return (np.full(values.size, 2e-13 * n * kept(values)),)


_PERIODS = ((3,), (2,), (14,), (37,))

ORACLES: Oracles = {
    "LINREG": Oracle(TALIB, one(talib.LINEARREG), _PERIODS, absolute=ends),
    "SLOPE": Oracle(TALIB, one(talib.LINEARREG_SLOPE), _PERIODS, absolute=slopes),
    "STDDEV": Oracle(TALIB, one(deviations), _PERIODS),
    "VAR": Oracle(TALIB, one(variances), (*_PERIODS, (1,)), exponents=(2,)),
    "ZSCORE": Oracle(f"{TALIB} SMA and STDDEV", one(zscores), _PERIODS, relative=1e-9),
}
