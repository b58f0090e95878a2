"""Series and stores as pandas, polars and Arrow tables, without a copy where the memory allows it.

The memory is columnar already: a column of a `Ring` and a row of `Store.matrix` are runs of 8-byte
values, which these libraries can look at where they are. Each table keeps the memory alive that it
looks at. Nobody can write through one: the memory is mapped read-only.

**What is shared.** Of a series: every column, in Arrow and polars also ``time``; pandas always
copies what it makes a time index of. Of a store: one column over all markets (``column=…``), each
market a column. All columns of all markets in one table are always a copy, market after market:
no such run of memory exists.

**How long.** A shared table is a view like any other: its last row goes on changing until its
minute is over, and an hour after it was taken its oldest rows are overwritten by newer minutes.
Polars and Arrow also take their data for constant: what they have computed (or know to be sorted)
does not follow the memory. ``copy=True`` gives a table of one consistent state that stays.

NaN is NaN everywhere, never null: a null would need a bitmap that does not follow the memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import layout

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from .attachment import Attachment
    from .reader import Store
    from .ring import Ring

    ArrowTable: TypeAlias = pa.Table
    PandasFrame: TypeAlias = pd.DataFrame
    PolarsFrame: TypeAlias = pl.DataFrame

__all__ = [
    "ArrowTable",
    "PandasFrame",
    "PolarsFrame",
    "ring_to_arrow",
    "ring_to_pandas",
    "ring_to_polars",
    "store_to_arrow",
    "store_to_pandas",
    "store_to_polars",
]

Columns: TypeAlias = dict[str, npt.NDArray[Any]]

_GRID = layout.offset("grid") // layout.WORD_SIZE


def ring_to_pandas(ring: Ring, last: int | None, closed: bool, copy: bool) -> PandasFrame:
    """See `Ring.to_pandas`."""
    pandas = _library("pandas", "pandas")
    columns = _of_ring(ring, last, closed, copy)
    index = _moments(pandas, columns.pop("time"))
    return pandas.DataFrame(_typed(pandas, columns), index=index, copy=False)


def ring_to_arrow(ring: Ring, last: int | None, closed: bool, copy: bool) -> ArrowTable:
    """See `Ring.to_arrow`."""
    arrow = _library("pyarrow", "arrow")
    return arrow.table(_arrays(arrow, _of_ring(ring, last, closed, copy)))


def ring_to_polars(ring: Ring, last: int | None, closed: bool, copy: bool) -> PolarsFrame:
    """See `Ring.to_polars`."""
    return _polars(_of_ring(ring, last, closed, copy), None)


def store_to_pandas(
    store: Store, column: str | None, last: int | None, closed: bool, copy: bool
) -> PandasFrame:
    """See `Store.to_pandas`."""
    pandas = _library("pandas", "pandas")
    if column is not None:
        times, matrix = _aligned(store, column, last, closed, copy)
        return pandas.DataFrame(
            matrix.T, index=_moments(pandas, times), columns=list(store.markets), copy=False
        )
    columns, lengths = _of_store(store, last, closed)
    # The index from numbers: to find them out from labels would cost more than all the rest.
    minutes, codes = np.unique(columns.pop("time"), return_inverse=True)
    index = pandas.MultiIndex(
        levels=[list(store.markets), _moments(pandas, minutes)],
        codes=[np.repeat(np.arange(len(lengths)), lengths), codes],
        names=["market", "time"],
        verify_integrity=False,
    )
    return pandas.DataFrame(_typed(pandas, columns), index=index, copy=False)


def store_to_arrow(
    store: Store, column: str | None, last: int | None, closed: bool, copy: bool
) -> ArrowTable:
    """See `Store.to_arrow`."""
    arrow = _library("pyarrow", "arrow")
    columns, markets = _table_of(store, column, last, closed, copy)
    names = {} if markets is None else {"market": _labels(arrow, store, markets)}
    return arrow.table({**names, **_arrays(arrow, columns)})


def store_to_polars(
    store: Store, column: str | None, last: int | None, closed: bool, copy: bool
) -> PolarsFrame:
    """See `Store.to_polars`."""
    columns, markets = _table_of(store, column, last, closed, copy)
    return _polars(columns, None if markets is None else (store, markets))


# -- the columns, as numpy arrays ------------------------------------------------------------------


def _of_ring(ring: Ring, last: int | None, closed: bool, copy: bool) -> Columns:
    """Every public column, all over the same rows: views, or one consistent copy."""
    if copy:
        return _unpacked(ring._attachment, ring._consistent(_copied, ring, last, closed))
    first, stop = ring._consistent(ring._span, last, closed)
    return {name: ring._columns[name][first:stop] for name in ring._attachment.columns}


def _copied(ring: Ring, last: int | None, closed: bool, ceiling: int | None) -> npt.NDArray[Any]:
    """The public columns of the rows up to bar `ceiling` as ``int64[columns, n]``, bit patterns."""
    first, stop = ring._span(last, closed, ceiling)
    words = np.empty((len(ring._attachment.columns), stop - first), np.int64)
    for columns, fields in ring._attachment.runs:
        words[fields] = ring._record[columns, first:stop]
    return words


def _unpacked(store: Attachment, words: npt.NDArray[Any]) -> Columns:
    return {
        name: values.view(store.row_dtype[name])
        for name, values in zip(store.columns, words, strict=True)
    }


def _of_store(store: Store, last: int | None, closed: bool) -> tuple[Columns, list[int]]:
    """All public columns of all markets, one after the other, and how many rows each has."""
    parts = [ring._consistent(_copied, ring, last, closed) for ring in store.values()]
    words = np.concatenate(parts, axis=1)
    return _unpacked(store._attachment, words), [part.shape[1] for part in parts]


def _aligned(
    store: Store, column: str, last: int | None, closed: bool, copy: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The minutes ``datetime64[ms][n]`` of a matrix, and the matrix, of the same grid."""
    if closed:
        raise ValueError(
            f"found closed=True with column={column!r}: markets do not close at once; leave out "
            f"the last rows instead, or take all columns (column=None)"
        )
    while True:
        grid = store.words[_GRID]
        matrix = store.matrix(column, last, copy=copy)
        if store.words[_GRID] == grid:
            break
    if grid < 0:
        matrix = matrix[:, :0]
    bars = np.arange(grid + 1 - matrix.shape[1], grid + 1, dtype=np.int64)
    return (bars * store.interval_ms).view("M8[ms]"), matrix


def _table_of(
    store: Store, column: str | None, last: int | None, closed: bool, copy: bool
) -> tuple[Columns, list[int] | None]:
    """Wide, one market a column and no lengths; or long, and how many rows each market has."""
    if column is None:
        return _of_store(store, last, closed)
    times, matrix = _aligned(store, column, last, closed, copy)
    return {"time": times, **dict(zip(store.markets, matrix, strict=True))}, None


# -- the libraries ---------------------------------------------------------------------------------


def _library(name: str, extra: str) -> Any:
    """The library, loaded when it is asked for; an ImportError that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"this needs {name}, which cannot be imported ({error}): "
            f"pip install 'market-monitor[{extra}]'",
            name=name,
        ) from error


def _moments(pandas: Any, times: npt.NDArray[Any]) -> Any:
    return pandas.DatetimeIndex(times, tz="UTC", name="time")


def _typed(pandas: Any, columns: Columns) -> Mapping[str, Any]:
    """As pandas shall see them: moments know that they are UTC."""
    return {
        name: pandas.DatetimeIndex(values, tz="UTC") if values.dtype.kind == "M" else values
        for name, values in columns.items()
    }


def _arrays(arrow: Any, columns: Columns) -> dict[str, Any]:
    """Arrow arrays over the very memory of `columns`, each a run of 8-byte values."""
    kinds = {"f": arrow.float64(), "i": arrow.int64(), "M": arrow.timestamp("ms", tz="UTC")}
    return {
        name: arrow.Array.from_buffers(
            kinds[values.dtype.kind],
            len(values),
            [None, arrow.py_buffer(values.view(np.int64))],
        )
        for name, values in columns.items()
    }


def _labels(arrow: Any, store: Store, lengths: list[int]) -> Any:
    positions = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return arrow.DictionaryArray.from_arrays(arrow.array(positions), list(store.markets))


def _polars(columns: Columns, markets: tuple[Store, list[int]] | None) -> PolarsFrame:
    """By way of Arrow: what polars makes of numpy's arrays itself is a copy."""
    polars = _library("polars", "polars")
    arrow = _library("pyarrow", "polars")
    frame: PolarsFrame = polars.from_arrow(arrow.table(_arrays(arrow, columns)), rechunk=False)
    if markets is None:
        return frame
    store, lengths = markets
    positions = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
    names = polars.Series("market", list(store.markets), dtype=polars.Enum(store.markets))
    return frame.insert_column(0, names.gather(positions))
