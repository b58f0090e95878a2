"""How long from publishing a value in one process until it is in another one's hands?

Each contender's reader is a process of its own that sleeps until something comes, takes the newest
row with its stats, and notes the time. Before each tick the writer rests, so that the reader is
asleep. Times are CLOCK_MONOTONIC in both processes; the numbers are per tick, not averages.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import NOW_BAR, NOW_MS, Filled, candle
from benchmarks.harness import HERE, QUICK, child, frame_source, measured, service, tell, until
from benchmarks.peers import Redis
from ringbuf import waiting

TICKS = 50 if QUICK else 500
REST_S = 0.003
WARM_UP = 5
GROUP = "a tick, publish in one process to value in another's hands"
COIN = "C7"
Publish = Callable[[int], None]


@contextmanager
def errands(kind: str, *arguments: str) -> Iterator[Callable[[Publish, float], dict[str, float]]]:
    """A reader of this kind; yields what publishes TICKS ticks and returns the delays' metrics."""
    first = itertools.count(1)
    with child([str(HERE / "clients" / "ticks.py"), kind, *arguments]) as reader:
        assert reader.hear() == "ready"

        def run(
            publish: Publish, rest_s: float, prepare: Publish | None = None
        ) -> dict[str, float]:
            ticks = TICKS if rest_s < 0.02 else TICKS // 5
            began: dict[int, int] = {}
            # The first of a round are for caches and compilers.
            for k in range(-WARM_UP, ticks):
                time.sleep(rest_s)
                number = next(first)
                if prepare is not None:
                    prepare(number)
                start = time.monotonic_ns()
                publish(number)
                if k >= 0:
                    began[number] = start
            answer = _collect(reader, list(began))
            delays = np.array([answer[number] - start for number, start in began.items()]) / 1e3
            p50, p99 = np.percentile(delays, (50, 99))
            return {"p50 µs": float(p50), "p99 µs": float(p99)}

        yield run


def _collect(reader: Any, numbers: list[int]) -> dict[int, int]:
    """When each number, or a later one, was in the reader's hands."""
    found: dict[int, int] = {}
    while numbers[-1] not in found:
        number, at = json.loads(reader.hear())
        found[number] = at
    taken, at = {}, found[numbers[-1]]
    for number in reversed(numbers):
        at = found.get(number, at)
        taken[number] = at
    return taken


def _placing(filled: Filled) -> Publish:
    """The engine places the candle and steps the stats; nobody is woken yet."""
    engine = filled.engine
    # The engine takes no state of a minute that has fewer trades than one it knows.
    base = int(filled.store[COIN].last()["trades"])

    def place(number: int) -> None:
        tick = candle(COIN, NOW_BAR, 110.0, base + number)
        assert engine.candle(tick, NOW_MS, time.monotonic_ns())

    return place


def ours(benchmark: Any, filled: Filled, kind: str, rest_s: float, *, alone: bool = False) -> None:
    """Measure a reader of our store, from before the stats are stepped or from `publish` on."""
    base = int(filled.store[COIN].last()["trades"])
    with errands(kind, filled.writer.spec.name, COIN, str(base)) as run:
        place, wake = _placing(filled), filled.writer.publish

        def both(number: int) -> None:
            place(number)
            wake()

        def only(number: int) -> None:
            wake()

        ways = (only, rest_s, place) if alone else (both, rest_s)
        measured(benchmark, 5, lambda: run(*ways))


@pytest.mark.benchmark(group=GROUP)
def bench_wait(benchmark: Any, filled: Filled) -> None:
    """How long until a reader asleep in `store.wait` has the row, eight stats stepped before?"""
    tell(benchmark, "ours", "store.wait + last(), stepping 8 stats included")
    ours(benchmark, filled, "wait", REST_S)


@pytest.mark.benchmark(group=GROUP)
def bench_wait_alone(benchmark: Any, filled: Filled) -> None:
    """How long of that is the waking and the reading, from `publish` on?"""
    tell(benchmark, "ours", "store.wait + last(), from publish on")
    ours(benchmark, filled, "wait", REST_S, alone=True)


@pytest.mark.benchmark(group=GROUP)
def bench_poll(benchmark: Any, filled: Filled) -> None:
    """How long where the reader looks every 100 ms, as this idea's first implementation did?"""
    tell(benchmark, "peer", "polling every 100 ms")
    ours(benchmark, filled, "poll", 0.037)


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("way", ["unix", "tcp"])
def bench_redis(benchmark: Any, redis: Redis, way: str) -> None:
    """How long with Redis: HSET and PUBLISH in one pipeline, then HGETALL?"""
    tell(benchmark, "peer", f"Redis pub/sub + HGETALL, {'Unix socket' if way == 'unix' else 'TCP'}")
    client = redis.client(way)
    row = dict.fromkeys(redis.columns, 100.0)

    def publish(number: int) -> None:
        with client.pipeline(transaction=False) as pipe:
            pipe.hset("tick", mapping={**row, "trades": number})
            pipe.publish("ticks", number)
            pipe.execute()

    with errands("redis", *redis.address(way)) as run:
        measured(benchmark, 5, lambda: run(publish, REST_S))
    client.close()


@pytest.mark.benchmark(group=GROUP)
def bench_unix_socket(benchmark: Any, filled: Filled, tmp_path: Path) -> None:
    """How long with the row as JSON through a Unix socket?"""
    tell(benchmark, "peer", "JSON through a Unix socket")
    row = dict.fromkeys(filled.store.columns, 100.0)
    path = str(tmp_path / "ticks")
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(path)
        listening.listen()
        run = stack.enter_context(errands("socket", path))
        reader = stack.enter_context(listening.accept()[0])

        def publish(number: int) -> None:
            reader.sendall(json.dumps({**row, "trades": number}).encode() + b"\n")

        measured(benchmark, 5, lambda: run(publish, REST_S))


@pytest.mark.benchmark(group=GROUP)
def bench_futex(benchmark: Any) -> None:
    """The limit: a futex wake, and a reader that does nothing else."""
    tell(benchmark, "limit", "a futex wake with nothing else")
    libc = ctypes.CDLL(None)
    path = Path(f"/dev/shm/bench_{os.getpid()}_futex")
    path.write_bytes(bytes(4_096))
    try:
        word = np.memmap(path, np.uint32, "r+")
        address = ctypes.c_void_p(word.ctypes.data)
        with errands("futex", str(path)) as run:

            def publish(number: int) -> None:
                word[0] = number
                libc.syscall(waiting.FUTEX, address, 1, 2**31 - 1, None, None, 0)

            measured(benchmark, 5, lambda: run(publish, REST_S))
    finally:
        path.unlink()


@pytest.mark.benchmark(group="a frame on the socket to a stat in another process's hands")
def bench_socket_to_stat(benchmark: Any, tmp_path: Path) -> None:
    """How long from the exchange's send to the stat in a bot, at 200 frames a second?"""
    tell(benchmark, "ours", "server, service and reader, three processes")
    with frame_source(2) as source, service(source) as (_, store):
        rounds = itertools.count()

        def once() -> dict[str, float]:
            file = tmp_path / f"{next(rounds)}.npy"
            with child([str(HERE / "clients/reader.py"), store.name, str(file)]) as reader:
                reader.hear()
                last = source.start_pace(200.0, 1.0 if QUICK else 5.0)
                sent = source.answer()["sent"]
                ring = store[source_coin(last, source.markets)]
                until(lambda: ring.last()["trades"] >= last, "the last frame")
            p50, p99 = np.percentile(delays_ms(sent, np.load(file)), (50, 99))
            return {"p50 ms": float(p50), "p99 ms": float(p99)}

        measured(benchmark, 3, once)


def source_coin(number: int, markets: int) -> str:
    """The market of a frame by its number."""
    return ["BTC", "ETH", *(f"C{k}" for k in range(2, markets))][number % markets]


def delays_ms(sent: Any, seen: Any) -> Any:
    """For each sent frame the ms until its market's row in the reader was that frame or a later."""
    parts = []
    for market in np.unique(sent[:, 1]):
        frames, rows = sent[sent[:, 1] == market], seen[seen[:, 0] == market]
        at = np.searchsorted(rows[:, 1], frames[:, 0])
        there = at < len(rows)
        parts.append(rows[at[there], 2] - frames[there, 2])
    return np.concatenate(parts) / 1e6
