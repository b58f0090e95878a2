"""What does the service pay for a frame? Decoding, placing with eight stats."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from benchmarks.conftest import NOW_BAR, NOW_MS, Filled, candle
from benchmarks.harness import tell
from monitor import protocol
from monitor.book import INTERVAL_MS

FRAME = json.dumps(
    {
        "channel": "candle",
        "data": {
            "t": NOW_BAR * INTERVAL_MS,
            "T": NOW_BAR * INTERVAL_MS + 59_999,
            "s": "C7",
            "i": "1m",
            "o": "85827.0",
            "c": "85812.0",
            "h": "85827.0",
            "l": "85801.0",
            "v": "0.73617",
            "n": 20,
        },
    }
).encode()


@pytest.mark.benchmark(group="a candle frame, inside of the service")
def bench_decode(benchmark: Any) -> None:
    """How long does decoding alone take?"""
    tell(benchmark, "ours", "decoding")
    benchmark(lambda: protocol.decode(FRAME))


@pytest.mark.benchmark(group="a candle frame, inside of the service")
def bench_place(benchmark: Any, filled: Filled) -> None:
    """How long from a decoded candle to a row with eight stats?"""
    tell(benchmark, "ours", "placing, eight stats stepped")
    trades = itertools.count(1_000)
    engine, now_ns = filled.engine, time.monotonic_ns()

    def place() -> bool:
        return engine.candle(candle("C7", NOW_BAR, 110.0, next(trades)), NOW_MS, now_ns)

    assert benchmark(place)
