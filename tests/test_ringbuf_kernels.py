"""The compiled half: the sequence lock's order, and the moves that keep a record sound."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import binding
from numba import njit, types

from ringbuf import kernels, waiting
from ringbuf.layout import CONTROL_WORDS, EMPTY_TIME, WORD

CAPACITY = 8
WORDS = types.int64[::1]
RECORD = types.int64[:, ::1]
SEQUENCE, DIRTY, NEWEST, CLOSED, START, ORIGIN, REWINDS = (
    WORD[name]
    for name in ("sequence", "dirty_from", "newest", "closed", "start", "origin", "rewinds")
)
BLANK = np.array([EMPTY_TIME, 0], np.int64)


def control() -> npt.NDArray[np.int64]:
    words = np.zeros(CONTROL_WORDS, np.int64)
    words[[NEWEST, CLOSED]] = -1
    return words


def record() -> npt.NDArray[np.int64]:
    return np.repeat(BLANK[:, None], 2 * CAPACITY, axis=1)


def bars(rows: npt.NDArray[np.int64]) -> list[int]:
    return sorted(rows[0][rows[0] != EMPTY_TIME][: 2 * CAPACITY].tolist()[::2])


def llvm(kernel: Any, signature: tuple[Any, ...]) -> str:
    """The optimised intermediate code of a kernel, compiled anew: a cached one has none."""
    fresh = njit(nogil=True, error_model="numpy")(kernel.py_func)
    fresh.compile(signature)
    return str(fresh.inspect_llvm(fresh.signatures[0]))


def body(code: str, name: str) -> str:
    """The function `name` alone, without the wrappers around it."""
    functions: list[str] = re.findall(r"define [^{]+\{.*?\n\}", code, re.DOTALL)
    return next(function for function in functions if name in function)


def arm(function: str) -> str:
    """The assembly of one function (`body`), translated for ARM."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = binding.parse_assembly(re.sub(r" #\d+|, ![\w.]+ !\d+", "", function))
    target = binding.Target.from_triple("aarch64-unknown-linux-gnu")
    machine = target.create_target_machine(opt=2)
    module.triple = "aarch64-unknown-linux-gnu"
    module.data_layout = str(machine.target_data)
    return str(machine.emit_assembly(module))


def test_begin_stores_dirty_from_and_the_odd_word_in_order_before_a_fence() -> None:
    code = body(llvm(kernels.begin, (WORDS, types.int64)), "begin")
    assert re.search(
        r"(store atomic i64.*release.*){3}fence release",
        code,
        re.DOTALL,
    )


def test_commit_releases_the_even_word() -> None:
    assert "store atomic i64" in body(llvm(kernels.commit, (WORDS,)), "commit")


def test_a_whole_write_keeps_its_order_when_the_compiler_has_inlined_it() -> None:
    """Stores of rows stay between the fence and the release of the even word."""
    code = body(
        llvm(kernels.put_words, (RECORD, WORDS, WORDS, types.int64, types.int64)), "put_words"
    )
    events = re.findall(r"store atomic|fence release|store i64|store <", code)
    fence = events.index("fence release")
    last = len(events) - 1 - events[::-1].index("store atomic")
    assert events[:fence].count("store atomic") == 3
    assert events[fence:].count("store atomic") == 1
    assert last > fence
    assert any(event.startswith(("store i64", "store <")) for event in events[fence:last])


def test_arm_gets_its_barriers() -> None:
    """x86 would keep the order without being told; only this shows that it is told."""
    code = llvm(kernels.put_words, (RECORD, WORDS, WORDS, types.int64, types.int64))
    events = re.findall(r"\t(stlr|dmb|st[rp])\t", arm(body(code, "put_words")))
    assert [event for event in events if event in {"stlr", "dmb"}] == [
        "stlr",
        "stlr",
        "stlr",
        "dmb",
        "stlr",
    ]
    rows = events[events.index("dmb") : len(events) - 1 - events[::-1].index("stlr")]
    assert {"str", "stp"} & set(rows)


def test_a_publication_is_an_atomic_addition_with_release() -> None:
    code = llvm(kernels.publish, (types.uint32[::1], types.int64))
    assert re.search(r"atomicrmw( volatile)? add .* release", code)
    assert "@syscall" in code


def test_clearing_ends_with_a_fence_before_the_grid_can_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its Python form, with the parts exchanged for a record of their order."""
    events: list[str] = []
    for name in ("begin", "commit", "clear_bar", "store_release", "release_fence"):
        monkeypatch.setattr(kernels, name, lambda *_, name=name: events.append(name))
    words = control()
    words[[START, NEWEST]] = 10, 15
    kernels.clear_ahead.py_func(record()[None], words[None], BLANK, 18, 18)
    # The run is never in work: who dies in here has all of its rows.
    assert events == [*["store_release"] * 3, "release_fence", "clear_bar", "release_fence"]


def test_the_sequence_is_odd_while_writing_and_even_after() -> None:
    words = control()
    kernels.begin(words, 7)
    assert (words[SEQUENCE], words[DIRTY]) == (1, 7)
    kernels.commit(words)
    assert words[SEQUENCE] == 2


def test_a_write_that_a_death_left_open_is_continued_and_closed() -> None:
    words = control()
    kernels.begin(words, 7)
    kernels.begin(words, 7)
    assert words[SEQUENCE] == 1
    kernels.commit(words)
    assert words[SEQUENCE] == 2


@given(st.lists(st.integers(0, 9), max_size=30))
def test_rewinds_counts_the_writes_that_went_back(starts: list[int]) -> None:
    words = control()
    for bar in starts:
        kernels.begin(words, bar)
        kernels.commit(words)
    went_back = sum(after < before for before, after in zip([0, *starts], starts, strict=False))
    assert words[REWINDS] == went_back
    assert words[SEQUENCE] == 2 * len(starts)


def test_a_row_is_written_twice() -> None:
    rows, words = record(), control()
    kernels.put_words(rows, words, np.array([21, 5], np.int64), 21, CAPACITY)
    slot = 21 % CAPACITY
    assert rows[:, slot].tolist() == rows[:, slot + CAPACITY].tolist() == [21, 5]
    assert (rows == 5).sum() == 2


def test_the_second_copy_equals_the_first() -> None:
    rows = record()
    rows[:, 3 + CAPACITY] = [11, 12]
    kernels.copy_row(rows, 3, CAPACITY)
    assert rows[:, 3].tolist() == [11, 12]


@pytest.mark.parametrize(
    ("bar", "run"),
    [(20, (20, 22)), (21, (21, 22)), (22, (21, 22)), (23, (21, 23)), (25, (25, 25))],
    ids=["behind", "oldest", "newest", "next", "after a hole"],
)
def test_the_run_grows_at_both_ends_and_starts_anew_after_a_hole(
    bar: int, run: tuple[int, int]
) -> None:
    rows, words = record(), control()
    for one in (21, 22, bar):
        kernels.put_words(rows, words, np.array([one, 0], np.int64), one, CAPACITY)
    assert (words[START], words[NEWEST]) == run
    assert words[ORIGIN] == words[START]


def test_clearing_takes_the_rows_that_were_in_the_way() -> None:
    records, controls = record()[None], control()[None]
    for bar in range(10, 16):
        kernels.put_words(records[0], controls[0], np.array([bar, 0], np.int64), bar, CAPACITY)
    sequence = controls[0, SEQUENCE]
    kernels.clear_ahead(records, controls, BLANK, 17, 18)
    assert bars(records[0]) == [11, 12, 13, 14, 15]
    assert (controls[0, START], controls[0, NEWEST]) == (11, 15)
    assert controls[0, SEQUENCE] == sequence + 2


def test_clearing_what_nobody_reads_leaves_the_lock_alone() -> None:
    records, controls = record()[None], control()[None]
    kernels.put_words(records[0], controls[0], np.array([10, 0], np.int64), 10, CAPACITY)
    kernels.clear_ahead(records, controls, BLANK, 12, 12)
    assert (controls[0, SEQUENCE], controls[0, START]) == (2, 10)


def test_a_series_that_the_grid_has_overtaken_is_empty() -> None:
    records, controls = record()[None], control()[None]
    kernels.put_words(records[0], controls[0], np.array([10, 0], np.int64), 10, CAPACITY)
    kernels.clear_ahead(records, controls, BLANK, 100 - CAPACITY + 2, 101)
    assert bars(records[0]) == []
    assert (controls[0, NEWEST], controls[0, CLOSED]) == (-1, -1)


def test_publishing_counts_around_the_end_of_its_word() -> None:
    word = np.array([2**32 - 1], np.uint32)
    kernels.publish(word, waiting.FUTEX)
    assert word[0] == 0
    kernels.publish(word, -1)
    assert word[0] == 1


def test_the_kernels_are_cached_for_the_next_start() -> None:
    for kernel in (kernels.begin, kernels.commit, kernels.publish, kernels.clear_ahead):
        assert kernel.targetoptions["nogil"]
        assert type(kernel._cache).__name__ == "FunctionCache"
