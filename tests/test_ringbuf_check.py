"""Every broken invariant is found and named; a sound store has none."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

import ringbuf
from ringbuf import check as check_module
from ringbuf import kernels, layout
from ringbuf.check import Problem, check
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create, in_memory

COLUMNS = (Column("time", "M"), Column("x", "f", "USD", "a value"), Column("n", "i"), Column("_y"))
NEWEST = 1005
LIMIT_S = 60


def spec(name: str = "checked") -> StoreSpec:
    return StoreSpec(name, (Series("a", "A"), Series("b", "B")), COLUMNS, 5, 60_000)


@pytest.fixture
def made() -> Writer:
    writer = in_memory(spec())
    for bar in range(1000, NEWEST + 1):
        writer.put(0, bar, {"x": 1.0, "n": 2, "_y": 3.0})
    writer.put(1, 1003, {"x": 5.0})
    return writer


@pytest.fixture(autouse=True)
def _no_second_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes here, so that what is broken stays so."""
    monkeypatch.setattr(check_module, "LOOKS", 1)


def slot(writer: Writer, bar: int) -> list[int]:
    """Where both copies of the row are."""
    return [
        bar % writer.geometry.capacity,
        bar % writer.geometry.capacity + writer.geometry.capacity,
    ]


def found(writer: Writer) -> list[str]:
    return [str(problem) for problem in check(writer.memory)]


def test_a_new_store_is_sound() -> None:
    assert found(in_memory(spec())) == []


def test_a_store_with_rows_is_sound(made: Writer) -> None:
    assert found(made) == []


def test_a_problem_reads_as_where_and_what() -> None:
    assert str(Problem("btcusd_perp", "is broken")) == "btcusd_perp: is broken"


def set_word(name: str, value: int) -> Callable[[Writer], None]:
    def damage(writer: Writer) -> None:
        writer.controls[0, WORD[name]] = value

    return damage


def set_header(name: str, value: int) -> Callable[[Writer], None]:
    def damage(writer: Writer) -> None:
        writer.header[name] = value

    return damage


def set_cell(column: int, bar: int, value: int, copies: int = 2) -> Callable[[Writer], None]:
    def damage(writer: Writer) -> None:
        writer.integers[0, column, slot(writer, bar)[:copies]] = value

    return damage


def replace(old: bytes, new: bytes) -> Callable[[Writer], None]:
    def damage(writer: Writer) -> None:
        memory = writer.memory
        start = layout.HEADER_SIZE
        at = memory.index(old, start)
        memory[at : at + len(new)] = new

    return damage


def zero(field: str) -> Callable[[Writer], None]:
    def damage(writer: Writer) -> None:
        at = int(writer.header[field][0])
        writer.memory[at] = ord("z")

    return damage


DAMAGE: list[tuple[Callable[[Writer], None], str]] = [
    (set_header("magic", 0), "header: segment 'store' is not a store: found magic"),
    (set_header("major", 9), "layout version 9, this library reads version 1"),
    (set_header("size", 2**40), "header: segment 'store' is not a store: found a file of"),
    (set_header("state", 7), "header: state 7, expected one of"),
    (set_header("grid", -2), "header: grid -2, expected a bar or -1"),
    (set_header("history", 68), "no slot to keep clear"),
    (set_header("interval_ms", 1), "document: interval_ms 60000, the segment has 1"),
    (set_header("columns_offset", 4096), "header: columns at 4096, inside of document"),
    (replace(b'"n"', b'"q"'), "document: "),
    (replace(b'{"name"', b'["name"'), "document: JSONDecodeError"),
    (replace(b'"capacity"', b'"capacitz"'), "document: KeyError: 'capacity'"),
    (zero("series_offset"), "document: series [('a', 'A'), ('b', 'B')], the segment has [('z'"),
    (zero("columns_offset"), "document: columns [('time'"),
    (set_word("sequence", 13), "a: sequence 13 is odd: a write was begun and never finished"),
    (set_word("newest", 1006), "a: newest 1006 is ahead of the grid, 1005"),
    (set_word("newest", 1004), "a: bar 1005 has a row, newest is 1004"),
    (set_word("newest", -2), "a: newest -2, expected a bar or -1"),
    (set_word("closed", 1006), "a: closed 1006 is ahead of newest 1005"),
    (set_word("start", 1006), "a: start 1006 is ahead of newest 1005"),
    (set_word("start", 999), "a: bar 999 is empty, in the run from 999 to 1005"),
    (set_word("start", 1), "a: start 1, the ring begins at "),
    (set_word("origin", 1001), "a: origin 1001 is ahead of start 1000"),
    (set_word("status", 1), "a: status 1, expected less than 1"),
    (set_cell(1, 1002, 0, copies=1), "a: column 'x': the two copies of slot"),
    (set_cell(3, 1002, 0, copies=1), "a: column '_y': the two copies of slot"),
    (set_cell(0, 1002, 1002 * 60_000 + 1), "a: time of slot "),
    (set_cell(0, 1002, 934 * 60_000), "a: time of slot "),
    (set_cell(0, 1002, layout.EMPTY_TIME), "a: bar 1002 is empty, in the run from 1000 to 1005"),
    (set_cell(2, 1006, 7), "a: column 'n': slot "),
    (set_cell(1, 1006, 0), "a: column 'x': slot "),
    (set_cell(0, 1006, 1006 * 60_000), "a: time of slot "),
]


@pytest.mark.parametrize(("damage", "says"), DAMAGE, ids=[says for _, says in DAMAGE])
def test_what_is_broken_is_named(damage: Callable[[Writer], None], says: str, made: Writer) -> None:
    damage(made)
    problems = found(made)
    assert problems
    assert says in problems[0] or any(says in problem for problem in problems)


def test_the_other_series_is_not_blamed(made: Writer) -> None:
    set_word("start", 999)(made)
    assert {problem.where for problem in check(made.memory)} == {"a"}


def test_nothing_is_written(made: Writer) -> None:
    before = bytes(made.memory)
    check(made.memory)
    assert bytes(made.memory) == before
    assert check(memoryview(before)) == []


@pytest.mark.parametrize("length", [0, 100, 4096, 10_000])
def test_a_piece_of_a_segment_is_a_problem_not_an_error(length: int, made: Writer) -> None:
    assert [problem.where for problem in check(bytes(made.memory)[:length])] == ["header"]


def test_a_store_checks_itself_through_its_read_only_mapping(segment_name: str) -> None:
    with create(spec(segment_name)) as writer, ringbuf.attach(segment_name) as store:
        writer.put(0, 1000, {"x": 1.0})
        assert store.check() == []
        writer.controls[0, WORD["closed"]] = 2000
        assert [str(problem) for problem in store.check()] == [
            "a: closed 2000 is ahead of newest 1000"
        ]


def test_what_is_broken_for_a_moment_only_is_looked_at_again(
    made: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A roll clears both copies of a slot one after the other, outside of the lock."""
    monkeypatch.setattr(check_module, "LOOKS", 3)
    damage = set_cell(1, 1002, 0, copies=1)
    damage(made)

    def repair(_seconds: float) -> None:
        set_cell(1, 1002, 0)(made)

    monkeypatch.setattr("time.sleep", repair)
    assert found(made) == []


def test_a_store_in_full_use_is_never_blamed(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "LOOKS", 6)
    stop = threading.Event()
    with create(spec(segment_name)) as writer, ringbuf.attach(segment_name) as store:

        def write() -> None:
            bar = 1000
            while not stop.is_set():
                bar += 1
                for series in (0, 1):
                    writer.put(series, bar, {"x": float(bar)})

        thread = threading.Thread(target=write)
        thread.start()
        try:
            problems = [problem for _ in range(50) for problem in store.check()]
        finally:
            stop.set()
            thread.join(LIMIT_S)
    assert {problem.what for problem in problems} <= {"never at rest"}


def test_it_needs_numpy_alone() -> None:
    code = "import sys, ringbuf.check; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_empty_double_is_any_not_a_number(made: Writer) -> None:
    """Its bits are the writer's choice, as long as both copies have the same."""
    for at in slot(made, NEWEST + 1):
        made.integers[0, 1, at] = 0x7FF8000000000001
    assert np.isnan(made.floats[0, 1, slot(made, NEWEST + 1)]).all()
    assert found(made) == []


def test_a_write_that_was_begun_and_committed_is_at_rest(made: Writer) -> None:
    kernels.begin(made.controls[0], NEWEST)
    assert len(found(made)) == 1
    kernels.commit(made.controls[0])
    assert found(made) == []
