"""Twins of the stops that turn with a trend."""

from __future__ import annotations

from collections.abc import Sequence

from .common import NAN, Outputs, Twins
from .volatility import true_range

__all__ = ["TWINS", "parabolic", "supertrend"]


def supertrend(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], n: int, k: float
) -> Outputs:
    """The band on the far side of the trend, and the trend."""
    ranges = [NAN, *true_range(high, low, close)]
    stops, trends = [NAN] * min(n, len(close)), [NAN] * min(n, len(close))
    upper = lower = size = trend = NAN
    for row in range(n, len(close)):
        middle = (high[row] + low[row]) / 2.0
        if row == n:
            size = sum(ranges[1 : n + 1]) / n
            upper, lower, trend = middle + k * size, middle - k * size, 1.0
        else:
            size = ((n - 1.0) * size + ranges[row]) / n
            loose_upper, loose_lower = middle + k * size, middle - k * size
            upper = loose_upper if close[row - 1] > upper else min(upper, loose_upper)
            lower = loose_lower if close[row - 1] < lower else max(lower, loose_lower)
            if trend > 0.0 and close[row] < lower:
                trend = -1.0
            elif trend < 0.0 and close[row] > upper:
                trend = 1.0
        stops.append(lower if trend > 0.0 else upper)
        trends.append(trend)
    return stops, trends


def parabolic(high: Sequence[float], low: Sequence[float], step: float, most: float) -> list[float]:
    """Wilder's stop and reverse, one side after the other."""
    step = min(step, most)
    if len(high) < 2:
        return [NAN] * len(high)
    falls = max(low[0] - low[1], 0.0) > max(high[1] - high[0], 0.0)
    stop, extreme = (high[0], low[1]) if falls else (low[0], high[1])
    pace = step
    result = [NAN]
    for row in range(1, len(high)):
        last = slice(max(row - 1, 1), row + 1)
        if not falls:
            if low[row] > stop:
                result.append(stop)
                if high[row] > extreme:
                    extreme, pace = high[row], min(pace + step, most)
                stop = min(stop + pace * (extreme - stop), *low[last])
                continue
            result.append(max(extreme, *high[last]))
            extreme, pace, falls = low[row], step, True
            stop = max(result[-1] + pace * (extreme - result[-1]), *high[last])
        else:
            if high[row] < stop:
                result.append(stop)
                if low[row] < extreme:
                    extreme, pace = low[row], min(pace + step, most)
                stop = max(stop + pace * (extreme - stop), *high[last])
                continue
            result.append(min(extreme, *low[last]))
            extreme, pace, falls = high[row], step, False
            stop = min(result[-1] + pace * (extreme - result[-1]), *low[last])
    return result


TWINS: Twins = {
    "SAR": lambda high, low, step, most: (parabolic(high, low, step, most),),
    "SUPERT": supertrend,
}
