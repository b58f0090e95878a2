"""Moving averages of one column: SMA, EMA, RMA, WMA, HMA, DEMA, TEMA, KAMA."""

from __future__ import annotations

import math

import numpy as np

from .definition import RELATIVE_ZERO, Definition, period, settling_rows, stat
from .jit import Floats, Ints, helper
from .sums import distance, weighted

__all__ = ["DEFINITIONS", "exponential", "window_mean"]

# Decaying averages of a silent input would otherwise end as subnormals: slow, and never zero.
_TINY = float(np.finfo(np.float64).tiny)

# Kaufman's: between the EMA of 2 rows and that of 30.
_SLOWEST = 2.0 / 31.0
_FASTEST = 2.0 / 3.0


# All averages are measured from the newest value: that of a flat window is its price to the last
# bit, so nothing that compares the two sees a movement.


@helper
def window_mean(F: Floats, x: int, i: int, n: int) -> float:
    """Mean of n rows up to i."""
    mean: float = F[x, i] + distance(F, x, i, n) / n
    return mean


@helper
def exponential(F: Floats, i: int, since: int, x: int, out: int, n: int) -> float:
    """Row i of an EMA of column x; column `out` has its earlier rows.

    `since` counts the rows from the first value of x, which may have begun later than the market.
    NaN before n values, then their mean, then moved 2/(n+1) of the way to each new one.
    """
    if since < n - 1:
        return np.nan
    if since == n - 1:
        return window_mean(F, x, i, n)
    previous = F[out, i - 1]
    value: float = previous + (F[x, i] - previous) * (2.0 / (n + 1.0))
    return 0.0 if abs(value) < _TINY else value


@helper
def _weighted(F: Floats, x: int, i: int, n: int) -> float:
    """Mean of n rows with weights 1 … n, the newest the heaviest."""
    mean: float = F[x, i] + weighted(F, x, i, n) / (0.5 * n * (n + 1.0))
    return mean


@stat(
    "SMA",
    version=3,
    meaning="simple moving average: mean of the last n values",
    source="TA-Lib SMA",
    parameters=(period(20),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def sma(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Mean of the window."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    F[out, i] = np.nan if age < n - 1 else window_mean(F, x, i, n)


@stat(
    "EMA",
    version=3,
    meaning="exponential moving average, weight 2/(n+1), seeded with the first SMA",
    source="TA-Lib EMA (default compatibility)",
    parameters=(period(20),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: max(n - 1, 1),
    settling=lambda n: settling_rows(2.0 / (n + 1.0)),
    unit="input",
)
def ema(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Its own output is its state."""
    x, out = cols[0], cols[1]
    F[out, i] = exponential(F, i, age, x, out, int(par[0]))


@stat(
    "RMA",
    version=2,
    meaning="Wilder's moving average, weight 1/n, seeded with the first SMA; also called SMMA",
    source="TA-Lib RMA (Wilder 1978)",
    parameters=(period(14),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: max(n - 1, 1),
    settling=lambda n: settling_rows(1.0 / n),
    unit="input",
)
def rma(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Previous value moved by 1/n of the way to the new one."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
    elif age == n - 1:
        F[out, i] = window_mean(F, x, i, n)
    else:
        previous = F[out, i - 1]
        value = previous + (F[x, i] - previous) / n
        F[out, i] = 0.0 if abs(value) < _TINY else value


@stat(
    "WMA",
    version=2,
    meaning="weighted moving average: the newest of n values counts n times, the oldest once",
    source="TA-Lib WMA",
    parameters=(period(20),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def wma(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Weighted mean of the window."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    F[out, i] = np.nan if age < n - 1 else _weighted(F, x, i, n)


@stat(
    "HMA",
    version=2,
    meaning="Hull moving average: WMA of √n of (twice the WMA of n/2 less the WMA of n)",
    source="TA-Lib HMA (Hull 2005), n/2 and √n cut to whole numbers",
    parameters=(period(20),),
    selectable=True,
    state=("ahead",),
    warmup=lambda n: n - 1 + math.isqrt(n) - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def hma(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """`ahead` is the average without lag, which the last WMA smooths."""
    x, out, ahead = cols[0], cols[1], cols[2]
    n = int(par[0])
    root = int(math.sqrt(par[0]))
    if age < n - 1:
        F[ahead, i] = np.nan
    elif n == 1:
        F[ahead, i] = F[x, i]
    else:
        F[ahead, i] = 2.0 * _weighted(F, x, i, n // 2) - _weighted(F, x, i, n)
    F[out, i] = np.nan if age < n + root - 2 else _weighted(F, ahead, i, root)


@stat(
    "DEMA",
    version=2,
    meaning="double exponential average: twice the EMA less the EMA of the EMA",
    source="TA-Lib DEMA (Mulloy 1994)",
    parameters=(period(20),),
    selectable=True,
    state=("one", "two"),
    warmup=lambda n: 2 * (n - 1),
    lookback=lambda n: max(n - 1, 1),
    settling=lambda n: settling_rows(2.0 / (n + 1.0), times=2),
    unit="input",
)
def dema(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """2·EMA − EMA(EMA), each seeded with the mean of its first n values."""
    x, out, one, two = cols[0], cols[1], cols[2], cols[3]
    n = int(par[0])
    F[one, i] = exponential(F, i, age, x, one, n)
    F[two, i] = exponential(F, i, age - (n - 1), one, two, n)
    F[out, i] = 2.0 * F[one, i] - F[two, i]


@stat(
    "TEMA",
    version=2,
    meaning="triple exponential average: three EMA less three EMA of the EMA plus the third one",
    source="TA-Lib TEMA (Mulloy 1994)",
    parameters=(period(20),),
    selectable=True,
    state=("one", "two", "three"),
    warmup=lambda n: 3 * (n - 1),
    lookback=lambda n: max(n - 1, 1),
    settling=lambda n: settling_rows(2.0 / (n + 1.0), times=3),
    unit="input",
)
def tema(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """3·EMA − 3·EMA(EMA) + EMA(EMA(EMA)), each seeded with the mean of its first n values."""
    x, out, one, two, three = cols[0], cols[1], cols[2], cols[3], cols[4]
    n = int(par[0])
    F[one, i] = exponential(F, i, age, x, one, n)
    F[two, i] = exponential(F, i, age - (n - 1), one, two, n)
    F[three, i] = exponential(F, i, age - 2 * (n - 1), two, three, n)
    F[out, i] = 3.0 * (F[one, i] - F[two, i]) + F[three, i]


def _kama_settling(n: int) -> int:
    """Rows of a market that goes half as straight as a random walk does (1/√n of its way).

    A market that comes back to where it was in every window would need 4,966 rows.
    """
    straight = 0.5 / math.sqrt(n)
    return settling_rows((straight * (_FASTEST - _SLOWEST) + _SLOWEST) ** 2) if n > 1 else 0


@stat(
    "KAMA",
    version=1,
    meaning="Kaufman's adaptive average: fast where n rows went straight, slow where to and fro",
    source="TA-Lib KAMA (Kaufman 1995), fast 2 and slow 30",
    parameters=(period(10),),
    selectable=True,
    warmup=lambda n: n if n > 1 else 0,
    lookback=lambda n: n if n > 1 else 0,
    settling=_kama_settling,
    unit="input",
)
def kama(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Moved by the square of a weight between 2/31 and 2/3: the way made over the way gone."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if n == 1:
        F[out, i] = F[x, i]
        return
    if age < n:
        F[out, i] = np.nan
        return
    gone = 0.0
    for j in range(i - n + 1, i + 1):
        step = abs(F[x, j] - F[x, j - 1])
        # What a derived price rounds off is no way gone.
        if step > RELATIVE_ZERO * abs(F[x, j]):
            gone += step
    made = abs(F[x, i] - F[x, i - n])
    straight = 1.0 if gone <= made else made / gone
    weight = straight * (_FASTEST - _SLOWEST) + _SLOWEST
    previous = F[x, i - 1] if age == n else F[out, i - 1]
    value = previous + (F[x, i] - previous) * (weight * weight)
    F[out, i] = 0.0 if abs(value) < _TINY else value


DEFINITIONS: tuple[Definition, ...] = (sma, ema, rma, wma, hma, dema, tema, kama)
