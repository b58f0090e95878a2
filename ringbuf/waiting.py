"""Sleeping until something is published: a futex on the header's `published` word.

The word is in memory that readers map read-only; the kernel's FUTEX_WAIT needs no more. The writer
stores the new value before it wakes, a reader hands the value that it saw to the kernel, which goes
to sleep only if the word is still the same: no wake-up is lost in between.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import time
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FUTEX", "SLICE_S", "wait"]

_SYSCALL = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}
FUTEX = _SYSCALL.get(platform.machine(), -1)
"""Number of the system call; -1 where it is not known: readers then poll."""

SLICE_S = 0.5
"""The longest sleep in the kernel. A signal that comes after the interpreter has looked for one and
before the kernel is asked to sleep would be seen only at its end: Ctrl-C is never late by more."""

_WAIT = 0
_POLL_S = 0.01


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_libc = ctypes.CDLL(None, use_errno=True)


def wait(word: npt.NDArray[np.uint32], seen: int, timeout: float | None) -> bool:
    """Sleep until ``word != seen``; False after `timeout` seconds (None: no limit).

    Signals are handled as they come: KeyboardInterrupt leaves at once.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    address = ctypes.c_void_p(word.ctypes.data)
    while int(word[0]) == seen:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        if FUTEX < 0:
            time.sleep(_POLL_S if left is None else min(left, _POLL_S))
            continue
        nap = SLICE_S if left is None else min(left, SLICE_S)
        limit: Any = ctypes.byref(_Timespec(int(nap), int(nap % 1 * 1e9)))
        if _libc.syscall(FUTEX, address, _WAIT, ctypes.c_uint32(seen), limit, None, 0) == -1:
            code = ctypes.get_errno()
            if code not in (errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT):
                raise OSError(code, os.strerror(code))
    return True
