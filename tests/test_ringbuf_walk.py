"""Any sequence of what writer and readers can do, deaths among it, leaves what a plain model says.

The model is a dict of rows for each series. A death is a write that is given up before one of its
stores; then the store's lock is let go, as the kernel does it, and another writer takes over.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ringbuf
from reader_kit import HISTORY, INTERVAL_MS, row, spec, whole
from ringbuf import kernels, layout, ownership
from ringbuf.adoption import open_store
from ringbuf.layout import WORD
from ringbuf.writer import Writer, create

BASE = 1_000
SERIES = st.integers(0, 1)


class Died(Exception):
    """The writer is gone, here and now."""


class Mortal(np.ndarray[Any, Any]):
    """An array of the store's memory; whoever stores into it once too often dies before."""

    left = 0

    def __setitem__(self, where: Any, value: Any) -> None:
        if Mortal.left == 0:
            raise Died
        Mortal.left -= 1
        super().__setitem__(where, value)


def put_until_dead(writer: Writer, series: int, bar: int, value: int, stores: int) -> bool:
    """`writer.put` in plain Python, given up after so many stores; True if it came to its end."""
    words = writer.blank.copy()
    words[0] = bar * INTERVAL_MS
    for name, cell in row(value).items():
        kind = writer.spec.columns[writer.column[name]].kind
        words[writer.column[name]] = np.float64(cell).view(np.int64) if kind == "f" else cell
    control, record = writer.controls[series].view(Mortal), writer.integers[series].view(Mortal)
    plain = {"release_fence": lambda: None, "store_release": Mortal.__setitem__}
    compiled = {name: getattr(kernels, name) for name in (*plain, "begin", "commit")}
    Mortal.left = stores
    try:
        for name, function in compiled.items():
            setattr(kernels, name, plain.get(name) or function.py_func)
        kernels.put_words.py_func(record, control, words, bar, writer.geometry.capacity)
    except Died:
        return False
    finally:
        for name, function in compiled.items():
            setattr(kernels, name, function)
    return True


class Walk(RuleBasedStateMachine):
    """Writer, readers and the model; rows of a series have no hole here."""

    made = 0

    @initialize()
    def make(self) -> None:
        Walk.made += 1
        self.name = f"mmtest_{os.getpid()}_walk_{Walk.made}"
        self.history = HISTORY
        self.writer = create(spec(self.name))
        self.store = ringbuf.attach(self.name)
        self.rows: list[dict[int, int]] = [{}, {}]
        self.closed = [-1, -1]
        self.untold = False
        self.value = 0
        for series in (0, 1):
            self.place(series, 0)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.writer.close()
            ownership.remove(self.name)

    def fresh(self) -> int:
        self.value += 1
        return self.value

    def forget(self) -> None:
        """Rows for which the ring has no room any more."""
        oldest = self.writer.grid + 2 - self.writer.geometry.capacity
        for series, rows in enumerate(self.rows):
            for bar in [bar for bar in rows if bar < oldest]:
                del rows[bar]
            if not rows:
                self.closed[series] = -1

    # -- the writer ----------------------------------------------------------------------------

    @rule(series=SERIES, step=st.integers(0, 1))
    def place(self, series: int, step: int) -> None:
        newest = max(self.rows[series], default=max(self.writer.grid, BASE))
        bar, value = newest + step, self.fresh()
        if bar <= self.closed[series]:
            bar = self.closed[series] + 1
        self.writer.put(series, bar, row(value))
        self.rows[series][bar] = value
        self.forget()

    @rule(minutes=st.sampled_from([1, 2, 60, 200]))
    def advance(self, minutes: int) -> None:
        self.writer.advance(self.writer.grid + minutes)
        self.forget()

    @rule(series=SERIES)
    def close(self, series: int) -> None:
        if not self.rows[series]:
            return
        control, bar = self.writer.controls[series], max(self.rows[series])
        kernels.begin(control, bar)
        control[WORD["closed"]] = self.closed[series] = bar
        kernels.commit(control)

    @rule(series=SERIES, back=st.integers(0, 8))
    def correct(self, series: int, back: int) -> None:
        bar = max(self.rows[series], default=-1) - back
        if bar in self.rows[series]:
            self.rows[series][bar] = self.fresh()
            self.writer.put(series, bar, row(self.value))

    @rule()
    def publish(self) -> None:
        self.writer.publish()
        self.untold = True

    @rule(series=SERIES, back=st.integers(-1, 6), stores=st.integers(0, 40))
    def die_and_adopt(self, series: int, back: int, stores: int) -> None:
        rows = self.rows[series]
        bar = max(rows, default=-10) - back
        if bar not in rows and bar - 1 not in rows:
            return
        self.writer.advance(bar)
        self.forget()
        self.writer.set_state(layout.RUNNING)
        assert self.store.wait(0)
        ended = put_until_dead(self.writer, series, bar, self.fresh(), stores)
        odd = bool(self.writer.controls[series, WORD["sequence"]] & 1)
        self.writer.disown()
        assert (self.store.life, self.store.condition) == ("down", "down")
        if ended:
            rows[bar] = self.value
        if odd:
            # All of the rows before the one in work can be read at once, and stay.
            self.rows[series] = {b: value for b, value in rows.items() if b < bar}
            self.closed[series] = min(self.closed[series], max(self.rows[series], default=-1))
            if back > 0 or not self.rows[series]:
                self.readers_see_what_the_model_says(series)
        self.writer, opening = open_store(spec(self.name, self.history))
        assert (opening.how, opening.repaired) == ("adopted", int(odd))
        assert self.store.refresh() is self.store
        self.untold = True

    @rule()
    def rebuild_and_refresh(self) -> None:
        self.history = HISTORY + 1 if self.history == HISTORY else HISTORY
        self.writer.close()
        self.writer, opening = open_store(spec(self.name, self.history))
        assert opening.how == "rebuilt"
        old = self.store
        assert old.retired
        assert old.wait(0)
        self.store = old.refresh()
        old.close()
        assert self.store is not old
        self.untold = False
        self.forget()

    # -- readers -------------------------------------------------------------------------------

    @rule()
    def wait(self) -> None:
        told = self.store.wait(0)
        assert told == self.untold
        self.untold = False
        assert not self.store.wait(0)

    @rule(series=SERIES)
    def wait_for_one(self, series: int) -> None:
        ring = list(self.store.values())[series]
        ring.wait(0)
        assert not ring.wait(0)
        if self.rows[series]:
            self.correct(series, 0)
            self.publish()
            assert ring.wait(0)

    @invariant()
    @precondition(lambda self: hasattr(self, "store"))
    def every_series_is_what_the_model_says(self) -> None:
        assert self.store.check() == []
        for series in (0, 1):
            self.readers_see_what_the_model_says(series)

    def readers_see_what_the_model_says(self, series: int) -> None:
        ring = list(self.store.values())[series]
        bars = sorted(self.rows[series])[-self.history :]
        values = [self.rows[series][bar] for bar in bars]
        rows, last = ring.snapshot(), ring.last()
        assert (rows["time"].astype(int) // INTERVAL_MS).tolist() == bars
        assert rows["close"].tolist() == ring.view("close").tolist() == values
        assert whole(rows)
        closed = [self.rows[series][bar] for bar in bars if bar <= self.closed[series]]
        assert ring.snapshot(closed=True)["close"].tolist() == closed
        if bars:
            assert (last["close"], last["closed"]) == (values[-1], bars[-1] <= self.closed[series])
            assert whole(last)
        else:
            assert np.isnat(last["time"])


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
