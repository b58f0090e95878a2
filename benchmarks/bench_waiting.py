"""What does waiting cost the writer while nobody sleeps, and a reader until it is awake?

Beside the limits: a bare futex wake of the same word, and the same errand through a pipe.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numba import njit, types

from benchmarks.conftest import Filled
from benchmarks.harness import tell
from ringbuf import waiting

_syscall = types.ExternalFunction(
    "syscall", types.int64(types.int64, types.uintp, *[types.int64] * 5)
)


@njit
def _bare_wake(word: Any, futex: int) -> None:
    _syscall(futex, word.ctypes.data, 1, 2**31 - 1, 0, 0, 0)


@pytest.mark.benchmark(group="waking readers when nobody sleeps")
def bench_publish_nobody(benchmark: Any, filled: Filled) -> None:
    """How long does the service take to tell readers that something is new? Goal: under 1 µs."""
    tell(benchmark, "ours", "publish")
    benchmark(filled.writer.publish)


@pytest.mark.benchmark(group="waking readers when nobody sleeps")
def bench_bare_futex(benchmark: Any, filled: Filled) -> None:
    """The limit: the system call alone, from compiled code."""
    tell(benchmark, "limit", "futex wake from compiled code")
    word = filled.writer.header["published"]
    _bare_wake(word, waiting.FUTEX)
    benchmark(_bare_wake, word, waiting.FUTEX)


@contextmanager
def _echo(
    code: str, *arguments: str, inherit: tuple[int, ...] = ()
) -> Iterator[Callable[[], object]]:
    """A process that answers each of its wakings with a byte; yields what reads it."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, pass_fds=inherit
    )
    assert child.stdout is not None
    answers = child.stdout.fileno()
    try:
        os.read(answers, 1)
        yield lambda: os.read(answers, 1)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


_READER = """
import os, sys, ringbuf
store = ringbuf.attach(sys.argv[1])
os.write(1, b".")
while store.wait():
    os.write(1, b".")
"""

_ASYNC_READER = """
import asyncio, os, sys, ringbuf
async def main():
    store = ringbuf.attach(sys.argv[1])
    os.write(1, b".")
    while await store.wait_async():
        os.write(1, b".")
asyncio.run(main())
"""

_PIPE = """
import os, sys
os.write(1, b".")
while os.read(int(sys.argv[1]), 1):
    os.write(1, b".")
"""


@pytest.mark.benchmark(group="waking a process, its answer through a pipe")
@pytest.mark.parametrize("code", [_READER, _ASYNC_READER], ids=["wait", "wait_async"])
def bench_wake_a_reader(benchmark: Any, filled: Filled, code: str) -> None:
    """How long from publishing until a sleeping reader's answer is back?"""
    tell(benchmark, "ours", "store.wait_async" if code is _ASYNC_READER else "store.wait")
    with _echo(code, filled.writer.spec.name) as answer:

        def errand() -> None:
            filled.writer.publish()
            answer()

        benchmark(errand)


@pytest.mark.benchmark(group="waking a process, its answer through a pipe")
def bench_wake_by_pipe(benchmark: Any) -> None:
    """The limit: the same with a byte through a pipe instead of a publication."""
    tell(benchmark, "limit", "a byte through a pipe")
    reading, writing = os.pipe()
    with _echo(_PIPE, str(reading), inherit=(reading,)) as answer:

        def errand() -> None:
            os.write(writing, b".")
            answer()

        benchmark(errand)
    os.close(reading)
    os.close(writing)


@pytest.mark.benchmark(group="asking without waiting")
def bench_wait_for_what_is_there(benchmark: Any, filled: Filled) -> None:
    """How long does a reader take to learn that there is something new?"""
    tell(benchmark, "ours", "store.wait(0)")
    store, word = filled.store, np.asarray(filled.writer.header["published"])

    def ask() -> bool:
        word[0] += 1
        return store.wait(0)

    assert benchmark(ask)
