"""What does it cost to have a history in pandas, polars or Arrow, beside building it from lists?

Ours are `to_pandas`, `to_polars` and `to_arrow` as users call them: a market's every column, and
one column of 200 markets. A peer builds the very same table, the same columns and the same UTC
times, from lists of Python numbers: what a request has left when its JSON is parsed and its texts
are numbers, neither of which is counted. That the two tables are equal is checked. The limit is
the library alone, to which its columns are handed ready-made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.conftest import HISTORY, MARKETS, Filled
from benchmarks.harness import tell

COIN = "C7"
LIBRARIES = ("pandas", "polars", "arrow")
MODULES = {"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}
NAMES = {"pandas": "pandas", "polars": "polars", "arrow": "Arrow"}
SHAPES = {
    "ring": "{rows:,} rows of a market, every column, to {name}",
    "store": "{rows:,} closes of {markets} markets, to {name}",
}
CALLS = {"ring": "ring.to_{library}({more})", "store": 'store.to_{library}("close"{more})'}
CASES = [
    pytest.param(
        shape,
        library,
        marks=pytest.mark.benchmark(
            group=title.format(rows=HISTORY, markets=MARKETS, name=NAMES[library])
        ),
    )
    for shape, title in SHAPES.items()
    for library in LIBRARIES
]


def ours(filled: Filled, shape: str, library: str, *, copy: bool) -> Callable[[], Any]:
    """The call that a user makes."""
    if shape == "ring":
        make = getattr(filled.store[COIN], f"to_{library}")
        return lambda: make(copy=copy)
    make = getattr(filled.store, f"to_{library}")
    return lambda: make("close", copy=copy)


def lists(filled: Filled, shape: str) -> dict[str, list[Any]]:
    """The same columns as lists of Python numbers, the times as milliseconds."""
    store = filled.store
    if shape == "ring":
        names = [name for name in store.columns if name != "time"]
        columns = {name: store[COIN][name].tolist() for name in names}
    else:
        columns = {name: ring["close"].tolist() for name, ring in store.items()}
    return {"time": store[COIN]["time"].astype("int64").tolist(), **columns}


def from_lists(library: str, columns: dict[str, list[Any]]) -> Any:
    """The same table built from lists."""
    if library == "pandas":
        import pandas as pd

        values = {name: column for name, column in columns.items() if name != "time"}
        times = pd.to_datetime(columns["time"], unit="ms", utc=True)
        return pd.DataFrame(values, index=times.rename("time"))
    if library == "polars":
        import polars as pl

        return pl.DataFrame(columns, schema_overrides={"time": pl.Datetime("ms", "UTC")})
    import pyarrow as pa

    times = pa.array(columns["time"], pa.timestamp("ms", tz="UTC"))
    return pa.table({**columns, "time": times})


def ready(shape: str, library: str, table: Any) -> Callable[[], Any]:
    """What makes `table` of the library's own columns: it can hardly be had for less."""
    if library == "pandas":
        import pandas as pd

        index, names = table.index, table.columns
        # pandas is quickest with one block; columns of several kinds are none.
        values = (
            {name: table[name].to_numpy() for name in names}
            if shape == "ring"
            else table.to_numpy()
        )
        return lambda: pd.DataFrame(values, index=index, columns=names, copy=False)
    if library == "polars":
        import polars as pl

        series = table.get_columns()
        return lambda: pl.DataFrame(series)
    import pyarrow as pa

    arrays = dict(zip(table.column_names, table.columns, strict=True))
    return lambda: pa.table(arrays)


def same(library: str, one: Any, other: Any) -> bool:
    """Are these the same columns, times and values?"""
    if library == "pandas":
        import pandas as pd

        pd.testing.assert_frame_equal(one, other, check_index_type=False)
        return True
    return bool(one.equals(other))


@pytest.mark.parametrize(("shape", "library"), CASES)
def bench_table(benchmark: Any, filled: Filled, shape: str, library: str) -> None:
    """How long until the table over the store's memory is there?"""
    pytest.importorskip(MODULES[library])
    tell(benchmark, "ours", CALLS[shape].format(library=library, more=""))
    table = benchmark(ours(filled, shape, library, copy=False))
    assert same(library, table, from_lists(library, lists(filled, shape)))


@pytest.mark.parametrize(("shape", "library"), CASES)
def bench_table_copy(benchmark: Any, filled: Filled, shape: str, library: str) -> None:
    """And one that is a consistent copy?"""
    pytest.importorskip(MODULES[library])
    more = "copy=True" if shape == "ring" else ", copy=True"
    tell(benchmark, "ours", CALLS[shape].format(library=library, more=more))
    table = benchmark(ours(filled, shape, library, copy=True))
    assert same(library, table, from_lists(library, lists(filled, shape)))


@pytest.mark.parametrize(("shape", "library"), CASES)
def bench_table_lists(benchmark: Any, filled: Filled, shape: str, library: str) -> None:
    """How long for the same table from lists of numbers that are there already?"""
    pytest.importorskip(MODULES[library])
    tell(benchmark, "peer", "from lists")
    columns = lists(filled, shape)
    benchmark(lambda: from_lists(library, columns))


@pytest.mark.parametrize(("shape", "library"), CASES)
def bench_table_ready(benchmark: Any, filled: Filled, shape: str, library: str) -> None:
    """The limit: the library alone, its columns and times handed to it ready-made."""
    pytest.importorskip(MODULES[library])
    tell(benchmark, "limit", f"{NAMES[library]} alone, from columns of its own")
    benchmark(ready(shape, library, ours(filled, shape, library, copy=True)()))
