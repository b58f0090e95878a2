"""A reader as a bot has one: sleeps in `store.wait`, then looks at what is new.

    python benchmarks/clients/reader.py SEGMENT [FILE]

Prints ``ready``. With FILE, it writes at SIGTERM what it saw: ``int64[k, 3]``, each the market, the
number of trades of its newest row and CLOCK_MONOTONIC in ns when it was in this process's hands.
"""

from __future__ import annotations

import signal
import sys
import time

import numpy as np

import ringbuf

__all__: list[str] = []


def stop(number: int, frame: object) -> None:
    """Leave the waiting by an exception."""
    raise SystemExit


def main(segment: str, file: str | None) -> None:
    """Read until SIGTERM."""
    signal.signal(signal.SIGTERM, stop)
    store = ringbuf.attach(segment)
    stat = store.columns[-1]
    one = store[store.markets[0]] if len(store.markets) == 1 else None
    before = np.zeros(len(store.markets), np.int64)
    seen: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
    print("ready", flush=True)
    try:
        while True:
            if not store.wait():
                continue
            if one is not None:
                row = one.last()
                _, trades = row[stat], np.array([row["trades"]])
            else:
                store.matrix(stat, last=1)
                trades = store.matrix("trades", last=1)[:, 0].copy()
            now = time.monotonic_ns()
            if file is not None:
                news = np.flatnonzero(trades != before)
                seen.append((now, tuple(news.tolist()), tuple(trades[news].tolist())))
                before = trades
    finally:
        if file is not None:
            rows = [
                (m, n, now)
                for now, markets, numbers in seen
                for m, n in zip(markets, numbers, strict=True)
            ]
            np.save(file, np.array(rows, np.int64).reshape(-1, 3))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
