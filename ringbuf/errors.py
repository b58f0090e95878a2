"""Everything that `ringbuf` raises on purpose.

::

    RingbufError
    ├── StoreNotFound        no segment of that name
    ├── StoreRefused         there is one, but it cannot be used
    │   ├── NotAStore        not made by this library, truncated or overwritten
    │   ├── WrongVersion     another major version of the layout
    │   ├── NotReady         its writer has not finished making it
    │   └── NotReplaced      the name has something that a new store must not take the place of
    ├── StoreBusy            a live writer holds the name
    ├── NameHeld             another process has been changing the name for too long
    ├── NoSpace              too little shared memory
    ├── PlatformUnsupported  not Linux
    ├── NoRow                a LookupError: a series has no row of that time
    ├── NeverAtRest          no consistent copy: a writer that never rests goes back without a pause
    ├── RowsLost             a loop over closed rows came too late for some
    ├── StoreEnded           a loop over what is new: nothing more comes from this store
    └── LayoutError          the writer was asked for an impossible store
    UnknownName              a KeyError: no such series or column; names the nearest
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np

__all__ = [
    "DAMAGES",
    "LayoutError",
    "NameHeld",
    "NeverAtRest",
    "NoRow",
    "NoSpace",
    "NotAStore",
    "NotReady",
    "NotReplaced",
    "PlatformUnsupported",
    "RingbufError",
    "RowsLost",
    "StoreBusy",
    "StoreEnded",
    "StoreNotFound",
    "StoreRefused",
    "UnknownName",
    "WrongVersion",
]


DAMAGES = (
    *(AttributeError, IndexError, KeyError, OverflowError),
    *(RecursionError, SyntaxError, TypeError, ValueError),
)
"""What a document or a table that was overwritten may raise while it is read."""


class RingbufError(Exception):
    """Base of the errors of this package."""


class StoreNotFound(RingbufError):
    """No segment has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"no store named {self.name!r} on this machine; start its service "
            f"(python -m monitor run) or name another store"
        )


class StoreRefused(RingbufError):
    """The segment exists but this library must not use it."""

    def __init__(self, name: str, *more: object) -> None:
        # All of what it is made of: pickled, it comes back from another process as it is.
        super().__init__(name, *more)
        self.name = name


class NotAStore(StoreRefused):
    """The segment's content is not a whole store."""

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(name, found, expected)
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"segment {self.name!r} is not a store: found {self.found}, expected {self.expected}"


class WrongVersion(StoreRefused):
    """The segment was made by an incompatible version of the library."""

    def __init__(self, name: str, found: int, expected: int) -> None:
        super().__init__(name, found, expected)
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"store {self.name!r} has layout version {self.found}, this library reads version "
            f"{self.expected}; use the same release for the service and its readers"
        )


class NotReady(StoreRefused):
    """The segment is still being made."""

    def __str__(self) -> str:
        return f"store {self.name!r} is still being made by its writer; try again in a moment"


class NotReplaced(StoreRefused):
    """The name leads to something that is not a store of ours; it is left as it is.

    `reason` says what it is: NotAStore, WrongVersion or NotReady. `kept`: the store is whole, under
    its second name.
    """

    def __init__(self, name: str, reason: StoreRefused, kept: bool = False) -> None:
        super().__init__(name, reason, kept)
        self.reason = reason
        self.kept = kept

    def __str__(self) -> str:
        if self.kept:
            return (
                f"{self.reason}; the store itself is {self.name}.keep, with all of its rows: "
                f"remove /dev/shm/{self.name} alone (python -m monitor store clean --force "
                f"{self.name} does that), and the next start goes on with it"
            )
        return (
            f"{self.reason}; it is left as it is: remove it (python -m monitor store clean "
            f"{self.name}) or use another segment name"
        )


class StoreBusy(RingbufError):
    """Another live process writes this store."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(name, pid)
        self.name = name
        self.pid = pid

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid > 0 else "another process"
        return (
            f"store {self.name!r} is being written by {who}; "
            f"stop that one first, or use another segment name (where there is no such process, a "
            f"child of it holds the store: fuser /dev/shm/{self.name})"
        )


class NameHeld(RingbufError):
    """Another process creates, replaces or removes the store, and does not come to an end."""

    def __init__(self, name: str, pid: int, seconds: float) -> None:
        super().__init__(name, pid, seconds)
        self.name = name
        self.pid = pid
        self.seconds = seconds

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid > 0 else "another process"
        return (
            f"{who} has been making or removing store {self.name!r} for {self.seconds:.0f} s, "
            f"expected a moment; wait for its end, or end it"
        )


class NoSpace(RingbufError):
    """Shared memory is too small for the store, or has as many files as it may have."""

    def __init__(
        self, name: str, needed: int, free: int, total: int, of_files: bool = False
    ) -> None:
        super().__init__(name, needed, free, total, of_files)
        self.name = name
        self.needed = needed
        self.free = free
        self.total = total
        self.of_files = of_files

    def __str__(self) -> str:
        if self.of_files:
            return (
                f"store {self.name!r}: found no room for another file in /dev/shm, though "
                f"{_mib(self.free)} are free; remove files that are nobody's (df -i /dev/shm "
                f"counts them), or remount it with more nr_inodes"
            )
        advised = self.total - self.free + self.needed
        return (
            f"store {self.name!r} needs {_mib(self.needed)} of shared memory, /dev/shm has "
            f"{_mib(self.free)} free of {_mib(self.total)}; ask for fewer markets or less history, "
            f"or enlarge it (in Docker: --shm-size={-(-advised // 2**20) + 1}m)"
        )


class PlatformUnsupported(RingbufError):
    """Shared memory of this kind exists on Linux only."""

    def __init__(self, platform: str) -> None:
        super().__init__(platform)
        self.platform = platform

    def __str__(self) -> str:
        return f"found {self.platform}, expected Linux: run this in a Linux container"


class NoRow(RingbufError, LookupError):
    """A series has no row of the time that was asked for.

    Times are milliseconds since 1970; ``newest_ms < oldest_ms`` where it has no rows at all.
    """

    def __init__(self, name: str, asked_ms: int, oldest_ms: int, newest_ms: int) -> None:
        super().__init__(name, asked_ms, oldest_ms, newest_ms)
        self.name = name
        self.asked_ms = asked_ms
        self.oldest_ms = oldest_ms
        self.newest_ms = newest_ms

    def __str__(self) -> str:
        found = f"{self.name} has no row of {_moment(self.asked_ms)}"
        if self.newest_ms < self.oldest_ms:
            return f"{found}: it has no rows yet"
        oldest, newest = _moment(self.oldest_ms), _moment(self.newest_ms)
        return f"{found}: there are those of {oldest} to {newest}"


class NeverAtRest(RingbufError):
    """A series was changed, ever further back, during each of many copies of it, for `seconds`."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(name, seconds)
        self.name = name
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"{self.name}: for {self.seconds:.1f} s its older rows were changed during each copy "
            "of them; ask for fewer rows (last=…), or again in a moment"
        )


class RowsLost(RingbufError):
    """Rows were overwritten before a loop over closed rows had come to them.

    The first one that is gone and the oldest one that is there, in milliseconds since 1970.
    """

    def __init__(self, name: str, lost_ms: int, oldest_ms: int) -> None:
        super().__init__(name, lost_ms, oldest_ms)
        self.name = name
        self.lost_ms = lost_ms
        self.oldest_ms = oldest_ms

    def __str__(self) -> str:
        oldest = _moment(self.oldest_ms)
        return (
            f"{self.name}: the rows from {_moment(self.lost_ms)} to before {oldest} are not in the "
            f"history any more; go on with closes(since={oldest!r})"
        )


class StoreEnded(RingbufError):
    """Nothing more is published in this store; `condition` says why.

    ``down``, ``stopped``, ``retired`` or ``closed``.
    """

    def __init__(self, name: str, condition: str) -> None:
        super().__init__(name, condition)
        self.name = name
        self.condition = condition

    def __str__(self) -> str:
        return f"store {self.name!r}: {_ENDINGS[self.condition]}"


_ENDINGS = {
    "down": "its service died; its rows stay readable, and a restarted one goes on in them",
    "stopped": "its service has stopped; its rows stay readable, and a restarted one goes on there",
    "retired": "a newer segment has its name; take store.refresh() and begin again",
    "closed": "it was closed in this process; attach again",
}


class LayoutError(RingbufError, ValueError):
    """A store was described in a way that cannot be built."""


class UnknownName(KeyError):
    """No series or column has this name."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = tuple(known)
        super().__init__(what, name, known)
        self.what = what
        self.name = name
        self.nearest = tuple(_nearest(str(name), list(known)))

    def __str__(self) -> str:
        hint = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        return f"no {self.what} named {self.name!r}{hint}"


def _nearest(name: str, known: list[str]) -> list[str]:
    by_lower = {candidate.lower(): candidate for candidate in known}
    begins = [candidate for candidate in by_lower if name and candidate.startswith(name.lower())]
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.4)
    # Where nothing is like it, what there is helps more than silence.
    found = dict.fromkeys([*begins, *close] or list(by_lower))
    return [by_lower[match] for match in found][:3]


def _moment(ms: int) -> str:
    """As people write it: to the second where it is a whole one."""
    moment = np.datetime64(ms, "ms") if ms % 1000 else np.datetime64(ms // 1000, "s")
    return f"{moment}Z"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
