"""Oracles of the moving averages."""

from __future__ import annotations

import talib

from .common import TALIB, Oracle, Oracles, one, residue

__all__ = ["ORACLES"]

_PERIODS = ((3,), (1,), (2,), (5,), (14,), (37,))

ORACLES: Oracles = {
    "EMA": Oracle(TALIB, one(talib.EMA), _PERIODS),
    "SMA": Oracle(TALIB, one(talib.SMA), _PERIODS, absolute=residue),
}
