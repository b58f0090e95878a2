"""The reading side: views, attaching, and what outlives the store."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ringbuf
from reader_kit import COLUMNS, HISTORY, INTERVAL_MS, PRICES, row, spec, whole
from ringbuf import LayoutError, UnknownName, kernels, layout, ownership, segment
from ringbuf.layout import WORD
from ringbuf.spec import Series, StoreSpec
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


def closed(writer: Writer, series: int, bar: int) -> None:
    control = writer.controls[series]
    kernels.begin(control, bar)
    control[WORD["closed"]] = bar
    kernels.commit(control)


# -- names ---------------------------------------------------------------------------------------


def test_a_store_is_a_mapping_of_its_markets(store: ringbuf.Store) -> None:
    assert list(store) == ["btcusd_perp", "ethusd_perp"] == list(store.markets)
    assert len(store) == 2
    assert "btcusd_perp" in store
    assert "solusd_perp" not in store


def test_a_series_has_two_names(store: ringbuf.Store) -> None:
    assert store["BTC"] is store["btcusd_perp"]
    assert (store["BTC"].name, store["BTC"].alias) == ("btcusd_perp", "BTC")


def test_columns_of_the_writers_own_are_not_listed(made: Writer, store: ringbuf.Store) -> None:
    assert store.columns == ("time", *PRICES, "trades")
    made.put(0, 1000, row(1))
    assert set(store["BTC"].last()) == {*store.columns, "closed"}
    assert store["BTC"].snapshot().dtype.names == store.columns


def test_a_series_without_an_alias_does_not_answer_to_nothing(segment_name: str) -> None:
    with create(StoreSpec(segment_name, (Series("a"),), COLUMNS, 5, 1000)):
        store = ringbuf.attach(segment_name)
        with pytest.raises(KeyError):
            store[""]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda s: s["btcusd"], "no market named 'btcusd'; nearest: btcusd_perp"),
        (lambda s: s["BTC"]["clsoe"], "no column named 'clsoe'; nearest: close"),
        (lambda s: s["BTC"].view("Close"), "no column named 'Close'; nearest: close"),
        (lambda s: s.matrix("hihg"), "no column named 'hihg'; nearest: high"),
    ],
)
def test_an_unknown_name_is_a_key_error_that_names_the_nearest(
    ask: Callable[[ringbuf.Store], Any], says: str, store: ringbuf.Store
) -> None:
    with pytest.raises(KeyError) as caught:
        ask(store)
    assert isinstance(caught.value, UnknownName)
    assert says in str(caught.value)


# -- views ---------------------------------------------------------------------------------------


def test_a_view_taken_before_an_update_shows_it(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(1))
    view = store["BTC"]["close"]
    made.put(0, 1000, row(2))
    assert view.tolist() == [2.0]


def test_two_views_of_a_column_share_their_address(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(1))
    ring = store["BTC"]
    first, second = ring["close"], ring["close"]
    assert first.ctypes.data == second.ctypes.data
    assert np.shares_memory(first, ring.view("close", last=1, closed=False))
    assert np.shares_memory(first, store.matrix("close"))


def test_a_whole_history_is_looked_up_anew_after_every_write(
    made: Writer, store: ringbuf.Store
) -> None:
    ring, newest = store["BTC"], 1_000 + 4 * HISTORY
    assert len(ring["close"]) == 0
    expected: list[float] = []
    for bar in range(1_000, newest + 1):
        made.put(0, bar, row(bar))
        expected = [float(each) for each in range(max(1_000, bar - HISTORY + 1), bar + 1)]
        for _ in range(2):
            assert ring["close"].tolist() == expected == ring.view("close").tolist()
    control = made.controls[0]
    kernels.begin(control, newest + 1)
    for _ in range(2):
        assert ring["close"].tolist() == expected
    control[WORD["start"]] = newest
    kernels.commit(control)
    assert ring["close"].tolist() == expected[-1:]


@pytest.mark.parametrize(
    "take",
    [
        lambda s: s["BTC"]["close"],
        lambda s: s["BTC"]["time"],
        lambda s: s["BTC"].view("trades", 1),
        lambda s: s.matrix("close"),
    ],
)
def test_no_view_can_be_made_writeable(
    take: Callable[[ringbuf.Store], npt.NDArray[Any]], made: Writer, store: ringbuf.Store
) -> None:
    made.put(0, 1000, row(1))
    view = take(store)
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        view[...] = 0
    base: Any = view
    while isinstance(base, np.ndarray):
        with pytest.raises(ValueError, match="WRITEABLE"):
            base.flags.writeable = True
        base = base.base


def test_the_processor_refuses_what_numpy_cannot(segment_name: str) -> None:
    """Even a pointer to a reader's memory cannot be written through."""
    with create(spec(segment_name)) as made:
        made.put(0, 1000, row(1))
        code = (
            "import ctypes, sys, ringbuf\n"
            "view = ringbuf.attach(sys.argv[1])['BTC']['close']\n"
            "ctypes.memset(view.ctypes.data, 0, 8)\n"
        )
        child = subprocess.run([sys.executable, "-c", code, segment_name], check=False)
        assert child.returncode == -signal.SIGSEGV
        assert made.floats[0, 4].max(initial=0, where=~np.isnan(made.floats[0, 4])) == 1.0


def test_a_view_outlives_close_object_and_name(segment_name: str) -> None:
    with create(spec(segment_name)) as made:
        made.put(0, 1000, row(3))
        store = ringbuf.attach(segment_name)
        view, matrix = store["BTC"]["close"], store.matrix("close", 1)
        store.close()
        store.close()
        del store
        gc.collect()
        assert view.tolist() == [3.0]
        made.put(0, 1000, row(4))
    ownership.remove(segment_name)
    assert view.tolist() == [4.0]
    assert matrix[0].tolist() == [4.0]


def test_a_view_has_its_columns_type(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(1))
    ring = store["BTC"]
    assert ring["close"].dtype == np.float64
    assert ring["trades"].dtype == np.int64
    assert ring["time"].dtype == np.dtype("M8[ms]")
    assert ring["time"][0] == np.datetime64(1000 * INTERVAL_MS, "ms")


def test_no_more_than_the_history_is_seen(made: Writer, store: ringbuf.Store) -> None:
    for bar in range(1000, 1000 + 3 * made.geometry.capacity):
        made.put(0, bar, row(bar))
        rows = min(HISTORY, bar - 999)
        assert store["BTC"]["close"].tolist() == list(range(bar - rows + 1, bar + 1))
    assert len(store["BTC"]) == HISTORY


@pytest.mark.parametrize(("last", "seen"), [(None, 3), (0, 0), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_last_takes_the_newest_and_no_more_than_there_are(
    last: int | None, seen: int, made: Writer, store: ringbuf.Store
) -> None:
    for bar in (1000, 1001, 1002):
        made.put(0, bar, row(bar))
    expected = [1000, 1001, 1002][3 - seen :]
    assert store["BTC"].view("close", last).tolist() == expected
    assert store["BTC"].snapshot(last)["close"].tolist() == expected


def test_fewer_than_no_rows_are_refused(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(1000))
    for call in (store["BTC"].view, store.matrix):
        with pytest.raises(ValueError, match="found last=-1, expected a number of rows"):
            call("close", -1)


def test_closed_leaves_out_what_is_not(made: Writer, store: ringbuf.Store) -> None:
    ring = store["BTC"]
    for bar in (1000, 1001, 1002):
        made.put(0, bar, row(bar))
    assert ring.view("close", closed=True).tolist() == []
    assert ring.last(closed=True)["closed"] is False
    closed(made, 0, 1001)
    assert ring.view("close", closed=True).tolist() == [1000, 1001]
    assert ring.view("close", 1, closed=True).tolist() == [1001]
    assert ring.snapshot(1, closed=True)["close"].tolist() == [1001]
    assert (ring.last(closed=True)["close"], ring.last(closed=True)["closed"]) == (1001, True)
    assert (ring.last()["close"], ring.last()["closed"]) == (1002, False)


def test_a_series_without_rows_is_empty_not_an_error(store: ringbuf.Store) -> None:
    ring = store["ETH"]
    last = ring.last()
    assert len(ring) == len(ring["close"]) == len(ring.snapshot()) == 0
    assert np.isnat(last["time"])
    assert np.isnan(last["close"])
    assert (last["trades"], last["closed"]) == (0, False)


def test_values_of_a_row_are_plain_python(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(7))
    last = store["BTC"].last()
    assert type(last["close"]) is float
    assert type(last["trades"]) is int
    assert type(last["closed"]) is bool
    assert last["time"] == np.datetime64(1000 * INTERVAL_MS, "ms")


# -- the matrix ----------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", [False, True])
def test_the_matrix_is_aligned_by_time_and_shows_what_is_missing(
    copy: bool, made: Writer, store: ringbuf.Store
) -> None:
    for bar in (1000, 1001, 1002):
        made.put(0, bar, row(bar))
    made.put(1, 1001, row(5))
    nan = np.nan
    np.testing.assert_array_equal(
        store.matrix("close", 4, copy=copy), [[nan, 1000, 1001, 1002], [nan, nan, 5, nan]]
    )
    assert store.matrix("trades", 2, copy=copy).tolist() == [[1001, 1002], [5, 0]]
    assert np.isnat(store.matrix("time", 1, copy=copy)).tolist() == [[False], [True]]
    assert store.matrix("close", copy=copy).shape == (2, HISTORY)
    assert store.matrix("close", 0, copy=copy).shape == (2, 0)


@pytest.mark.parametrize("copy", [False, True])
def test_the_matrix_of_an_empty_store_is_empty_rows(copy: bool, store: ringbuf.Store) -> None:
    matrix = store.matrix("close", copy=copy)
    assert matrix.shape == (2, HISTORY)
    assert np.isnan(matrix).all()


def test_a_series_left_behind_shows_nothing_old(made: Writer, store: ringbuf.Store) -> None:
    made.put(1, 1000, row(1))
    for bar in range(1000, 1000 + 3 * made.geometry.capacity):
        made.put(0, bar, row(bar))
    assert np.isnan(store.matrix("close")[1]).all()
    assert len(store["ETH"]) == 0


def test_a_copy_of_the_matrix_is_nobody_elses(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(1))
    copied = store.matrix("close", 1, copy=True)
    made.put(0, 1000, row(2))
    assert copied[0].tolist() == [1.0]
    assert copied.flags.writeable


# -- the model -----------------------------------------------------------------------------------


class AgainstAPlainModel(RuleBasedStateMachine):
    """Any sequence of rows, holes, late rows and jumps leaves what a dict of lists says.

    The model is the written rule, not the code: a run of bars, its hole-free end, the newest
    `HISTORY` of it, less what the ring had to give up.
    """

    numbers = iter(range(10**9))

    @initialize(base=st.integers(0, 3) | st.integers(28_000_000, 28_000_100))
    def make(self, base: int) -> None:
        self.name = f"mmtest_{os.getpid()}_model_{next(self.numbers)}"
        self.writer = create(spec(self.name))
        self.store = ringbuf.attach(self.name)
        self.capacity = self.writer.geometry.capacity
        self.rows: list[dict[int, float]] = [{}, {}]
        self.base = base
        self.grid = -1
        self.value = 0

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.store.close()
            self.writer.close()
            ownership.remove(self.name)

    def run(self, series: int) -> list[int]:
        """The bars without a hole up to the newest."""
        rows = self.rows[series]
        bars: list[int] = []
        if rows:
            bar = max(rows)
            while bar in rows:
                bars.insert(0, bar)
                bar -= 1
        return bars

    def move(self, bar: int) -> None:
        self.grid = max(self.grid, bar)
        for rows in self.rows:
            for old in [one for one in rows if one < self.grid + 2 - self.capacity]:
                del rows[old]

    @rule(series=st.integers(0, 1), step=st.integers(0, 3) | st.integers(60, 150))
    def newest(self, series: int, step: int) -> None:
        run = self.run(series)
        bar = max(self.grid, self.base) + step if not run or step > 3 else run[-1] + step
        self.value += 1
        if run and bar > run[-1] + 1:
            # A hole starts a new run: what was before it can no longer be reached.
            self.rows[series].clear()
        self.move(bar)
        if bar < self.grid + 2 - self.capacity:
            with pytest.raises(LayoutError):
                self.writer.put(series, bar, row(self.value))
            return
        self.rows[series][bar] = self.value
        self.writer.put(series, bar, row(self.value))

    @rule(series=st.integers(0, 1), back=st.integers(0, 200))
    def late(self, series: int, back: int) -> None:
        run = self.run(series)
        if not run:
            return
        bar = run[-1] - back
        self.value += 1
        if bar < max(run[0] - 1, self.grid + 2 - self.capacity, 0):
            with pytest.raises(LayoutError):
                self.writer.put(series, bar, row(self.value))
            return
        self.rows[series][bar] = self.value
        self.writer.put(series, bar, row(self.value))

    @rule(minutes=st.integers(1, 3) | st.integers(50, 200))
    @precondition(lambda self: self.grid >= 0)
    def roll(self, minutes: int) -> None:
        self.move(self.grid + minutes)
        self.writer.advance(self.grid)

    @rule(series=st.integers(0, 1), back=st.integers(0, 2))
    def close(self, series: int, back: int) -> None:
        run = self.run(series)
        if len(run) > back:
            closed(self.writer, series, run[-1 - back])

    @invariant()
    def the_segment_is_sound(self) -> None:
        if hasattr(self, "store"):
            assert self.store.check() == []

    @invariant()
    def readers_see_what_the_model_says(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.writer.grid == self.grid
        matrix = self.store.matrix("close")
        for series, ring in enumerate(self.store.values()):
            seen = self.run(series)[-HISTORY:]
            values = [self.rows[series][bar] for bar in seen]
            assert ring["close"].tolist() == ring.snapshot()["close"].tolist() == values
            assert (ring["time"].astype(int) // INTERVAL_MS).tolist() == seen
            assert whole(ring.snapshot())
            if seen:
                assert ring.last()["close"] == values[-1]
            end = ring.state()["closed"]
            known = [self.rows[series][bar] for bar in self.run(series) if bar <= end]
            newest = self.run(series)[-1:] or [0]
            visible = [bar for bar in seen if bar <= end]
            assert ring.view("close", closed=True).tolist() == known[len(known) - len(visible) :]
            assert newest[0] >= end
            for bar in range(max(0, self.grid - HISTORY + 1), self.grid + 1):
                if bar in self.rows[series]:
                    assert matrix[series, bar - self.grid - 1] == self.rows[series][bar]


TestAgainstAPlainModel = AgainstAPlainModel.TestCase
TestAgainstAPlainModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# -- life ----------------------------------------------------------------------------------------


def test_where_the_rows_come_from_is_said(store: ringbuf.Store) -> None:
    assert store.source == {"network": "test"}
    assert "btcusd_perp (BTC) syncing" in repr(store["BTC"])
    assert "2 markets, running" in repr(store)


def test_the_status_is_the_services_word(made: Writer, store: ringbuf.Store) -> None:
    made.controls[0, WORD["status"]] = 1
    assert (store["BTC"].status, store["ETH"].status) == ("live", "syncing")
    made.close()
    assert store["BTC"].status == store.life == "stopped"


def test_health_is_plain_values(made: Writer, store: ringbuf.Store) -> None:
    made.counters[0] = 3
    made.put(0, 1000, row(1))
    health = store.health()
    assert json.loads(json.dumps(health))["counters"] == {"reconnects": 3}
    assert health["writer"]["pid"] == os.getpid()
    assert health["markets"]["btcusd_perp"]["newest"] == "1970-01-01T16:40:00.000Z"
    assert health["markets"]["ethusd_perp"]["newest"] is None
    assert 0 <= health["heartbeat_age_s"] < LIMIT_S


def test_age_is_unknown_before_the_source_has_spoken(made: Writer, store: ringbuf.Store) -> None:
    assert np.isnan(store["BTC"].age)
    made.controls[0, WORD["heard_ns"]] = 1
    assert store["BTC"].age > 0


def test_a_reader_keeps_one_descriptor_and_gives_it_back(made: Writer) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, of a folder of links

    gc.collect()
    before = held()
    for _ in range(20):
        with ringbuf.attach(made.spec.name):
            pass
        ringbuf.attach(made.spec.name)
    gc.collect()
    assert held() == before


def test_threads_share_a_store(made: Writer, store: ringbuf.Store) -> None:
    made.put(0, 1000, row(1))
    stop = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        while not stop.is_set():
            last = store["BTC"].last()
            if not whole(last):
                wrong.append(last)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for value in range(2000):
        made.put(0, 1000, row(value))
    stop.set()
    for thread in threads:
        thread.join(LIMIT_S)
    assert not wrong


def test_a_store_goes_on_in_a_forked_child(made: Writer) -> None:
    code = """
import os, sys, ringbuf
store = ringbuf.attach(sys.argv[1])
if os.fork() == 0:
    print(store["BTC"].last()["close"], store.life, flush=True)
    os._exit(0)
os.wait()
print(store["BTC"].last()["close"], store.life, flush=True)
"""
    made.put(0, 1000, row(6))
    done = subprocess.run(
        [sys.executable, "-c", code, made.spec.name], capture_output=True, text=True, check=True
    )
    assert done.stdout == "6.0 running\n" * 2


def test_leaving_with_open_views_is_quiet(made: Writer) -> None:
    """The interpreter's end takes modules and objects down in any order."""
    made.put(0, 1000, row(6))
    code = (
        "import sys, ringbuf\nstore = ringbuf.attach(sys.argv[1])\nview = store['BTC']['close']\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, made.spec.name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_reader_that_leaves_does_not_take_the_name(made: Writer) -> None:
    code = "import sys, ringbuf; ringbuf.attach(sys.argv[1])['BTC']['close']"
    subprocess.run([sys.executable, "-c", code, made.spec.name], check=True)
    assert segment.path_of(made.spec.name).exists()


def test_who_may_not_read_the_file_is_told_so(
    made: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, flags: int, mode: int = 0) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError, match=made.spec.name):
        ringbuf.attach(made.spec.name)


def test_importing_the_package_stays_light() -> None:
    code = (
        "import sys, ringbuf\n"
        "heavy = 'numba llvmlite websockets pydantic aiohttp asyncio multiprocessing'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- without the library -------------------------------------------------------------------------

RAW = """
import json, struct, sys
import numpy as np
from multiprocessing.shared_memory import SharedMemory

options = {"track": False} if sys.version_info >= (3, 13) else {}
shm = SharedMemory(sys.argv[1], **options)
offset, size = struct.unpack_from("<2q", shm.buf, 24)
document = json.loads(bytes(shm.buf[offset : offset + size]))
data = document["data"]
rows = np.ndarray(data["shape"], np.dtype(data["dtype"]), buffer=shm.buf, offset=data["offset"])
rows.flags.writeable = False
market = [entry["alias"] for entry in document["series"]].index("BTC")
words = document["control"]["words"]
control = np.ndarray(len(words), "<i8", shm.buf, document["control"]["offset"]
                     + market * document["control"]["stride"])
state = dict(zip(words, control.tolist()))
end = state["newest"] % document["capacity"] + document["capacity"] + 1
print(rows["close"][market, end - 3 : end].tolist(), rows["time"][market, end - 1])
del rows, control
shm.close()
"""


def test_the_standard_library_and_numpy_are_enough(made: Writer) -> None:
    """`SharedMemory` and `numpy.ndarray`, told everything by the header's document."""
    for bar in range(1000, 1200):
        made.put(0, bar, row(bar))
    done = subprocess.run(
        [sys.executable, "-c", RAW, made.spec.name], capture_output=True, text=True, check=True
    )
    newest = np.datetime64(1199 * INTERVAL_MS, "ms")
    assert done.stdout == f"[1197.0, 1198.0, 1199.0] {newest}\n"


def test_the_name_is_back_after_such_a_reader_has_left(made: Writer) -> None:
    """Before Python 3.13 (and after it by default) its resource tracker unlinks the store."""
    made.put(0, 1002, row(1))
    untracked = sys.version_info >= (3, 13)
    code = RAW.replace("if sys.version_info", "if False and sys.version_info")
    subprocess.run(
        [sys.executable, "-c", code, made.spec.name], capture_output=True, text=True, check=True
    )
    path = Path("/dev/shm", made.spec.name)
    assert not path.exists(), f"the tracker has changed (3.13 or later: {untracked})"
    assert made.restore_name()
    with ringbuf.attach(made.spec.name) as store:
        assert store["BTC"].last()["close"] == 1.0


def test_addresses_are_those_of_the_specification(made: Writer, store: ringbuf.Store) -> None:
    """Element k of column c of series s is where `layout` says, to the byte."""
    made.put(1, 1000, row(9))
    capacity = made.geometry.capacity
    view = store["ETH"]["close"]
    start = store.matrix("time").base
    assert start is not None
    value = ctypes.c_double.from_address(view.ctypes.data).value
    assert value == made.floats[1, 4, 1000 % capacity + capacity] == 9.0
