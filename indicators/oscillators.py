"""Oscillators of where the close stands within a range: stochastics, CCI, WILLR, UO, AO.

Windows are scanned anew at every step; sums taken once and mended would keep the rounding of a
spike long gone.
"""

from __future__ import annotations

import numpy as np

from .definition import RELATIVE_ZERO, Definition, period, settling_rows, stat
from .jit import Floats, Ints, helper
from .momentum import strength
from .sums import distance, distances

__all__ = ["DEFINITIONS"]

_MIDDLE = 50.0
_STILL = 1e-10
"""An RSI that moves less than this, in its points, stands still: the rest is rounding."""


@helper
def _place(F: Floats, i: int, high: int, low: int, close: int, n: int, still: float) -> float:
    """Return where the close stands in the range of n rows, 0 to 1; the middle of none at all."""
    top = F[high, i]
    bottom = F[low, i]
    for j in range(i - n + 1, i):
        top = max(top, F[high, j])
        bottom = min(bottom, F[low, j])
    reach = top - bottom
    if reach <= still:
        return 0.5
    place: float = (F[close, i] - bottom) / reach
    return place


@helper
def _mean(F: Floats, i: int, x: int, n: int) -> float:
    """Mean of the last n rows."""
    total = 0.0
    for j in range(i - n + 1, i + 1):
        total += F[x, j]
    return total / n


_STOCHASTIC = "; a range of nothing is 50, not TA-Lib's 0"


@stat(
    "STOCH",
    version=1,
    meaning="stochastic: place of the close in the range of n rows, smoothed (k), and its mean (d)",
    source="TA-Lib STOCH with simple averages (Lane)" + _STOCHASTIC,
    parameters=(period(14), period(3, name="k"), period(3, name="d")),
    inputs=("high", "low", "close"),
    outputs=("k", "d"),
    state=("fast", "slow"),
    warmup=lambda n, k, d: n + k + d - 3,
    lookback=lambda n, k, d: max(n, k, d) - 1,
    unit="0..100",
    bounds=(0.0, 100.0),
)
def stoch(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Both outputs begin where d does, as TA-Lib's; `slow` has k from the start."""
    high, low, close, k_out, d_out, fast, slow = (
        cols[0],
        cols[1],
        cols[2],
        cols[3],
        cols[4],
        cols[5],
        cols[6],
    )
    n, k, d = int(par[0]), int(par[1]), int(par[2])
    F[fast, i] = np.nan
    F[slow, i] = np.nan
    F[k_out, i] = np.nan
    F[d_out, i] = np.nan
    if age < n - 1:
        return
    F[fast, i] = 100.0 * _place(F, i, high, low, close, n, RELATIVE_ZERO * F[high, i])
    if age < n + k - 2:
        return
    F[slow, i] = _mean(F, i, fast, k)
    if age < n + k + d - 3:
        return
    F[k_out, i] = F[slow, i]
    F[d_out, i] = _mean(F, i, slow, d)


@stat(
    "STOCHF",
    version=1,
    meaning="fast stochastic: place of the close in the range of n rows (k), and its mean (d)",
    source="TA-Lib STOCHF with simple averages (Lane)" + _STOCHASTIC,
    parameters=(period(14), period(3, name="d")),
    inputs=("high", "low", "close"),
    outputs=("k", "d"),
    state=("fast",),
    warmup=lambda n, d: n + d - 2,
    lookback=lambda n, d: max(n, d) - 1,
    unit="0..100",
    bounds=(0.0, 100.0),
)
def stochf(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Both outputs begin where d does, as TA-Lib's; `fast` has k from the start."""
    high, low, close, k_out, d_out, fast = cols[0], cols[1], cols[2], cols[3], cols[4], cols[5]
    n, d = int(par[0]), int(par[1])
    F[fast, i] = np.nan
    F[k_out, i] = np.nan
    F[d_out, i] = np.nan
    if age < n - 1:
        return
    F[fast, i] = 100.0 * _place(F, i, high, low, close, n, RELATIVE_ZERO * F[high, i])
    if age < n + d - 2:
        return
    F[k_out, i] = F[fast, i]
    F[d_out, i] = _mean(F, i, fast, d)


@stat(
    "STOCHRSI",
    version=2,
    meaning="stochastic of RSI: place of RSI n in its range of k rows (k), and its mean (d)",
    source="TA-Lib STOCHRSI with simple averages (Chande, Kroll)" + _STOCHASTIC,
    parameters=(period(14), period(14, name="k"), period(3, name="d")),
    selectable=True,
    outputs=("k", "d"),
    state=("gain", "loss", "rsi", "fast"),
    warmup=lambda n, k, d: n + k + d - 2,
    lookback=lambda n, k, d: max(n, k - 1, d - 1),
    # Until the RSI has settled; the rows of its windows are all behind the first value by then.
    settling=lambda n, *_: settling_rows(1.0 / n, 1e-11),
    unit="0..100",
    bounds=(0.0, 100.0),
)
def stochrsi(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Fast stochastic whose high, low and close are the RSI."""
    x, k_out, d_out, gain, loss, rsi, fast = (
        cols[0],
        cols[1],
        cols[2],
        cols[3],
        cols[4],
        cols[5],
        cols[6],
    )
    n, k, d = int(par[0]), int(par[1]), int(par[2])
    F[rsi, i] = strength(F, i, age, x, gain, loss, n)
    F[fast, i] = np.nan
    F[k_out, i] = np.nan
    F[d_out, i] = np.nan
    if age < n + k - 1:
        return
    F[fast, i] = 100.0 * _place(F, i, rsi, rsi, rsi, k, _STILL)
    if age < n + k + d - 2:
        return
    F[k_out, i] = F[fast, i]
    F[d_out, i] = _mean(F, i, fast, d)


@stat(
    "WILLR",
    version=1,
    meaning="Williams' %R: how far the close is below the highest high of n rows, -100 to 0",
    source="TA-Lib WILLR (Williams); a range of nothing is -50, not TA-Lib's 0",
    parameters=(period(14, low=2),),
    inputs=("high", "low", "close"),
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="-100..0",
    bounds=(-100.0, 0.0),
)
def willr(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """−100 · (highest − close) / (highest − lowest)."""
    high, low, close, out = cols[0], cols[1], cols[2], cols[3]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    top = F[high, i]
    bottom = F[low, i]
    for j in range(i - n + 1, i):
        top = max(top, F[high, j])
        bottom = min(bottom, F[low, j])
    reach = top - bottom
    if reach <= RELATIVE_ZERO * top:
        F[out, i] = -_MIDDLE
    else:
        F[out, i] = -100.0 * ((top - F[close, i]) / reach)


@stat(
    "CCI",
    version=2,
    meaning="commodity channel index: typical price off its mean, in 0.015 mean deviations",
    source="TA-Lib CCI (Lambert)",
    parameters=(period(14, low=2),),
    inputs=("hlc3",),
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="deviations",
)
def cci(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Everything is measured from the newest price, so that a flat window is exactly flat."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    mean = distance(F, x, i, n) / n
    deviation = distances(F, x, i, n, mean) / n
    if deviation <= RELATIVE_ZERO * abs(F[x, i]):
        F[out, i] = 0.0
    else:
        F[out, i] = -mean / (0.015 * deviation)


@stat(
    "UO",
    version=1,
    meaning="ultimate oscillator: buying pressure over three windows, the shortest weighs most",
    source="TA-Lib ULTOSC (Williams); a range of nothing is the middle, not TA-Lib's 0",
    parameters=(period(7, name="short"), period(14, name="middle"), period(28, name="long")),
    inputs=("high", "low", "close"),
    warmup=max,
    lookback=max,
    unit="0..100",
    bounds=(0.0, 100.0),
)
def uo(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Weights 4, 2, 1 for the windows from the shortest to the longest, in whatever order given."""
    high, low, close, out = cols[0], cols[1], cols[2], cols[3]
    first, second, third = int(par[0]), int(par[1]), int(par[2])
    short = min(first, second, third)
    long = max(first, second, third)
    middle = first + second + third - short - long
    if age < long:
        F[out, i] = np.nan
        return
    still = RELATIVE_ZERO * F[close, i]
    pressure = 0.0
    reach = 0.0
    total = 0.0
    begin = i
    # One pass serves all three: the shorter windows are the longest one's newest rows.
    for window, weight in ((short, 4.0), (middle, 2.0), (long, 1.0)):
        for j in range(begin, i - window, -1):
            before = F[close, j - 1]
            bottom = min(F[low, j], before)
            pressure += F[close, j] - bottom
            reach += max(F[high, j], before) - bottom
        begin = min(begin, i - window)
        total += weight * (0.5 if reach <= still else pressure / reach)
    F[out, i] = 100.0 * (total / 7.0)


@stat(
    "AO",
    version=2,
    meaning="awesome oscillator: fast mean of the candles' middles minus the slow one",
    source="TA-Lib AO (Williams)",
    parameters=(period(5, name="fast", low=2), period(34, name="slow", low=2)),
    inputs=("hl2",),
    warmup=lambda fast, slow: max(fast, slow) - 1,
    lookback=lambda fast, slow: max(fast, slow) - 1,
)
def ao(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Two means of distances from the newest middle: the price itself would drown them."""
    x, out = cols[0], cols[1]
    fast, slow = int(par[0]), int(par[1])
    if age < max(fast, slow) - 1:
        F[out, i] = np.nan
        return
    F[out, i] = distance(F, x, i, fast) / fast - distance(F, x, i, slow) / slow


DEFINITIONS: tuple[Definition, ...] = (stoch, stochf, stochrsi, willr, cci, uo, ao)
