"""A change of layout: what is still valid is in the new segment, and readers learn of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_ringbuf_adoption import COLUMNS, STALE, abandon, bars, filled, inode, names, put, spec

import ringbuf
from ringbuf import NoSpace, kernels, layout
from ringbuf.adoption import Opening, open_store
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series
from ringbuf.writer import Writer, create

SHARED_MEMORY = Path("/dev/shm")
LIMIT_S = 60
MORE = (*COLUMNS[:2], Column("new"), *COLUMNS[2:])


def rebuilt(name: str, **changes: Any) -> tuple[Writer, Opening]:
    """The store of `filled`, abandoned, opened anew with these changes."""
    writer, opening = open_store(spec(name, **changes), status=STALE)
    assert opening.how == "rebuilt"
    return writer, opening


def test_a_new_column_is_fresh_and_all_others_are_carried_over(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    writer, opening = rebuilt(segment_name, columns=MORE)
    with writer, ringbuf.attach(segment_name) as store:
        assert opening == Opening("rebuilt", 1, 0, ("new",), False)
        rows = store["a"].snapshot()
        assert rows["close"].tolist() == [1006.0, 1007.0, 1008.0, 1009.0, 1010.0]
        assert rows["trades"].tolist() == [1006, 1007, 1008, 1009, 1010]
        assert np.isnan(rows["new"]).all()
        assert writer.floats[0, 4, 1010 % writer.geometry.capacity] == -1010.0
        assert store["a"].state() | {"origin": 0} == store["a"].state() | {
            "newest": 1010,
            "closed": 1009,
            "confirmed": 1008,
            "start": 1000,
            "origin": 0,
        }
        assert store.check() == []
        put(writer, 1011)
        assert store.check() == []


def test_a_column_of_another_definition_is_not_carried_over(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    other = (*COLUMNS[:3], Column("_state", definition="version 2"))
    writer, opening = rebuilt(segment_name, columns=other)
    with writer:
        assert opening.fresh == ("_state",)
        assert np.isnan(writer.floats[0, 3]).all()


def test_without_an_essential_column_no_row_is_carried_over(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    other = (COLUMNS[0], Column("close", definition="in another currency"), *COLUMNS[2:])
    wanted = spec(segment_name, columns=other)
    writer, opening = open_store(wanted, essential=("close",))
    with writer:
        assert opening.how == "created"
        assert (writer.controls[:, WORD["newest"]] == -1).all()
        assert writer.grid == -1


def test_fresh_columns_are_computed_before_anybody_can_attach(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    public = SHARED_MEMORY / segment_name
    before = inode(public)

    def prepare(writer: Writer, opening: Opening) -> None:
        assert opening.fresh == ("new",)
        assert inode(public) == before
        writer.floats[0, 2] = writer.floats[0, 1] * 2

    writer, _ = open_store(spec(segment_name, columns=MORE), prepare=prepare)
    with writer, ringbuf.attach(segment_name) as store:
        assert inode(public) != before
        assert store["a"]["new"].tolist() == [2 * bar for bar in range(1006, 1011)]


@pytest.mark.parametrize("series", [(Series("b", "B"),), (Series("c", "C"), Series("b", "B"))])
def test_series_are_carried_over_by_both_of_their_names(
    segment_name: str, series: tuple[Series, ...]
) -> None:
    made = filled(create(spec(segment_name)))
    for bar in range(1005, 1008):
        put(made, bar, series=1)
    abandon(made)
    writer, opening = rebuilt(segment_name, series=series)
    with writer, ringbuf.attach(segment_name) as store:
        assert opening.kept == 1
        assert bars(store["b"]) == [1005, 1006, 1007]
        # As far as the grid had come, though the series that was there is gone.
        assert writer.grid == 1010
        assert store.check() == []
        if "c" in store:
            assert len(store["c"]) == 0


def test_one_of_the_same_name_that_means_another_series_is_not_carried_over(
    segment_name: str,
) -> None:
    abandon(filled(create(spec(segment_name))))
    writer, opening = rebuilt(segment_name, series=(Series("a", "A2"),))
    with writer:
        assert opening.kept == 0


@pytest.mark.parametrize(("history", "deeper"), [(40, True), (3, False)])
def test_more_history_keeps_all_less_keeps_what_fits(
    segment_name: str, history: int, deeper: bool
) -> None:
    abandon(filled(create(spec(segment_name)), 1000, 1200))
    writer, opening = rebuilt(segment_name, history=history)
    with writer, ringbuf.attach(segment_name) as store:
        assert opening.deeper == deeper
        assert bars(store["a"]) == list(range(1201 - history, 1201))
        assert store.check() == []
        start, newest = (int(writer.controls[0, WORD[w]]) for w in ("start", "newest"))
        kept = np.arange(start, newest + 1)
        values = writer.floats[0, 1, kept % writer.geometry.capacity]
        assert (values == kept).all()
        assert writer.controls[0, WORD["origin"]] == start


def test_rows_in_front_of_a_hole_are_carried_over_too(segment_name: str) -> None:
    made = filled(create(spec(segment_name)))
    made.put(0, 1020, {"close": 1.0})
    made.controls[0, WORD["origin"]] = 1000
    abandon(made)
    writer, _ = rebuilt(segment_name, columns=MORE)
    with writer, ringbuf.attach(segment_name) as store:
        assert bars(store["a"]) == [1020]
        capacity = writer.geometry.capacity
        assert writer.floats[0, 1, 1005 % capacity] == 1005.0
        assert writer.integers[0, 0, 1015 % capacity] == layout.EMPTY_TIME


def test_what_a_death_left_in_mid_write_is_mended_first(segment_name: str) -> None:
    made = filled(create(spec(segment_name)))
    kernels.begin(made.controls[0], 1010)
    made.floats[0, 1, 1010 % made.geometry.capacity] = 5.0
    abandon(made)
    writer, opening = rebuilt(segment_name, columns=MORE)
    with writer, ringbuf.attach(segment_name) as store:
        assert opening.repaired == 1
        assert bars(store["a"])[-1] == 1009
        assert store.check() == []


# -- readers of the old one ------------------------------------------------------------------------


def test_attached_readers_are_woken_learn_of_it_and_keep_their_views(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    old = ringbuf.attach(segment_name)
    view = old["a"]["close"]
    woken: list[bool] = []
    sleeper = threading.Thread(target=lambda store: woken.append(store.wait(LIMIT_S)), args=(old,))
    sleeper.start()
    writer, _ = rebuilt(segment_name, columns=MORE)
    with writer:
        sleeper.join(LIMIT_S)
        assert woken == [True]
        assert old.retired
        store = old.refresh()
        assert store is not old
        assert (store.columns, store.retired) == (("time", "close", "new", "trades"), False)
        assert store["a"].status == "stale" or store.life != "running"
        put(writer, 1011)
        assert bars(store["a"])[-1] == 1011
        assert view.tolist() == [1006.0, 1007.0, 1008.0, 1009.0, 1010.0]
        assert old.refresh() is not old
        old.close()
        del old
        assert view[-1] == 1010.0
        store.close()


def test_a_closed_reader_can_still_ask_for_the_newer_store(segment_name: str) -> None:
    abandon(filled(create(spec(segment_name))))
    old = ringbuf.attach(segment_name)
    old.close()
    writer, _ = rebuilt(segment_name, columns=MORE)
    with writer, old.refresh() as store:
        assert "new" in store.columns


def test_a_reader_whose_store_was_removed_is_told(segment_name: str) -> None:
    create(spec(segment_name)).close()
    with ringbuf.attach(segment_name) as store:
        for path in names(segment_name):
            path.unlink()
        assert not store.retired
        assert store.refresh() is store


def test_without_memory_for_both_the_old_store_stays_as_it_is(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandon(filled(create(spec(segment_name))))
    before = [inode(path) for path in names(segment_name)]
    monkeypatch.setattr("ringbuf.segment.free_space", lambda: (2**10, 64 * 2**20))
    with pytest.raises(NoSpace, match="--shm-size="):
        open_store(spec(segment_name, columns=MORE))
    assert [inode(path) for path in names(segment_name)] == before
    with ringbuf.attach(segment_name) as store:
        assert not store.retired
        assert len(store["a"]) == 5
    assert len(list(SHARED_MEMORY.glob(f"{segment_name}*"))) == 2


def test_when_computing_the_fresh_columns_fails_the_old_store_stays_as_it_is(
    segment_name: str,
) -> None:
    abandon(filled(create(spec(segment_name))))

    def prepare(_writer: Writer, _opening: Opening) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        open_store(spec(segment_name, columns=MORE), prepare=prepare)
    with open_store(spec(segment_name))[0], ringbuf.attach(segment_name) as store:
        assert len(store["a"]) == 5
