"""Stops that follow a trend and turn with it: SUPERT, SAR."""

from __future__ import annotations

import math

import numpy as np

from .definition import Definition, Parameter, period, settling_rows, stat
from .jit import Floats, Ints
from .volatility import average_range

__all__ = ["DEFINITIONS"]

# Both forget where they began by turning: two runs that turn in the same row are the same from
# there on. No number of rows is certain; in 150 random walks of each of several parameters the
# slowest needed half of these.
_TURNS = 4.0


@stat(
    "SUPERT",
    version=1,
    meaning="supertrend: a band k average true ranges from the middle that only follows the price;"
    " d is the direction, 1 up and -1 down",
    source="TA-Lib SUPERTREND (Seban); it begins upwards, as there",
    parameters=(period(10, low=2), Parameter("k", 3, 0, 1000, whole=False)),
    inputs=("high", "low", "close"),
    outputs=("", "d"),
    state=("upper", "lower", "range"),
    warmup=lambda n, _: n,
    lookback=lambda n, _: n,
    settling=lambda n, k: settling_rows(1.0 / n) + math.ceil(_TURNS * (1.0 + k) ** 2),
)
def supert(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """Each band moves towards the price only, until a close beyond it lets it go."""
    high, low, close, out, direction = cols[0], cols[1], cols[2], cols[3], cols[4]
    upper, lower, reach = cols[5], cols[6], cols[7]
    n = int(par[0])
    F[reach, i] = average_range(F, i, age, high, low, close, reach, n)
    middle = (F[high, i] + F[low, i]) / 2.0
    above = middle + par[1] * F[reach, i]
    below = middle - par[1] * F[reach, i]
    up = True
    if age > n:
        before = F[close, i - 1]
        if above >= F[upper, i - 1] and before <= F[upper, i - 1]:
            above = F[upper, i - 1]
        if below <= F[lower, i - 1] and before >= F[lower, i - 1]:
            below = F[lower, i - 1]
        was_up = F[direction, i - 1] > 0.0
        up = F[close, i] >= below if was_up else F[close, i] > above
    F[upper, i] = above
    F[lower, i] = below
    F[out, i] = below if up else above
    F[direction, i] = (1.0 if up else -1.0) if age >= n else np.nan


@stat(
    "SAR",
    version=1,
    meaning="parabolic stop and reverse: a stop that nears the extreme faster with each new one",
    source="TA-Lib SAR (Wilder 1978): its first direction is that of the first two rows",
    parameters=(
        Parameter("step", 0.02, 0, 1, whole=False),
        Parameter("most", 0.2, 0, 1, whole=False),
    ),
    inputs=("high", "low"),
    state=("next", "extreme", "factor", "side"),
    warmup=lambda *_: 1,
    lookback=lambda *_: 1,
    settling=lambda step, most: math.ceil(_TURNS / max(min(step, most), 0.002)),
)
def sar(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """`next` is the stop of the row that follows, `side` 1 below the price and -1 above it.

    Written once for both sides: seen from below, prices and stops have their sign changed.
    """
    high, low, out = cols[0], cols[1], cols[2]
    following, extreme, factor, side = cols[3], cols[4], cols[5], cols[6]
    step = min(par[0], par[1])
    F[out, i] = np.nan
    F[following, i] = np.nan
    F[extreme, i] = np.nan
    F[factor, i] = np.nan
    F[side, i] = np.nan
    if age == 0:
        return
    if age == 1:
        down = F[low, i - 1] - F[low, i]
        sign = -1.0 if down > 0.0 and down > F[high, i] - F[high, i - 1] else 1.0
        stop = F[low, i - 1] if sign > 0.0 else -F[high, i - 1]
        best = F[high, i] if sign > 0.0 else -F[low, i]
        pace = step
        # The row before gave the stop and does not limit the next one.
        back = i
    else:
        sign = F[side, i - 1]
        stop = sign * F[following, i - 1]
        best = sign * F[extreme, i - 1]
        pace = F[factor, i - 1]
        back = i - 1
    near = F[low, i] if sign > 0.0 else -F[high, i]
    far = F[high, i] if sign > 0.0 else -F[low, i]
    near_before = F[low, back] if sign > 0.0 else -F[high, back]
    far_before = F[high, back] if sign > 0.0 else -F[low, back]
    if near <= stop:
        stop = max(best, far_before, far)
        F[out, i] = sign * stop
        pace = step
        best = near
        stop = max(stop + pace * (best - stop), far_before, far)
        F[side, i] = -sign
    else:
        F[out, i] = sign * stop
        if far > best:
            best = far
            pace = min(pace + step, par[1])
        stop = min(stop + pace * (best - stop), near_before, near)
        F[side, i] = sign
    F[following, i] = sign * stop
    F[extreme, i] = sign * best
    F[factor, i] = pace


DEFINITIONS: tuple[Definition, ...] = (supert, sar)
