"""REST's answer, compared with what the ring holds: what to write, and what it proves.

`settle` is the one place that says which minutes an answer makes certain (design, "Never guess"):
listed rows are what the exchange says; minutes after the last listed row were silent, as the
exchange was asked after their end; minutes it left out between two listed rows, or before the first
one, are judged here. An answer that ends before a trade that is known *stands still*: every minute
up to a trade is listed. It vouches for nothing from its last row on, which may be a part of one.
Pure: arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .kernels import CARRIED, CLOSED, CONFIRMED
from .protocol import Candle

__all__ = ["RETENTION", "Existing", "Settled", "settle"]

RETENTION = 5_000
"""Rows that the exchange keeps of a market, counted from its last one."""


@dataclass(frozen=True)
class Existing:
    """What the ring holds of the bars asked for.

    close_before: close of the bar before the first one, NaN where there is none; confirmed_before
    says whether REST has vouched for it.
    known: bool[n], a row is there.
    closed: bool[n], and readers have seen it closed.
    prices: float64[n, 5], open .. volume; trades: int64[n].
    traded_after: when REST was asked, a trade was known of that came after the last bar wanted.
    latest: the newest bar there is at the exchange.
    """

    close_before: float
    known: npt.NDArray[np.bool_]
    closed: npt.NDArray[np.bool_]
    prices: npt.NDArray[np.float64]
    trades: npt.NDArray[np.int64]
    traded_after: bool
    latest: int
    confirmed_before: bool = True


@dataclass(frozen=True)
class Settled:
    """Rows to write from bar `first` on; none where `prices` is empty.

    prices: float64[n, 5], open .. volume; counts: int64[n, 2], trades and flags.

    vouched: the last bar that the answer makes certain; the rows behind it are not confirmed.
    lost: rows before `first` are not in the exchange's memory; history begins anew at `first`.
    lagging: the exchange does not list yet what it must; ask again.
    differs: how many of the first rows are what the ring holds already. changed: closed rows that
    were different; added: rows that were not there; carried: flat rows
    derived from silence; omitted: those of them that stand between two listed rows.
    """

    first: int
    prices: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    vouched: int
    lost: bool = False
    lagging: bool = False
    differs: int = 0
    changed: int = 0
    added: int = 0
    carried: int = 0
    omitted: int = 0


def settle(
    listed: Sequence[Candle],
    first: int,
    last: int,
    existing: Existing,
    *,
    interval_ms: int,
    settled: int,
    patient: bool = True,
) -> Settled:
    """What the answer `listed` (valid rows, any order) to a request for bars first..last means.

    A row behind `last`, where it was asked for, shows that the exchange has come so far.

    The request must have been made after the end of `last`; what lies behind `settled`, for which
    the exchange has not had its grace yet, is taken as it is but neither closed nor confirmed. With
    `patient`, an answer that lacks what the socket has already told (a row, or trades of one), or a
    minute before one that it lists, is `lagging` from there on; without, a row listed is believed,
    and the socket's rows stay where none is listed, unconfirmed. Where it stands still, silence is
    written unconfirmed, and a row of fewer trades than the socket told does not win.
    """
    size = last - first + 1
    prices = np.full((size, 5), np.nan)
    counts = np.zeros((size, 2), np.int64)
    there = np.zeros(size, np.bool_)
    for row in listed:
        k = row.open_ms // interval_ms - first
        if 0 <= k < size:
            prices[k] = row.open, row.high, row.low, row.close, row.volume
            counts[k] = row.trades, CLOSED | CONFIRMED
            there[k] = True
    begin, end = 0, size
    lost = False
    awaited = existing.traded_after and all(row.open_ms // interval_ms <= last for row in listed)
    last_listed = int(np.flatnonzero(there)[-1]) if there.any() else -1
    first_listed = int(np.flatnonzero(there)[0]) if there.any() else -1
    told = existing.known & (existing.trades > 0)
    if np.isnan(existing.close_before):
        # Nothing is known before: the first row listed is the market's origin.
        begin = max(first_listed, 0)
        waits = bool(told.any() if last_listed < 0 else told[:begin].any())
        if last_listed < 0 or (patient and waits):
            # That there is nothing is never believed of an exchange that does not list the trade.
            lagging = (patient and waits) or awaited
            return Settled(first, prices[:0], counts[:0], first - 1, lagging=lagging)
        lost = waits
    elif first_listed > 0 and existing.latest - first >= RETENTION:
        lost = True
        begin = first_listed

    unlisted = ~there & told
    unlisted[:begin] = False
    behind = there & told & (existing.trades > counts[:, 0])
    newest_told = int(np.flatnonzero(unlisted).max(initial=-1))
    stands_still = last_listed < (size - 1 if awaited else newest_told)
    vouched = max(last_listed, 0) if stands_still else size
    lagging = False
    if not patient:
        # The socket told of trades that REST does not know, and it insists.
        kept = unlisted | (behind & (np.arange(size) >= vouched))
        prices[kept] = existing.prices[kept]
        counts[kept, 0] = existing.trades[kept]
        counts[kept, 1] = CLOSED
        there |= kept
    else:
        # Every minute before a listed one is listed: an answer that leaves one out is damaged.
        omitted = ~there & (np.arange(size) < last_listed)
        omitted[:begin] = False
        doubtful = unlisted | behind | omitted
        lagging = stands_still or bool(doubtful.any())
        end = int(np.flatnonzero(doubtful).min(initial=vouched))
    sure = first + min(end, vouched) - 1
    if end <= begin:
        return Settled(first + begin, prices[:0], counts[:0], sure, lost=lost, lagging=lagging)

    # Every minute that is left without a row was silent: flat at the close before it.
    silent = ~there[begin:end]
    if silent.any():
        close = np.where(there[begin:end], prices[begin:end, 3], np.nan)
        source = np.maximum.accumulate(np.where(silent, -1, np.arange(end - begin)))
        carried = np.where(source >= 0, close[np.maximum(source, 0)], existing.close_before)
        prices[begin:end][silent, :4] = carried[silent, np.newaxis]
        prices[begin:end][silent, 4] = 0.0
    between = silent & (np.arange(begin, end) < last_listed)
    counts[begin:end][silent] = 0, CLOSED | CARRIED | CONFIRMED
    counts[begin:end][between, 1] = CLOSED | CARRIED
    counts[vouched:, 1] &= ~CONFIRMED
    if not existing.confirmed_before:
        counts[begin:end][silent & (np.cumsum(~silent) == 0), 1] &= ~CONFIRMED
    counts[max(settled + 1 - first, 0) :, 1] &= ~(CLOSED | CONFIRMED)
    window = slice(begin, end)
    same = (prices[window] == existing.prices[window]).all(axis=1)
    same &= counts[window, 0] == existing.trades[window]
    new = np.flatnonzero(~same | ~existing.known[window])
    return Settled(
        first=first + begin,
        prices=prices[window],
        counts=counts[window],
        vouched=sure,
        lost=lost,
        lagging=lagging,
        differs=int(new[0]) if len(new) else end - begin,
        changed=int((existing.closed[window] & ~same).sum()),
        added=int((~existing.known[window]).sum()),
        carried=int(silent.sum()),
        omitted=int(between.sum()),
    )
