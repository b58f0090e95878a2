"""A death at any store of the engine's kernels: no row is lost, none is wrong, every bit follows.

The kernels run as plain Python over arrays that keep a copy of the store's memory before every
store into them: each copy is what a SIGKILL there would have left. Every one is adopted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import engine_kit as kit
import indicators
from engine_kit import BAR, MINUTE, Desk, candle, filled, word
from indicators.dispatch import steps
from monitor import kernels
from monitor.engine import Engine
from monitor.kernels import CANDLE_COLUMNS, CLOSED
from monitor.mending import Mender
from ringbuf import kernels as ring
from ringbuf.check import check
from ringbuf.layout import WORD
from ringbuf.repair import repair
from ringbuf.spec import Column, StoreSpec
from ringbuf.writer import Writer, in_memory

EVERY = int(os.environ.get("STRESS_EVERY", "53"))
"""Of a scenario's stores, each n-th is died at here; `make stress` takes every single one."""

VALUES = [CANDLE_COLUMNS.index(name) for name in CANDLE_COLUMNS if name != "flags"]
FLAGS = CANDLE_COLUMNS.index("flags")

Ints = npt.NDArray[np.int64]


class Watched(np.ndarray[Any, Any]):
    """An array that tells of every store into it, before it is made."""

    tell: Callable[[], None]

    def __setitem__(self, where: Any, value: Any) -> None:
        Watched.tell()
        super().__setitem__(where, value)


def store(array: Any, index: int, value: Any) -> None:
    array[index] = value


def stepper(compiled: Any) -> Callable[..., None]:
    """The stats' kernels stay compiled; between any two rows of any of them one can die."""

    def one_by_one(
        ops: Any, pars: Any, floats: Any, integers: Any, first: int, stop: int, age: int
    ) -> None:
        plain = floats.view(np.ndarray), integers.view(np.ndarray)
        for k in range(len(ops)):
            for i in range(first, stop):
                Watched.tell()
                compiled(ops[k : k + 1], pars[k : k + 1], *plain, i, i + 1, age + i - first)

    return one_by_one


@contextmanager
def plain_python(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All of the write path, but for the stats, as Python."""
    with monkeypatch.context() as patch:
        patch.setattr(ring, "store_release", store)
        for name in ("begin", "commit", "copy_row", "clear_bar", "clear_ahead"):
            function = getattr(ring, name).py_func
            patch.setattr(ring, name, function)
            if hasattr(kernels, name):
                patch.setattr(kernels, name, function)
        patch.setattr(ring, "release_fence", lambda: None)
        patch.setattr(kernels, "release_fence", lambda: None)
        for name in ("_flat", "_restep", "rework", "place", "open_bars", "close_bars", "fill"):
            patch.setattr(kernels, name, getattr(kernels, name).py_func)
        patch.setattr(kernels, "steps", stepper(steps))
        yield


def watch(writer: Writer) -> list[bytes]:
    """From now on, the memory before every store of the write path."""
    seen: list[bytes] = []
    Watched.tell = lambda: seen.append(bytes(writer.memory))
    for name in ("controls", "integers", "floats"):
        setattr(writer, name, getattr(writer, name).view(Watched))
    return seen


def deaths(
    desk: Desk, act: Callable[[Desk], object], monkeypatch: pytest.MonkeyPatch
) -> list[bytes]:
    """What `act` leaves if it is killed before each of its stores; the last one: it was not."""
    writer, book = desk.engine.book.writer, desk.engine.book
    seen = watch(writer)
    book.arrays = (writer.floats, writer.integers, writer.controls, *book.arrays[3:])
    book.controls = writer.controls
    with plain_python(monkeypatch):
        act(desk)
    return [*seen, bytes(writer.memory)]


# -- scenarios -------------------------------------------------------------------------------------


def traded(minutes: int = 6, **settings: Any) -> Desk:
    """A market with a history and live minutes, the last four of them silent."""
    desk = filled(**settings)
    for _ in range(minutes):
        desk.go_to(desk.bar + 1, 2.0)
        desk.hear()
        desk.go(30.0)
    desk.go_to(desk.bar + 4, 20.0)
    return desk


def settled() -> Desk:
    """REST has confirmed its minutes."""
    desk = traded()
    desk.settle()
    assert word(desk.engine, "confirmed") > desk.bar - 6
    return desk


def behind_a_hole() -> Desk:
    desk = traded()
    desk.lose()
    for bar in range(desk.bar, desk.bar + 9, 2):
        desk.miss(bar)
    desk.go(9 * 60.0)
    desk.regain()
    desk.hear()
    for _ in range(3):
        desk.go_to(desk.bar + 1, 20.0)
    return desk


def without_history() -> Desk:
    desk = Desk(rest_from=BAR - 60)
    desk.hear()
    desk.go_to(BAR + 2, 20.0)
    return desk


def never_heard() -> Desk:
    return Desk(rest_from=BAR - 60)


def long_ago() -> Desk:
    """The ring has turned round: its oldest rows are gone."""
    desk = traded()
    for _ in range(desk.engine.book.capacity):
        desk.go(60.0)
    desk.hear()
    desk.go_to(desk.bar + 2, 20.0)
    return desk


def corrected(back: int) -> Callable[[Desk], object]:
    def act(desk: Desk) -> object:
        bar = desk.bar - back
        return desk.engine.candle(candle("C0", bar, 120.0, 50), desk.now, 7)

    return act


def ahead(minutes: int) -> Callable[[Desk], object]:
    def act(desk: Desk) -> object:
        desk.now += minutes * MINUTE
        return desk.hear()

    return act


def gone_silent(desk: Desk) -> object:
    return [desk.go(1.0) for _ in range(120)]


def after_a_gap(desk: Desk) -> object:
    desk.lose()
    desk.go(9 * 60.0)
    desk.regain()
    return desk.hear()


def asked(desk: Desk) -> object:
    (ask,) = desk.asks()
    return desk.answer(ask)


def asked_and_corrected(desk: Desk) -> object:
    """REST confirms, but for two rows of which it knows better."""
    (ask,) = desk.asks()
    assert ask.kind == "confirm"
    for bar in (ask.first + 1, ask.last - 1):
        desk.miss(bar, 130.0, 99)
    return desk.answer(ask)


SCENARIOS: dict[str, tuple[Callable[[], Desk], Callable[[Desk], object]]] = {
    "another state of the open row": (traded, corrected(0)),
    "a late trade of a closed minute": (traded, corrected(3)),
    "a late trade with silent minutes behind it": (traded, corrected(5)),
    "a late trade of a minute that REST had confirmed": (settled, corrected(6)),
    "the first trade of a minute": (traded, ahead(1)),
    "a trade after silent minutes": (traded, ahead(4)),
    "minutes open and close": (traded, gone_silent),
    "a row behind a hole": (traded, after_a_gap),
    "the hole is filled": (behind_a_hole, asked),
    "a late trade behind the hole": (behind_a_hole, corrected(0)),
    "a first history": (without_history, asked),
    "a live row without a history": (without_history, corrected(1)),
    "a first history before any trade": (never_heard, asked),
    "the first row of all": (never_heard, lambda desk: desk.hear()),
    "a confirmation that corrects": (lambda: traded(9), asked_and_corrected),
    "late, in a ring that has turned": (long_ago, corrected(2)),
    "minutes, in a ring that has turned": (long_ago, gone_silent),
}


# -- what must be so -------------------------------------------------------------------------------


def mounted(spec: StoreSpec, memory: bytes) -> Writer:
    writer = in_memory(spec)
    writer.memory[:] = memory
    return writer


def known(writer: Writer) -> dict[int, tuple[tuple[int, ...], bool]]:
    """The candle of every row, whether readable or not, and whether it is closed."""
    capacity = writer.geometry.capacity
    bars = range(max(writer.grid + 2 - capacity, 0), writer.grid + 1)
    rows = {}
    for bar in bars:
        row = writer.integers[0, :, bar % capacity]
        if row[0] == bar * MINUTE:
            rows[bar] = tuple(row[VALUES].tolist()), bool(row[FLAGS] & CLOSED)
    return rows


def readable(writer: Writer) -> range:
    control = writer.controls[0]
    newest = int(control[WORD["newest"]])
    return range(int(control[WORD["start"]]), newest + 1) if newest >= 0 else range(0)


def confirmed(writer: Writer) -> int:
    return int(writer.controls[0, WORD["confirmed"]])


def stats_follow(engine: Engine) -> bool:
    """Do the stats of a whole run have the bits of one that is stepped from its beginning?"""
    book, writer = engine.book, engine.book.writer
    run = readable(writer)
    if not run or not book.whole(0):
        return False
    fresh = mounted(writer.spec, bytes(writer.memory))
    origin = word(engine, "origin")
    capacity = writer.geometry.capacity
    sure = max(origin, run[0]) if origin > writer.grid + 1 - capacity else book.oldest()
    kernels.rework(
        fresh.floats[0], fresh.integers[0], *book.arrays[3:], origin, sure, run[-1], True
    )
    at = np.arange(run[0], run[-1] + 1) % capacity
    assert (fresh.integers[0][:, at] == writer.integers[0][:, at]).all()
    return True


def adopt(spec: StoreSpec, memory: bytes) -> Engine:
    writer = mounted(spec, memory)
    repair(writer, Mender())
    assert check(writer.memory) == []
    engine = Engine(
        writer, indicators.plan(list(kit.STATS), history=spec.history), ["C0"], witnesses=1
    )
    kit.check(engine)
    return engine


def judge(engine: Engine, before: Writer, after: Writer) -> None:
    """`engine` has taken over what was left between `before` and `after`."""
    old, new, found = known(before), known(after), known(engine.book.writer)
    for bar, (values, closed) in old.items():
        if bar in new:
            assert bar in found, f"row {bar} is lost"
            assert found[bar][0] in {values, new[bar][0]}, f"row {bar} is invented"
            assert found[bar][1] or not closed, f"row {bar} is open again"
            if found[bar][0] != values:
                assert confirmed(engine.book.writer) < bar or confirmed(after) >= bar
    for bar in found.keys() - old.keys():
        assert found[bar][0] == new[bar][0], f"row {bar} is invented"
        assert new[bar][1] or not found[bar][1], f"row {bar} is closed too early"
    run = set(readable(engine.book.writer))
    stays = set(readable(before)) & set(readable(after))
    assert stays <= run, f"rows {sorted(stays - run)} cannot be read any more"
    stats_follow(engine)


@pytest.mark.parametrize("name", SCENARIOS)
def test_wherever_a_kernel_dies_no_row_is_lost_and_every_bit_follows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, act = SCENARIOS[name]
    desk = make()
    spec = desk.engine.book.writer.spec
    left = deaths(desk, act, monkeypatch)
    points = len(left)
    assert points > 10
    before, after = mounted(spec, left[0]), mounted(spec, left[-1])
    for memory in (*left[1:40], *left[40::EVERY], *left[-40:]):
        judge(adopt(spec, memory), before, after)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_next_service_ends_with_what_one_without_a_death_has(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, act = SCENARIOS[name]
    desk = make()
    spec = desk.engine.book.writer.spec
    left = deaths(desk, act, monkeypatch)
    for memory in left[1 :: max(1, len(left) // 12)]:
        desk.engine = adopt(spec, memory)
        desk.regain()
        desk.go(10.0)
        desk.settle()
        desk.check()
        desk.now -= 10_000.0
        assert not readable(desk.engine.book.writer) or desk.engine.book.ledgers[0].filled


@pytest.mark.parametrize("name", ["a late trade of a closed minute", "the hole is filled"])
def test_a_death_in_the_repair_is_met_by_the_next_repair(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, act = SCENARIOS[name]
    desk = make()
    spec = desk.engine.book.writer.spec
    left = deaths(desk, act, monkeypatch)
    before, after = mounted(spec, left[0]), mounted(spec, left[-1])
    for memory in left[5 :: len(left) // 4]:
        writer = mounted(spec, memory)
        if writer.controls[0, WORD["sequence"]] % 2 == 0:
            continue
        seen = watch(writer)
        with plain_python(monkeypatch):
            repair(writer, Mender())
        for again in (*seen[:40], *seen[40::EVERY], *seen[-20:]):
            judge(adopt(spec, again), before, after)


def test_what_the_mender_does_not_know_is_left_to_the_exchange() -> None:
    """Columns of stats that mean something else here: rows in work are dropped, not guessed."""
    desk = traded()
    writer = desk.engine.book.writer
    columns = tuple(
        Column(c.name, c.kind, c.unit, c.definition.replace("ATR/", "ATX/"))
        for c in writer.spec.columns
    )
    other = StoreSpec(**{**vars(writer.spec), "columns": columns})
    newest = word(desk.engine, "newest")
    again = mounted(other, bytes(writer.memory))
    ring.begin(again.controls[0], newest - 2)
    assert repair(again, Mender()) == 1
    assert readable(again)[-1] == newest - 3
    assert check(again.memory) == []
