"""Taking a store over: the same memory, what a death left mended, what is not ours left alone."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringbuf
from ringbuf import NotReplaced, StoreBusy, adoption, kernels, layout, segment
from ringbuf.adoption import found_document, open_store, take_over
from ringbuf.header import Header
from ringbuf.layout import WORD
from ringbuf.repair import repair
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create, in_memory

SHARED_MEMORY = Path("/dev/shm")
INTERVAL_MS = 60_000
COLUMNS = (Column("time", "M"), Column("close"), Column("trades", "i"), Column("_state"))
LIVE, STALE = 1, 2


def spec(name: str, **changes: Any) -> StoreSpec:
    return StoreSpec(
        **{
            "name": name,
            "series": (Series("a", "A"), Series("b", "B")),
            "columns": COLUMNS,
            "history": 5,
            "interval_ms": INTERVAL_MS,
            "source": {"network": "test"},
            "software": "tests 1",
            "statuses": ("syncing", "live", "stale"),
            **changes,
        }
    )


def put(writer: Writer, bar: int, series: int = 0) -> None:
    writer.put(series, bar, {"close": float(bar), "trades": bar, "_state": -float(bar)})
    writer.controls[series, WORD["closed"]] = bar - 1
    writer.controls[series, WORD["confirmed"]] = bar - 2
    writer.controls[series, WORD["status"]] = LIVE


def filled(writer: Writer, first: int = 1000, last: int = 1010) -> Writer:
    for bar in range(first, last + 1):
        put(writer, bar)
    return writer


def abandon(writer: Writer) -> None:
    """As after SIGKILL: the lock is gone, all words say what they said."""
    writer.set_state(layout.RUNNING)
    writer.disown()


def inode(path: Path) -> int:
    return path.stat().st_ino


def names(name: str) -> tuple[Path, Path]:
    return SHARED_MEMORY / name, SHARED_MEMORY / f"{name}.keep"


def bars(ring: ringbuf.Ring) -> list[int]:
    found: list[int] = (ring["time"].astype(np.int64) // INTERVAL_MS).tolist()
    return found


DOOMED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import test_ringbuf_adoption as tests
from ringbuf.writer import create
from ringbuf.layout import RUNNING
writer = create(tests.spec(sys.argv[1]))
writer.set_state(RUNNING)
tests.filled(writer)
os.kill(os.getpid(), signal.SIGKILL)
"""


# -- in place --------------------------------------------------------------------------------------


def test_after_sigkill_the_segment_is_taken_over_in_place(segment_name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DOOMED, segment_name, str(Path(__file__).parent)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    before = inode(SHARED_MEMORY / segment_name)
    with ringbuf.attach(segment_name) as store:
        ring, view = store["a"], store["a"]["close"]
        assert store.life == "down"
        writer, opening = open_store(spec(segment_name), status=STALE)
        with writer:
            assert (opening.how, opening.kept, opening.repaired) == ("adopted", 1, 0)
            assert inode(SHARED_MEMORY / segment_name) == before
            writer.set_state(layout.RUNNING)
            assert (store.life, ring.status) == ("running", "stale")
            assert not store.retired
            assert store.refresh() is store
            assert view.tolist() == [1006.0, 1007.0, 1008.0, 1009.0, 1010.0]
            put(writer, 1011)
            assert bars(ring) == [1007, 1008, 1009, 1010, 1011]
            assert store.wait(0)
        assert store.check() == []


def test_the_new_life_has_a_pid_a_start_and_counters_of_its_own(segment_name: str) -> None:
    made = filled(create(spec(segment_name, counters=("frames",))))
    made.counters[0] = 7
    made.header["started_ms"] = 1
    made.header["writer_pid"] = 1
    abandon(made)
    writer, _ = open_store(spec(segment_name, counters=("frames",), software="tests 2"))
    with writer:
        assert writer.header["writer_pid"][0] == os.getpid()
        assert writer.header["started_ms"][0] > 1
        assert writer.counters[0] == 0
        with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
            open_store(spec(segment_name))


def test_a_store_that_was_stopped_is_adopted_as_well(segment_name: str) -> None:
    filled(create(spec(segment_name))).close()
    writer, opening = open_store(spec(segment_name))
    with writer:
        assert opening.how == "adopted"
        with ringbuf.attach(segment_name) as store:
            assert store.life == "running"


def test_the_mode_asked_for_is_that_of_the_adopted_segment(segment_name: str) -> None:
    create(spec(segment_name), mode=0o600).close()
    with open_store(spec(segment_name), mode=0o640)[0]:
        assert (SHARED_MEMORY / segment_name).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("which", [0, 1])
def test_a_name_that_is_gone_is_put_back_from_the_other(segment_name: str, which: int) -> None:
    abandon(filled(create(spec(segment_name))))
    both = names(segment_name)
    before = inode(both[0])
    both[which].unlink()
    with open_store(spec(segment_name))[0] as writer:
        assert [inode(path) for path in both] == [before, before]
        assert writer.grid == 1010


def test_a_swap_that_was_cut_short_is_finished_with_the_newer_segment(segment_name: str) -> None:
    """The second link was set, the public name not yet."""
    public, keep = names(segment_name)
    abandon(filled(create(spec(segment_name))))
    aside = public.with_name(f"{segment_name}.old")
    public.rename(aside)
    keep.unlink()
    abandon(filled(create(spec(segment_name)), 1000, 1020))
    newer = inode(public)
    aside.replace(public)
    with ringbuf.attach(segment_name) as old:
        with open_store(spec(segment_name))[0] as writer:
            assert (inode(public), inode(keep), writer.grid) == (newer, newer, 1020)
            # The older one was never told; its reader finds out by the name.
            assert old.retired
            with old.refresh() as store:
                assert bars(store["a"])[-1] == 1020
        assert bars(old["a"])[-1] == 1010


def test_a_store_with_nothing_but_our_left_over_is_created(segment_name: str) -> None:
    (SHARED_MEMORY / f"{segment_name}~new").write_bytes(b"half made")
    with open_store(spec(segment_name))[0]:
        assert not (SHARED_MEMORY / f"{segment_name}~new").exists()


# -- what must not be taken over -------------------------------------------------------------------


def test_rows_of_another_source_are_neither_adopted_nor_carried_over(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    with ringbuf.attach(segment_name) as old:
        writer, opening = open_store(spec(segment_name, source={"network": "other"}))
        with writer:
            assert opening == adoption.Opening("created")
            assert (writer.controls[:, WORD["newest"]] == -1).all()
            assert (writer.integers[:, 0] == layout.EMPTY_TIME).all()
            assert old.retired
            with old.refresh() as store:
                assert store.source == {"network": "other"}
                assert len(store["a"]) == 0
        assert len(old["a"]) == 5


def _magic(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"something")


def _major(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(layout.offset("major"))
        file.write((9).to_bytes(2, "little"))


def _document(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(layout.HEADER_SIZE)
        file.write(b'{"name": 1}')


def _overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _deep(path: Path) -> None:
    _overwrite(path, layout.HEADER_SIZE, b"[" * 1_500)


def _interval(path: Path) -> None:
    _overwrite(path, layout.offset("interval_ms"), (INTERVAL_MS + 1).to_bytes(8, "little"))


def _table(path: Path) -> None:
    _overwrite(
        path,
        Header.parse(path.read_bytes()[: layout.HEADER_SIZE], 2**40, "").series_offset,
        b"other",
    )


def _said(path: Path) -> None:
    text = path.read_bytes()
    at = text.index(b'"stride": 256')
    _overwrite(path, at, b'"stride": 8  ')


def _expression(path: Path) -> None:
    """The text of a dtype is looked at as Python."""
    at = path.read_bytes().index(b'"(136,)<f8"')
    _overwrite(path, at, b'"(,   )<f8"')


def _grid(path: Path) -> None:
    _overwrite(path, layout.offset("grid"), (2**63 - 1).to_bytes(8, "little"))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def _foreign(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"x" * 100)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_magic, "found magic b'somethin', expected"),
        (_major, "has layout version 9, this library reads version 1"),
        (_document, "expected a whole document"),
        (_truncate, "as its header says"),
        (_foreign, "found 100 bytes, expected a header of 4096 bytes"),
        (_deep, "expected a whole document"),
        (_interval, "interval_ms 60000, the segment has 60001"),
        (_table, "series"),
        (_said, "control stride 8, the segment has 256"),
        (_expression, "SyntaxError"),
        (_grid, "expected a bar or -1"),
    ],
)
def test_what_is_not_a_whole_store_of_ours_is_refused_and_left_as_it_is(
    segment_name: str, spoil: Callable[[Path], None], says: str
) -> None:
    abandon(filled(create(spec(segment_name))))
    path = SHARED_MEMORY / segment_name
    spoil(path)
    before = (inode(path), path.read_bytes())
    for attempt in (
        lambda: open_store(spec(segment_name)),
        lambda: take_over(segment_name, lambda _: True),
        lambda: found_document(segment_name),
    ):
        with pytest.raises(NotReplaced, match="remove") as caught:
            attempt()
        assert says in str(caught.value)
    assert (inode(path), path.read_bytes()) == before


def test_a_sound_store_whose_name_is_somebody_else_s_is_told_where_it_is(segment_name: str) -> None:
    """And nobody is advised to remove both."""
    public, keep = names(segment_name)
    abandon(filled(create(spec(segment_name))))
    public.unlink()
    public.touch()
    with pytest.raises(NotReplaced, match=rf"the store itself is {keep.name}") as caught:
        open_store(spec(segment_name))
    assert f"remove {public} alone" in str(caught.value)
    public.unlink()
    writer, opening = open_store(spec(segment_name))
    with writer:
        assert (opening.how, opening.kept) == ("adopted", 1)


# -- a writer that does not know yet what to ask for -----------------------------------------------


def test_whatever_is_there_can_be_held_until_it_is_known_what_to_ask_for(
    segment_name: str,
) -> None:
    abandon(filled(create(spec(segment_name))))
    asked: list[StoreSpec] = []

    def accept(found: StoreSpec) -> bool:
        asked.append(found)
        return True

    assert take_over(segment_name, lambda _: False) is None
    held = take_over(segment_name, accept, status=STALE)
    assert held is not None
    assert asked == [spec(segment_name)]
    with ringbuf.attach(segment_name) as store:
        held.set_state(layout.RUNNING)
        assert store["a"].status == "stale"
        with pytest.raises(StoreBusy):
            open_store(spec(segment_name))
        writer, opening = open_store(spec(segment_name), held=held)
        assert opening.how == "adopted"
        held.close()  # used up: it says nothing any more
        assert store.life == "running"
        put(writer, 1011)
        assert bars(store["a"])[-1] == 1011
        writer.close()
        assert store.life == "stopped"


def test_one_that_was_held_can_be_rebuilt(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    held = take_over(segment_name, lambda _: True)
    assert held is not None
    with ringbuf.attach(segment_name) as old:
        writer, opening = open_store(spec(segment_name, history=8), held=held)
        with writer:
            assert opening.how == "rebuilt"
            assert old.retired
            assert not old.alive
            with old.refresh() as store:
                assert bars(store["a"]) == list(range(1003, 1011))


def test_no_store_no_document(segment_name: str) -> None:
    assert found_document(segment_name) is None
    assert take_over(segment_name, lambda _: True) is None
    create(spec(segment_name)).close()
    document = found_document(segment_name)
    assert document is not None
    assert document["source"] == {"network": "test"}


# -- what a death in mid-write leaves --------------------------------------------------------------


def words(writer: Writer, series: int = 0) -> dict[str, int]:
    return {name: int(writer.controls[series, k]) for name, k in WORD.items()}


def readable(writer: Writer, series: int = 0) -> dict[int, list[int]]:
    """Each readable row, checked to be the same in both copies."""
    now, capacity = words(writer, series), writer.geometry.capacity
    if now["newest"] < 0:
        return {}
    rows = {}
    for bar in range(now["start"], now["newest"] + 1):
        row = writer.integers[series, :, bar % capacity]
        assert (row == writer.integers[series, :, bar % capacity + capacity]).all()
        rows[bar] = row.tolist()
    return rows


def sound(writer: Writer) -> bool:
    from ringbuf.check import check

    return check(writer.memory) == []


def test_a_status_that_there_is_not_is_put_right_in_a_series_without_rows() -> None:
    writer = filled(in_memory(spec("x")))
    writer.controls[1, WORD["status"]] = 1_000
    assert not sound(writer)
    repair(writer)
    assert sound(writer)


def test_a_store_at_rest_needs_no_repair_and_is_not_touched() -> None:
    made = filled(in_memory(spec("x")), 1000, 1200)
    before = bytes(made.memory)
    assert repair(made) == 0
    assert bytes(made.memory) == before
    assert repair(in_memory(spec("x"))) == 0


@pytest.mark.parametrize("bar", [1011, 1010, 1004, 1000, 1015])
@pytest.mark.parametrize("done", range(10))
def test_rows_before_the_one_in_work_are_kept_the_rest_is_dropped(bar: int, done: int) -> None:
    """A row's write, stopped after each of its stores: `done` cells, then the words."""
    made = filled(in_memory(spec("x")))
    before = readable(made)
    made.advance(bar)
    kernels.begin(made.controls[0], bar)
    cells = [(k, copy) for k in range(4) for copy in (1, 0)]
    row = [bar * INTERVAL_MS, 1, 2, 3]
    for k, copy in cells[:done]:
        made.integers[0, k, bar % made.geometry.capacity + copy * made.geometry.capacity] = row[k]
    if done == 9:
        made.controls[0, WORD["newest"]] = max(bar, 1010)
        if bar > 1011:
            made.controls[0, WORD["start"]] = bar
    assert not sound(made)
    assert repair(made) == 1
    assert sound(made)
    now = words(made)
    after = readable(made)
    assert after == {b: row for b, row in before.items() if b < bar}
    assert now["sequence"] % 2 == 0
    if bar > 1000:
        assert now["newest"] == min(bar - 1, 1010)
        assert now["closed"] == min(1009, now["newest"])
        assert now["confirmed"] == min(1008, now["newest"])
    else:
        assert now["newest"] == now["closed"] == now["confirmed"] == -1
    assert now["revision"] == (bar <= 1009), "closed rows that are gone are told"
    put(made, 1016)
    assert sound(made)


def test_rows_behind_a_hole_do_not_hide_those_before_it_when_they_are_dropped() -> None:
    made = filled(in_memory(spec("x")))
    made.put(0, 1020, {"close": 1.0})
    assert list(readable(made)) == [1020]
    made.controls[0, WORD["origin"]] = 1000
    kernels.begin(made.controls[0], 1020)
    assert repair(made) == 1
    assert list(readable(made)) == list(range(1000, 1011))
    assert sound(made)


@pytest.mark.parametrize("jump", [1, 7, 500])
def test_dying_while_the_grid_moves_costs_no_row_that_stays_in_the_ring(jump: int) -> None:
    """The clearing of the next slots, stopped after each slot of each series."""
    template = filled(in_memory(spec("x")), 1000, 1200)
    for bar in range(1150, 1201):
        put(template, bar, series=1)
    capacity = template.geometry.capacity
    to = 1200 + jump
    first = max(1202, to + 2 - capacity)
    whole = in_memory(spec("x"))
    for cleared in range(min(jump, 4)):
        for series in (0, 1):
            whole.memory[:] = template.memory
            if series:
                one = whole.integers[:1], whole.controls[:1]
                kernels.clear_ahead(*one, whole.blank, first, to + 1)
            # The run's start has been told (this clears no bar), some slots are empty, of the next
            # one the first cells.
            one = whole.integers[series : series + 1], whole.controls[series : series + 1]
            kernels.clear_ahead(*one, whole.blank, to + 2, to + 1)
            for bar in range(first, first + cleared):
                kernels.clear_bar(whole.integers[series], whole.blank, bar % capacity, capacity)
            whole.integers[series, :2, (first + cleared) % capacity] = whole.blank[:2]
            repair(whole)
            assert sound(whole)
            for k in (0, 1):
                rows, expected = readable(whole, k), readable(template, k)
                kept = {bar for bar in expected if bar >= to + 2 - capacity}
                assert rows == {bar: row for bar, row in expected.items() if bar in rows}
                assert kept <= set(rows)


@given(
    st.lists(st.tuples(st.sampled_from(list(WORD)), st.integers(-3, 3000)), max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 150), st.integers(-2, 2)), max_size=6),
)
def test_whatever_is_broken_the_series_is_sound_and_shows_no_invented_row(
    changed: list[tuple[str, int]], cells: list[tuple[int, int, int]]
) -> None:
    made = filled(in_memory(spec("x")), 1000, 1200)
    before = readable(made)
    for word, value in changed:
        if word != "status":
            made.controls[0, WORD[word]] = value
    for column, place, value in cells:
        made.integers[0, column, place % made.geometry.capacity] ^= value  # in one of the copies
    repair(made)
    assert sound(made)
    assert all(before.get(bar) == row for bar, row in readable(made).items())


def test_readers_that_are_attached_are_not_held_up_by_what_a_death_left(
    segment_name: str,
) -> None:
    made = filled(create(spec(segment_name)))
    kernels.begin(made.controls[0], 1010)
    made.floats[0, 1, 1010 % made.geometry.capacity] = 5.0
    abandon(made)
    with ringbuf.attach(segment_name) as store:
        assert store["a"].last()["close"] == 1009.0
        writer, opening = open_store(spec(segment_name))
        with writer:
            assert opening.repaired == 1
            assert store["a"].last()["close"] == 1009.0
            assert store.check() == []
            put(writer, 1010)
            assert store["a"].last()["close"] == 1010.0


def test_the_lock_file_is_gone_and_nothing_else_is_left(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    open_store(spec(segment_name))[0].close()
    left = {path.name for path in SHARED_MEMORY.glob(f"{segment_name}*")}
    assert left == {path.name for path in names(segment_name)}
    assert segment.path_of(segment_name).stat().st_nlink == 2


# -- a clock that says otherwise -------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "refused"), [(0, False), (1_440, False), (1_441, True)])
def test_a_grid_that_its_writer_s_clock_cannot_have_reached_is_refused(
    segment_name: str, ahead: int, refused: bool
) -> None:
    with filled(create(spec(segment_name)), 10_000, 10_010) as first:
        first.header["clock_ms"] = (first.grid - ahead) * INTERVAL_MS
    if not refused:
        assert not ringbuf.attach(segment_name).check()
        writer, opening = open_store(spec(segment_name))
        writer.close()
        assert opening.how == "adopted"
        return
    with pytest.raises(NotReplaced, match=r"grid 10010, expected at most 10009, as .*clock"):
        open_store(spec(segment_name))
    with ringbuf.attach(segment_name) as store:
        assert [problem.where for problem in store.check()] == ["header"]
        assert store["a"].last()["close"] == 10010.0


def test_who_dies_before_it_tells_the_time_leaves_a_store_that_is_adopted(
    segment_name: str,
) -> None:
    with filled(create(spec(segment_name)), 10_000, 10_010) as first:
        first.header["clock_ms"] = first.grid * INTERVAL_MS
    days_later, _ = open_store(spec(segment_name))
    put(days_later, 10_010 + 3 * 1_440)
    abandon(days_later)
    with ringbuf.attach(segment_name) as store:
        assert not store.check()
    writer, opening = open_store(spec(segment_name))
    writer.close()
    assert opening.how == "adopted"


def test_a_store_whose_mode_is_not_ours_to_change_is_left_as_it_was(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, with a mode that lets us write."""
    filled(create(spec(segment_name), mode=0o666)).close()

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, f"{mode:o} is not yours to give", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(PermissionError) as told:
        open_store(spec(segment_name), mode=0o600)
    assert told.value.filename.startswith(str(SHARED_MEMORY / segment_name))
    with ringbuf.attach(segment_name) as store:
        assert store.life == "stopped"
    successor, _ = open_store(spec(segment_name), mode=0o666)
    successor.close()


def test_who_read_before_a_death_that_moved_the_run_s_start_looks_again_after_it(
    segment_name: str,
) -> None:
    """`clear_ahead` dies behind its first store: nobody tells readers of the new start."""
    writer = filled(create(spec(segment_name, history=400)), 1000, 1199)
    capacity = writer.geometry.capacity
    grid = 1000 + capacity - 2
    put(writer, grid, series=1)
    with ringbuf.attach(segment_name) as reader:
        assert bars(reader["a"])[0] == 1000, "its place is remembered until something changes"
        writer.controls[0, WORD["start"]] = grid + 3 - capacity
        writer.disown()
        successor, opening = open_store(spec(segment_name, history=400))
        with successor:
            assert (opening.how, opening.repaired) == ("adopted", 0)
            successor.advance(grid + 1)
            assert bars(reader["a"]) == list(range(1001, 1200))
