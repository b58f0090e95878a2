"""The writer's compiled half: the sequence lock and the moves that keep a record's invariants.

The functions take one series' record as ``float64[columns, 2C]`` or ``int64[columns, 2C]`` (two
views of the same memory) and its control words as ``int64[32]``. `begin` and `commit` bracket every
change that a reader could see; the engine compiles them, its own stores and the indicators into one
call.

Ordering is made with LLVM atomics, not with luck: on x86 plain stores would pass every test, on ARM
they would not. Readers' half of the protocol: `layout`, "Sequence lock".
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .layout import WORD

__all__ = [
    "announce",
    "begin",
    "clear_ahead",
    "commit",
    "copy_row",
    "publish",
    "put_words",
    "release_fence",
    "settle",
    "store_release",
]

_SEQUENCE = WORD["sequence"]
_DIRTY = WORD["dirty_from"]
_NEWEST = WORD["newest"]
_CLOSED = WORD["closed"]
_START = WORD["start"]
_ORIGIN = WORD["origin"]
_REWINDS = WORD["rewinds"]

_WAKE, _EVERYBODY = 1, 2**31 - 1  # FUTEX_WAKE

# C's syscall(): called from compiled code it costs half of what it does through ctypes.
_syscall = types.ExternalFunction(
    "syscall", types.int64(types.int64, types.uintp, *[types.int64] * 5)
)

# cache: a service starts in tenths of a second instead of seconds. No fastmath: the same bits on
# every path. No bounds checks: every index comes from arithmetic modulo the capacity.
jit = njit(cache=True, nogil=True, error_model="numpy")


@intrinsic
def store_release(_typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index] = value`` (int64), ordered after everything stored before it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        structure = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = cgutils.get_item_pointer(
            context, builder, signature.args[0], structure, [args[1]], wraparound=False
        )
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), codegen


@intrinsic
def release_fence(_typing: Any) -> Any:
    """Nothing stored after this becomes visible before what was stored ahead of it."""

    def codegen(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.fence("release")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _add_release(_typing: Any, array: Any, value: Any) -> Any:
    """``array[0] += value`` (uint32), atomic, ordered after everything stored before it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        structure = context.make_array(signature.args[0])(context, builder, args[0])
        builder.atomic_rmw("add", structure.data, args[1], "release")
        return context.get_dummy_value()

    return types.void(array, types.uint32), codegen


@jit
def announce(published: Any) -> None:
    """Count one publication: ``published: uint32[1]``."""
    _add_release(published, 1)  # SYNC: commits before the word that readers sleep on


@jit
def publish(published: Any, futex: int) -> None:
    """Count one publication and wake who sleeps; `futex` is the system call's number (or -1).

    The call is made even when nobody sleeps: readers write nothing, so nobody can know.
    """
    announce(published)
    if futex >= 0:
        _syscall(futex, published.ctypes.data, _WAKE, _EVERYBODY, 0, 0, 0)


@jit
def settle() -> None:
    """A release fence for stores made outside of compiled code."""
    release_fence()


@jit
def begin(control: Any, bar: int) -> None:
    """Open the record for writing; `bar` is the oldest one that will be touched."""
    rewinds = control[_REWINDS] + (bar < control[_DIRTY])
    store_release(control, _DIRTY, bar)  # SYNC: rows of the write before, which are before it now
    store_release(control, _REWINDS, rewinds)  # SYNC: dirty_from before rewinds
    store_release(control, _SEQUENCE, control[_SEQUENCE] | 1)  # SYNC: dirty_from before odd
    release_fence()  # SYNC: odd before any row


@jit
def commit(control: Any) -> None:
    """Close the record: what was written since `begin` is one consistent state."""
    store_release(control, _SEQUENCE, (control[_SEQUENCE] | 1) + 1)  # SYNC: rows before even


@jit
def copy_row(record: Any, slot: int, capacity: int) -> None:
    """Second copy of the row whose first copy was written at ``slot + capacity``."""
    for column in range(record.shape[0]):
        record[column, slot] = record[column, slot + capacity]


@jit
def clear_bar(record: Any, blank: Any, slot: int, capacity: int) -> None:
    """Empty the row at `slot`; `blank: int64[columns]` is an empty row's bit pattern."""
    for column in range(record.shape[0]):
        record[column, slot] = blank[column]
        record[column, slot + capacity] = blank[column]


@jit
def put_words(record: Any, control: Any, words: Any, bar: int, capacity: int) -> None:
    """Write one whole row (`words: int64[columns]`, bit patterns) at `bar`, both copies.

    Extends the readable run when `bar` is behind or ahead of it by one; a bar further ahead starts
    a new run, one further back is refused by the caller.
    """
    begin(control, bar)
    slot = bar % capacity
    for column in range(record.shape[0]):
        record[column, slot + capacity] = words[column]
        record[column, slot] = words[column]
    if control[_NEWEST] < 0:
        control[_START] = bar
        control[_ORIGIN] = bar
        control[_NEWEST] = bar
    elif bar > control[_NEWEST]:
        if bar > control[_NEWEST] + 1:
            control[_START] = bar
            control[_ORIGIN] = bar
        control[_NEWEST] = bar
    elif bar == control[_START] - 1:
        control[_START] = bar
        control[_ORIGIN] = bar
    commit(control)


@jit
def clear_ahead(records: Any, controls: Any, blank: Any, first: int, last: int) -> None:
    """Empty the bars `first` .. `last` (at most one round of the ring) in every series.

    They take the place of the oldest rows. A series that was left so far behind that those rows are
    readable loses them: its run then starts behind them, or is empty.

    A run that only gets shorter at its old end is told so by one store, and is never in work: who
    dies here leaves all of its rows readable. Readers that were copying the rows that are going to
    be cleared see by `sequence` and `rewinds` that they have to copy again.
    """
    capacity = records.shape[2] // 2
    oldest = last + 1 - capacity
    for series in range(records.shape[0]):
        control = controls[series]
        if control[_NEWEST] >= 0 and control[_START] < oldest:
            if control[_NEWEST] >= oldest:
                store_release(control, _START, oldest)
                # SYNC: the run's new start before the words that tell readers to look again
                store_release(control, _REWINDS, control[_REWINDS] + 1)
                store_release(control, _SEQUENCE, control[_SEQUENCE] + 2)
            else:
                begin(control, control[_START])
                control[_START] = oldest
                control[_NEWEST] = -1
                control[_CLOSED] = -1
                commit(control)
            release_fence()  # SYNC: nobody may look at the rows before they are cleared
        for bar in range(first, last + 1):
            clear_bar(records[series], blank, bar % capacity, capacity)
    release_fence()  # SYNC: cleared slots before the grid moves to them
