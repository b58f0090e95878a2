"""Flow of volume: OBV, AD, ADOSC, CMF, MFI.

OBV and AD are sums since the market's origin: their level is arbitrary (the origin's), their
changes are not. They are kept in two parts, the sum and what rounding took from it, so a volume of
1e12 that comes and goes leaves nothing behind.
"""

from __future__ import annotations

import numpy as np

from .definition import RELATIVE_ZERO, Definition, period, settling_rows, stat
from .jit import Floats, Ints, helper

__all__ = ["DEFINITIONS"]

_TINY = float(np.finfo(np.float64).tiny)


@helper
def _flow(F: Floats, i: int, high: int, low: int, close: int, volume: int) -> float:
    """Return Chaikin's money flow of a row: its volume times where it closed, −1 to 1.

    0 where the candle has no range.
    """
    reach = F[high, i] - F[low, i]
    if reach <= 0.0:
        return 0.0
    flow: float = (F[close, i] - F[low, i] - (F[high, i] - F[close, i])) / reach * F[volume, i]
    return flow


@helper
def _accumulate(F: Floats, i: int, age: int, out: int, whole: int, rest: int, flow: float) -> None:
    """Add to a sum without end; `rest` is what rounding took from `whole`."""
    before = 0.0 if age == 0 else F[whole, i - 1]
    lost = 0.0 if age == 0 else F[rest, i - 1]
    total = before + flow
    part = total - before
    lost += (before - (total - part)) + (flow - part)
    F[whole, i] = total
    F[rest, i] = lost
    F[out, i] = total + lost


@stat(
    "OBV",
    version=1,
    meaning="on-balance volume: volume of rises minus volume of falls, since the origin",
    source="TA-Lib OBV (Granville); its level is the origin's",
    inputs=("close", "volume"),
    selectable=True,
    state=("whole", "rest"),
    lookback=lambda: 1,
    unit="volume",
)
def obv(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Begins with the origin's volume, as TA-Lib's."""
    x, volume, out, whole, rest = cols[0], cols[1], cols[2], cols[3], cols[4]
    flow = F[volume, i]
    if age > 0:
        change = F[x, i] - F[x, i - 1]
        if abs(change) <= RELATIVE_ZERO * abs(F[x, i]):
            flow = 0.0
        elif change < 0.0:
            flow = -flow
    _accumulate(F, i, age, out, whole, rest, flow)


@stat(
    "AD",
    version=1,
    meaning="accumulation/distribution: volume by where candles close in their range, summed up",
    source="TA-Lib AD (Chaikin); its level is the origin's",
    inputs=("high", "low", "close", "volume"),
    state=("whole", "rest"),
    lookback=lambda: 1,
    unit="volume",
)
def ad(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Sum of the money flow since the origin."""
    flow = _flow(F, i, cols[0], cols[1], cols[2], cols[3])
    _accumulate(F, i, age, cols[4], cols[5], cols[6], flow)


@helper
def _follow(distance: float, flow: float, n: int) -> float:
    """Distance of a sum from its exponential average, one row later."""
    further = (distance + flow) * (1.0 - 2.0 / (n + 1.0))
    return 0.0 if abs(further) < _TINY else further


@stat(
    "ADOSC",
    version=1,
    meaning="Chaikin oscillator: fast exponential average of AD minus the slow one",
    source="TA-Lib ADOSC (Chaikin); both averages begin with AD's first value",
    parameters=(period(3, name="fast", low=2), period(10, name="slow", low=2)),
    inputs=("high", "low", "close", "volume"),
    state=("fast", "slow"),
    warmup=lambda fast, slow: max(fast, slow) - 1,
    lookback=lambda *_: 1,
    settling=lambda fast, slow: settling_rows(2.0 / (max(fast, slow) + 1.0)),
    unit="volume",
)
def adosc(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Remembers how far AD is from each average: AD's own level, which grows, cancels out."""
    out, fast, slow = cols[4], cols[5], cols[6]
    n_fast, n_slow = int(par[0]), int(par[1])
    if age == 0:
        F[fast, i] = 0.0
        F[slow, i] = 0.0
    else:
        flow = _flow(F, i, cols[0], cols[1], cols[2], cols[3])
        F[fast, i] = _follow(F[fast, i - 1], flow, n_fast)
        F[slow, i] = _follow(F[slow, i - 1], flow, n_slow)
    F[out, i] = np.nan if age < max(n_fast, n_slow) - 1 else F[slow, i] - F[fast, i]


@stat(
    "CMF",
    version=1,
    meaning="Chaikin money flow: volume by where candles close, over all volume of n rows, -1 to 1",
    source="TA-Lib CMF (Chaikin)",
    parameters=(period(20, low=2),),
    inputs=("high", "low", "close", "volume"),
    warmup=lambda n: n - 1,
    lookback=lambda n: n - 1,
    unit="-1..1",
    bounds=(-1.0, 1.0),
)
def cmf(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Sum of the money flow over the sum of volume; 0 without volume."""
    volume, out = cols[3], cols[4]
    n = int(par[0])
    if age < n - 1:
        F[out, i] = np.nan
        return
    flow = 0.0
    total = 0.0
    for j in range(i - n + 1, i + 1):
        flow += _flow(F, j, cols[0], cols[1], cols[2], volume)
        total += F[volume, j]
    F[out, i] = flow / total if total > 0.0 else 0.0


@stat(
    "MFI",
    version=1,
    meaning="money flow index: share of rising typical prices in all money of n rows, 0 to 100",
    source="TA-Lib MFI (Quong, Soudack); a window without money flow is 50, not TA-Lib's 0",
    parameters=(period(14, low=2),),
    inputs=("hlc3", "volume"),
    warmup=lambda n: n,
    lookback=lambda n: n,
    unit="0..100",
    bounds=(0.0, 100.0),
)
def mfi(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Money of the rows whose typical price rose, over that of all rows where it moved."""
    x, volume, out = cols[0], cols[1], cols[2]
    n = int(par[0])
    if age < n:
        F[out, i] = np.nan
        return
    up = 0.0
    down = 0.0
    for j in range(i - n + 1, i + 1):
        change = F[x, j] - F[x, j - 1]
        if abs(change) <= RELATIVE_ZERO * abs(F[x, j]):
            continue
        money = F[x, j] * F[volume, j]
        if change < 0.0:
            down += money
        else:
            up += money
    F[out, i] = 50.0 if up + down == 0.0 else 100.0 * (up / (up + down))


DEFINITIONS: tuple[Definition, ...] = (obv, ad, adosc, cmf, mfi)
