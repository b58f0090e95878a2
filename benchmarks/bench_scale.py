"""What does size cost? Markets, frames, history and readers: CPU, memory and delay of the service.

A frame server sends at a steady rate, a reader sleeps in `wait` and notes when each market's row
with its stats is in its hands. The delay is that of each frame, from the server's send.
"""

from __future__ import annotations

import itertools
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ringbuf
from benchmarks.bench_ticks import delays_ms
from benchmarks.harness import (
    HERE,
    QUICK,
    child,
    cpu_s,
    frame_source,
    measured,
    memory_mib,
    service,
    tell,
    until,
)
from monitor.book import INTERVAL_MS
from ringbuf import layout, ownership
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create

SECONDS = 1.0 if QUICK else 3.0
RATE = 1_200.0


def run(
    benchmark: Any,
    folder: Path,
    *,
    markets: int,
    rate: float = RATE,
    history: int = 1_440,
    readers: int = 1,
) -> None:
    """One service of that size; three rounds. The frame server and every reader are processes."""
    benchmark.extra_info["scale"] = {
        "markets": markets,
        "rate": rate,
        "history": history,
        "readers": readers,
    }
    with frame_source(markets) as source, service(source, history=history) as (process, store):
        rounds = itertools.count()

        def once() -> dict[str, float]:
            files = [folder / f"{next(rounds)}-{k}.npy" for k in range(readers)]
            with ExitStack() as stack:
                for file in files:
                    reader = stack.enter_context(
                        child([str(HERE / "clients/reader.py"), store.name, str(file)])
                    )
                    reader.hear()
                before, began = cpu_s(process.pid), time.monotonic()
                last = source.start_pace(rate, SECONDS)
                sent = source.answer()["sent"]
                cpu = (cpu_s(process.pid) - before) / (time.monotonic() - began)
                until(lambda: store.matrix("trades", last=2).max() >= last, "the last frame", 0.02)
            taken = {"% of a core": 100 * cpu, "MiB beside the segment": memory_mib(process.pid)}
            if files:
                delays = np.concatenate([delays_ms(sent, np.load(file)) for file in files])
                p50, p99 = np.percentile(delays, (50, 99))
                taken |= {"p50 ms": float(p50), "p99 ms": float(p99)}
            return taken

        source.burst(markets)
        measured(benchmark, 3, once)


@pytest.mark.benchmark(group="cost of markets, 1,200 frames a second")
@pytest.mark.parametrize("markets", [1, 10] if QUICK else [1, 10, 100, 630])
def bench_markets(benchmark: Any, tmp_path: Path, markets: int) -> None:
    """Do more markets cost more at the same rate of frames?"""
    tell(benchmark, "ours", f"{markets} market{'s' * (markets > 1)}")
    run(benchmark, tmp_path, markets=markets)


@pytest.mark.benchmark(group="cost of frames, 100 markets")
@pytest.mark.parametrize("rate", [200] if QUICK else [600, 2_400])
def bench_rate(benchmark: Any, tmp_path: Path, rate: int) -> None:
    """Does CPU grow with frames, linearly or better?"""
    tell(benchmark, "ours", f"{rate:,} frames/s")
    run(benchmark, tmp_path, markets=10 if QUICK else 100, rate=rate)


@pytest.mark.benchmark(group="cost of history, 10 markets, 1,200 frames a second")
@pytest.mark.parametrize("history", [1_440] if QUICK else [1_440, 5_000, 50_000])
def bench_history(benchmark: Any, tmp_path: Path, history: int) -> None:
    """Does a longer history cost the service anything but memory in the segment?"""
    tell(benchmark, "ours", f"{history:,} rows")
    run(benchmark, tmp_path, markets=10, history=history)


@pytest.mark.benchmark(group="cost of readers, 10 markets, 1,200 frames a second")
@pytest.mark.parametrize("readers", [0] if QUICK else [0, 1, 8])
def bench_readers(benchmark: Any, tmp_path: Path, readers: int) -> None:
    """What do readers cost the service? Each is a process that is woken and copies the news."""
    tell(benchmark, "ours", f"{readers} reader{'s' * (readers != 1)}")
    run(benchmark, tmp_path, markets=10, readers=readers)


@pytest.mark.benchmark(group="a view of one column by the history's length")
@pytest.mark.parametrize("history", [1_440, 5_000, 50_000])
def bench_view(benchmark: Any, history: int) -> None:
    """Does a view of the whole history cost more where the history is longer?"""
    tell(benchmark, "ours", f"{history:,} rows")
    name = f"bench_{os.getpid()}_view"
    columns = (Column("time", "M"), Column("close", "f"))
    spec = StoreSpec(name, (Series("a"),), columns, history, INTERVAL_MS)
    try:
        with create(spec) as writer:
            writer.set_state(layout.RUNNING)
            for bar in range(1_000, 1_000 + history):
                writer.put(0, bar, {"close": 1.0})
            with ringbuf.attach(name) as store:
                ring = store["a"]
                assert len(benchmark(lambda: ring["close"])) == history
    finally:
        ownership.remove(name)
