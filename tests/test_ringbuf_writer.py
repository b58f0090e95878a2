"""The writing side: making a store, its rows, its life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ringbuf
from ringbuf import LayoutError, NoSpace, StoreBusy, UnknownName, layout, segment, writer
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create, in_memory

SHARED_MEMORY = Path("/dev/shm")
LIMIT_S = 60
COLUMNS = (
    Column("time", "M", "ms", "open time"),
    Column("close", "f", "USD", "last price"),
    Column("trades", "i"),
    Column("_ema"),
)


def spec(name: str = "w", **changes: Any) -> StoreSpec:
    return StoreSpec(
        **{
            "name": name,
            "series": (Series("a", "A"), Series("b", "B")),
            "columns": COLUMNS,
            "history": 5,
            "interval_ms": 60_000,
            "lookback": 2,
            **changes,
        }
    )


def word(made: Writer, name: str, series: int = 0) -> int:
    return int(made.controls[series, WORD[name]])


HOLDER = """
import sys
from ringbuf.layout import RUNNING
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create
writer = create(StoreSpec(sys.argv[1], (Series("a"),), (Column("time", "M"), Column("x")), 5, 1000))
writer.set_state(RUNNING)
writer.put(0, 10, {"x": 1.5})
print("holding", flush=True)
sys.stdin.read()
"""


def holder(name: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "holding\n"
    return child


def test_a_new_store_is_empty_starting_and_ready(segment_name: str) -> None:
    with create(spec(segment_name)) as made:
        assert made.header["ready"][0] == layout.READY
        assert made.header["state"][0] == layout.STARTING
        assert made.header["writer_pid"][0] == os.getpid()
        assert made.grid == -1
        assert np.isnan(made.floats[:, [1, 3]]).all()
        assert (made.integers[:, 0] == layout.EMPTY_TIME).all()
        assert (made.integers[:, 2] == 0).all()
        for name in ("newest", "closed", "confirmed"):
            assert (made.controls[:, WORD[name]] == -1).all()


def test_floats_and_integers_are_the_same_memory(segment_name: str) -> None:
    made = in_memory(spec(segment_name))
    made.floats[0, 1, 0] = 1.0
    assert made.integers[0, 1, 0] == 0x3FF0000000000000
    assert made.floats.flags.c_contiguous


def test_a_row_is_put_by_name_and_what_is_not_named_is_empty() -> None:
    made = in_memory(spec())
    made.put(1, 1000, {"close": 2.5, "trades": 3})
    slot = 1000 % made.geometry.capacity
    for at in (slot, slot + made.geometry.capacity):
        assert made.integers[1, 0, at] == 1000 * 60_000
        assert made.floats[1, 1, at] == 2.5
        assert made.integers[1, 2, at] == 3
        assert np.isnan(made.floats[1, 3, at])
    assert made.grid == 1000
    assert word(made, "newest", 1) == 1000
    assert word(made, "newest", 0) == -1


def test_the_slot_after_the_grid_is_empty_in_every_series() -> None:
    made = in_memory(spec())
    for bar in range(1000, 1000 + 3 * made.geometry.capacity):
        made.put(bar % 2, bar, {"close": 1.0})
        ahead = (bar + 1) % made.geometry.capacity
        assert (made.integers[:, 0, ahead] == layout.EMPTY_TIME).all()


def test_the_grid_never_goes_back() -> None:
    made = in_memory(spec())
    made.advance(1000)
    made.advance(990)
    assert made.grid == 1000


def test_a_jump_of_more_than_a_round_empties_the_ring() -> None:
    made = in_memory(spec())
    made.put(0, 1000, {"close": 1.0})
    made.advance(10_000_000)
    assert (made.integers[:, 0] == layout.EMPTY_TIME).all()
    assert word(made, "newest") == -1


def test_a_late_row_is_written_over_and_one_before_the_run_extends_it() -> None:
    made = in_memory(spec())
    for bar in (1000, 1001, 1002):
        made.put(0, bar, {"close": float(bar)})
    made.put(0, 1001, {"close": -1.0})
    made.put(0, 999, {"close": -2.0})
    assert (word(made, "start"), word(made, "newest"), made.grid) == (999, 1002, 1002)


@pytest.mark.parametrize(
    ("bar", "row", "error", "says"),
    [
        (998, {}, LayoutError, "bar 998 of series 0: expected 999 on"),
        (-1, {}, LayoutError, "bar -1 of series 0: expected 999 on"),
        (2000, {"clsoe": 1.0}, UnknownName, "no column named 'clsoe'; nearest: close"),
        (2000, {"close": "high"}, ValueError, "could not convert"),
    ],
)
def test_what_cannot_be_put_is_refused_and_nothing_has_changed(
    bar: int, row: dict[str, Any], error: type[Exception], says: str
) -> None:
    made = in_memory(spec())
    made.put(0, 1000, {"close": 1.0})
    before = bytes(made.memory)
    with pytest.raises(error, match=says):
        made.put(0, bar, row)
    assert bytes(made.memory) == before


def test_a_bar_before_time_began_is_refused() -> None:
    with pytest.raises(LayoutError, match="expected 0 on"):
        in_memory(spec()).put(0, -1, {})


def test_a_row_that_the_ring_no_longer_holds_is_refused() -> None:
    made = in_memory(spec())
    made.advance(1000)
    oldest = 1002 - made.geometry.capacity
    made.put(0, oldest, {})
    with pytest.raises(LayoutError, match=f"expected {oldest} on"):
        in_memory_at_1000().put(1, oldest - 1, {})


def in_memory_at_1000() -> Writer:
    made = in_memory(spec())
    made.advance(1000)
    return made


def test_the_table_of_columns_and_series_holds_any_script(segment_name: str) -> None:
    series = (Series("βtc_пара", "比特币"), Series("🐋", "a/b:c @107"))
    columns = (Column("time", "M"), Column("prix_é", "f", "€", "clôture"))
    with (
        create(spec(segment_name, series=series, columns=columns, software="ü 1")) as made,
        ringbuf.attach(segment_name) as store,
    ):
        made.put(1, 1000, {"prix_é": 2.0})
        assert store.markets == ("βtc_пара", "🐋")
        assert store.columns == ("time", "prix_é")
        assert store["a/b:c @107"].last()["prix_é"] == 2.0
        assert store["比特币"].name == "βtc_пара"
        assert store.document["columns"][1]["unit"] == "€"
        assert not store.check()


@pytest.mark.parametrize("count", [2, 63, 64, 65, 128])
def test_any_number_of_columns_is_written_and_read(count: int, segment_name: str) -> None:
    columns = (Column("time", "M"), *(Column(f"c{k}") for k in range(1, count)))
    with create(spec(segment_name, columns=columns)) as made:
        for bar in (1000, 1001):
            for series in (0, 1):
                row = {f"c{k}": bar + k + series / 2 for k in range(1, count)}
                made.put(series, bar, row)
        with ringbuf.attach(segment_name) as store:
            for series, name in enumerate("ab"):
                last = store[name].last()
                assert [last[f"c{k}"] for k in range(1, count)] == [
                    1001 + k + series / 2 for k in range(1, count)
                ]
            assert store.matrix(f"c{count - 1}", 1).tolist() == [[1000 + count], [1000.5 + count]]
            assert not store.check()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o440])
def test_the_file_has_the_permissions_that_were_asked_for(mode: int, segment_name: str) -> None:
    mask = os.umask(0o077)
    try:
        create(spec(segment_name), mode=mode).close()
    finally:
        os.umask(mask)
    for path in (segment.path_of(segment_name), segment.keep_path(segment_name)):
        assert path.stat().st_mode & 0o7777 == mode


def test_publishing_counts(segment_name: str) -> None:
    made = in_memory(spec())
    made.publish()
    made.set_state(layout.RUNNING)
    assert made.header["published"][0] == 2


def test_a_heartbeat_is_of_now() -> None:
    made = in_memory(spec())
    made.header["heartbeat_ns"] = made.header["heartbeat_ms"] = 0
    made.heartbeat()
    assert made.header["heartbeat_ns"][0] > 0
    assert made.header["heartbeat_ms"][0] > 1_600_000_000_000


def test_closing_says_stopped_keeps_the_store_and_may_be_repeated(segment_name: str) -> None:
    made = create(spec(segment_name))
    made.put(0, 1000, {"close": 1.0})
    made.close()
    made.close()
    with ringbuf.attach(segment_name) as store:
        assert (store.life, store.alive) == ("stopped", False)
        assert store["a"].last()["close"] == 1.0


def test_closing_puts_a_lost_name_back_first(segment_name: str) -> None:
    made = create(spec(segment_name))
    segment.path_of(segment_name).unlink()
    made.close()
    assert ringbuf.attach(segment_name).life == "stopped"


def test_a_lost_name_is_put_back_and_attached_readers_notice_nothing(segment_name: str) -> None:
    with create(spec(segment_name)) as made, ringbuf.attach(segment_name) as before:
        assert not made.restore_name()
        segment.path_of(segment_name).unlink()
        assert made.restore_name()
        made.put(0, 1000, {"close": 4.0})
        with ringbuf.attach(segment_name) as after:
            assert before["a"].last() == after["a"].last()


def test_a_private_store_has_no_name_to_put_back() -> None:
    made = in_memory(spec())
    assert not made.restore_name()
    made.close()


def test_a_second_writer_is_refused_naming_the_first(segment_name: str) -> None:
    with holder(segment_name) as child:
        with pytest.raises(StoreBusy, match=f"being written by process {child.pid}; stop"):
            create(spec(segment_name))
        assert ringbuf.attach(segment_name).alive
        child.communicate(timeout=LIMIT_S)


def test_a_writer_in_the_same_process_is_refused_too(segment_name: str) -> None:
    with create(spec(segment_name)), pytest.raises(StoreBusy, match=str(os.getpid())):
        create(spec(segment_name))


def test_of_writers_that_start_at_once_one_wins(segment_name: str) -> None:
    made: list[Writer] = []
    refused: list[StoreBusy] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait(LIMIT_S)
        try:
            made.append(create(spec(segment_name)))
        except StoreBusy as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert (len(made), len(refused)) == (1, 3)
    made[0].close()


def test_a_killed_writer_is_known_to_be_dead_at_once(segment_name: str) -> None:
    with holder(segment_name) as child, ringbuf.attach(segment_name) as store:
        assert (store.life, store["a"].status) == ("running", "")
        child.kill()
        child.wait(LIMIT_S)
        assert (store.life, store["a"].status) == ("down", "down")
        assert store["a"].last()["x"] == 1.5


def test_a_killed_writers_store_is_replaced_and_its_readers_keep_theirs(segment_name: str) -> None:
    with holder(segment_name) as child, ringbuf.attach(segment_name) as old:
        child.send_signal(signal.SIGKILL)
        child.wait(LIMIT_S)
        with create(spec(segment_name)) as made, ringbuf.attach(segment_name) as new:
            made.put(0, 1000, {"close": 9.0})
            assert new["a"].last()["close"] == 9.0
            assert old["a"].last()["x"] == 1.5


def test_a_forked_child_does_not_hold_the_life_lock(segment_name: str) -> None:
    """A child that outlives its parent must not make a dead service look alive."""
    code = r"""
import os, signal, sys
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create
writer = create(StoreSpec(sys.argv[1], (Series("a"),), (Column("time", "M"), Column("x")), 5, 1000))
if os.fork() == 0:
    os.write(1, f"child {writer.restore_name()}\n".encode())  # one piece, whoever is first
    writer.close()
    sys.stdin.read()
    os._exit(0)
os.write(1, b"parent\n")
signal.pause()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, segment_name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = {process.stdout.readline(), process.stdout.readline()}
        assert said == {"child False\n", "parent\n"}
        with ringbuf.attach(segment_name) as store:
            assert (store.alive, store.life) == (True, "running")
            process.kill()
            process.wait(LIMIT_S)
            assert (store.alive, store.life) == (False, "down")


def test_too_long_a_history_says_what_it_needs(segment_name: str) -> None:
    with pytest.raises(NoSpace, match=r"needs [0-9.]+ MiB of shared memory.*--shm-size=\d+m\)"):
        create(spec(segment_name, history=10**12))
    assert not list(SHARED_MEMORY.glob(f"{segment_name}*"))


def test_a_making_that_fails_leaves_neither_file_nor_descriptor(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(made: Writer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "lay_out", fail)
    with pytest.raises(KeyboardInterrupt):
        create(spec(segment_name))
    assert not list(SHARED_MEMORY.glob(f"{segment_name}*"))
    links = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists())  # noqa: PTH115
    held = [link for link in links if segment_name in link]
    assert len(held) <= 1, "the mapping alone may keep one, until it is collected"
    monkeypatch.undo()
    create(spec(segment_name)).close()


def test_no_reader_ever_opens_a_store_that_is_half_made(segment_name: str) -> None:
    """While one is made again and again, every attach finds a whole one."""
    create(spec(segment_name)).close()
    stop = threading.Event()

    def remake() -> None:
        while not stop.is_set():
            create(spec(segment_name)).close()

    thread = threading.Thread(target=remake)
    thread.start()
    try:
        for _ in range(300):
            with ringbuf.attach(segment_name) as store:
                assert store.markets == ("a", "b")
    finally:
        stop.set()
        thread.join(LIMIT_S)
