"""What every test file may use, and what is watched over in every test."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

SHARED_MEMORY = Path("/dev/shm")
PATIENCE_S = 5.0

_numbers = itertools.count(1)

# A background job starts with these ignored, and so would everything that the tests start: they
# could not be stopped as a terminal stops them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadline: how long an example takes says more about the machine's other users than about us.
settings.register_profile("market-monitor", deadline=None)
settings.load_profile("market-monitor")


def _used_by(process: Path, file: os.stat_result) -> bool:
    """Whether a process (its folder in /proc) has the file open or mapped, as far as we may see."""
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    try:
        opened = [descriptor.stat() for descriptor in (process / "fd").iterdir()]
        mapped = (process / "maps").read_text(errors="replace")
    except OSError:
        return False
    return f" {device} {file.st_ino} " in mapped or any(
        (one.st_dev, one.st_ino) == (file.st_dev, file.st_ino) for one in opened
    )


def _used_elsewhere(path: Path) -> bool:
    try:
        file = path.lstat()
    except FileNotFoundError:
        return True
    others = (one for one in Path("/proc").glob("[0-9]*") if one.name != str(os.getpid()))
    return any(_used_by(process, file) for process in others)


def _names() -> set[str]:
    return {path.name for path in SHARED_MEMORY.iterdir()}


def _abandoned(before: set[str]) -> list[str]:
    """New names in /dev/shm that no other process uses and that stay.

    Other programs come and go there too: what they hold open is theirs, and what they leave for a
    moment is given the time to go.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        left = sorted(
            name for name in _names() - before if not _used_elsewhere(SHARED_MEMORY / name)
        )
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _nothing_left_in_shared_memory() -> Iterator[None]:
    before = _names()
    yield
    left = _abandoned(before)
    assert not left, f"the test left these in {SHARED_MEMORY}: {', '.join(left)}"


@pytest.fixture
def segment_name() -> Iterator[str]:
    """A name for a store that nobody else has; its files are removed after the test."""
    name = f"mmtest_{os.getpid()}_{next(_numbers)}"
    yield name
    for path in (SHARED_MEMORY / name, *SHARED_MEMORY.glob(f"{name}.*")):
        path.unlink(missing_ok=True)
