"""The compiled half: `step` runs a configured list of kernels over one row, `steps` over many.

Importing this module imports numba and compiles (or loads from the cache) all of it; other
jitted code imports them from here and calls them like any jitted function.

A list of stats is a table, data and not code:

    ops   int64[n, 2 + K]   address of a kernel's compiled loop, the age from which on it does not
                            matter to it, then its column indices, padded
    pars  float64[n, P]     its parameters, padded

Why a table of addresses: only the stats that are configured get compiled, each is cached on its
own, a user's stat plugs in like ours, and nothing here is compiled again when the list changes.
Measured against one function generated for the very list of eight stats, it is no slower, and that
function took 3 s to compile at every change of settings.

`step` does one row, `steps` many: stat by stat, so that a long re-step pays for a call by address
once a stat and not once a row. The order makes no difference: a kernel reads its own columns and
inputs only, and derived inputs stand first in the table.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from .jit import Floats, Ints, compile_with

__all__ = ["LOOP_SIGNATURE", "positive", "run", "step", "steps", "tick"]

_FLOATS = types.float64[:, ::1]
_INTS = types.int64[:, ::1]

LOOP_SIGNATURE = types.void(
    types.CPointer(types.float64),
    types.CPointer(types.int64),
    *[types.int64] * 5,
    types.CPointer(types.int64),
    types.CPointer(types.float64),
)
"""F, I, columns, rows, first row, row behind the last one, age of the first, rows of the table:
see `jit`."""


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


@intrinsic
def _call(
    _typing: Any, ops: Any, pars: Any, k: Any, F: Any, I: Any, first: Any, last: Any, age: Any
) -> tuple[Any, Any]:
    """Call the kernel in row k of the table, for rows first … last−1.

    Arrays are handed over by their address: as arrays they are nine words each, and slicing them
    counts references with atomic instructions.
    """
    signature = types.void(
        _INTS, _FLOATS, types.int64, _FLOATS, _INTS, types.int64, types.int64, types.int64
    )

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        ops, pars, floats, integers = (
            make_array(kinds[k])(context, builder, args[k]) for k in (0, 1, 3, 4)
        )
        columns, rows = (builder.extract_value(floats.shape, k) for k in (0, 1))
        op, par = (
            builder.gep(array.data, [builder.mul(args[2], builder.extract_value(array.shape, 1))])
            for array in (ops, pars)
        )
        values = [floats.data, integers.data, columns, rows, *args[5:], op, par]
        form = ir.FunctionType(
            ir.VoidType(), [context.get_value_type(kind) for kind in LOOP_SIGNATURE.args]
        )
        function = builder.inttoptr(builder.load(op), form.as_pointer())
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


@intrinsic
def _integers(_typing: Any, address: Any) -> tuple[Any, Any]:
    """Take a number for the address of int64s."""
    return types.CPointer(types.int64)(types.int64), _as_pointer


@intrinsic
def _reals(_typing: Any, address: Any) -> tuple[Any, Any]:
    """Take a number for the address of float64s."""
    return types.CPointer(types.float64)(types.int64), _as_pointer


def _as_pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.inttoptr(args[0], context.get_value_type(signature.return_type))


def _tick(address: int, i: int, age: int) -> None:
    """Step row i of what a `ticking.Stepper` describes, at this address, in eight words."""
    form = carray(_integers(address), (8,))
    ops = carray(_integers(form[0]), (form[1], form[2]))
    pars = carray(_reals(form[3]), (form[1], form[4]))
    F = carray(_reals(form[5]), (form[6], form[7]))
    I = carray(_integers(form[5]), (form[6], form[7]))
    for k in range(ops.shape[0]):
        _call(ops, pars, k, F, I, i, i + 1, age)


tick = compile_with(njit, types.void(types.int64, types.int64, types.int64), _tick)
