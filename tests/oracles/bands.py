"""Oracles of the bands around a price."""

from __future__ import annotations

import numpy as np
import talib

from .common import TALIB, Oracle, Oracles, Outputs
from .markets import Floats
from .windows import deviations, kept

__all__ = ["ORACLES"]


def bollinger(values: Floats, n: int, k: float) -> Outputs:
    """TA-Lib's bands; width and place are Bollinger's formulas over TA-Lib's deviation."""
    upper, middle, lower = talib.BBANDS(values, n, k, k)
    reach = k * deviations(values, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = np.where(middle == 0.0, 0.0, 200.0 * reach / middle)
        place = 0.5 + (values - middle) / (2.0 * reach)
    place[reach <= 1e-14 * np.abs(values)] = 0.5
    return upper, middle, lower, width, place


def bollinger_rounding(values: Floats, n: int, k: float) -> tuple[float | Floats, ...]:
    """Allow what TA-Lib's running sums keep, and for the place its share of the band."""
    rest = 1e-13 * kept(values)
    reach = k * deviations(values, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.nan_to_num(rest / reach, nan=0.0, posinf=0.0)
    # A deviation is a root: what is kept of the squares counts most where it is near zero.
    band = rest + 1e-8 * np.nan_to_num(reach)
    return band, rest, band, 1e-9, place


def donchian(high: Floats, low: Floats, n: int) -> Outputs:
    """TA-Lib's channel; of one row, which it refuses, the row itself."""
    upper, middle, lower = talib.DONCHIAN(high, low, n)
    return upper, middle, lower


def keltner(
    values: Floats, high: Floats, low: Floats, close: Floats, n: int, reach: int, k: float
) -> Outputs:
    """TA-Lib's KC; of another input than the typical price, TA-Lib's EMA and ATR."""
    if np.array_equal(values, talib.TYPPRICE(high, low, close)):
        upper, middle, lower = talib.KC(high, low, close, n, reach, k)
        return upper, middle, lower
    first = max(n - 1, reach)
    centre, size = np.full(values.size, np.nan), np.full(values.size, np.nan)
    centre[first - (n - 1) :] = talib.EMA(values[first - (n - 1) :], n)
    wait = slice(first - reach, None)
    size[wait] = talib.ATR(high[wait], low[wait], close[wait], reach)
    return centre + k * size, centre, centre - k * size


ORACLES: Oracles = {
    "BB": Oracle(
        TALIB,
        bollinger,
        ((3, 2), (20, 2), (5, 2.5), (14, 1)),
        absolute=bollinger_rounding,
        exponents=(1, 1, 1, 0, 0),
    ),
    "DC": Oracle(TALIB, donchian, ((3,), (2,), (20,)), relative=1e-15, refused=((1,),)),
    "KC": Oracle(
        TALIB,
        keltner,
        ((4, 3, 2), (20, 10, 2), (5, 14, 1.5), (2, 1, 0.5)),
        absolute=lambda *inputs: (1e-13 * kept(inputs[1]),),
    ),
}
