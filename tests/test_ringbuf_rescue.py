"""A store whose names were taken away under its writer: its rows are not lost, its readers know."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from test_ringbuf_adoption import filled, put, spec

import ringbuf
from ringbuf import NotReplaced, ownership, segment
from ringbuf.adoption import open_store
from ringbuf.rescue import is_kept, rescue
from ringbuf.writer import Writer, create


def rows(store: ringbuf.Store) -> bytes:
    return store["a"].snapshot().tobytes()


def without_names(name: str) -> Writer:
    """A store that is being written and has lost both of its names."""
    writer = filled(create(spec(name), mode=0o640))
    segment.unlink(name)
    assert not writer.restore_name()
    assert writer.nameless
    return writer


@contextmanager
def no_byte_can_be_written() -> Iterator[None]:
    """As in a full /dev/shm: files can be made, and mapped memory changed, but nothing appended."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_its_rows_go_on_in_a_new_segment_and_readers_find_it(segment_name: str) -> None:
    writer = filled(create(spec(segment_name), mode=0o640))
    with ringbuf.attach(segment_name) as reader:
        view, before = reader["a"]["close"], rows(reader)
        reader.wait(0.0)
        segment.unlink(segment_name)
        put(writer, 1011)
        before = rows(reader)
        assert rescue(writer)
        assert reader.retired
        assert reader.wait(0.0), "its readers are woken"
        assert view[-1] == 1010.0
        successor, opening = open_store(spec(segment_name), mode=0o640)
        assert (opening.how, opening.repaired) == ("adopted", 0)
        with successor, reader.refresh() as renewed:
            assert renewed is not reader
            assert rows(renewed) == before
            assert not renewed.check()
            assert not renewed.retired
            put(successor, 1012)
            assert renewed["a"].last()["close"] == 1012.0
            assert reader["a"].last()["close"] == 1011.0
    assert segment.path_of(segment_name).stat().st_mode & 0o777 == 0o640


def test_between_two_lives_it_is_as_if_the_writer_had_died(segment_name: str) -> None:
    writer = without_names(segment_name)
    assert rescue(writer)
    with ringbuf.attach(segment_name) as store:
        assert (store.life, store.retired) == ("down", False)
        assert not store.check()
    assert segment.keep_path(segment_name).samefile(segment.path_of(segment_name))


def test_without_room_for_a_copy_the_old_one_is_retired_all_the_same(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = filled(create(spec(segment_name)))
    with ringbuf.attach(segment_name) as reader:
        segment.unlink(segment_name)
        monkeypatch.setattr(segment, "free_space", lambda: (0, 1))
        assert not rescue(writer)
        assert reader.retired
        assert reader.life == "stopped"
    assert not os.path.lexists(segment.path_of(segment_name))
    assert not os.path.lexists(f"{segment.path_of(segment_name)}~new")


def test_in_a_full_dev_shm_readers_are_told_and_nothing_is_left(segment_name: str) -> None:
    writer = filled(create(spec(segment_name)))
    with ringbuf.attach(segment_name) as reader:
        segment.unlink(segment_name)
        with no_byte_can_be_written():
            assert not rescue(writer)
        assert reader.retired
    assert not list(segment.DIRECTORY.glob(f"{segment_name}*"))


def test_in_a_full_dev_shm_what_is_there_is_adopted(segment_name: str) -> None:
    filled(create(spec(segment_name))).close()
    with no_byte_can_be_written():
        successor, opening = open_store(spec(segment_name))
    with successor:
        assert opening.how == "adopted"
        assert segment.name_holder(segment_name) is None


def test_whatever_keeps_it_from_being_copied_its_readers_are_told(segment_name: str) -> None:
    writer = filled(create(spec(segment_name)))
    with ringbuf.attach(segment_name) as reader:
        segment.unlink(segment_name)
        aside = segment.aside_path(segment_name)
        aside.mkdir()
        with pytest.raises(ringbuf.NotAStore, match="found a folder, expected nothing: remove it"):
            rescue(writer)
        aside.rmdir()
        assert reader.retired


def test_a_name_that_stays_somebody_else_s_costs_the_rows_and_nothing_else(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "PATIENCE_S", 0.01)
    writer = filled(create(spec(segment_name)))
    with ringbuf.attach(segment_name) as reader:
        segment.unlink(segment_name)
        with segment.name_lock(segment_name), pytest.raises(ringbuf.NameHeld):
            rescue(writer)
        assert reader.retired
        assert not reader.alive


def test_what_has_taken_both_names_meanwhile_is_left_alone(segment_name: str) -> None:
    writer = without_names(segment_name)
    strange = segment.path_of(segment_name), segment.keep_path(segment_name)
    for each in strange:
        each.write_bytes(b"somebody's")
    with pytest.raises(NotReplaced, match="found 10 bytes"):
        open_store(spec(segment_name))
    assert not rescue(writer)
    for each in strange:
        assert each.read_bytes() == b"somebody's"
        each.unlink()


def test_a_second_writer_that_began_beside_it_keeps_what_it_has(segment_name: str) -> None:
    writer = without_names(segment_name)
    with filled(create(spec(segment_name)), 2000, 2003), ringbuf.attach(segment_name) as store:
        assert not rescue(writer)
        assert store["a"].last()["close"] == 2003.0
        assert store.alive


def test_where_only_the_public_name_leads_elsewhere_the_next_one_has_it_back(
    segment_name: str,
) -> None:
    writer = filled(create(spec(segment_name)))
    public: Path = segment.path_of(segment_name)
    with ringbuf.attach(segment_name) as reader:
        other = create(spec(f"{segment_name}_o"))
        other.close()
        segment.path_of(f"{segment_name}_o").replace(public)
        segment.unlink(f"{segment_name}_o")
        assert not writer.restore_name()
        assert writer.nameless
        assert reader.retired == (not public.samefile(segment.keep_path(segment_name)))
        assert rescue(writer)
        successor, opening = open_store(spec(segment_name))
        with successor:
            assert opening.how == "adopted"
            assert reader.refresh() is reader, "its name leads to it again"
            put(successor, 1011)
            assert np.array_equal(reader["a"]["close"][-2:], [1010.0, 1011.0])


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_store_has_the_name_for_a_while_only(
    segment_name: str, make: Callable[[Path], None]
) -> None:
    """Nobody can attach meanwhile; who is attached goes on, and so does the writer."""
    writer = filled(create(spec(segment_name)))
    public: Path = segment.path_of(segment_name)
    with ringbuf.attach(segment_name) as reader:
        assert not writer.usurped
        public.unlink()
        make(public)
        assert not writer.restore_name()
        assert (writer.usurped, writer.nameless) == (True, False)
        assert (reader.retired, reader.life) == (False, "running")
        with pytest.raises(ringbuf.NotAStore):
            ringbuf.attach(segment_name)
        public.rmdir() if public.is_dir() else public.unlink()
        assert writer.restore_name()
        assert not writer.usurped
        assert public.samefile(segment.keep_path(segment_name))
    writer.close()
    ownership.remove(segment_name)


def test_while_the_second_link_is_there_nothing_is_given_up(segment_name: str) -> None:
    """Unlinked a moment after `restore_name`, or without room for another name."""
    writer = filled(create(spec(segment_name)))
    segment.path_of(segment_name).unlink()
    assert (writer.named, writer.nameless) == (False, False)
    assert writer.restore_name()
    assert writer.named
    writer.close()


def test_what_cannot_be_copied_is_not_retired_where_it_is_kept(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "PATIENCE_S", 0.01)
    writer = filled(create(spec(segment_name)))
    with ringbuf.attach(segment_name) as reader:
        segment.path_of(segment_name).unlink()
        with segment.name_lock(segment_name), pytest.raises(ringbuf.NameHeld):
            rescue(writer)
        assert is_kept(writer)
        assert not reader.retired
        successor, opening = open_store(spec(segment_name))
        with successor:
            assert (opening.how, opening.kept) == ("adopted", 1)
            assert reader.alive


@pytest.mark.parametrize("taken", ["", ".keep"])
def test_where_a_file_has_one_of_the_names_the_copy_gets_the_other(
    segment_name: str, taken: str
) -> None:
    writer = without_names(segment_name)
    strange = segment.path_of(segment_name).with_name(f"{segment_name}{taken}")
    strange.write_bytes(b"somebody's")
    assert rescue(writer)
    assert strange.read_bytes() == b"somebody's"
    if not taken:
        with pytest.raises(NotReplaced, match="found 10 bytes"):
            open_store(spec(segment_name))
    strange.unlink()
    successor, opening = open_store(spec(segment_name))
    with successor, ringbuf.attach(segment_name) as store:
        assert (opening.how, opening.kept) == ("adopted", 1)
        assert store["a"].last()["close"] == 1010.0


def test_a_folder_in_the_way_of_a_link_is_told(segment_name: str) -> None:
    filled(create(spec(segment_name))).close()
    segment.path_of(segment_name).unlink()
    folder = segment.path_of(segment_name).with_name(f"{segment_name}~link")
    folder.mkdir()
    with pytest.raises(ringbuf.NotAStore, match="found a folder, expected nothing: remove it"):
        open_store(spec(segment_name))
    folder.rmdir()
    open_store(spec(segment_name))[0].close()


def test_without_room_for_a_second_link_a_store_is_adopted_all_the_same(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(create(spec(segment_name))).close()
    segment.keep_path(segment_name).unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no inode")

    with monkeypatch.context() as changed:
        changed.setattr(os, "link", full)
        successor, opening = open_store(spec(segment_name))
        assert opening.how == "adopted"
        with pytest.raises(ringbuf.NoSpace):
            segment.keep_names(segment.path_of(segment_name), f"{segment_name}.other")
    with successor:
        successor.restore_name()
        assert segment.keep_path(segment_name).exists()


def test_a_private_store_has_no_names_to_lose() -> None:
    from ringbuf.writer import in_memory

    assert not in_memory(spec("x")).nameless
    assert in_memory(spec("x")).mode == 0o600
