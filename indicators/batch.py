"""Stats over plain arrays, by the kernels that step the live candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .errors import MissingColumn, UnequalColumns
from .inputs import INTEGER_COLUMNS
from .jit import Floats
from .planning import plan
from .registry import Registry

__all__ = ["compute"]


def compute(
    names: Sequence[str],
    rows: Mapping[str, npt.ArrayLike],
    *,
    registry: Registry | None = None,
) -> dict[str, Floats]:
    """Return every public column of these stats: float64[n] by name, NaN in warm-up.

    `rows` maps "open", "high", "low", "close", "volume" (those that the stats need) to their
    values, oldest first, all of one length n; the first row is the origin. The results are the
    same bits as those of a live ring with this origin. Raises `StatNameError`, `MissingColumn` or
    `UnequalColumns`.
    """
    # Here, because it imports numba: names are checked without it.
    from .dispatch import run

    planned = plan(names, history=None, registry=registry)
    given: dict[str, npt.NDArray[np.generic]] = {}
    for name in planned.inputs:
        if name not in rows:
            raise MissingColumn(name, tuple(rows))
        given[name] = np.asarray(rows[name])
    lengths = {name: values.size for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        raise UnequalColumns(lengths)
    count = next(iter(lengths.values()), 0)
    order = [*given, *(column.name for column in planned.columns)]
    index = {name: row for row, name in enumerate(order)}
    floats = np.full((len(order), count), np.nan)
    integers = floats.view(np.int64)
    for name, values in given.items():
        if name in INTEGER_COLUMNS:
            integers[index[name]] = values.astype(np.int64)
        else:
            floats[index[name]] = values.astype(np.float64)
    table = planned.bind(index)
    run(table.ops, table.pars, floats, integers, 0, count)
    return {c.name: floats[index[c.name]].copy() for c in planned.columns if not c.private}
