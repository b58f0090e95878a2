"""The sequence lock of one series: what its consistent copies promise, whoever writes meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numba import njit

import ringbuf
import ringbuf.ring as ring_module
from reader_kit import HISTORY, row, spec, whole
from ringbuf import kernels, layout, ownership
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

LIMIT_S = 60


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name)) as writer:
        writer.set_state(layout.RUNNING)
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


# -- the sequence lock ---------------------------------------------------------------------------

BUSY = """
import sys, time
from numba import njit
from ringbuf import kernels
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create
names = "open high low close volume".split()
columns = (Column("time", "M"), *map(Column, names), Column("trades", "i"))
writer = create(StoreSpec(sys.argv[1], (Series("a"),), columns, 50, 60000))
for bar in range(1000, 1050):
    writer.put(0, bar, dict.fromkeys([*names, "trades"], 0))

@njit
def burst(floats, integers, control, capacity, value, times):
    for _ in range(times):
        value += 1
        kernels.begin(control, 1048)
        for bar in range(1048, 1050):
            slot = bar % capacity
            for column in range(1, 6):
                floats[column, slot + capacity] = value
                floats[column, slot] = value
            integers[6, slot + capacity] = value
            integers[6, slot] = value
        kernels.commit(control)
        for turn in range(40 * (value % 64)):  # rests of all lengths, as between two frames
            control[31] = turn
            kernels.release_fence()
    return value

arguments = writer.floats[0], writer.integers[0], writer.controls[0], writer.geometry.capacity
value = burst(*arguments, 0, 1)
print("busy", flush=True)
while True:
    value = burst(*arguments, value, 1_000_000)
"""


@pytest.fixture
def busy(segment_name: str) -> Iterator[ringbuf.Store]:
    """A store whose writer, in another process, rewrites its last two rows as fast as it can."""
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY, segment_name], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "busy\n"
        with ringbuf.attach(segment_name) as store:
            yield store
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


def test_no_consistent_read_is_ever_a_mixture(
    busy: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring_module, "PATIENCE_S", 0.01)
    ring = busy["a"]
    seen = set()
    for _ in range(2000):
        last, rows = ring.last(), ring.snapshot(2)
        assert whole(last), last
        assert whole(rows), rows
        assert len(rows) != 2 or rows["open"][0] == rows["open"][1] or rows["open"][0] == 0
        seen.add(last["close"])
    assert len(seen) > 10


def test_without_the_sequence_word_mixtures_are_seen(busy: ringbuf.Store) -> None:
    """The test above can fail: the same reads, unchecked, do find them."""
    ring = busy["a"]
    attempts = range(2_000_000)
    assert any(not whole(ring._row(False, None)) for _ in attempts)
    assert any(not whole(ring._rows(2, False, None)) for _ in attempts)


def test_nor_is_a_copy_of_the_matrix(busy: ringbuf.Store) -> None:
    for _ in range(300):
        pair = busy.matrix("close", 2, copy=True)[0]
        assert pair[0] == pair[1] or np.isnan(pair).all()


def test_a_store_that_is_being_written_is_found_sound(busy: ringbuf.Store) -> None:
    never = "never at rest"
    for _ in range(5):
        assert not [found for found in busy.check() if never not in str(found)]


def test_a_read_that_meets_a_write_is_made_again(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(1))
    values = []

    def read(ceiling: int | None) -> float:
        values.append(float(made.floats[0, 4, 1000 % made.geometry.capacity]))
        if len(values) == 1:
            made.put(0, 1000, row(2))
        return values[-1]

    assert store["BTC"]._consistent(read) == 2.0
    assert values == [1.0, 2.0]


def test_while_the_writer_is_in_the_middle_the_rows_before_are_read(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience ends: a living writer that is stuck in a write holds nobody up."""
    monkeypatch.setattr(ring_module, "PATIENCE_S", 0.01)
    for bar in (1000, 1001, 1002):
        made.put(0, bar, row(bar))
    made.put(1, 1002, row(5))
    kernels.begin(made.controls[0], 1001)
    made.floats[0, 1:3] = -1
    ring = store["BTC"]
    assert ring.last()["close"] == 1000
    assert ring["close"].tolist() == ring.snapshot()["close"].tolist() == [1000]
    np.testing.assert_array_equal(
        store.matrix("close", 3, copy=True), [[1000, np.nan, np.nan], [np.nan, np.nan, 5]]
    )
    assert store["ETH"].last()["close"] == 5


def test_rows_that_were_touched_meanwhile_are_never_taken_for_intact(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy writer goes back to an old row and forth again between two looks of a reader."""
    monkeypatch.setattr(ring_module, "PATIENCE_S", 0.0)
    for bar in (1000, 1001, 1002):
        made.put(0, bar, row(bar))
    control = made.controls[0]
    kernels.begin(control, 1002)
    ceilings = []

    def read(ceiling: int | None) -> int:
        ceilings.append(ceiling)
        if len(ceilings) == 1:
            kernels.commit(control)
            for bar in (1000, 1002):
                kernels.begin(control, bar)
                kernels.commit(control)
            kernels.begin(control, 1002)
        return len(ceilings)

    assert store["BTC"]._consistent(read) == 2
    assert ceilings == [1001, 1001]


def test_a_writer_that_never_rests_holds_nobody_up(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring_module, "PATIENCE_S", 0.01)
    for bar in (1000, 1001):
        made.put(0, bar, row(bar))
    stop = np.zeros(1, np.int64)

    @njit(nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
    def hammer(control: Any, stop: Any) -> None:
        while stop[0] == 0:
            kernels.begin(control, 1001)
            kernels.commit(control)

    thread = threading.Thread(target=hammer, args=(made.controls[0], stop))
    thread.start()
    try:
        for _ in range(20):
            assert store["BTC"].last()["close"] in {1000, 1001}
    finally:
        stop[0] = 1
        thread.join(LIMIT_S)


def test_a_writer_that_goes_back_without_a_pause_is_named_after_a_while(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the copies meets it; what is known before all of them is not known to be intact."""
    monkeypatch.setattr(ring_module, "PATIENCE_S", 0.01)
    monkeypatch.setattr(ring_module, "ENDURANCE_S", 0.05)
    for bar in (1000, 1001):
        made.put(0, bar, row(bar))
    control, going_back = made.controls[0], True

    def read(_ceiling: int | None) -> str:
        for bar in (1001, 1000) if going_back else ():
            kernels.begin(control, bar)
            kernels.commit(control)
        return "copy"

    with pytest.raises(ringbuf.NeverAtRest, match=r"btcusd_perp: for 0\.\d s .*last="):
        store["BTC"]._consistent(read)
    going_back = False
    assert store["BTC"]._consistent(read) == "copy"


HALF = """
import os, signal, sys
from ringbuf import kernels, layout
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create
columns = (Column("time", "M"), *map(Column, "open high low close volume".split()), Column("trades", "i"))
writer = create(StoreSpec(sys.argv[1], (Series("a"), Series("b")), columns, 50, 60000))
writer.set_state(layout.RUNNING)
for bar in range(1000, 1010):
    for series in (0, 1):
        writer.put(series, bar, dict.fromkeys("open high low close volume trades".split(), bar))
kernels.begin(writer.controls[0], 1008)
writer.floats[0, 1:3] = -1
os.kill(os.getpid(), signal.SIGKILL)
"""  # noqa: E501 - a program, not prose


def test_a_writer_killed_in_the_middle_leaves_every_row_before_it_readable_at_once(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.run([sys.executable, "-c", HALF, segment_name], check=False)
    assert child.returncode == -signal.SIGKILL
    with ringbuf.attach(segment_name) as store:
        ring = store["a"]
        assert (store.life, ring.status) == ("down", "down")
        waits: list[float] = []
        with monkeypatch.context() as counted:
            counted.setattr("time.sleep", waits.append)
            assert ring.last()["close"] == 1007
        assert len(waits) <= 1, "it asks who is alive before it tries again for long"
        assert ring["close"].tolist() == list(range(1000, 1008))
        assert ring.snapshot(3)["close"].tolist() == [1005, 1006, 1007]
        assert store["b"].last()["close"] == 1009
        copied = store.matrix("volume", 3, copy=True)
        np.testing.assert_array_equal(copied, [[1007, np.nan, np.nan], [1007, 1008, 1009]])
        assert ring.state()["dirty_from"] == 1008
        assert "down" in repr(ring)
        assert [str(problem) for problem in store.check()] == [
            f"a: sequence {ring.state()['sequence']} is odd: a write was begun and never finished"
        ]
    ownership.remove(segment_name)


def test_control_words_of_two_states_never_lead_out_of_the_columns(
    made: Writer, store: ringbuf.Store
) -> None:
    """What a reader sees between two checks may be anything; it must not fail on it."""
    ring = store["BTC"]
    control = made.controls[0]
    for newest in (-1, 0, 3, 1000, 10**9):
        for start in (0, 5, 1000, 10**9):
            for end in (-1, 2, 1000, 10**12):
                control[[WORD["newest"], WORD["start"], WORD["closed"]]] = newest, start, end
                for only_closed in (False, True):
                    first, stop = ring._span(None, only_closed, None)
                    assert 0 <= first <= stop <= 2 * made.geometry.capacity
                    assert stop - first <= HISTORY
                    assert len(ring.snapshot(closed=only_closed)) == stop - first


def test_the_fence_is_a_release_between_two_acquires(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Lock:
        def __enter__(self) -> None:
            events.append("acquire")

        def __exit__(self, *_: object) -> None:
            events.append("release")

    monkeypatch.setattr(ring_module, "_ORDERED", False)
    monkeypatch.setattr(ring_module, "_lock", Lock())
    ring_module.fence()
    assert events == ["acquire", "release", "acquire", "release"]


def test_a_processor_that_reorders_reads_the_same(
    made: Writer, store: ringbuf.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring_module, "_ORDERED", False)
    made.put(0, 1000, row(1))
    assert store["BTC"].last()["close"] == 1.0
    assert store["BTC"].snapshot()["close"].tolist() == [1.0]


# -- what a copy is made of ----------------------------------------------------------------------


def test_a_snapshot_has_each_columns_rows_wherever_the_writers_own_stand(segment_name: str) -> None:
    names = ("time", "a", "_b", "c", "trades", "_d", "_e", "f")
    kinds = {"time": "M", "trades": "i"}
    columns = tuple(Column(name, kinds.get(name, "f")) for name in names)
    with create(StoreSpec(segment_name, (Series("x"), Series("y")), columns, 4, 1000)) as writer:
        for bar in range(100, 107):
            writer.put(1, bar, {name: bar + 10 * k for k, name in enumerate(names) if k})
        with ringbuf.attach(segment_name) as store:
            assert len(store["x"].snapshot()) == 0
            rows = store["y"].snapshot()
            assert rows.dtype.names == ("time", "a", "c", "trades", "f")
            for name in store.columns:
                assert rows[name].tolist() == store["y"][name].tolist()
            assert rows["f"].tolist() == [173.0, 174.0, 175.0, 176.0]
            assert rows["trades"].tolist() == [143, 144, 145, 146]
