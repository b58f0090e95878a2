"""What a reader knows of the writer: live, degraded, stopped, dead or hung, wherever both live."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import ringbuf
from ringbuf import StoreBusy, layout, reader, segment
from ringbuf.attachment import Attachment
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

LIMIT_S = 60
COLUMNS = (Column("time", "M"), Column("x"))

WRITES = """
import os, sys
from ringbuf import layout
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create
columns = (Column("time", "M"), Column("x"))
writer = create(StoreSpec(sys.argv[1], (Series("a"),), columns, 5, 60_000))
writer.set_state(layout.RUNNING)
writer.put(0, 1000, {"x": 1.5})
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def spec(name: str) -> StoreSpec:
    return StoreSpec(
        name,
        (Series("a"), Series("b")),
        COLUMNS,
        5,
        60_000,
        statuses=("good", "bad"),
        troubled=("bad",),
    )


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name)) as writer:
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


@contextmanager
def writing(name: str, *before: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A writer in a process of its own, and the pid that it knows itself by."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", WRITES, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        try:
            yield child, int(child.stdout.readline())
        finally:
            child.kill()


def test_every_condition_has_its_word(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.condition == "starting"
    made.set_state(layout.RUNNING)
    assert store.condition == "live"
    made.controls[1, WORD["status"]] = 1
    assert store.condition == "degraded"
    monkeypatch.setattr(reader, "HUNG_S", -1.0)
    assert (store.condition, store.hung, store.life) == ("hung", True, "running")
    made.disown()
    assert (store.condition, store.hung, store.life) == ("down", False, "down")
    made.set_state(layout.STOPPED)
    assert store.condition == "stopped"


def test_health_says_the_condition_in_plain_values(made: Writer, store: ringbuf.Store) -> None:
    made.set_state(layout.RUNNING)
    made.controls[0, WORD["status"]] = 1
    health = json.loads(json.dumps(store.health()))
    assert (health["status"], health["life"], health["retired"]) == ("degraded", "running", False)


def test_a_heartbeat_decides_only_while_the_lock_is_held(
    made: Writer, store: ringbuf.Store
) -> None:
    made.set_state(layout.RUNNING)
    made.header["heartbeat_ns"] -= int(reader.HUNG_S * 2e9)
    assert store.condition == "hung"
    made.heartbeat()
    assert store.condition == "live"
    made.disown()
    assert store.heartbeat_age < reader.HUNG_S
    assert store.condition == "down"


def test_a_clean_stop_between_two_looks_is_not_taken_for_a_death(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer stops after the state was read and before the lock is asked for."""
    made.set_state(layout.RUNNING)

    def stopped_meanwhile(_: Attachment) -> bool:
        made.close()
        return False

    monkeypatch.setattr(Attachment, "alive", property(stopped_meanwhile))
    assert store.life == "stopped"


def test_a_pid_that_another_process_has_now_keeps_nobody_alive(segment_name: str) -> None:
    """The pid of a dead writer is given away again; its lock is not."""
    with writing(segment_name) as (child, pid):
        child.kill()
        child.wait(LIMIT_S)
    assert pid != os.getpid()
    with segment.path_of(segment_name).open("r+b") as file:
        file.seek(layout.offset("writer_pid"))
        file.write(os.getpid().to_bytes(8, "little"))
    with ringbuf.attach(segment_name) as store:
        assert store.health()["writer"]["pid"] == os.getpid()
        assert store.condition == "down"


def test_a_stopped_process_is_hung_not_dead(segment_name: str) -> None:
    with writing(segment_name) as (child, pid), ringbuf.attach(segment_name) as store:
        child.send_signal(signal.SIGSTOP)
        try:
            assert (store.life, store.alive) == ("running", True)
            with pytest.raises(StoreBusy, match=f"process {pid}"):
                create(spec(segment_name))
        finally:
            child.send_signal(signal.SIGCONT)


def test_the_lock_is_seen_across_pid_namespaces(segment_name: str) -> None:
    """The writer is process 1 of a namespace of its own, as in a container; we are outside."""
    namespace: tuple[str, ...] = (
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    )
    if os.geteuid() == 0:
        namespace = ("unshare", "--pid", "--fork", "--kill-child")
    allowed = subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    # Where a namespace is not allowed, the same is asked of an ordinary process.
    with writing(segment_name, *(namespace if allowed else ())) as (child, pid):
        assert (pid == 1) is allowed
        with ringbuf.attach(segment_name) as store:
            assert store.condition == "live"
            with pytest.raises(StoreBusy, match=f"process {pid}; stop that one"):
                create(spec(segment_name))
            child.kill()
            child.wait(LIMIT_S)
            assert child.stdout is not None
            child.stdout.read()  # the end: the process inside is gone as well
            assert store.condition == "down"
            assert store["a"].last()["x"] == 1.5


def test_the_condition_is_seen_from_inside_of_a_pid_namespace(made: Writer) -> None:
    made.set_state(layout.RUNNING)
    namespace = ["unshare", "--pid", "--fork"] if os.geteuid() == 0 else ["unshare", "-Upf"]
    allowed = subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    code = "import sys, ringbuf; print(ringbuf.attach(sys.argv[1]).condition)"
    command = [*(namespace if allowed else []), sys.executable, "-c", code, made.spec.name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "live\n"


def test_a_forked_reader_sees_the_writer_as_before(made: Writer) -> None:
    made.set_state(layout.RUNNING)
    code = """
import os, sys, ringbuf
store = ringbuf.attach(sys.argv[1])
if os.fork() == 0:
    store.close()
    os._exit(0)
os.wait()
print(store.condition)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, made.spec.name], capture_output=True, text=True, check=True
    )
    assert done.stdout == "live\n"
