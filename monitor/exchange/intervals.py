"""The exchange's candle intervals and their alignment. All times are Unix milliseconds, UTC.

Every interval is a multiple of a minute and aligned to multiples of itself since the epoch,
but for `1M`, which is a calendar month.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["INTERVALS", "MINUTE_MS", "Interval"]

MINUTE_MS = 60_000
_HOUR = 60 * MINUTE_MS
_DAY = 24 * _HOUR


def _months(ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Calendar months since 1970 of every element."""
    return ms.astype("M8[ms]").astype("M8[M]").astype(np.int64)


def _month_opens(months: NDArray[np.int64]) -> NDArray[np.int64]:
    """First ms of every month since 1970."""
    return months.astype("M8[M]").astype("M8[ms]").astype(np.int64)


def _month(ms: int, step: int = 0) -> int:
    """First ms of the month that is `step` after the one that holds `ms`, not before 1970."""
    months = np.maximum(_months(np.array([ms])) + step, 0)
    return int(_month_opens(months)[0])


@dataclass(frozen=True)
class Interval:
    """One interval: its wire `name` and its length in ms (0: a calendar month)."""

    name: str
    length_ms: int

    def floor(self, ms: int) -> int:
        """Open time of the bar that holds `ms`."""
        return ms - ms % self.length_ms if self.length_ms else _month(ms)

    def after(self, open_ms: int) -> int:
        """Open time of the bar after the one that opens at `open_ms`."""
        return open_ms + self.length_ms if self.length_ms else _month(open_ms, 1)

    def back(self, open_ms: int, bars: int) -> int:
        """Open time of the bar `bars` before the one that opens at `open_ms`, not before 1970."""
        return max(0, open_ms - bars * self.length_ms) if self.length_ms else _month(open_ms, -bars)

    def floors(self, ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """`floor` of every element: int64[n]."""
        return ms - ms % self.length_ms if self.length_ms else _month_opens(_months(ms))

    def grid(self, first_ms: int, last_ms: int) -> NDArray[np.int64]:
        """Every open time from the bar `first_ms` to the bar `last_ms`, both included."""
        if self.length_ms:
            return np.arange(first_ms, last_ms + 1, self.length_ms, dtype=np.int64)
        first, last = _months(np.array([first_ms, last_ms])).tolist()
        return _month_opens(np.arange(first, last + 1, dtype=np.int64))


INTERVALS = {
    name: Interval(name, length)
    for name, length in (
        ("1m", MINUTE_MS),
        ("3m", 3 * MINUTE_MS),
        ("5m", 5 * MINUTE_MS),
        ("15m", 15 * MINUTE_MS),
        ("30m", 30 * MINUTE_MS),
        ("1h", _HOUR),
        ("2h", 2 * _HOUR),
        ("4h", 4 * _HOUR),
        ("8h", 8 * _HOUR),
        ("12h", 12 * _HOUR),
        ("1d", _DAY),
        ("3d", 3 * _DAY),
        ("1w", 7 * _DAY),
        ("1M", 0),
    )
}
