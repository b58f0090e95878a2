"""A stepper does what `step` does, keeps what it points at, and refuses what it cannot point at."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from indicators import plan
from indicators.dispatch import run, step
from indicators.ticking import Stepper
from oracles import small
from oracles.markets import walk

INPUTS = ("open", "high", "low", "close", "volume", "time")
PLAN = plan(small(), history=None)
ORDER = (*INPUTS, *(column.name for column in PLAN.columns))


def test_every_row_of_every_stat_has_the_bits_of_a_step() -> None:
    rows = walk(100.0, 80, 3)
    table = PLAN.bind({name: row for row, name in enumerate(ORDER)})
    one, other = np.full((2, len(ORDER), 80), 1e300)
    for block in (one, other):
        for row, name in enumerate(INPUTS):
            block[row] = rows[name].view(np.float64)
    stepper = Stepper(table, other)
    for row in range(80):
        step(table.ops, table.pars, one, one.view(np.int64), row, row)
        stepper(row, row)
    assert one.tobytes() == other.tobytes()


def test_table_and_columns_live_as_long_as_the_stepper() -> None:
    def made() -> tuple[Stepper, np.ndarray]:
        table = plan(["SMA2"], history=None).bind({"close": 0, "SMA2": 1})
        block = np.array([[1.0, 3.0], [np.nan, np.nan]])
        run(table.ops, table.pars, block, block.view(np.int64), 0, 1)
        return Stepper(table, block), block[1]

    stepper, out = made()
    gc.collect()
    stepper(1, 1)
    assert out[1] == 2.0


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 4), np.float32),
        np.zeros((4, 3)).T,
        np.zeros((3, 8))[:, ::2],
        np.zeros(12),
        np.frombuffer(bytes(96)).reshape(3, 4),
    ],
)
def test_another_array_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected a writeable, C-contiguous float64\[col"):
        Stepper(plan([], history=None).bind({}), wrong)
