"""What a store and its series share: given back without the collector, sent by name, not copied."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from operator import methodcaller
from pathlib import Path
from typing import Any

import anyio
import pytest

import ringbuf
from reader_kit import row, spec, whole
from ringbuf import errors, layout, ownership, segment, watching
from ringbuf.writer import Writer, create

LIMIT_S = 60


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name)) as writer:
        writer.set_state(layout.RUNNING)
        writer.put(0, 1000, row(3))
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing goes because the collector came by."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held(name: str = "") -> int:
    """Descriptors of this process; with `name` those that lead to this store, nobody else's."""
    links = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            links.append(str(each.readlink()))
    return sum(name in link for link in links)


# -- dropped without a close -----------------------------------------------------------------------


def _used(name: str) -> None:
    store = ringbuf.attach(name)
    ring = store["BTC"]
    ring.last()
    ring.snapshot()
    store.matrix("close")
    store.health()
    store.wait(0)
    ring.wait(0)


def _a_ring_alone(name: str) -> None:
    ring = ringbuf.attach(name)["BTC"]
    assert ring.status == "syncing"
    assert whole(ring.last())


def _awaited(name: str) -> None:
    async def main() -> None:
        store = ringbuf.attach(name)
        await store.wait_async(0.01)
        await store["BTC"].wait_async(0.01)

    anyio.run(main)
    for thread in threading.enumerate():
        if thread.name == "ringbuf-sleeper":
            thread.join(LIMIT_S)


def _refused(name: str) -> None:
    with pytest.raises(ringbuf.UnknownName):
        ringbuf.attach(name)["nobody"]


@pytest.mark.parametrize("use", [_used, _a_ring_alone, _awaited, _refused])
def test_a_store_that_is_dropped_gives_its_descriptors_back_at_once(
    made: Writer,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[str], None],
    uncollected: None,
) -> None:
    monkeypatch.setattr(watching, "_IDLE_S", 0.01)
    use(made.spec.name)  # what a first use opens for the process
    gc.collect()
    before, threads = held(), threading.active_count()
    for _ in range(5):
        use(made.spec.name)
    assert held() == before
    assert threading.active_count() == threads


def test_a_ring_keeps_what_it_needs_when_its_store_is_dropped(made: Writer) -> None:
    ring = ringbuf.attach(made.spec.name)["BTC"]
    made.put(0, 1001, row(4))
    made.publish()
    assert ring.wait(LIMIT_S)
    assert ring.last()["close"] == 4
    assert ring.status == "syncing"


# -- another process -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as started:
        yield started


def test_another_process_attaches_what_it_is_sent(
    made: Writer, store: ringbuf.Store, pool: ProcessPoolExecutor
) -> None:
    assert pool.submit(methodcaller("last"), store["BTC"]).result(LIMIT_S) == store["BTC"].last()
    health = pool.submit(methodcaller("health"), store).result(LIMIT_S)
    assert (health["name"], health["life"]) == (store.name, "running")
    assert whole(pool.submit(methodcaller("snapshot"), store["BTC"]).result(LIMIT_S))


def test_the_other_process_sees_what_is_written_after_it_was_sent(
    made: Writer, store: ringbuf.Store, pool: ProcessPoolExecutor
) -> None:
    sent = pickle.dumps(store["BTC"])
    made.put(0, 1001, row(5))
    assert pool.submit(pickle.loads, sent).result(LIMIT_S).last()["close"] == 5
    # Attached there, sent back by name.
    assert pool.submit(methodcaller("get", "ETH"), store).result(LIMIT_S).name == "ethusd_perp"


def test_a_store_that_is_gone_is_said_to_be_gone(
    made: Writer, store: ringbuf.Store, pool: ProcessPoolExecutor
) -> None:
    sent = pickle.dumps(store)
    made.close()
    ownership.remove(store.name)
    # Whether it goes before it is sent, or on the way.
    for task in (
        pool.submit(methodcaller("health"), store),
        pool.submit(methodcaller("last"), store["BTC"]),
        pool.submit(pickle.loads, sent),
    ):
        with pytest.raises(ringbuf.StoreNotFound, match=store.name):
            task.result(LIMIT_S)


def test_what_is_sent_together_is_attached_together(store: ringbuf.Store) -> None:
    before = held(store.name)
    sent = pickle.dumps([store, *store.values()])
    received = pickle.loads(sent)
    assert held(store.name) == before + 2, "one descriptor that asks of life, one mapping"
    assert [ring.name for ring in received[1:]] == list(store)


def test_a_closed_store_is_sent_by_its_name_too(store: ringbuf.Store) -> None:
    store.close()
    with pickle.loads(pickle.dumps(store)) as again:
        assert again.life == "running"


def test_a_series_that_the_newer_store_has_not_is_unknown(made: Writer) -> None:
    name = made.spec.name
    with ringbuf.attach(name) as store:
        sent = pickle.dumps(store["ETH"])
    made.close()
    ownership.remove(name)
    smaller = spec(name)
    with (
        create(type(smaller)(name, smaller.series[:1], smaller.columns, 5, smaller.interval_ms)),
        pytest.raises(ringbuf.UnknownName, match="ethusd_perp"),
    ):
        pickle.loads(sent)
    ownership.remove(name)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_a_copy_is_the_same_store(store: ringbuf.Store, way: Callable[[Any], Any]) -> None:
    assert way(store) is store
    assert way(store["BTC"]) is store["BTC"]
    assert copy.deepcopy({"mine": [store]})["mine"][0] is store


@pytest.mark.parametrize(
    "error",
    [
        errors.StoreNotFound("x"),
        errors.NotAStore("x", "a", "b"),
        errors.WrongVersion("x", 2, 1),
        errors.NotReady("x"),
        errors.NotReplaced("x", errors.NotAStore("x", "a", "b")),
        errors.StoreBusy("x", 3),
        errors.NoSpace("x", 3, 2, 1),
        errors.PlatformUnsupported("plan9"),
        errors.LayoutError("x"),
        errors.UnknownName("market", "x", ["xy"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_from_another_process_as_it_is(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again).keys() == vars(error).keys()


def test_a_name_that_leads_to_what_this_user_may_not_read_is_another_store_s(
    made: Writer, segment_name: str
) -> None:
    """A service of another mode: its readers of before are told, and may not attach."""
    code = (
        "import os, sys, ringbuf\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"  # root may read everything
        "store = ringbuf.attach(sys.argv[1])\n"
        "print(store.retired, flush=True)\n"
        "sys.stdin.readline()\n"
        "print(store.retired, flush=True)\n"
    )
    path = segment.path_of(segment_name)
    path.chmod(0o644)
    with subprocess.Popen(
        [sys.executable, "-c", code, segment_name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "False\n"
        with create(spec(f"{segment_name}.new")) as other:
            hidden = segment.path_of(other.spec.name)
            hidden.chmod(0)
            hidden.rename(path)
            assert child.communicate("\n", LIMIT_S)[0] == "True\n"
