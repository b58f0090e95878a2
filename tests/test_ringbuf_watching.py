"""Waiting for a store or a series, in threads and in tasks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest

import ringbuf
from ringbuf import kernels, layout, waiting, watching
from ringbuf.adoption import open_store
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

LIMIT_S = 60
COLUMNS = (Column("time", "M"), Column("x"))


@pytest.fixture(autouse=True)
def _no_thread_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(watching, "_IDLE_S", 0.01)
    yield
    for thread in sleepers():
        thread.join(LIMIT_S)
    assert not sleepers()


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    spec = StoreSpec(segment_name, (Series("a"), Series("b")), COLUMNS, 5, 60_000)
    with create(spec) as writer:
        writer.set_state(layout.RUNNING)
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


def write(writer: Writer, series: int, value: float) -> None:
    writer.put(series, 1000, {"x": value})
    writer.publish()


def sleepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ringbuf-sleeper"]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - nothing tells when a thread comes or goes
            await anyio.sleep(0.001)


# -- threads ---------------------------------------------------------------------------------------


def test_each_thread_is_told_of_every_publication(made: Writer, store: ringbuf.Store) -> None:
    """What one thread has been told, another one that waits too has still to hear."""
    told: list[bool] = []
    go, gone = threading.Event(), threading.Event()

    def other() -> None:
        told.append(store.wait(LIMIT_S))
        gone.set()
        go.wait(LIMIT_S)
        told.append(store.wait(0))

    thread = threading.Thread(target=other)
    thread.start()
    made.publish()
    assert gone.wait(LIMIT_S)
    assert store.wait(0), "the other one's news is news here, too"
    assert store.wait(0) is False
    made.publish()
    assert store.wait(0)
    go.set()
    thread.join(LIMIT_S)
    assert told == [True, True]


def test_a_series_is_not_woken_by_another_ones_rows(made: Writer, store: ringbuf.Store) -> None:
    write(made, 1, 1.0)
    assert store["a"].wait(0.01) is False
    assert store["b"].wait(0)
    write(made, 0, 2.0)
    assert store["a"].wait(0)
    assert store["a"].wait(0) is False


def test_a_series_that_is_waited_for_is_woken_by_its_own_row(
    made: Writer, store: ringbuf.Store
) -> None:
    found: list[float] = []

    def reader() -> None:
        assert store["a"].wait(LIMIT_S)
        found.append(store["a"].last()["x"])

    thread = threading.Thread(target=reader)
    thread.start()
    for value in range(20):
        write(made, 1, value)
    write(made, 0, 7.0)
    thread.join(LIMIT_S)
    assert found == [7.0]


def test_a_write_under_way_is_no_news_until_it_is_done(made: Writer, store: ringbuf.Store) -> None:
    kernels.begin(made.controls[0], 1000)
    made.publish()
    assert store["a"].wait(0) is False
    kernels.commit(made.controls[0])
    made.publish()
    assert store["a"].wait(0)
    assert store["a"].wait(0) is False


def test_a_change_of_status_wakes_who_waits_for_a_series(
    made: Writer, store: ringbuf.Store
) -> None:
    made.controls[0, layout.WORD["status"]] = 1
    made.publish()
    assert store["a"].wait(0)
    assert store["b"].wait(0) is False


def test_a_clean_stop_wakes_who_waits_for_a_series(made: Writer, store: ringbuf.Store) -> None:
    made.close()
    assert store["a"].wait(0)
    assert store["b"].wait(0)


# -- tasks -----------------------------------------------------------------------------------------


def test_a_task_is_woken_and_its_loop_runs_meanwhile(made: Writer, store: ringbuf.Store) -> None:
    async def main() -> float:
        waits = asyncio.ensure_future(store.wait_async())
        turns = 0
        while not sleepers():
            await asyncio.sleep(0)
            turns += 1
        await asyncio.sleep(0.01)
        assert not waits.done()
        assert turns
        write(made, 0, 3.0)
        assert await asyncio.wait_for(waits, LIMIT_S)
        value: float = store["a"].last()["x"]
        return value

    assert asyncio.run(main()) == 3.0


def test_a_task_may_wait_for_one_series(made: Writer, store: ringbuf.Store) -> None:
    async def main() -> bool:
        async with anyio.create_task_group() as group:
            group.start_soon(store["a"].wait_async)
            await until(lambda: bool(sleepers()))
            for value in range(20):
                write(made, 1, value)
                await anyio.lowlevel.checkpoint()
            write(made, 0, 3.0)
        return await store["a"].wait_async(0.001)

    assert anyio.run(main) is False


def test_a_task_that_is_not_woken_in_time_is_told_so(store: ringbuf.Store) -> None:
    assert anyio.run(store.wait_async, 0.01) is False
    assert anyio.run(store.wait_async, 0) is False


def test_a_cancelled_task_has_been_told_nothing(made: Writer, store: ringbuf.Store) -> None:
    """What is published in the moment of the cancellation is there for the next call."""

    async def main() -> bool | None:
        async with anyio.create_task_group() as group:
            group.start_soon(store.wait_async)
            await until(lambda: bool(sleepers()))
            made.publish()
            group.cancel_scope.cancel()
        return await store.wait_async(LIMIT_S)

    assert anyio.run(main) is True


def test_a_task_that_is_told_something_all_the_time_can_be_cancelled(
    made: Writer, store: ringbuf.Store
) -> None:
    async def main() -> int:
        told = 0
        with anyio.move_on_after(0.01):
            while True:
                made.publish()
                told += await store.wait_async()
        return told

    assert anyio.run(main)


def test_no_wake_up_is_lost_between_many_tasks_and_threads(
    made: Writer, store: ringbuf.Store
) -> None:
    """Who has been told of the last publication stops: one that is lost would stop the test."""
    last = 2_000

    def seen() -> bool:
        return bool(store["a"].last()["x"] == last)

    async def follow() -> None:
        while not seen():
            assert await store.wait_async(LIMIT_S)

    def follow_in_a_thread() -> None:
        while not seen():
            assert store["a"].wait(LIMIT_S)

    def write_all() -> None:
        for value in range(1, last + 1):
            write(made, 0, value)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(follow)

    threads = [threading.Thread(target=follow_in_a_thread) for _ in range(2)]
    threads.append(threading.Thread(target=write_all))
    for thread in threads:
        thread.start()
    anyio.run(main)
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_a_hand_over_of_one_value_each_way_loses_none(made: Writer, store: ringbuf.Store) -> None:
    """The writer goes on only after the task has seen: every sleep is begun with nothing to do."""
    rounds = 300
    seen = threading.Semaphore(0)

    def write_all() -> None:
        for value in range(1, rounds + 1):
            write(made, 0, value)
            assert seen.acquire(timeout=LIMIT_S)

    async def main() -> int:
        found = 0
        while found < rounds:
            assert await store.wait_async(LIMIT_S)
            if store["a"].last()["x"] > found:
                found += 1
                seen.release()
        return found

    thread = threading.Thread(target=write_all)
    thread.start()
    assert asyncio.run(main()) == rounds
    thread.join(LIMIT_S)


def test_a_change_while_the_thread_is_started_is_not_slept_on(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word changes after the task has looked and before the thread sleeps."""
    real = watching.Sleeper.add

    def late(self: watching.Sleeper, *arguments: object) -> None:
        made.publish()
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(watching.Sleeper, "add", late)
    monkeypatch.setattr(waiting, "SLICE_S", float(LIMIT_S))
    assert anyio.run(store.wait_async, LIMIT_S)


def test_tasks_share_a_thread_that_does_not_stay(store: ringbuf.Store) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            for wait in (store.wait_async, *(ring.wait_async for ring in store.values())):
                for _ in range(20):
                    group.start_soon(wait)
            await until(lambda: bool(sleepers()))
            assert len(sleepers()) == 1
            group.cancel_scope.cancel()
        await until(lambda: not sleepers())

    anyio.run(main)


AWAITS = """
import asyncio, signal, sys, time, ringbuf
store = ringbuf.attach(sys.argv[1])

async def main():
    waiting = asyncio.ensure_future(store.wait_async())
    await asyncio.sleep(0.05)
    print("waiting", flush=True)
    if sys.argv[2] == "leave":
        return
    await waiting

begun = time.monotonic()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("how", ["leave", "interrupt"])
def test_neither_the_loop_nor_the_interpreter_stays_for_one_who_waits(
    made: Writer, how: str
) -> None:
    """Nothing is ever published, and nobody limits how long to wait."""
    command = [sys.executable, "-W", "error", "-c", AWAITS, made.spec.name, how]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    if how == "interrupt":
        child.send_signal(2)
    out, err = child.communicate(timeout=LIMIT_S)
    assert (out, err) == ("" if how == "leave" else "interrupted\n", "")
    assert child.returncode == 0


def test_a_closed_loop_is_nobodys_trouble(made: Writer, store: ringbuf.Store) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(store.wait_async())
    loop.run_until_complete(asyncio.sleep(0.01))
    (thread,) = sleepers()
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    made.publish()
    assert thread.is_alive()
    assert anyio.run(store.wait_async, LIMIT_S)


FORKS = """
import asyncio, os, sys, ringbuf
store = ringbuf.attach(sys.argv[1])
asyncio.run(store.wait_async(0.01))
if os.fork() == 0:
    print(asyncio.run(store.wait_async(0.01)), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_forked_child_has_a_thread_of_its_own(made: Writer) -> None:
    done = subprocess.run(
        # Forking beside a thread is what is tested; Python 3.12 warns of it.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, made.spec.name],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_the_counter_of_publications_may_wrap(made: Writer) -> None:
    made.header["published"] = np.uint32(2**32 - 1)
    with ringbuf.attach(made.spec.name) as store:
        made.publish()
        assert store.wait(0)
        assert store.wait(0) is False


# -- how long --------------------------------------------------------------------------------------


def _waits(store: ringbuf.Store, timeout: Any) -> list[Callable[[], bool]]:
    """The four ways to wait so long, each on its own."""
    return [
        lambda: store.wait(timeout),
        lambda: store["a"].wait(timeout),
        lambda: anyio.run(store.wait_async, timeout),
        lambda: anyio.run(store["a"].wait_async, timeout),
    ]


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (float("nan"), ValueError),
        (np.float64("nan"), ValueError),
        ("5", TypeError),
        (b"5", TypeError),
        ([5], TypeError),
        (np.array([1.0, 2.0]), TypeError),
        (1j, TypeError),
    ],
)
def test_a_timeout_that_is_no_time_is_named(
    made: Writer, store: ringbuf.Store, way: int, timeout: Any, error: type[Exception]
) -> None:
    """Even where there is something to be told."""
    made.publish()
    write(made, 0, 1.0)
    with pytest.raises(error, match=r"found timeout=.*expected seconds, or None for no limit"):
        _waits(store, timeout)[way]()
    assert _waits(store, 0)[way](), "who was refused has been told nothing"


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, -1, -1e300, float("-inf"), np.int64(-3)])
def test_no_time_at_all_is_a_look_without_a_sleep(
    made: Writer, store: ringbuf.Store, way: int, timeout: float
) -> None:
    wait = _waits(store, timeout)[way]
    assert wait() is False
    write(made, 0, 1.0)
    assert wait() is True
    assert wait() is False


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize(
    "timeout",
    [None, float("inf"), 1e300, 10**400, np.float32("inf")],
    ids=lambda timeout: str(timeout)[:9],
)
def test_no_limit_is_until_it_is_told(
    made: Writer, store: ringbuf.Store, way: int, timeout: float | None
) -> None:
    told: list[bool] = []
    thread = threading.Thread(target=lambda: told.append(_waits(store, timeout)[way]()))
    thread.start()
    thread.join(0.02)
    write(made, 0, 1.0)
    thread.join(LIMIT_S)
    assert told == [True]


def test_any_real_number_is_a_time() -> None:
    times: tuple[Any, ...] = (2, 0.5, np.float32(0.5), Fraction(1, 4), -(10**400))
    assert [watching.seconds(each) for each in times] == [2.0, 0.5, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("way", range(4))
def test_a_service_that_died_in_its_swap_retires_the_store_all_the_same(
    made: Writer, store: ringbuf.Store, way: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name leads to another store; nobody was left to say so in the old one."""
    monkeypatch.setattr(watching, "LOOK_S", 0.02)
    wait = _waits(store, None)[way]
    told: list[bool] = []
    thread = threading.Thread(target=lambda: told.append(wait()))
    thread.start()
    thread.join(0.1)
    assert not told
    monkeypatch.setattr(Writer, "retire", lambda _self: None)
    made.disown()
    changed = StoreSpec(made.spec.name, made.spec.series, COLUMNS, 7, 60_000)
    with open_store(changed)[0]:
        thread.join(LIMIT_S)
        assert (told, store.retired) == ([True], True)
        told += [_waits(store, 0.1)[way]() for _ in range(2)]
    assert told == [True, True, False], "each thread is told once"


@pytest.mark.parametrize("way", ["a time-out of wait", "a time-out of wait_async", "cancelled"])
def test_so_is_one_who_never_waits_for_as_long_as_a_look_takes(
    made: Writer, store: ringbuf.Store, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_S", 0.2)
    monkeypatch.setattr(Writer, "retire", lambda _self: None)
    made.disown()
    changed = StoreSpec(made.spec.name, made.spec.series, COLUMNS, 7, 60_000)

    async def awaits() -> bool:
        if way != "cancelled":
            return await store.wait_async(0.01)
        with anyio.move_on_after(0.01):
            return await store.wait_async()
        return False

    async def poll() -> None:
        while not (store.wait(0.01) if way == "a time-out of wait" else await awaits()):
            pass

    async def main() -> None:
        with anyio.fail_after(LIMIT_S):
            await poll()

    with open_store(changed)[0]:
        anyio.run(main)
