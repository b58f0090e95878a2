"""The file behind a store: its names, its locks, its space."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ringbuf import (
    LayoutError,
    NameHeld,
    NoSpace,
    NotAStore,
    PlatformUnsupported,
    StoreBusy,
    StoreNotFound,
    segment,
)

SHARED_MEMORY = Path("/dev/shm")
LIMIT_S = 60


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def made(name: str, size: int = 4096) -> int:
    """A published segment of zeros; its descriptor."""
    with segment.name_lock(name):
        descriptor, temporary = segment.reserve(name, size)
        segment.publish(temporary, name)
    return descriptor


@pytest.mark.parametrize("name", ["a", "market_monitor", "A-1.b", "_x", "9", "x" * 200, "a.keeper"])
def test_a_plain_name_is_a_file_of_shared_memory(name: str) -> None:
    assert segment.path_of(name) == SHARED_MEMORY / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "../a",
        ".a",
        "-a",
        "a b",
        "a\n",
        "ä",
        "x" * 201,
        "a.keep",
        "a.lock",
        "a~new",
        "a\0",
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(LayoutError, match="expected letters, digits"):
        segment.path_of(name)


def test_other_systems_are_named_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(PlatformUnsupported, match=r"found darwin, expected Linux.*container"):
        segment.path_of("a")


def test_what_is_not_there_is_not_found(segment_name: str) -> None:
    with pytest.raises(StoreNotFound, match=f"no store named '{segment_name}'.*monitor run"):
        segment.open_readonly(segment_name)


def test_reserved_space_is_really_there(segment_name: str) -> None:
    descriptor, temporary = segment.reserve(segment_name, 1 << 20)
    try:
        stat = temporary.stat()
        assert stat.st_size == 1 << 20
        assert stat.st_blocks * 512 >= 1 << 20
        assert stat.st_mode & 0o777 == 0o600
    finally:
        os.close(descriptor)
        temporary.unlink()


def test_too_little_space_says_what_is_needed_and_what_to_give_to_docker(
    segment_name: str,
) -> None:
    _, total = segment.free_space()
    with pytest.raises(NoSpace) as caught:
        segment.reserve(segment_name, total * 2)
    error = caught.value
    assert error.needed == total * 2
    assert error.total == total
    assert f"needs {total * 2 / 2**20:.1f} MiB" in str(error)
    assert f"of {total / 2**20:.1f} MiB" in str(error)
    advised = int(str(error).split("--shm-size=")[1].rstrip("m)"))
    assert advised * 2**20 >= total - error.free + error.needed


def test_too_little_space_leaves_no_file_and_no_descriptor(segment_name: str) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, of a folder of links
    with pytest.raises(NoSpace):
        segment.reserve(segment_name, 1 << 60)
    assert not list(SHARED_MEMORY.glob(f"{segment_name}*"))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_space_that_runs_out_while_it_is_taken_is_said_the_same_way(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoSpace, match=r"needs 0\.0 MiB"):
        segment.reserve(segment_name, 4096)


def test_what_a_killed_maker_left_is_replaced(segment_name: str) -> None:
    """The unfinished file has one name a store, so that it can never pile up."""
    first, left = segment.reserve(segment_name, 4096)
    second, again = segment.reserve(segment_name, 8192)
    assert left == again
    assert again.stat().st_ino == os.fstat(second).st_ino
    again.unlink()
    os.close(first)
    os.close(second)


def test_a_published_segment_has_two_names_and_no_other_file(segment_name: str) -> None:
    descriptor = made(segment_name)
    found = sorted(path.name for path in SHARED_MEMORY.glob(f"{segment_name}*"))
    assert found == [segment_name, f"{segment_name}.keep"]
    assert os.fstat(descriptor).st_nlink == 2
    os.close(descriptor)


def test_publishing_takes_both_names_from_the_one_before(segment_name: str) -> None:
    old, new = made(segment_name), made(segment_name)
    assert os.fstat(old).st_nlink == 0
    assert os.fstat(new).st_nlink == 2
    os.close(old)
    os.close(new)


def test_the_second_link_is_put_back_too(segment_name: str) -> None:
    descriptor = made(segment_name)
    inode = os.fstat(descriptor).st_ino
    segment.keep_path(segment_name).unlink()
    assert not segment.restore(segment_name, inode), "nobody could see that"
    assert segment.keep_path(segment_name).stat().st_ino == inode
    os.close(descriptor)


def test_the_name_is_put_back_with_the_same_memory(segment_name: str) -> None:
    descriptor = made(segment_name)
    inode = os.fstat(descriptor).st_ino
    assert not segment.restore(segment_name, inode)
    segment.path_of(segment_name).unlink()
    assert segment.restore(segment_name, inode)
    assert segment.path_of(segment_name).stat().st_ino == inode
    assert not segment.restore(segment_name, inode)
    os.close(descriptor)


def test_a_name_that_another_segment_has_is_left_alone(segment_name: str) -> None:
    old, new = made(segment_name), made(segment_name)
    assert not segment.restore(segment_name, os.fstat(old).st_ino)
    segment.path_of(segment_name).unlink()
    assert not segment.restore(segment_name, os.fstat(old).st_ino)
    assert not segment.path_of(segment_name).exists()
    os.close(old)
    os.close(new)


def test_a_name_that_is_gone_with_its_keep_link_stays_gone(segment_name: str) -> None:
    descriptor = made(segment_name)
    segment.unlink(segment_name)
    segment.unlink(segment_name)
    assert not segment.restore(segment_name, os.fstat(descriptor).st_ino)
    os.close(descriptor)


def test_the_life_lock_is_seen_by_others_and_given_to_one(segment_name: str) -> None:
    descriptor = made(segment_name)
    path = segment.path_of(segment_name)
    looker = segment.open_readonly(segment_name)
    assert not segment.is_held(looker)
    life = segment.take(path, segment_name)
    assert segment.is_held(looker)
    with pytest.raises(StoreBusy, match="written by another process"):
        segment.take(path, segment_name)
    segment.close(life)
    assert not segment.is_held(looker)
    segment.close(looker)
    segment.close(descriptor)


def test_a_readers_own_lock_does_not_look_like_a_writer(segment_name: str) -> None:
    """Whoever may read the file may read-lock it; that must not keep a dead service alive."""
    descriptor = made(segment_name)
    code = """
import fcntl, os, struct, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
print("locked", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(segment.path_of(segment_name))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        assert not segment.is_held(descriptor)
        child.communicate(timeout=LIMIT_S)
    segment.close(descriptor)


def test_no_descriptor_is_inherited_by_a_started_program(segment_name: str) -> None:
    descriptor = made(segment_name)
    life = segment.take(segment.path_of(segment_name), segment_name)
    looker = segment.open_readonly(segment_name)
    assert not any(os.get_inheritable(one) for one in (descriptor, life, looker))
    for one in (descriptor, life, looker):
        segment.close(one)


def test_closing_twice_is_no_error(segment_name: str) -> None:
    descriptor = made(segment_name)
    segment.close(descriptor)
    segment.close(descriptor)


def test_the_name_lock_lets_one_in_at_a_time_and_leaves_nothing(segment_name: str) -> None:
    inside: list[int] = []
    overlaps: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            with segment.name_lock(segment_name):
                inside.append(number)
                overlaps.extend(inside[1:])
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert not overlaps
    assert not list(SHARED_MEMORY.glob(f"{segment_name}*"))


def test_the_name_lock_is_let_go_when_its_holder_fails(segment_name: str) -> None:
    with pytest.raises(KeyboardInterrupt), segment.name_lock(segment_name):
        raise KeyboardInterrupt
    with segment.name_lock(segment_name):
        assert segment.path_of(segment_name).with_name(f"{segment_name}.lock").exists()


def test_a_name_that_is_held_for_too_long_is_an_error_that_names_the_holder(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "PATIENCE_S", 0.05)
    code = (
        "import sys; from ringbuf import segment\n"
        f"with segment.name_lock({segment_name!r}): print('held', flush=True); sys.stdin.read()"
    )
    assert segment.name_holder(segment_name) is None
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert segment.name_holder(segment_name) == child.pid
        with (
            pytest.raises(NameHeld, match=f"process {child.pid} has been making or removing"),
            segment.name_lock(segment_name),
        ):
            pass
        child.stdin.close()
    with segment.name_lock(segment_name):
        assert segment.name_holder(segment_name) == os.getpid()
    assert segment.name_holder(segment_name) is None


def test_a_lock_that_is_not_ours_to_open_counts_as_held(segment_name: str) -> None:
    lock = segment.path_of(segment_name).with_name(f"{segment_name}.lock")
    lock.symlink_to("/nowhere")
    assert segment.name_holder(segment_name) == -1
    lock.unlink()
    lock.touch(0o600)
    lock.chmod(0)
    code = (
        "import os; from ringbuf import segment\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"  # root may open everything
        f"print(segment.name_holder({segment_name!r}))"
    )
    try:
        said = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert said.stdout == "-1\n", said.stderr
    finally:
        lock.unlink()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, _socket])
def test_what_is_no_file_at_the_lock_s_name_is_told_and_nobody_waits_for_it(
    segment_name: str, make: Callable[[Path], None]
) -> None:
    lock = segment.path_of(segment_name).with_name(f"{segment_name}.lock")
    make(lock)
    try:
        assert segment.name_holder(segment_name) == -1
        with (
            pytest.raises(NotAStore, match="a FIFO or a socket, expected a file of ours"),
            segment.name_lock(segment_name),
        ):
            pass
    finally:
        (lock.rmdir if lock.is_dir() else lock.unlink)()


def test_the_name_lock_follows_no_link_that_a_stranger_put_there(
    segment_name: str, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    (SHARED_MEMORY / f"{segment_name}.lock").symlink_to(target)
    with pytest.raises(NotAStore, match="found a folder, a link"), segment.name_lock(segment_name):
        pass
    assert not target.exists()


RESOURCE_TRACKER = """
import sys
from multiprocessing import shared_memory
shm = shared_memory.SharedMemory(sys.argv[1])
print(bytes(shm.buf[:7]).decode())
shm.close()
"""


def test_a_reader_that_unlinks_by_leaving_does_not_cost_the_store_its_name(
    segment_name: str,
) -> None:
    """The standard library's tracker unlinks what a process attached, when that process ends."""
    descriptor = made(segment_name)
    os.pwrite(descriptor, b"ringbuf", 0)
    inode = os.fstat(descriptor).st_ino
    done = run_python(RESOURCE_TRACKER, segment_name)
    assert done.stdout == "ringbuf\n", done.stderr
    assert not segment.path_of(segment_name).exists()
    assert segment.restore(segment_name, inode)
    assert segment.path_of(segment_name).stat().st_ino == inode
    os.close(descriptor)


@pytest.mark.parametrize("mapping", [segment.map_readonly, segment.map_writable])
def test_a_mapping_outlives_descriptor_and_name(
    mapping: Callable[[int, int], mmap.mmap], segment_name: str
) -> None:
    descriptor = made(segment_name)
    os.pwrite(descriptor, b"here", 0)
    memory = mapping(descriptor, 4096)
    segment.close(descriptor)
    segment.unlink(segment_name)
    assert memory[:4] == b"here"


def test_a_readers_mapping_cannot_be_written(segment_name: str) -> None:
    descriptor = made(segment_name)
    memory = segment.map_readonly(descriptor, 4096)
    with pytest.raises(TypeError, match="modify a readonly"):
        memory[0] = 1
    assert memoryview(memory).readonly
    segment.close(descriptor)
