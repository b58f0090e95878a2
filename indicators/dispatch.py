"""The compiled half: `step` runs a configured list of kernels over one row, `steps` over many.

Importing this module imports numba and compiles (or loads from the cache) both; other
jitted code imports them from here and calls them like any jitted function.

A list of stats is a table, data and not code:

    ops   int64[n, 2 + K]   address of a kernel's compiled loop, the age from which on it does not
                            matter to it, then its column indices, padded
    pars  float64[n, P]     its parameters, padded

Why a table of addresses: only the stats that are configured get compiled, each is cached on its
own, a user's stat plugs in like ours, and nothing here is compiled again when the list changes.
Measured for a step of eight stats (nine kernels) inside jitted code, x86-64, best of each of five
runs on a shared machine: 0.23 to 0.25 µs by this table, 0.24 to 0.37 µs by one function generated
for that very list (and 3 s to compile it at every change of settings), 0.25 to 0.33 µs by a table
whose rows are sliced instead of borrowed (`_call`).

`step` does one row, `steps` many: stat by stat, so that a long re-step pays for a call by address
once a stat and not once a row. The order makes no difference: a kernel reads its own columns and
inputs only, and derived inputs stand first in the table.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from .jit import Floats, Ints, compile_with

__all__ = ["LOOP_SIGNATURE", "positive", "run", "step", "steps"]

_FLOATS = types.float64[:, ::1]
_INTS = types.int64[:, ::1]
_COLS = types.int64[::1]
_PAR = types.float64[::1]

LOOP_SIGNATURE = types.void(_FLOATS, _INTS, *[types.int64] * 4, _COLS, _PAR)
"""F, I, first row, row behind the last one, age of the first, age that is old, cols, par: see
`jit`."""


@intrinsic
def positive(_typing: Any, number: Any) -> tuple[Any, Any]:
    """Return an integer that the compiler may take for more than 0.

    So the index of a row and of the one before it need no test for counting from the end.
    """

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        form = ir.FunctionType(ir.VoidType(), [ir.IntType(1)])
        assume = builder.module.declare_intrinsic("llvm.assume", (), form)
        builder.call(assume, [builder.icmp_signed(">", args[0], args[0].type(0))])
        return args[0]

    return types.int64(types.int64), codegen


def _borrow(context: Any, builder: Any, kind: Any, pointer: Any, length: Any) -> Any:
    """Build a one-dimensional array over memory that somebody else keeps."""
    array = make_array(kind)(context, builder)
    size = context.get_constant(types.intp, 8)
    populate_array(array, pointer, [length], [size], size, None)
    return array._getvalue()


@intrinsic
def _call(
    _typing: Any, ops: Any, pars: Any, k: Any, F: Any, I: Any, first: Any, last: Any, age: Any
) -> tuple[Any, Any]:
    """Call the kernel in row k of the table, for rows first … last−1.

    The rows are handed over as borrowed arrays: slicing them (`ops[k, 1:]`) counts references with
    atomic instructions.
    """
    signature = types.void(
        _INTS, _FLOATS, types.int64, _FLOATS, _INTS, types.int64, types.int64, types.int64
    )

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        ops = make_array(kinds[0])(context, builder, args[0])
        pars = make_array(kinds[1])(context, builder, args[1])
        zero = context.get_constant(types.intp, 0)
        one = context.get_constant(types.intp, 1)
        two = context.get_constant(types.intp, 2)
        head = cgutils.get_item_pointer(
            context, builder, kinds[0], ops, [args[2], zero], wraparound=False
        )
        par = cgutils.get_item_pointer(
            context, builder, kinds[1], pars, [args[2], zero], wraparound=False
        )
        width = builder.extract_value(ops.shape, 1)
        cols = _borrow(context, builder, _COLS, builder.gep(head, [two]), builder.sub(width, two))
        parameters = _borrow(context, builder, _PAR, par, builder.extract_value(pars.shape, 1))
        young = builder.load(builder.gep(head, [one]))
        values = [*args[3:], young, cols, parameters]
        form = ir.FunctionType(
            ir.VoidType(), [context.get_value_type(kind) for kind in LOOP_SIGNATURE.args]
        )
        function = builder.inttoptr(builder.load(head), form.as_pointer())
        builder.call(function, values)
        return context.get_dummy_value()

    return signature, codegen


def _step(ops: Ints, pars: Floats, F: Floats, I: Ints, i: int, age: int) -> None:
    """Step every stat of the table for row i of one market, in the table's order.

    F and I are float64 and int64 views of the same memory, [columns, rows]; `age` is the number of
    minutes between row i and the market's origin. See `jit` for what a kernel may touch.
    """
    for k in range(ops.shape[0]):
        _call(ops, pars, k, F, I, i, i + 1, age)


step = compile_with(
    njit,
    types.void(_INTS, _FLOATS, _FLOATS, _INTS, types.int64, types.int64),
    _step,
)


def _steps(ops: Ints, pars: Floats, F: Floats, I: Ints, first: int, last: int, age: int) -> None:
    """Step rows first … last−1, whose inputs are all there; `age` is the first one's."""
    for k in range(ops.shape[0]):
        _call(ops, pars, k, F, I, first, last, age)


steps = compile_with(
    njit,
    types.void(_INTS, _FLOATS, _FLOATS, _INTS, types.int64, types.int64, types.int64),
    _steps,
)


def _run(ops: Ints, pars: Floats, F: Floats, I: Ints, first: int, last: int) -> None:
    """Step rows first … last−1 of plain columns whose row 0 is the origin."""
    steps(ops, pars, F, I, first, last, first)


run = compile_with(
    njit,
    types.void(_INTS, _FLOATS, _FLOATS, _INTS, types.int64, types.int64),
    _run,
)
