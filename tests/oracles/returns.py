"""Oracles of returns and realised volatility."""

from __future__ import annotations

import numpy as np
import talib

from .common import TALIB, Oracle, Oracles, one
from .markets import Floats

__all__ = ["ORACLES"]


def log_returns(values: Floats, n: int) -> Floats:
    """TA-Lib's LN of TA-Lib's ROCR, where there is a ratio."""
    result: Floats = talib.LN(np.maximum(talib.ROCR(values, n), 1e-300))
    before = np.concatenate(
        [np.full(min(n, values.size), np.nan), values[: max(values.size - n, 0)]]
    )
    result[(before <= 0.0) | (values <= 0.0) & ~np.isnan(before)] = 0.0
    return result


def realised(values: Floats, n: int) -> Floats:
    """Root of the sum of squares of n of TA-Lib's returns, window by window."""
    squares = log_returns(values, 1) ** 2
    result = np.full(values.size, np.nan)
    for row in range(n, values.size):
        result[row] = np.sqrt(squares[row - n + 1 : row + 1].sum())
    return result


def ratio(*_: object) -> tuple[float, ...]:
    """Allow what a ratio near one rounds off."""
    return (4e-16,)


def ratios(_values: Floats, n: int) -> tuple[float, ...]:
    """Allow it for each of n returns."""
    return (4e-16 * n,)


ORACLES: Oracles = {
    "LOGRET": Oracle(f"{TALIB} LN, ROCR", one(log_returns), ((1,), (2,), (15,)), absolute=ratio),
    "RV": Oracle(f"{TALIB} LN, ROCR; numpy", one(realised), ((3,), (1,), (30,)), absolute=ratios),
}
