"""Stepped in a ring, tick by tick, corrected or not: the bits are those of one batch over all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit

from indicators import compute, plan
from indicators.dispatch import run, step, steps
from oracles import small

Floats = npt.NDArray[np.float64]

# Every stat there is, with short look-backs, and every way to choose an input.
NAMES = [*small(), "EMA4_hlc3", "RSI3_volume", "SMA5_ohlc4", "ATR1", "RSI1", "EMA1", "SMA1"]
INPUTS = ("open", "high", "low", "close", "volume", "time")
PLAN = plan(NAMES, history=1440)
PUBLIC = [column.name for column in PLAN.columns if not column.private]
ORDER = (*INPUTS, *(column.name for column in PLAN.columns))
INDEX = {name: row for row, name in enumerate(ORDER)}
GARBAGE = 1e300


def candles(rows: int, seed: int = 1) -> Floats:
    """Rows of the inputs; some of them flat and without trades. `time` is int64 in disguise."""
    draw = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(draw.normal(0.0, 0.01, rows)))
    opens = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opens, close) * (1.0 + draw.random(rows) * 0.01)
    low = np.minimum(opens, close) * (1.0 - draw.random(rows) * 0.01)
    # A day ends within any of the tests' stretches.
    time = 86_400_000 + 60_000 * (np.arange(rows) - rows // 2)
    block = np.array([opens, high, low, close, draw.exponential(5.0, rows), time.view(np.float64)])
    silent = draw.random(rows) < 0.3
    for row in range(1, rows):
        if silent[row]:
            block[:4, row] = block[3, row - 1]
            block[4, row] = 0.0
    return block


def moved(block: Floats, factor: float) -> Floats:
    """The same candles at other prices and volumes."""
    result = block.copy()
    result[:5] *= factor
    return result


def expected(block: Floats) -> Floats:
    given = dict(zip(INPUTS, block, strict=True))
    values = compute(NAMES, {**given, "time": given["time"].view(np.int64)})
    return np.array([values[name] for name in PUBLIC])


def same_bits(found: Floats, wanted: Floats) -> bool:
    return np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(wanted).tobytes()


class Ring:
    """One market's rows, each written twice, as the store keeps them."""

    def __init__(self, capacity: int, origin: int) -> None:
        self.capacity = capacity
        self.origin = origin
        self.floats = np.full((len(ORDER), 2 * capacity), GARBAGE)
        self.ints = self.floats.view(np.int64)
        self.table = PLAN.bind(INDEX)

    def put(self, row: int, candle: Floats) -> None:
        """Write the candle of the origin's row-th minute and step its stats."""
        slot = (self.origin + row) % self.capacity
        upper = slot + self.capacity
        self.floats[: len(INPUTS), slot] = self.floats[: len(INPUTS), upper] = candle
        self.restep(row)

    def restep(self, row: int) -> None:
        slot = (self.origin + row) % self.capacity
        upper = slot + self.capacity
        step(self.table.ops, self.table.pars, self.floats, self.ints, upper, row)
        self.floats[:, slot] = self.floats[:, upper]

    def view(self, newest: int, count: int) -> Floats:
        """Return the public stats of the last rows, oldest first."""
        end = (self.origin + newest) % self.capacity + self.capacity + 1
        return self.floats[len(INPUTS) : len(INPUTS) + len(PUBLIC), end - count : end]


@pytest.mark.parametrize("capacity", [PLAN.lookback + 1, PLAN.lookback + 6])
def test_every_wrap_position_gives_the_bits_of_a_batch(capacity: int) -> None:
    block = candles(3 * capacity)
    wanted = expected(block)
    for origin in range(capacity):
        ring = Ring(capacity, origin)
        for row in range(block.shape[1]):
            ring.put(row, block[:, row])
            count = min(row + 1, capacity)
            assert same_bits(ring.view(row, count), wanted[:, row + 1 - count : row + 1])


def test_ticks_of_the_open_candle_leave_nothing_behind() -> None:
    block = candles(60, 2)
    wanted = expected(block)
    draw = np.random.default_rng(2)
    ring = Ring(17, 5)
    for row in range(60):
        for _ in range(4):
            ring.put(row, moved(block[:, row], draw.uniform(0.5, 1.5)))
        for _ in range(2):
            ring.put(row, block[:, row])
            assert same_bits(ring.view(row, 1), wanted[:, row : row + 1])


def test_each_tick_of_the_open_candle_is_the_batch_of_the_rows_so_far() -> None:
    block = candles(40, 3)
    draw = np.random.default_rng(3)
    ring = Ring(23, 1)
    for row in range(40):
        for _ in range(3):
            rows = block[:, : row + 1].copy()
            rows[:, row] = moved(rows[:, row], draw.uniform(0.9, 1.1))
            ring.put(row, rows[:, row])
            assert same_bits(ring.view(row, 1), expected(rows)[:, -1:])
        ring.put(row, block[:, row])


def test_a_corrected_row_steps_through_to_the_bits_of_a_run_that_had_it_right() -> None:
    capacity, rows = 40, 70
    block = candles(rows, 4)
    oldest = rows - (capacity - PLAN.lookback)
    wanted = expected(block)
    for wrong in (*range(PLAN.lookback), *range(oldest, rows)):
        until = rows if wrong >= oldest else capacity
        ring = Ring(capacity, 13)
        for row in range(until):
            ring.put(row, moved(block[:, row], 1.5 if row == wrong else 1.0))
        assert not same_bits(ring.view(until - 1, until - wrong), wanted[:, wrong:until])
        ring.put(wrong, block[:, wrong])
        for row in range(wrong + 1, until):
            ring.restep(row)
        assert same_bits(ring.view(until - 1, until - wrong), wanted[:, wrong:until])


def test_kernels_read_no_further_back_than_they_declare() -> None:
    block = candles(80, 5)
    for name in NAMES:
        planned = plan([name], history=1440)
        order = (*INPUTS, *(column.name for column in planned.columns))
        index = {column: row for row, column in enumerate(order)}
        table = planned.bind(index)
        floats = np.full((len(order), 80), np.nan)
        floats[: len(INPUTS)] = block
        run(table.ops, table.pars, floats, floats.view(np.int64), 0, 80)
        for row in (planned.warmup, planned.warmup + 1, 50):
            poisoned = floats.copy()
            poisoned[:, : max(row - planned.lookback, 0)] = GARBAGE
            poisoned[:, row + 1 :] = GARBAGE
            poisoned[len(INPUTS) :, row] = GARBAGE
            step(table.ops, table.pars, poisoned, poisoned.view(np.int64), row, row)
            assert same_bits(poisoned[:, row], floats[:, row]), (name, row)


def test_the_first_row_reads_nothing_before_it() -> None:
    """Also in the middle of the memory, where there is something before it."""
    table = PLAN.bind(INDEX)
    floats = np.full((len(ORDER), 30), GARBAGE)
    alone = np.zeros((len(ORDER), 1))
    for block, row in ((floats, 9), (alone, 0)):
        block[: len(INPUTS), row] = candles(1)[:, 0]
        step(table.ops, table.pars, block, block.view(np.int64), row, 0)
    assert same_bits(floats[:, 9], alone[:, 0])


def test_a_step_writes_its_row_and_no_other() -> None:
    ring = Ring(20, 0)
    block = candles(15, 6)
    for row in range(15):
        ring.put(row, block[:, row])
    before = ring.floats.copy()
    step(ring.table.ops, ring.table.pars, ring.floats, ring.ints, 34, 14)
    assert same_bits(ring.floats, before)


@pytest.mark.parametrize("first", [0, 1, 7, 59])
def test_many_rows_at_once_give_the_bits_of_row_after_row(first: int) -> None:
    table = PLAN.bind(INDEX)
    block = candles(60, 8)
    one, other = np.full((2, len(ORDER), 60), GARBAGE)
    one[: len(INPUTS)] = other[: len(INPUTS)] = block
    for row in range(60):
        step(table.ops, table.pars, one, one.view(np.int64), row, row)
    run(table.ops, table.pars, other, other.view(np.int64), 0, first)
    steps(table.ops, table.pars, other, other.view(np.int64), first, 60, first)
    assert same_bits(one, other)


def test_jitted_code_calls_step_like_any_jitted_function() -> None:
    @njit
    def twice(ops, pars, floats, ints, i, age):  # type: ignore[no-untyped-def]
        for _ in range(2):
            step(ops, pars, floats, ints, i, age)

    table = PLAN.bind(INDEX)
    block = candles(30, 7)
    floats = np.full((len(ORDER), 30), np.nan)
    floats[: len(INPUTS)] = block
    for row in range(30):
        twice(table.ops, table.pars, floats, floats.view(np.int64), row, row)
    assert same_bits(floats[len(INPUTS) : len(INPUTS) + len(PUBLIC)], expected(block))


def test_an_empty_table_steps_nothing() -> None:
    table = plan([], history=1440).bind({})
    floats = np.full((1, 4), 7.0)
    step(table.ops, table.pars, floats, floats.view(np.int64), 2, 2)
    assert (floats == 7.0).all()
