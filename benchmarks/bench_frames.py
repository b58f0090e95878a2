"""What does a candle frame cost, from the socket to a published row with eight stats?

One server sends the same frames to each contender in turn: the whole service, the peers that a bot
would use instead, and a bare loop that only receives. CPU time is the whole process's, read by the
kernel's clock from outside, so nobody's own accounting counts. Of a burst the contender may take
in many frames at a time, and may hand its user fewer than it took: ccxt's list of candles does. How
often it did, and TA-Lib recomputed, is told beside the CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.harness import (
    HERE,
    QUICK,
    FrameSource,
    child,
    cpu_s,
    frame_source,
    measured,
    service,
    tell,
    until,
)

BURST = 2_000 if QUICK else 30_000
SLOW_BURST = 500 if QUICK else 10_000
PACE, SECONDS = 200.0, 1.0 if QUICK else 6.0
CONTENDERS = {
    "ours": ("ours", "market-monitor, 8 stats, readers woken"),
    "bare": ("limit", "websockets, receiving only"),
    "aiohttp": ("limit", "aiohttp, receiving only"),
    "ccxt": ("peer", "ccxt.pro watch_ohlcv, no stats"),
    "sdk": ("peer", "official SDK callback, no stats"),
    "ccxt+talib": ("peer", "ccxt.pro + TA-Lib's 8 stats over 1,440 rows"),
    "sdk+talib": ("peer", "official SDK + TA-Lib's 8 stats over 1,440 rows"),
}
HANDED = "hand-overs to the user a frame"
# Ready to measure: process id, and what waits until frame N has arrived. It returns how many times
# something was handed to the code that uses it; None of ours, which publishes rows.
Contender = tuple[int, Callable[[int], Callable[[], "int | None"]]]


@contextmanager
def contender(kind: str, source: FrameSource) -> Iterator[Contender]:
    """One of CONTENDERS, connected to `source`."""
    if kind == "ours":
        with (
            service(source) as (process, store),
            child([str(HERE / "clients/reader.py"), store.name]) as reader,
        ):
            reader.hear()
            ring = store["BTC"]

            def arrives(number: int) -> Callable[[], int | None]:
                return lambda: until(lambda: ring.last()["trades"] >= number, "a frame", 0.001)

            yield process.pid, arrives
        return
    for library, module in {"ccxt": "ccxt", "sdk": "hyperliquid", "talib": "talib"}.items():
        if library in kind:
            pytest.importorskip(module)
    with child([str(HERE / "clients/feeds.py"), kind, str(source.port)]) as process:
        assert process.hear() == "ready"

        def heard() -> int:
            word, _, handed = process.hear().partition(" ")
            assert word == "done"
            return int(handed)

        def arrives(number: int) -> Callable[[], int | None]:
            process.say(str(number))
            return heard

        yield process.pid, arrives


@pytest.fixture
def source() -> Iterator[FrameSource]:
    """A server of one market."""
    with frame_source(1) as made:
        yield made


@pytest.mark.benchmark(group="a burst of candle frames, socket to published row")
@pytest.mark.parametrize("kind", CONTENDERS)
def bench_burst(benchmark: Any, source: FrameSource, kind: str) -> None:
    """How much CPU does a frame cost when frames come as fast as the socket takes them?"""
    tell(benchmark, *CONTENDERS[kind])
    frames = SLOW_BURST if "talib" in kind else BURST
    with contender(kind, source) as (pid, arrives):

        def once() -> dict[str, float]:
            wait = arrives(source.last + frames)
            before = cpu_s(pid)
            source.start_burst(frames)
            began = source.answer()["began_ns"]
            handed = wait()
            wall = (time.monotonic_ns() - began) / 1e9
            return {
                "CPU µs a frame": (cpu_s(pid) - before) / frames * 1e6,
                "frames/s": frames / wall,
                **({} if handed is None else {HANDED: handed / frames}),
            }

        once()
        measured(benchmark, 7, once)


@pytest.mark.benchmark(group="200 candle frames a second, CPU of one core")
@pytest.mark.parametrize("kind", CONTENDERS)
def bench_pace(benchmark: Any, source: FrameSource, kind: str) -> None:
    """How much of a core does a steady 200 frames a second take, a woken reader included?"""
    tell(benchmark, *CONTENDERS[kind])
    with contender(kind, source) as (pid, arrives):

        def once() -> dict[str, float]:
            frames = int(PACE * SECONDS)
            wait = arrives(source.last + frames)
            before, began = cpu_s(pid), time.monotonic()
            source.start_pace(PACE, SECONDS)
            source.answer()
            handed = wait()
            taken = 100 * (cpu_s(pid) - before) / (time.monotonic() - began)
            return {
                "% of a core": taken,
                **({} if handed is None else {HANDED: handed / frames}),
            }

        source.burst(10)
        measured(benchmark, 3, once)
