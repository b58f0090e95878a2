"""Sleeping until something is published."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ringbuf
from ringbuf import kernels, waiting
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

LIMIT_S = 60
SPEC_COLUMNS = (Column("time", "M"), Column("x"))


def writer_of(name: str) -> Writer:
    return create(StoreSpec(name, (Series("a"),), SPEC_COLUMNS, 5, 60_000))


def asleep(pid: int, thread: int | None = None) -> bool:
    """Is the process (or one thread of it) in an interruptible sleep of the kernel's?"""
    path = Path(f"/proc/{pid}/task/{thread or pid}/stat")
    return path.read_text().rpartition(")")[2].split()[0] == "S"


def until(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(LIMIT_S * 100):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it never came")


READER = """
import sys, ringbuf
with ringbuf.attach(sys.argv[1]) as store:
    print("attached", flush=True)
    try:
        woken = store.wait(None if sys.argv[2] == "None" else float(sys.argv[2]))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    else:
        print(woken, store["a"].last()["x"], flush=True)
"""


def reader(name: str, timeout: object) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", READER, name, str(timeout)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "attached\n"
    return child


@pytest.mark.parametrize("timeout", [None, 50.0])
def test_a_sleeping_process_is_woken_and_sees_what_was_written(
    timeout: float | None, segment_name: str
) -> None:
    with writer_of(segment_name) as writer, reader(segment_name, timeout) as child:
        until(lambda: asleep(child.pid))
        writer.put(0, 1000, {"x": 7.0})
        writer.publish()
        assert child.communicate(timeout=LIMIT_S)[0] == "True 7.0\n"


def test_every_sleeper_is_woken_at_once(segment_name: str) -> None:
    with writer_of(segment_name) as writer:
        children = [reader(segment_name, None) for _ in range(3)]
        until(lambda: all(asleep(child.pid) for child in children))
        writer.put(0, 1000, {"x": 1.0})
        writer.publish()
        for child in children:
            assert child.communicate(timeout=LIMIT_S)[0] == "True 1.0\n"


def test_ctrl_c_leaves_the_longest_sleep_at_once(segment_name: str) -> None:
    with writer_of(segment_name), reader(segment_name, None) as child:
        until(lambda: asleep(child.pid))
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=LIMIT_S)[0] == "interrupted\n"


def test_what_was_published_before_the_call_is_not_waited_for(segment_name: str) -> None:
    with writer_of(segment_name) as writer, ringbuf.attach(segment_name) as store:
        writer.publish()
        writer.publish()
        assert store.wait()
        assert not store.wait(0)


def test_a_time_out_is_false_and_forgets_nothing(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published in the moment after the time-out is reported by the next call."""
    with writer_of(segment_name) as writer, ringbuf.attach(segment_name) as store:
        real = waiting.wait

        def late(*arguments: object) -> bool:
            changed = real(*arguments)  # type: ignore[arg-type]
            writer.publish()
            return changed

        monkeypatch.setattr(waiting, "wait", late)
        assert not store.wait(0.001)
        monkeypatch.undo()
        assert store.wait(0)


def test_a_clean_stop_wakes_those_who_wait(segment_name: str) -> None:
    writer = writer_of(segment_name)
    with reader(segment_name, None) as child:
        until(lambda: asleep(child.pid))
        writer.close()
        assert child.communicate(timeout=LIMIT_S)[0] == "True nan\n"


def test_a_word_that_has_already_changed_is_not_slept_on() -> None:
    assert waiting.wait(np.array([5], np.uint32), 4, None)


def test_other_threads_run_while_one_waits() -> None:
    word = np.array([0], np.uint32)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(waiting.wait(word, 0, None)))
    thread.start()
    kernels.publish(word, waiting.FUTEX)
    thread.join(LIMIT_S)
    assert found == [True]


def test_without_a_futex_it_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FUTEX", -1)
    word = np.array([0], np.uint32)
    assert not waiting.wait(word, 0, 0.02)
    thread = threading.Thread(target=lambda: kernels.announce(word))
    thread.start()
    assert waiting.wait(word, 0, None)
    thread.join(LIMIT_S)


def test_an_address_that_the_kernel_refuses_is_an_error_not_a_loop() -> None:
    unaligned = np.zeros(8, np.uint8)[1:5].view(np.uint32)
    with pytest.raises(OSError, match="Invalid argument"):
        waiting.wait(unaligned, 0, 1.0)
