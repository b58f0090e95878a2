"""Moving averages: SMA, EMA."""

from __future__ import annotations

import numpy as np

from .definition import Definition, period, settling_rows, stat
from .jit import Floats, Ints

__all__ = ["DEFINITIONS"]

# Decaying averages of a silent input would otherwise end as subnormals: slow, and never zero.
_TINY = float(np.finfo(np.float64).tiny)


@stat(
    "SMA",
    version=1,
    meaning="simple moving average: mean of the last n values",
    source="TA-Lib SMA",
    parameters=(period(20),),
    selectable=True,
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="input",
)
def sma(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Mean of the window, added up anew: a running sum would keep what a past spike rounded off."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    total = 0.0
    for j in range(i - n + 1, i + 1):
        total += F[x, j]
    F[out, i] = total / n


@stat(
    "EMA",
    version=1,
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
    """Previous value moved by 2/(n+1) of the way to the new one. Its own output is its state."""
    x, out = cols[0], cols[1]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    if age == n - 1:
        total = 0.0
        for j in range(i - n + 1, i + 1):
            total += F[x, j]
        F[out, i] = total / n
        return
    previous = F[out, i - 1]
    value = previous + (F[x, i] - previous) * (2.0 / (n + 1.0))
    F[out, i] = 0.0 if abs(value) < _TINY else value


DEFINITIONS: tuple[Definition, ...] = (sma, ema)
