"""What promises a consistent copy keeps it while another process writes as fast as it can."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import ringbuf
import ringbuf.ring as ring_module
from reader_kit import HISTORY, INTERVAL_MS, whole

NEWEST = 1_000 + HISTORY - 1
QUICK = {"at": 6_000, "since": 10_000, "latest": 1_000}  # a mixture of one row is rare
TURNS = 40

BUSY = """
import sys
sys.path.insert(0, sys.argv[2])
from numba import njit
from reader_kit import HISTORY, row, spec
from ringbuf import kernels, layout
from ringbuf.writer import create
writer = create(spec(sys.argv[1]))
for bar in range(1000, 1000 + HISTORY):
    writer.put(0, bar, row(1))
writer.set_state(layout.RUNNING)

@njit
def burst(floats, integers, control, capacity, value, times):
    for _ in range(times):
        value += 1
        first = 1000 + value % 5
        kernels.begin(control, first)
        for bar in range(first, 1005):
            slot = bar % capacity
            for column in range(1, 6):
                floats[column, slot + capacity] = value
                floats[column, slot] = value
            integers[6, slot + capacity] = value
            integers[6, slot] = value
        kernels.commit(control)
        for turn in range(40 * (value % 64)):
            control[31] = turn
            kernels.release_fence()
    return value

arguments = writer.floats[0], writer.integers[0], writer.controls[0], writer.geometry.capacity
value = burst(*arguments, 1, 1)
print("busy", flush=True)
while True:
    value = burst(*arguments, value, 100_000)
"""


@pytest.fixture(scope="module")
def busy() -> Iterator[ringbuf.Store]:
    """A store of which another process rewrites the last rows, from another one on each time."""
    import os

    from ringbuf import ownership

    name = f"mmtest_{os.getpid()}_copies"
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY, name, str(Path(__file__).resolve().parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "busy\n"
        with ringbuf.attach(name) as store:
            yield store
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()
        ownership.remove(name)


def columns(table: pl.DataFrame) -> dict[str, Any]:
    return {column.name: column.to_numpy() for column in table}


READS: dict[str, Callable[[ringbuf.Store], Any]] = {
    "at": lambda store: store["BTC"].at((NEWEST - 1) * INTERVAL_MS),
    "since": lambda store: store["BTC"].since(0),
    "latest": lambda store: store.latest()[:1],
    "resample": lambda store: store["BTC"].resample("1m"),
    "pandas": lambda store: store["BTC"].to_pandas(copy=True),
    "polars": lambda store: columns(store["BTC"].to_polars(copy=True)),
    "arrow": lambda store: store["BTC"].to_arrow(copy=True).to_pandas(),
    "all": lambda store: store.to_pandas().loc["btcusd_perp"],
}


@pytest.mark.parametrize("name", READS)
def test_no_row_of_a_copy_is_a_mixture(
    busy: ringbuf.Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(ring_module, "PATIENCE_S", 10.0)
    for _ in range(QUICK.get(name, TURNS)):
        assert whole(READS[name](busy))
