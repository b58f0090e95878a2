"""Steps of one market's columns from Python, by as cheap a call as there is: `Stepper`.

A jitted function asks each array that it is given from Python for nine words, at 50 to 100 ns an
array. A stepper's description of its arrays is made once; what is handed over is its address.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .dispatch import tick
from .jit import Floats
from .planning import Table

__all__ = ["Stepper"]


class Stepper(partial[None]):
    """A table of stats over the columns of one market: `stepper(i, age)` steps row i.

    F: float64[columns, rows], C-contiguous and writeable, laid out as the table was bound; it is
    kept for as long as the stepper is, and so is the table. `age` is the number of minutes between
    row i and the market's origin; rows before i are stepped already. Row and age are not checked: a
    row that is not there is a crash. Raises `ValueError` for another array.
    """

    _kept: tuple[Table, Floats, object]

    def __new__(cls, table: Table, F: Floats) -> Stepper:
        """Describe the arrays."""
        if not (F.ndim == 2 and F.dtype == np.float64 and F.flags.carray):
            raise ValueError(
                f"found {F.dtype}{list(F.shape)}, expected a writeable, C-contiguous"
                " float64[columns, rows]; copy it with numpy.ascontiguousarray"
            )
        form = np.array(
            [
                *(table.ops.ctypes.data, *table.ops.shape),
                *(table.pars.ctypes.data, table.pars.shape[1]),
                *(F.ctypes.data, *F.shape),
            ],
            dtype=np.int64,
        )
        self = super().__new__(cls, tick, form.ctypes.data)
        self._kept = (table, F, form)
        return self
