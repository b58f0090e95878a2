"""A small store for tests of its reading side: its spec, and rows that show a mixture of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from ringbuf.spec import Column, Series, StoreSpec

__all__ = ["COLUMNS", "HISTORY", "INTERVAL_MS", "PRICES", "row", "spec", "whole"]

HISTORY = 5
INTERVAL_MS = 60_000
PRICES = ("open", "high", "low", "close", "volume")
COLUMNS = (
    Column("time", "M"),
    *(Column(name) for name in PRICES),
    Column("trades", "i"),
    Column("_state"),
)


def spec(name: str, history: int = HISTORY) -> StoreSpec:
    series = (Series("btcusd_perp", "BTC"), Series("ethusd_perp", "ETH"))
    return StoreSpec(
        name,
        series,
        COLUMNS,
        history,
        INTERVAL_MS,
        lookback=2,
        source={"network": "test"},
        software="tests 1",
        counters=("reconnects",),
        statuses=("syncing", "live"),
    )


def row(value: float) -> dict[str, float]:
    """One whose parts belong together: a mixture of two rows shows."""
    return {**dict.fromkeys(PRICES, value), "trades": int(value)}


def whole(found: Any) -> bool:
    """Is this row (or every one of these) of one state?"""
    return all(np.all(found[name] == found["open"]) for name in (*PRICES, "trades"))
