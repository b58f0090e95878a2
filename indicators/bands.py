"""Bands around a price: BB, KC, DC."""

from __future__ import annotations

import math

import numpy as np

from .averages import exponential
from .definition import RELATIVE_ZERO, Definition, Parameter, period, settling_rows, stat
from .jit import Floats, Ints
from .volatility import average_range
from .windows import spread

__all__ = ["DEFINITIONS"]


@stat(
    "BB",
    version=2,
    meaning="Bollinger bands: SMA (m) and k deviations around it (u, l); w is their width in"
    " percent of m, p where the value is between them (0 at l, 1 at u)",
    source="TA-Lib BBANDS with SMA; w and p after Bollinger 2001, p of a flat window is 0.5",
    parameters=(period(20, low=2), Parameter("k", 2, 0, 100, whole=False)),
    selectable=True,
    outputs=("u", "m", "l", "w", "p"),
    warmup=lambda n, _: n - 1,
    lookback=lambda n, _: n - 1,
    unit="input",
)
def bb(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Mean ± k · deviation of the window."""
    x, upper, middle, lower, width, share = cols[0], cols[1], cols[2], cols[3], cols[4], cols[5]
    n = int(par[0])
    if age < n - 1:
        F[upper, i] = np.nan
        F[middle, i] = np.nan
        F[lower, i] = np.nan
        F[width, i] = np.nan
        F[share, i] = np.nan
        return
    offset, variance = spread(F, x, i, n)
    reach = par[1] * math.sqrt(variance)
    mean = F[x, i] + offset
    F[upper, i] = mean + reach
    F[middle, i] = mean
    F[lower, i] = mean - reach
    F[width, i] = 0.0 if mean == 0.0 else 100.0 * (2.0 * reach / mean)
    flat = reach <= RELATIVE_ZERO * abs(F[x, i])
    F[share, i] = 0.5 if flat else 0.5 - 0.5 * (offset / reach)


@stat(
    "KC",
    version=2,
    meaning="Keltner channel: EMA of the typical price (m) and k average true ranges around it",
    source="TA-Lib KC (Raschke): both averages begin together",
    parameters=(
        period(20, low=2),
        period(10, name="range"),
        Parameter("k", 2, 0, 100, whole=False),
    ),
    inputs=("hlc3", "high", "low", "close"),
    selectable=True,
    outputs=("u", "m", "l"),
    state=("mean", "range"),
    warmup=lambda n, reach, _: max(n - 1, reach),
    lookback=lambda n, reach, _: max(n - 1, reach),
    settling=lambda n, reach, _: max(settling_rows(2.0 / (n + 1.0)), settling_rows(1.0 / reach)),
)
def kc(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """EMA ± k · ATR."""
    x, high, low, close = cols[0], cols[1], cols[2], cols[3]
    upper, middle, lower, mean, reach = cols[4], cols[5], cols[6], cols[7], cols[8]
    n = int(par[0])
    m = int(par[1])
    # The one that needs fewer rows waits for the other, so that both begin in the same row.
    first = max(n - 1, m)
    F[mean, i] = exponential(F, i, age - (first - (n - 1)), x, mean, n)
    F[reach, i] = average_range(F, i, age - (first - m), high, low, close, reach, m)
    F[upper, i] = F[mean, i] + par[2] * F[reach, i]
    F[middle, i] = F[mean, i]
    F[lower, i] = F[mean, i] - par[2] * F[reach, i]


@stat(
    "DC",
    version=1,
    meaning="Donchian channel: highest high (u) and lowest low (l) of n rows, their middle (m)",
    source="TA-Lib DONCHIAN",
    parameters=(period(20),),
    inputs=("high", "low"),
    outputs=("u", "m", "l"),
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
)
def dc(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Extremes of the window, this row included."""
    high, low, upper, middle, lower = cols[0], cols[1], cols[2], cols[3], cols[4]
    n = int(par[0])
    if age < n - 1:
        F[upper, i] = np.nan
        F[middle, i] = np.nan
        F[lower, i] = np.nan
        return
    top = F[high, i]
    bottom = F[low, i]
    for j in range(i - n + 1, i):
        top = max(top, F[high, j])
        bottom = min(bottom, F[low, j])
    F[upper, i] = top
    F[middle, i] = (top + bottom) / 2.0
    F[lower, i] = bottom


DEFINITIONS: tuple[Definition, ...] = (bb, kc, dc)
