"""What does it cost to have a history in pandas, polars or Arrow, beside building it from lists?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.conftest import HISTORY, Filled
from benchmarks.harness import tell

COLUMNS = ("open", "high", "low", "close", "volume", "ATR14", "RSI5")
COIN = "C7"
PANDAS, POLARS, ARROW = (
    f"1,440 rows of 7 columns to {name}" for name in ("pandas", "polars", "Arrow")
)


def lists(filled: Filled) -> dict[str, list[float]]:
    """The same rows as lists, which is how they come from a request."""
    ring = filled.store[COIN]
    return {name: ring[name].tolist() for name in COLUMNS}


@pytest.mark.benchmark(group=PANDAS)
def bench_pandas_views(benchmark: Any, filled: Filled) -> None:
    """How long from views to a DataFrame that shares their memory?"""
    pd = pytest.importorskip("pandas")
    tell(benchmark, "ours", "views, no copy")
    ring = filled.store[COIN]

    def frame() -> Any:
        return pd.DataFrame({name: ring[name] for name in COLUMNS}, copy=False)

    assert benchmark(frame).shape == (HISTORY, len(COLUMNS))


@pytest.mark.benchmark(group=PANDAS)
def bench_pandas_lists(benchmark: Any, filled: Filled) -> None:
    """How long from lists?"""
    pd = pytest.importorskip("pandas")
    tell(benchmark, "peer", "from lists")
    rows = lists(filled)
    benchmark(lambda: pd.DataFrame(rows))


@pytest.mark.benchmark(group=POLARS)
def bench_polars_views(benchmark: Any, filled: Filled) -> None:
    """How long from views?"""
    pl = pytest.importorskip("polars")
    tell(benchmark, "ours", "views")
    ring = filled.store[COIN]
    assert benchmark(lambda: pl.DataFrame({n: ring[n] for n in COLUMNS})).height == HISTORY


@pytest.mark.benchmark(group=POLARS)
def bench_polars_lists(benchmark: Any, filled: Filled) -> None:
    """How long from lists?"""
    pl = pytest.importorskip("polars")
    tell(benchmark, "peer", "from lists")
    rows = lists(filled)
    benchmark(lambda: pl.DataFrame(rows))


@pytest.mark.benchmark(group=ARROW)
def bench_arrow_views(benchmark: Any, filled: Filled) -> None:
    """How long from views to a table that shares their memory?"""
    pa = pytest.importorskip("pyarrow")
    tell(benchmark, "ours", "views, no copy")
    ring = filled.store[COIN]
    assert benchmark(lambda: pa.table({n: ring[n] for n in COLUMNS})).num_rows == HISTORY


@pytest.mark.benchmark(group=ARROW)
def bench_arrow_lists(benchmark: Any, filled: Filled) -> None:
    """How long from lists?"""
    pa = pytest.importorskip("pyarrow")
    tell(benchmark, "peer", "from lists")
    rows = lists(filled)
    benchmark(lambda: pa.table(rows))
