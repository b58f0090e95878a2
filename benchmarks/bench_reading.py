"""What does a reader pay? Each question beside the physical limit, bare numpy on private memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import HISTORY, Filled

COLUMNS = ("time", "open", "high", "low", "close", "volume", "trades", "flags", "ATR14", "RSI5")


@pytest.mark.benchmark(group="one column's history")
def bench_view_of_a_column(benchmark: Any, filled: Filled) -> None:
    """How long until 1,440 closes of a market are at hand?"""
    ring = filled.store["C7"]
    assert len(benchmark(lambda: ring["close"])) == HISTORY


@pytest.mark.benchmark(group="one column's history")
def bench_bare_slice(benchmark: Any) -> None:
    """The limit: making one slice."""
    column = np.zeros(4 * HISTORY)
    benchmark(lambda: column[HISTORY : 2 * HISTORY])


@pytest.mark.benchmark(group="newest row")
def bench_last(benchmark: Any, filled: Filled) -> None:
    """How long for the newest row of a market, consistent, as a mapping?"""
    ring = filled.store["C7"]
    assert benchmark(ring.last)["closed"] is False


@pytest.mark.benchmark(group="newest row")
def bench_bare_index(benchmark: Any) -> None:
    """The limit: one element of a numpy array."""
    column = np.zeros(4 * HISTORY)
    benchmark(lambda: column[-1])


@pytest.mark.benchmark(group="one stat over 200 markets")
def bench_matrix(benchmark: Any, filled: Filled) -> None:
    """How long for the newest RSI of every market?"""
    assert benchmark(lambda: filled.store.matrix("RSI5", last=1)).shape == (200, 1)


@pytest.mark.benchmark(group="consistent copy, 1,440 rows")
def bench_snapshot(benchmark: Any, filled: Filled) -> None:
    """How long for a consistent copy of a market's whole history, every column?"""
    ring = filled.store["C7"]
    assert len(benchmark(ring.snapshot)) == HISTORY


@pytest.mark.benchmark(group="consistent copy, 1,440 rows")
def bench_bare_copies(benchmark: Any, filled: Filled) -> None:
    """The limit: as many columns copied by numpy, with no question of consistency."""
    columns = [np.zeros(HISTORY) for _ in filled.store.columns]
    benchmark(lambda: [column.copy() for column in columns])
