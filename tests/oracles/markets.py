"""Markets for the stats to be compared over: columns of candles by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["MARKETS", "Floats", "Rows", "candles", "flat", "head", "lists", "walk"]

Floats: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = dict[str, npt.NDArray[Any]]

# 41 minutes of AAVE's perpetual, open, high, low, close, volume, from 2025-07-22T17:41Z on.
_REAL = """
    305.06,305.06,304.35,304.45,159.51
    304.48,304.86,304.48,304.7,27.82
    304.85,305.34,304.85,305.32,21.83
    304.89,305.02,304.73,304.81,15.42
    304.78,304.91,304.44,304.63,17.68
    304.42,304.73,304.35,304.42,8.38
    304.45,304.45,304.08,304.28,32.69
    304.37,304.74,304.37,304.67,26.16
    304.33,304.49,304.14,304.14,6.04
    304.29,304.47,304.27,304.47,7.13
    304.39,304.61,304.35,304.52,18.76
    304.42,304.8,304.42,304.8,22.73
    304.85,304.87,304.68,304.87,8.15
    304.9,305.23,304.78,305.22,14.02
    305.11,305.22,304.87,305.22,11.39
    305.17,305.51,305.13,305.14,9.01
    305.19,305.55,305.07,305.55,18.06
    305.55,305.61,304.97,305.07,21.43
    304.94,304.94,304.94,304.94,0.06
    304.77,305.0,304.77,304.98,25.45
    304.93,304.93,304.61,304.67,64.55
    304.7,305.44,304.7,305.26,4.12
    305.14,305.14,304.72,304.72,5.5
    304.79,304.79,304.63,304.63,1.37
    304.57,304.85,304.57,304.85,1.04
    304.92,305.23,304.92,305.23,10.18
    305.41,305.69,305.41,305.69,0.2
    305.8,305.95,305.41,305.46,136.69
    305.43,305.43,305.17,305.3,7.59
    304.84,304.84,303.91,303.91,21.02
    303.84,304.09,303.62,304.09,72.77
    304.04,304.14,303.87,304.05,205.58
    303.98,304.83,303.82,304.83,353.97
    304.96,305.61,304.96,305.44,18.38
    305.05,305.32,304.99,304.99,12.22
    304.85,304.91,304.44,304.44,43.4
    304.43,305.19,304.35,304.35,24.79
    304.23,304.81,303.67,304.81,103.09
    304.56,304.75,304.5,304.58,18.83
    304.49,304.58,304.02,304.39,465.59
    304.49,304.83,304.42,304.83,8.29
"""
_FIRST_MS = 1_753_206_060_000  # 6 h 19 min before midnight UTC


def _dated(rows: Rows) -> Rows:
    count = rows["close"].size
    return {**rows, "time": _FIRST_MS + 60_000 * np.arange(count, dtype=np.int64)}


def candles(closes: Floats, seed: int = 1, spread: float = 0.002) -> Rows:
    """Dress closes up as candles: opens a gap away from the close before, wicks around both."""
    draw = np.random.default_rng(seed)
    opens = np.concatenate([closes[:1], closes[:-1]]) * draw.normal(1.0, 2 * spread, closes.size)
    reach = 1.0 + np.abs(draw.normal(0.0, spread, (2, closes.size)))
    return _dated(
        {
            "open": opens,
            "high": np.maximum(opens, closes) * reach[0],
            "low": np.minimum(opens, closes) / reach[1],
            "close": closes,
            "volume": draw.exponential(10.0, closes.size),
        }
    )


def walk(scale: float, rows: int = 600, seed: int = 2) -> Rows:
    """Candles of a random walk that begins near `scale`."""
    steps = np.random.default_rng(seed).normal(0.0, 0.004, rows)
    return candles(scale * np.exp(np.cumsum(steps)), seed)


def flat(price: float, rows: int = 300) -> Rows:
    """Candles without a trade."""
    columns: Rows = {name: np.full(rows, price) for name in ("open", "high", "low", "close")}
    return _dated({**columns, "volume": np.zeros(rows)})


def _silent() -> Rows:
    """A market that moves, falls silent for hours, moves once and falls silent again."""
    rows = walk(64.0, 80)
    still = flat(64.0, 900)
    still["high"][500] = still["close"][500] = 64.5
    return _dated({name: np.concatenate([rows[name], still[name]]) for name in rows})


def _gaps() -> Rows:
    steps = np.random.default_rng(3).normal(0.0, 0.01, 400)
    steps[[50, 51, 200, 333]] = [2.0, -2.5, 1.0, -3.0]
    return candles(10.0 * np.exp(np.cumsum(steps)), 3)


def _sparse_volume() -> Rows:
    rows = walk(1.0, 500, 5)
    rows["volume"][np.random.default_rng(5).random(500) < 0.6] = 0.0
    rows["volume"][120:260] = 0.0
    return rows


def _ticks() -> Rows:
    """Prices of few digits: most neighbours are equal, and many windows have ties."""
    draw = np.random.default_rng(6)
    close = 0.05 + 0.01 * draw.integers(0, 4, 500)
    opens = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opens, close) + 0.01 * draw.integers(0, 2, 500)
    low = np.minimum(opens, close) - 0.01 * draw.integers(0, 2, 500)
    return _dated(
        {
            "open": opens,
            "high": high,
            "low": low,
            "close": close,
            "volume": draw.integers(0, 3, 500).astype(np.float64),
        }
    )


def _real() -> Rows:
    table = np.array([[float(x) for x in line.split(",")] for line in _REAL.split()])
    names = ("open", "high", "low", "close", "volume")
    return _dated({name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(names)})


MARKETS: dict[str, Callable[[], Rows]] = {
    "walk at 1e-8": lambda: walk(1e-8),
    "walk at 1e-4": lambda: walk(1e-4),
    "walk at 1": lambda: walk(1.0),
    "walk at 1e5": lambda: walk(1e5),
    "walk at 1e8": lambda: walk(1e8),
    "flat": lambda: flat(0.1),
    "flat and tiny": lambda: flat(1e-8),
    "silent": _silent,
    "gaps": _gaps,
    "sparse volume": _sparse_volume,
    "ticks": _ticks,
    "real": _real,
}


def head(rows: Rows, count: int) -> Rows:
    """Return the first rows of every column."""
    return {name: values[:count] for name, values in rows.items()}


def lists(rows: Rows) -> dict[str, list[float]]:
    """Return the columns as the twins want them."""
    return {name: values.tolist() for name, values in rows.items()}
