"""Oracles of the oscillators of where the close stands within a range.

TA-Lib's values, but for three things that are ours on purpose: 0/0 is the middle of the range, ties
are relative, and nothing is kept of what left a window. So a stochastic is put together from
TA-Lib's parts, its own 0 of a flat window mended in between; running sums are begun anew for each
window; and prices are handed over times 2^800, which changes no digit and puts TA-Lib's absolute
zero far below them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import talib

from .common import TALIB, Oracle, Oracles, Outputs, one
from .markets import Floats
from .momentum import rsi

__all__ = ["ORACLES", "enlarged", "largest", "points", "windowed"]

_FACTOR = 2.0**800


def enlarged(*columns: Floats) -> list[Floats]:
    """Prices that no absolute zero test of TA-Lib's takes for nothing."""
    return [column * _FACTOR for column in columns]


def points(*_: object) -> tuple[float]:
    """Allow 1e-11 points of 100: small values are differences of large ones."""
    return (1e-11,)


def largest(values: Floats, n: int) -> Floats:
    """Largest of each n values; TA-Lib refuses 1."""
    return values.copy() if n == 1 else np.asarray(talib.MAX(values, n))


def _smallest(values: Floats, n: int) -> Floats:
    return -largest(-values, n)


def windowed(function: Callable[..., Floats], rows: int, *columns: Floats) -> Floats:
    """Last value of a function over each window alone, so that no sum is carried over."""
    result = np.full(columns[0].size, np.nan)
    for row in range(rows - 1, result.size):
        result[row] = function(*(column[row - rows + 1 : row + 1] for column in columns))[-1]
    return result


def _average(values: Floats, n: int) -> Floats:
    """Simple average behind the leading NaN."""
    start = int(np.isnan(values).sum())
    if n == 1 or start == values.size:
        return values.copy()
    return np.concatenate([values[:start], talib.SMA(values[start:].copy(), n)])


def _fast(high: Floats, low: Floats, close: Floats, n: int, still: float) -> Floats:
    fast: Floats = talib.STOCHF(high, low, close, n, 1)[0]
    top = largest(high, n)
    fast[top - _smallest(low, n) <= np.maximum(still, 1e-14 * top)] = 50.0
    return fast


def _stochastic(fast: Floats, k: int, d: int) -> Outputs:
    slow = _average(fast, k)
    signal = _average(slow, d)
    slow[np.isnan(signal)] = np.nan
    return slow, signal


def _stochrsi(values: Floats, n: int, k: int, d: int) -> Outputs:
    strength = rsi(values, n)
    start = int(np.isnan(strength).sum())
    if start == values.size:
        return strength, strength
    moving = strength[start:].copy()
    outputs = _stochastic(_fast(moving, moving, moving, k, 1e-10), 1, d)
    return tuple(np.concatenate([strength[:start], output]) for output in outputs)


def _willr(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    result: Floats = talib.WILLR(high, low, close, n)
    result[largest(high, n) == _smallest(low, n)] = -50.0
    return result


def _cci(values: Floats, n: int) -> Floats:
    result = windowed(lambda x: talib.CCI(x, x, x, n), n, *enlarged(values))
    reach = largest(values, n) - _smallest(values, n)
    result[reach <= 1e-14 * values] = 0.0
    return result


def _cci_residue(values: Floats, n: int) -> tuple[Floats]:
    """Allow a rounding of the mean, in the mean deviations that the index is counted in."""
    reach = largest(values, n) - _smallest(values, n)
    return (np.nan_to_num(1e-12 * values / np.maximum(reach, 1e-14 * values), nan=0.0),)


def _uo(high: Floats, low: Floats, close: Floats, *periods: int) -> Floats:
    prices = enlarged(high, low, close)
    rows = max(periods) + 1
    result = windowed(lambda *w: talib.ULTOSC(*w, *periods), rows, *prices)
    ranges = talib.TRANGE(*prices)
    for weight, n in zip((4.0, 2.0, 1.0), sorted(periods), strict=True):
        if ranges.size > n:
            reach = np.concatenate([ranges[:1], largest(ranges[1:].copy(), n)])
            result[reach == 0.0] += 100.0 * weight / 7.0 * 0.5
    return result


ORACLES: Oracles = {
    "STOCH": Oracle(
        TALIB,
        lambda high, low, close, n, k, d: _stochastic(_fast(high, low, close, n, 0.0), k, d),
        ((5, 3, 2), (14, 3, 3), (5, 1, 1), (1, 2, 3), (3, 7, 20)),
        absolute=points,
    ),
    "STOCHF": Oracle(
        TALIB,
        lambda high, low, close, n, d: _stochastic(_fast(high, low, close, n, 0.0), 1, d),
        ((5, 3), (14, 3), (5, 1), (1, 4), (3, 20)),
        absolute=points,
    ),
    # A rounding of the RSI, in a range that may be a millionth of a point.
    "STOCHRSI": Oracle(
        TALIB,
        _stochrsi,
        ((5, 4, 3), (14, 14, 3), (14, 5, 3), (2, 2, 9)),
        absolute=lambda *_: (1e-8,),
    ),
    "WILLR": Oracle(TALIB, one(_willr), ((5,), (2,), (14,)), absolute=points),
    "CCI": Oracle(TALIB, one(_cci), ((5,), (2,), (14,), (37,)), absolute=_cci_residue),
    "UO": Oracle(
        TALIB,
        one(_uo),
        ((2, 4, 7), (7, 14, 28), (1, 2, 3), (28, 7, 14), (3, 3, 3)),
        absolute=points,
    ),
    "AO": Oracle(
        TALIB,
        lambda middle, fast, slow: (talib.AO(middle, middle, fast, slow),),
        ((3, 6), (5, 34), (2, 9), (20, 6)),
        # A difference of two means of prices.
        absolute=lambda middle, *_: (1e-13 * float(np.max(middle, initial=0.0)),),
    ),
}
