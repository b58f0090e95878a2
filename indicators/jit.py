"""How everything compiled here is compiled: one set of options, one signature of a kernel.

Importing this module does not import numba; `Kernel.compile` does, on the first bind. So names
and settings are checked without paying for a compiler.

A kernel is a plain function of this form, a *step* of one stat for one row:

    kernel(F, I, i, age, cols, par) -> None
        F     float64[columns, rows]  the column block of one market
        I     int64[columns, rows]    the same memory, for `time`, `trades`, `flags`
        i     row to write
        age   minutes since the market's origin, its first row ever
        cols  int64[]    rows of F: the declaration's inputs, outputs, state, in this order
        par   float64[]  the parameters, in the declaration's order

Invariants that make the open candle, a restart and a correction the same thing as a first run:

- It writes row i of its outputs and state, on every call, and nothing else; NaN in warm-up.
- It reads inputs at rows ≤ i, its own outputs and state at rows < i only, and at age 0 no row
  i−1. Rows i−age … i, as many as there are, are contiguous: no wrap to think of.
- It cannot raise: a C callback has nowhere to raise to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["OPTIONS", "Floats", "Ints", "Kernel", "KernelFunction", "compile_with"]

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
KernelFunction = Callable[[Floats, Ints, int, int, Ints, Floats], None]

OPTIONS: dict[str, Any] = {
    # A service starts in tenths of a second instead of seconds. numba looks at the time stamp of
    # the kernel's own file only: after an edit of a helper or a constant that a kernel takes from
    # another file, touch the kernel's.
    "cache": True,
    # x/0 is inf or NaN as in numpy and C. The default raises, which a callback cannot do and which
    # puts a branch before each division.
    "error_model": "numpy",
    # No fastmath: it lets the compiler reorder sums, so results would depend on the processor and
    # on which form (step, batch) was compiled. No boundscheck: `plan` knows every look-back and
    # the ring is made to hold it. No parallel: one row is far too little work.
}


def compile_with(
    decorator: Callable[..., Any], signature: Any, function: Callable[..., Any]
) -> Any:
    """Apply a numba decorator (`cfunc`, `njit`) with the project's options.

    Compiles without a cache where none can be written: a read-only installation, a notebook cell.
    """
    try:
        return decorator(signature, **OPTIONS)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return decorator(signature, **{**OPTIONS, "cache": False})(function)


class Kernel:
    """A kernel function, and its compiled form once someone binds it.

    Compiled at most once a process and never freed: its address stays good for as long as the
    kernel exists.
    """

    __slots__ = ("_compiled", "function")

    def __init__(self, function: KernelFunction) -> None:
        self.function = function
        self._compiled: Any = None

    def __repr__(self) -> str:
        return f"Kernel({self.function.__module__}.{self.function.__qualname__})"

    def compile(self) -> Any:
        """Return the numba `CFunc`, compiling it (or loading it from the cache) the first time."""
        if self._compiled is None:
            from numba import cfunc

            from .dispatch import KERNEL_SIGNATURE

            self._compiled = compile_with(cfunc, KERNEL_SIGNATURE, self.function)
        return self._compiled
