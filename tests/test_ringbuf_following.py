"""Loops over closed rows and over changed series: nothing twice, nothing lost, a clear end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import ringbuf
from reader_kit import HISTORY, INTERVAL_MS, row, spec
from ringbuf import following, kernels, layout, ownership, watching
from ringbuf.following import Closes
from ringbuf.layout import WORD
from ringbuf.writer import Writer, create

LIMIT_S = 60
FIRST = 1_000


@pytest.fixture(autouse=True)
def _no_thread_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(watching, "_IDLE_S", 0.01)
    monkeypatch.setattr(following, "LOOK_S", 0.05)
    yield
    for thread in threading.enumerate():
        if thread.name == "ringbuf-sleeper":
            thread.join(LIMIT_S)


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name)) as writer:
        writer.set_state(layout.RUNNING)
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


def put(writer: Writer, k: int, series: int = 0) -> None:
    writer.put(series, FIRST + k, row(k))


def close(writer: Writer, k: int, series: int = 0) -> None:
    control = writer.controls[series]
    kernels.begin(control, FIRST + k)
    control[WORD["closed"]] = FIRST + k
    kernels.commit(control)
    writer.publish()


def minute(writer: Writer, k: int) -> None:
    """Row k closes, row k + 1 opens."""
    put(writer, k + 1)
    close(writer, k)


def ms(k: int) -> int:
    return (FIRST + k) * INTERVAL_MS


async def taken(closes: Closes, count: int) -> list[float]:
    with anyio.fail_after(LIMIT_S):
        return [(await closes.__anext__())["close"] for _ in range(count)]


def run(function: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        with anyio.fail_after(LIMIT_S):
            return await function()

    return anyio.run(main)


# -- closed rows ---------------------------------------------------------------------------------


def test_each_row_comes_once_in_order_however_many_close_at_once(
    made: Writer, store: ringbuf.Store
) -> None:
    put(made, 0)
    minute(made, 0)
    closes = store["BTC"].closes()

    async def bursts() -> None:
        put(made, 1)  # a tick of the open row is no news
        minute(made, 1)
        assert await taken(closes, 1) == [1.0]
        for k in (2, 3, 4):
            minute(made, k)
        assert await taken(closes, 3) == [2.0, 3.0, 4.0]
        minute(made, 5)
        assert await taken(closes, 1) == [5.0]

    run(bursts)


def test_a_row_is_whole_and_says_that_it_is_closed(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    closes = store["BTC"].closes(since=ms(0))
    minute(made, 0)
    found = run(closes.__anext__)
    assert found == {**store["BTC"].at(ms(0)), "closed": True}


def test_rows_that_close_while_somebody_waits_wake_him(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_S", 10 * LIMIT_S)  # nobody finds out by himself
    put(made, 0)
    minute(made, 0)
    closes = store["BTC"].closes()

    async def waiting() -> list[float]:
        found: list[float] = []
        async with anyio.create_task_group() as tasks:

            async def consume() -> None:
                async for each in closes:
                    found.append(each["close"])
                    if len(found) == 40:
                        return

            tasks.start_soon(consume)
            for k in range(1, 41):
                minute(made, k)
                # Never more than the history ahead of who reads.
                while len(found) < k - HISTORY + 2:  # noqa: ASYNC110 - nothing tells
                    await anyio.sleep(0.001)
        return found

    assert run(waiting) == [float(k) for k in range(1, 41)]


def test_since_begins_with_that_minute(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    for k in range(4):
        minute(made, k)
    assert run(lambda: taken(store["BTC"].closes(since=ms(1) + 59_999), 3)) == [1.0, 2.0, 3.0]


def test_whoever_is_cancelled_while_waiting_loses_nothing(
    made: Writer, store: ringbuf.Store
) -> None:
    put(made, 0)
    minute(made, 0)
    closes = store["BTC"].closes()

    async def cancelled() -> list[float]:
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(closes.__anext__(), 0.02)
        minute(made, 1)
        minute(made, 2)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await closes.__anext__()
        assert scope.cancelled_caught
        return await taken(closes, 2)

    assert run(cancelled) == [1.0, 2.0]


def test_the_loop_turns_although_there_always_is_a_row(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    for k in range(HISTORY - 1):
        minute(made, k)

    async def both() -> list[str]:
        order: list[str] = []
        async with anyio.create_task_group() as tasks:

            async def consume() -> None:
                await taken(store["BTC"].closes(since=ms(0)), HISTORY - 1)
                order.append("all rows")

            async def other() -> None:
                order.append("another task")

            tasks.start_soon(consume)
            tasks.start_soon(other)
        return order

    assert run(both) == ["another task", "all rows"]


def test_two_loops_are_told_of_every_row_each(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    minute(made, 0)
    first, second = store["BTC"].closes(), store["BTC"].closes()

    async def both() -> tuple[list[float], list[float]]:
        minute(made, 1)
        found = await taken(first, 1)
        minute(made, 2)
        return [*found, *await taken(first, 1)], await taken(second, 2)

    assert run(both) == ([1.0, 2.0], [1.0, 2.0])


def test_a_correction_is_not_told_and_moves_nothing(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    for k in range(3):
        minute(made, k)
    closes = store["BTC"].closes(since=ms(0))
    assert run(lambda: taken(closes, 2)) == [0.0, 1.0]
    made.put(0, FIRST + 1, row(50))
    made.put(0, FIRST + 2, row(60))
    made.publish()
    minute(made, 3)
    assert run(lambda: taken(closes, 2)) == [60.0, 3.0]


def test_a_hole_is_waited_for(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    minute(made, 0)
    closes = store["BTC"].closes()
    put(made, 4)
    close(made, 3)
    put(made, 5)
    close(made, 4)

    async def nothing_yet() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(closes.__anext__(), 0.02)

    run(nothing_yet)
    for k in (3, 2, 1):
        put(made, k)
    made.publish()
    assert run(lambda: taken(closes, 4)) == [1.0, 2.0, 3.0, 4.0]


def test_rows_that_are_gone_are_said(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    minute(made, 0)
    closes = store["BTC"].closes()
    for k in range(1, HISTORY):
        minute(made, k)
    assert run(lambda: taken(closes, 1)) == [1.0]
    for k in range(HISTORY, HISTORY + 3):
        minute(made, k)
    with pytest.raises(ringbuf.RowsLost) as caught:
        run(closes.__anext__)
    assert (caught.value.lost_ms, caught.value.oldest_ms) == (ms(2), ms(4))
    assert str(caught.value) == (
        "btcusd_perp: the rows from 1970-01-01T16:42:00Z to before 1970-01-01T16:44:00Z are not in "
        "the history any more; go on with closes(since='1970-01-01T16:44:00Z')"
    )
    again = store["BTC"].closes(since="1970-01-01T16:44:00Z")
    assert run(lambda: taken(again, 4)) == [4.0, 5.0, 6.0, 7.0]


def test_a_series_without_rows_begins_with_what_was_open_then(
    made: Writer, store: ringbuf.Store
) -> None:
    """The other series shows how late it is; the history that is filled in before is no news."""
    put(made, 3, series=1)
    closes = store["BTC"].closes()
    for k in range(4):
        put(made, k)
    close(made, 2)
    put(made, 4)
    close(made, 3)
    assert run(lambda: taken(closes, 1)) == [3.0]


def test_a_series_whose_first_row_ever_comes_later_begins_there(
    made: Writer, store: ringbuf.Store
) -> None:
    put(made, 0, series=1)
    closes = store["BTC"].closes()
    for k in (7, 8, 9):
        put(made, k)
    close(made, 8)
    assert run(lambda: taken(closes, 2)) == [7.0, 8.0]


def test_a_store_that_is_empty_begins_with_the_newest_that_has_closed(
    made: Writer, store: ringbuf.Store
) -> None:
    closes = store["BTC"].closes()
    for k in range(3):
        put(made, k)
    close(made, 1)
    minute(made, 2)
    assert run(lambda: taken(closes, 1)) == [2.0]


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", ["stopped", "down", "retired", "closed"])
def test_both_loops_give_what_there_is_and_then_say_why_they_end(
    segment_name: str, condition: str
) -> None:
    writer = create(spec(segment_name))
    writer.set_state(layout.RUNNING)
    put(writer, 0)
    store = ringbuf.attach(segment_name)
    updates = store.updates()
    for k in range(3):
        minute(writer, k)
    closes = store["BTC"].closes(since=ms(0))
    if condition == "down":
        writer.disown()
    elif condition == "retired":
        writer.retire()
    elif condition == "closed":
        store.close()
    if condition != "down":
        writer.close()
    assert run(lambda: taken(closes, 3)) == [0.0, 1.0, 2.0]
    assert next(updates) == (store["BTC"],)
    for end in (lambda: run(closes.__anext__), updates.__next__):
        with pytest.raises(ringbuf.StoreEnded) as caught:
            end()
        assert caught.value.condition == condition
        assert segment_name in str(caught.value)
    store.close()


SERVICE = """
import sys, time
sys.path.insert(0, "tests")
from reader_kit import row, spec
from ringbuf import layout
from ringbuf.writer import create
writer = create(spec(sys.argv[1]))
writer.put(0, 1000, row(1))
writer.set_state(layout.RUNNING)
print("up", flush=True)
time.sleep(600)
"""


def test_a_service_that_is_killed_ends_those_who_wait(segment_name: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SERVICE, segment_name], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        with ringbuf.attach(segment_name) as store:
            closes, updates = store["BTC"].closes(), store.updates()
            assert next(store.updates(timeout=0.0)) == ()

            async def killed() -> None:
                async with anyio.create_task_group() as tasks:

                    async def consume() -> None:
                        with pytest.raises(ringbuf.StoreEnded, match="its service died"):
                            await closes.__anext__()

                    tasks.start_soon(consume)
                    await anyio.lowlevel.checkpoint()
                    child.send_signal(signal.SIGKILL)

            run(killed)
            with pytest.raises(ringbuf.StoreEnded, match="its service died"):
                next(updates)
    finally:
        child.kill()
        child.communicate()
        ownership.remove(segment_name)


# -- changed series ------------------------------------------------------------------------------


def test_a_round_names_the_series_that_changed(made: Writer, store: ringbuf.Store) -> None:
    put(made, 0)
    updates = store.updates(timeout=0.0)
    assert next(updates) == ()
    put(made, 0)
    put(made, 0)
    assert next(updates) == (store["BTC"],)
    assert next(updates) == ()
    put(made, 1, series=1)
    put(made, 1)
    assert next(updates) == (store["BTC"], store["ETH"])
    made.controls[1][WORD["status"]] = 1
    assert next(updates) == (store["ETH"],)
    assert next(updates) == ()


def test_a_write_that_is_under_way_is_no_change_until_it_is_done(
    made: Writer, store: ringbuf.Store
) -> None:
    put(made, 0)
    updates = store.updates(timeout=0.0)
    kernels.begin(made.controls[0], FIRST)
    assert next(updates) == ()
    kernels.commit(made.controls[0])
    assert next(updates) == (store["BTC"],)


def test_who_waits_for_updates_is_woken(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_S", 10 * LIMIT_S)
    told: list[str] = []
    done = threading.Event()

    def follow() -> None:
        for rings in store.updates():
            told.extend(ring.name for ring in rings)
            if len(told) >= 2:
                break
        done.set()

    updates_made = threading.Thread(target=follow)
    updates_made.start()
    # Until the thread has its first look nothing that is written counts as news to it.
    value = 0
    while not done.wait(0.01):
        value += 1
        assert value < 100 * LIMIT_S
        put(made, 0, series=value % 2)
        made.publish()
    updates_made.join(LIMIT_S)
    assert set(told) <= set(store.markets)


def test_updates_from_several_loops_are_independent(made: Writer, store: ringbuf.Store) -> None:
    first, second = store.updates(0.0), store.updates(0.0)
    put(made, 0)
    assert next(first) == next(second) == (store["BTC"],)
