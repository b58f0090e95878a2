"""Strength of a trend: ADX with its two directions, AROON."""

from __future__ import annotations

import numpy as np

from .definition import SEED_INFLUENCE, Definition, period, settling_rows, stat
from .jit import Floats, Ints, helper
from .volatility import true_range

__all__ = ["DEFINITIONS"]

_TINY = float(np.finfo(np.float64).tiny)


@helper
def _decayed(total: float, n: int) -> float:
    """Wilder's running sum, less its n-th part."""
    rest = total * ((n - 1.0) / n)
    return 0.0 if rest < _TINY else rest


@stat(
    "ADX",
    version=1,
    meaning="average directional index: strength of the trend; p and m are +DI and -DI",
    source="TA-Lib ADX, PLUS_DI, MINUS_DI (Wilder 1978); without movement there is no trend: DI is"
    " 0 and ADX stays, as there",
    parameters=(period(14, low=2),),
    inputs=("high", "low", "close"),
    outputs=("", "p", "m"),
    state=("plus", "minus", "reach", "mean"),
    warmup=lambda n: 2 * n - 1,
    lookback=lambda _: 1,
    # An average of a ratio of averages: what a seed leaves decays like t/n · (1 − 1/n)^t.
    settling=lambda n: settling_rows(1.0 / n, SEED_INFLUENCE / 100.0),
    unit="0..100",
    bounds=(0.0, 100.0),
)
def adx(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Sums of n − 1 movements, then Wilder's; the index begins as the mean of n ratios.

    TA-Lib's three functions in one: the directions are there from age n, the index from 2n − 1.
    `mean` is the index before it may be shown.
    """
    high, low, close = cols[0], cols[1], cols[2]
    out, plus_out, minus_out = cols[3], cols[4], cols[5]
    plus, minus, reach, mean = cols[6], cols[7], cols[8], cols[9]
    n = int(par[0])
    F[out, i] = np.nan
    F[plus_out, i] = np.nan
    F[minus_out, i] = np.nan
    F[mean, i] = 0.0
    if age == 0:
        F[plus, i] = 0.0
        F[minus, i] = 0.0
        F[reach, i] = 0.0
        return
    up = F[high, i] - F[high, i - 1]
    down = F[low, i - 1] - F[low, i]
    rise = F[plus, i - 1]
    fall = F[minus, i - 1]
    ranges = F[reach, i - 1]
    if age >= n:
        rise = _decayed(rise, n)
        fall = _decayed(fall, n)
        ranges = _decayed(ranges, n)
    # Only the larger of the two counts; none where they are equal.
    if down > 0.0 and up < down:
        fall += down
    elif up > 0.0 and up > down:
        rise += up
    ranges += true_range(F, high, low, close, i)
    F[plus, i] = rise
    F[minus, i] = fall
    F[reach, i] = ranges
    if age < n:
        return
    F[plus_out, i] = 0.0 if ranges == 0.0 else 100.0 * (rise / ranges)
    F[minus_out, i] = 0.0 if ranges == 0.0 else 100.0 * (fall / ranges)
    moved = ranges > 0.0 and rise + fall > 0.0
    ratio = 100.0 * (abs(rise - fall) / (rise + fall)) if moved else 0.0
    before = F[mean, i - 1]
    if age < 2 * n:
        F[mean, i] = before + ratio / n
    else:
        F[mean, i] = before + (ratio - before) / n if moved else before
    if age >= 2 * n - 1:
        F[out, i] = F[mean, i]


@stat(
    "AROON",
    version=1,
    meaning="Aroon: how recent the highest high (u) and the lowest low (d) of n rows are",
    source="TA-Lib AROON (Chande); of equal ones the newest counts",
    parameters=(period(25, low=2),),
    inputs=("high", "low"),
    outputs=("u", "d"),
    warmup=lambda n: n,
    lookback=lambda n: n,
    unit="0..100",
    bounds=(0.0, 100.0),
)
def aroon(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """100 · (n − rows since the extreme) / n, over n + 1 rows."""
    high, low, up, down = cols[0], cols[1], cols[2], cols[3]
    n = int(par[0])
    if age < n:
        F[up, i] = np.nan
        F[down, i] = np.nan
        return
    highest, lowest = F[high, i - n], F[low, i - n]
    top, bottom = i - n, i - n
    for j in range(i - n + 1, i + 1):
        here = F[high, j]
        if here >= highest:
            highest, top = here, j
        here = F[low, j]
        if here <= lowest:
            lowest, bottom = here, j
    F[up, i] = 100.0 * (n - (i - top)) / n
    F[down, i] = 100.0 * (n - (i - bottom)) / n


DEFINITIONS: tuple[Definition, ...] = (adx, aroon)
