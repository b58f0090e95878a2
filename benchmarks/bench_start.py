"""How long until something is there: the service's first stat, an adopted store, `read.py`'s table.

Every round is a new process, timed from its start; imports from a warm file cache.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import ringbuf
from benchmarks.harness import ROOT, child, environment, measured, tell, until
from monitor import compiled
from ringbuf import ownership

SERVICE = "start of the service, embedded exchange, two markets, first stat"
READ = "python read.py, two markets, start to end"
ROUNDS = 5


@pytest.fixture(scope="module")
def exchange() -> Iterator[dict[str, str]]:
    """The embedded exchange's addresses."""
    with child(["-m", "monitor", "exchange"]) as process:
        yield dict(part.split("=", 1) for part in process.hear().split())


@pytest.fixture
def settings(exchange: dict[str, str]) -> Iterator[dict[str, object]]:
    """Those of a service with the default markets and stats on a store of its own."""
    name = f"bench_{os.getpid()}_start"
    yield {"segment": name, "log_level": "ERROR", **exchange}
    ownership.remove(name)


def first_stat(name: str) -> bool:
    """Is every market up to date, its newest row's stats finite?"""
    with contextlib.suppress(ringbuf.RingbufError), ringbuf.attach(name) as store:
        fresh = store.alive and all(ring.status in {"live", "quiet"} for ring in store.values())
        return fresh and all(np.isfinite(ring.last()["RSI5"]) for ring in store.values())
    return False


def start(settings: dict[str, object], *, empty: bool) -> dict[str, float]:
    """Start a service, wait for its stats, stop it; seconds."""
    name = str(settings["segment"])
    if empty:
        ownership.remove(name)
    attempts = failures = 0

    def fresh() -> bool:
        nonlocal attempts, failures
        attempts += 1
        failures += not readable(name)
        return first_stat(name)

    began = time.monotonic()
    with child(["-m", "monitor", "run"], settings):
        until(fresh, "the first stat", 0.01)
        taken = {"s": time.monotonic() - began}
    return taken if empty else {**taken, "% of reads that failed": 100 * failures / attempts}


def readable(name: str) -> bool:
    """Can a new reader take a row with its stat out of the store?"""
    with contextlib.suppress(ringbuf.RingbufError), ringbuf.attach(name) as store:
        return all(ring.last()["closed"] is not None for ring in store.values())
    return False


@pytest.mark.benchmark(group=SERVICE)
def bench_start_cold(
    benchmark: Any, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long with nothing compiled?"""
    tell(benchmark, "ours", "empty store, empty compile cache")
    with tempfile.TemporaryDirectory() as cache:
        monkeypatch.setenv("NUMBA_CACHE_DIR", cache)

        def once() -> dict[str, float]:
            shutil.rmtree(cache)
            return start(settings, empty=True)

        measured(benchmark, 1, once)
        os.makedirs(cache, exist_ok=True)  # noqa: PTH103 - what the context manager removes


@pytest.mark.benchmark(group=SERVICE)
def bench_start_warm(benchmark: Any, settings: dict[str, object]) -> None:
    """How long with a warm compile cache?"""
    tell(benchmark, "ours", "empty store, warm compile cache")
    compiled.keep_cache()
    start(settings, empty=True)
    measured(benchmark, ROUNDS, lambda: start(settings, empty=True))


@pytest.mark.benchmark(group=SERVICE)
def bench_start_adopted(benchmark: Any, settings: dict[str, object]) -> None:
    """How long until a store that the last service left is fresh again, readable all along?"""
    tell(benchmark, "ours", "adopted store, warm compile cache")
    start(settings, empty=True)
    measured(benchmark, ROUNDS, lambda: start(settings, empty=False))


# -- read.py -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(exchange: dict[str, str]) -> Iterator[str]:
    """The name of a store that a running service keeps fresh."""
    name = f"bench_{os.getpid()}_read"
    with child(["-m", "monitor", "run"], {"segment": name, "log_level": "ERROR", **exchange}):
        until(lambda: first_stat(name), "the first stat", 0.05)
        yield name
    ownership.remove(name)


def timed(benchmark: Any, arguments: Sequence[str]) -> None:
    """Run a command again and again, its output thrown away."""
    command = [sys.executable, *arguments]

    def once() -> dict[str, float]:
        used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, check=True)
        took, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        return {"ms": 1_000 * took, "CPU ms": 1_000 * cpu}

    once()
    measured(benchmark, 25, once)


@pytest.mark.benchmark(group=READ)
def bench_read_table(benchmark: Any, served: str) -> None:
    """How long until the table is printed?"""
    tell(benchmark, "ours", "python read.py")
    timed(benchmark, ["read.py", "--segment", served])


@pytest.mark.benchmark(group=READ)
def bench_read_json(benchmark: Any, served: str) -> None:
    """How long until the JSON is printed?"""
    tell(benchmark, "ours", "python read.py --format json")
    timed(benchmark, ["read.py", "--format", "json", "--segment", served])


@pytest.mark.benchmark(group=READ)
def bench_import_all_three(benchmark: Any) -> None:
    """The limit of a table drawn with rich: the imports alone."""
    tell(benchmark, "limit", "import numpy, click, rich.table")
    timed(benchmark, ["-c", "import numpy, click, rich.table"])


@pytest.mark.benchmark(group=READ)
def bench_import_two(benchmark: Any) -> None:
    """The limit: the imports that every reader with a command line has."""
    tell(benchmark, "limit", "import numpy, click")
    timed(benchmark, ["-c", "import numpy, click"])
