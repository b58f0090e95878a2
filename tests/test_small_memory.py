"""A /dev/shm that is too small, as in containers: a real one, in a mount namespace of its own."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys

PREPARE = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
MAKE = """
import os, sys
import ringbuf
from ringbuf import segment
from ringbuf.spec import Column, Geometry, Series, StoreSpec
from ringbuf.writer import create

def spec(history):
    return StoreSpec("small", (Series("a"),), (Column("time", "M"), Column("x")), history, 60_000)

history = int(sys.argv[1])
needed = Geometry.of(spec(history)).size
free, total = segment.free_space()
try:
    create(spec(history)).close()
except ringbuf.NoSpace as error:
    assert (error.needed, error.total) == (needed, total)
    assert 0 <= free - error.free <= 4096  # the lock of the name is a page
    print(error)
left = os.listdir("/dev/shm") if total < 2**21 else []
print(left)
with create(spec(100)) as writer:
    writer.put(0, 1000, {"x": 1.5})
    with ringbuf.attach("small") as store:
        print(store["a"].last()["x"])
segment.unlink("small")
"""


@functools.cache
def namespace() -> tuple[str, ...]:
    """What gives a command a mount namespace with a /dev/shm of 1 MiB; nothing if not allowed."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    before = ("unshare", "--mount", *user, "sh", "-c", PREPARE, "sh")
    try:
        done = subprocess.run([*before, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return ()
    return before if done.returncode == 0 else ()


def made(history: int) -> list[str]:
    done = subprocess.run(
        [
            *namespace(),
            sys.executable,
            "-c",
            MAKE.replace('"small"', f'"mmtest_{os.getpid()}_s"'),
            str(history),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_too_little_memory_is_one_clear_error_that_leaves_nothing_behind() -> None:
    """Needed, free, and what to give to Docker; then a store that fits is made as ever."""
    # Where no small /dev/shm can be had, the machine's own is too small for this one.
    said, left, read = made(50_000 if namespace() else 10**12)
    found = re.search(
        r"needs ([0-9.]+) MiB of shared memory, /dev/shm has ([0-9.]+) MiB free of ([0-9.]+) MiB; "
        r"ask for fewer markets or less history, or enlarge it \(in Docker: --shm-size=(\d+)m\)",
        said,
    )
    assert found is not None, said
    needed, free, total, advised = map(float, found.groups())
    assert needed > free
    assert advised >= total - free + needed
    if namespace():
        assert (free, total) == (1.0, 1.0)
        assert advised <= needed + 2
    assert (left, read) == ("[]", "1.5")


def test_the_advised_size_is_enough() -> None:
    if not namespace():
        return
    said = made(50_000)[0]
    advised = int(said.rpartition("--shm-size=")[2].split("m")[0])
    bigger = tuple(part.replace("size=1m", f"size={advised}m") for part in namespace())
    code = MAKE.replace('"small"', f'"mmtest_{os.getpid()}_s"')
    done = subprocess.run(
        [*bigger, sys.executable, "-c", code, "50000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "needs" not in done.stdout


def test_too_many_files_are_told_from_too_little_memory() -> None:
    if not namespace():
        return
    for inodes in (1, 2):  # of the folder itself; and of the lock of the name
        few = tuple(part.replace("size=1m", f"size=1m,nr_inodes={inodes}") for part in namespace())
        code = MAKE.partition("left = ")[0].replace("assert (error.needed", "# ")
        done = subprocess.run(
            [*few, sys.executable, "-c", code, "100"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "no room for another file in /dev/shm, though 1.0 MiB are free" in done.stdout
