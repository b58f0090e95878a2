"""The limits beside which `bench_stats` stands: calls into compiled code that do nothing."""

from __future__ import annotations

from typing import Any

import pytest
from numba import njit

from benchmarks.bench_stats import HISTORY, STATS, block
from benchmarks.harness import tell


@njit(cache=False)
def _nothing(ops: Any, pars: Any, floats: Any, integers: Any, start: int, stop: int) -> None:
    pass


@pytest.mark.benchmark(group="a tick of sixteen stats, one market")
def bench_tick_limit(benchmark: Any) -> None:
    """The limit: the same call of a compiled function that does nothing."""
    import numpy as np

    tell(benchmark, "limit", "an empty jitted call")
    table, floats = block(STATS, HISTORY)
    record = floats[0]
    arguments = (table.ops, table.pars, record, record.view(np.int64), HISTORY - 1, HISTORY - 1)
    _nothing(*arguments)
    benchmark(_nothing, *arguments)
