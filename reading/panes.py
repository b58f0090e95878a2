"""Which stats belong in which pane of a chart: those over the price, and those of one scale."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import ringbuf

from .selection import stats_of

__all__ = ["Chart", "chart_of"]

_NAME = re.compile(r"([A-Z]+)([a-z]*)(\d.*)?$")


class Chart:
    """The newest rows of one market, as they are drawn.

    `candles`: structured array[n], oldest first, without rows that are not there. `over`: names of
    the stats that are drawn over the candles. `panes`: lists of those that share a pane below.
    """

    def __init__(
        self,
        market: str,
        candles: npt.NDArray[np.void],
        over: Sequence[str],
        panes: Sequence[Sequence[str]],
    ) -> None:
        self.market = market
        self.candles = candles
        self.over = over
        self.panes = panes


def chart_of(
    store: ringbuf.Store,
    market: str,
    *,
    stats: Sequence[str] = (),
    last: int,
    closed: bool = False,
) -> Chart:
    """The last `last` candles of a market with its stats, all of them or those named.

    Raises UnknownName.
    """
    known = stats_of(store)
    for name in stats:
        if name not in known:
            raise ringbuf.UnknownName("stat", name, known)
    named = [*store, *(ring.alias for ring in store.values())]
    if market not in named:
        raise ringbuf.UnknownName("market", market, named)
    ring = store[market]
    candles = ring.snapshot(last, closed=closed)
    candles = candles[np.isfinite(candles["close"])]
    units: Mapping[str, Any] = {one["name"]: one["unit"] for one in store.document["columns"]}
    over: list[str] = []
    panes: dict[tuple[str, str, str], list[str]] = {}
    for name in known:
        if stats and name not in stats:
            continue
        if units.get(name) == "price" and _among(candles[name], candles):
            over.append(name)
            continue
        parts = _NAME.match(name)
        stem, rest = (parts[1], parts[3] or "") if parts else (name, "")
        panes.setdefault((stem, rest, str(units.get(name))), []).append(name)
    return Chart(ring.name, candles, over, list(panes.values()))


def _among(values: npt.NDArray[np.float64], candles: npt.NDArray[np.void]) -> bool:
    """Are these prices, and not differences of prices? An ATR has the same unit."""
    there = values[np.isfinite(values)]
    if not len(there):
        return False
    low, high = float(candles["low"].min()), float(candles["high"].max())
    span = max(high - low, 0.01 * high)
    return bool(low - span <= np.median(there) <= high + span)
