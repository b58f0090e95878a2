"""Rows of one market as an archive has them: which can be true, and how two sets become one. Pure.

The rules are those of `protocol.check_candle`, over arrays, and what a row that is carried means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Minutes", "fault", "merge", "unbroken"]

_MAX_TRADES = 2**53
_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME = range(5)


@dataclass(frozen=True)
class Minutes:
    """Rows, ascending by bar, no bar twice; there may be holes.

    bars: int64[n], minutes since the epoch. prices: float64[n, 5], open, high, low, close, volume.
    trades: int64[n]. carried: bool[n].
    """

    bars: npt.NDArray[np.int64]
    prices: npt.NDArray[np.float64]
    trades: npt.NDArray[np.int64]
    carried: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.bars)

    def __getitem__(self, which: slice | npt.NDArray[np.bool_]) -> Minutes:
        return Minutes(
            self.bars[which], self.prices[which], self.trades[which], self.carried[which]
        )

    @classmethod
    def none(cls) -> Minutes:
        """No rows."""
        integers = np.empty(0, np.int64)
        return cls(integers, np.empty((0, 5)), integers, np.empty(0, np.bool_))

    @classmethod
    def joined(cls, *parts: Minutes) -> Minutes:
        """The parts in a row; each must be behind the one before it."""
        return cls(
            np.concatenate([part.bars for part in parts]),
            np.concatenate([part.prices for part in parts]),
            np.concatenate([part.trades for part in parts]),
            np.concatenate([part.carried for part in parts]),
        )

    def equals(self, other: Minutes) -> bool:
        """Is every value the same?"""
        return (
            np.array_equal(self.bars, other.bars)
            and np.array_equal(self.prices, other.prices)
            and np.array_equal(self.trades, other.trades)
            and np.array_equal(self.carried, other.carried)
        )


def fault(minutes: Minutes, first: int, last: int) -> str | None:
    """Why rows that claim to be of the bars first..last cannot be true; None if they may be.

    Reasons: ``time`` (not ascending, or outside), ``price`` (not finite and positive, or not low <=
    open, close <= high), ``volume``, ``trades``, ``carried`` (not flat, or not silent).
    """
    if not len(minutes):
        return None
    bars, trades, carried = minutes.bars, minutes.trades, minutes.carried
    if bars[0] < first or bars[-1] > last or (np.diff(bars) <= 0).any():
        return "time"
    prices, volume = minutes.prices[:, :_VOLUME], minutes.prices[:, _VOLUME]
    o, h, l, c = prices.T
    # NaN compares false with everything, so none gets through.
    right = (l > 0) & (l <= o) & (o <= h) & (l <= c) & (c <= h) & (h < np.inf)
    if not right.all():
        return "price"
    if not ((volume >= 0) & (volume < np.inf)).all():
        return "volume"
    if not ((trades >= 0) & (trades <= _MAX_TRADES)).all() or (volume[trades == 0] > 0).any():
        return "trades"
    if trades[carried].any() or not (prices[carried] == c[carried, np.newaxis]).all():
        return "carried"
    return None


def unbroken(minutes: Minutes) -> Minutes:
    """The newest rows, back to the first hole, or to a carried row at another close than before."""
    close = minutes.prices[:, _CLOSE]
    broken = (np.diff(minutes.bars) != 1) | (minutes.carried[1:] & (close[1:] != close[:-1]))
    breaks = np.flatnonzero(broken)
    return minutes[int(breaks[-1]) + 1 :] if len(breaks) else minutes


def merge(old: Minutes, new: Minutes) -> Minutes:
    """All rows of both; of two of one minute the new one."""
    kept = old[~np.isin(old.bars, new.bars)]
    order = np.argsort(np.concatenate([kept.bars, new.bars]), kind="stable")
    both = Minutes.joined(kept, new)
    return Minutes(both.bars[order], both.prices[order], both.trades[order], both.carried[order])
