"""Averages weighted by volume: VWMA, VWAP."""

from __future__ import annotations

import numpy as np

from .averages import window_mean
from .definition import Definition, period, stat
from .jit import Floats, Ints, helper

__all__ = ["DEFINITIONS"]

_DAY_MS = 86_400_000
_DAY_ROWS = 1440


@helper
def _by_volume(F: Floats, x: int, volume: int, i: int, n: int) -> float:
    """Mean of n rows of x, each as heavy as its volume; the plain mean where nothing was traded."""
    newest = F[x, i]
    total = 0.0
    bought = 0.0
    for j in range(i - n + 1, i + 1):
        # From the newest, as all averages here: of equal prices it is that price to the last bit.
        total += (F[x, j] - newest) * F[volume, j]
        bought += F[volume, j]
    if bought <= 0.0:
        return window_mean(F, x, i, n)
    mean: float = newest + total / bought
    return mean


@stat(
    "VWMA",
    version=1,
    meaning="volume-weighted moving average of the last n values",
    source="TA-Lib VWMA; a window without volume has its plain mean, there it is infinite or NaN",
    parameters=(period(20),),
    inputs=("close", "volume"),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def vwma(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Σ value · volume / Σ volume over the window."""
    x, volume, out = cols[0], cols[1], cols[2]
    n = int(par[0])
    F[out, i] = np.nan if age < n - 1 else _by_volume(F, x, volume, i, n)


@stat(
    "VWAP",
    version=1,
    meaning="volume-weighted average price of the UTC day, or with n of the last n rows",
    source="TA-Lib VWAP, begun anew with each UTC day, and TA-Lib VWMA of the typical price; before"
    " the day's first trade it is the price, there 0",
    parameters=(period(None),),
    inputs=("hlc3", "volume", "time"),
    selectable=True,
    state=("bought",),
    warmup=lambda n: max(n - 1, 0),
    lookback=lambda n: max(n - 1, 1),
    # An origin within a day knows the rest of that day only.
    settling=lambda n: 0 if n else _DAY_ROWS,
    unit="input",
)
def vwap(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Σ price · volume / Σ volume, as a mean that moves by each row's share of `bought`.

    `bought` is the day's volume so far, 0 where n is given.
    """
    x, volume, time, out, bought = cols[0], cols[1], cols[2], cols[3], cols[4]
    n = int(par[0])
    F[bought, i] = 0.0
    if n > 0:
        F[out, i] = np.nan if age < n - 1 else _by_volume(F, x, volume, i, n)
        return
    F[bought, i] = F[volume, i]
    F[out, i] = F[x, i]
    if age > 0 and I[time, i] // _DAY_MS == I[time, i - 1] // _DAY_MS and F[bought, i - 1] > 0.0:
        before = F[out, i - 1]
        F[bought, i] += F[bought, i - 1]
        F[out, i] = before + (F[x, i] - before) * (F[volume, i] / F[bought, i])


DEFINITIONS: tuple[Definition, ...] = (vwma, vwap)
