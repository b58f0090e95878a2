"""What the archive's tests share: rows that can be true, and the label of a file that has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.archive.layout import BARS_A_DAY
from monitor.archive.minutes import Minutes
from monitor.archive.parquet import Label
from monitor.archive.writing import Archive

__all__ = ["DAY", "FIRST", "LABEL", "MAINNET", "archive", "minutes"]

DAY = 20_779
"""2026-11-22."""
FIRST = DAY * BARS_A_DAY
MAINNET = {
    "exchange": "hyperliquid",
    "network": "mainnet",
    "ws_url": "wss://api.hyperliquid.xyz/ws",
    "api_url": "https://api.hyperliquid.xyz",
}
LABEL = Label("mainnet", DAY, "btcusd_perp", "BTC")


def minutes(first: int = FIRST, count: int = 20, *, price: float = 100.0) -> Minutes:
    """Consecutive rows, another price in each; every seventh is carried from the one before."""
    bars = np.arange(first, first + count)
    close = price + bars % 13 + (bars * 3) % 5 / 8
    carried = bars % 7 == 3
    carried[:1] = False
    close[carried] = close[np.flatnonzero(carried) - 1]
    prices = np.column_stack([close, close + 1, close - 1, close, np.full(count, 2.5)])
    prices[carried, 1] = prices[carried, 2] = close[carried]
    prices[carried, 4] = 0.0
    return Minutes(bars, prices, np.where(carried, 0, 3), carried)


def archive(folder: Path) -> Archive:
    """An open archive of mainnet's rows that takes no damaged file."""

    def fail(path: Path, reason: str) -> None:
        raise AssertionError(f"{path}: {reason}")

    opened = Archive(folder, MAINNET, fail)
    opened.open()
    return opened
