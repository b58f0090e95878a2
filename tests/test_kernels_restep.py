"""A re-step of many rows, across wrap and carried rows, gives the bits of a run from the start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from indicators import plan
from monitor.kernels import CANDLE_COLUMNS, CARRIED, _restep
from oracles import small
from ringbuf.layout import WORD

Floats = npt.NDArray[np.float64]

PLAN = plan(small(), history=1440)
ORDER = (*CANDLE_COLUMNS, *(column.name for column in PLAN.columns))
TABLE = PLAN.bind({name: row for row, name in enumerate(ORDER)})
CAPACITY = PLAN.lookback + 40
CLOSE, VOLUME, FLAGS = (CANDLE_COLUMNS.index(name) for name in ("close", "volume", "flags"))
ORIGIN = 29_000_000


def candle(bar: int) -> tuple[list[float], int]:
    """Prices and volume of a bar, and its flags; every fifth one is carried."""
    draw = np.random.default_rng(bar)
    low, first, last, high = np.sort(draw.uniform(99.0, 101.0, 4))
    return [first, high, low, last, draw.exponential(5.0)], CARRIED * (bar % 5 == 0)


class Record:
    """One market's columns and the words of its control record that a re-step reads."""

    def __init__(self) -> None:
        self.floats = np.full((len(ORDER), 2 * CAPACITY), 1e300)
        self.integers = self.floats.view(np.int64)
        self.control = np.zeros(32, np.int64)
        self.control[WORD["origin"]] = ORIGIN

    def put(self, bar: int, factor: float = 1.0) -> None:
        """Write the candle of a bar; its price and volume are wrong by a factor."""
        i = bar % CAPACITY + CAPACITY
        prices, flags = candle(bar)
        self.integers[0, i] = bar * 60_000
        self.integers[CLOSE + 2, i] = 7
        self.integers[FLAGS, i] = flags
        if flags & CARRIED and bar > ORIGIN:
            close = self.floats[CLOSE, i - 1]
            prices = [close, close, close, close, 0.0]
        self.floats[1:6, i] = np.multiply(prices, factor)

    def restep(self, first: int, newest: int, *, stepping: bool = True) -> None:
        self.control[WORD["newest"]] = newest
        table = (TABLE.ops, TABLE.pars)
        _restep(self.floats, self.integers, self.control, *table, first, stepping)

    def run(self, bars: int, wrong: int = -1) -> None:
        for bar in range(ORIGIN, ORIGIN + bars):
            self.put(bar, 1.5 if bar - ORIGIN == wrong else 1.0)
            self.restep(bar, bar)


@pytest.mark.parametrize("bars", [CAPACITY - 3, CAPACITY + 1, CAPACITY + 17, 2 * CAPACITY + 30])
@pytest.mark.parametrize("back", [1, 2, 16, 35])
def test_a_corrected_row_steps_through_to_the_bits_of_a_run_that_had_it_right(
    bars: int, back: int
) -> None:
    newest = ORIGIN + bars - 1
    right, mended = Record(), Record()
    right.run(bars)
    mended.run(bars, wrong=bars - 1 - back)
    assert mended.floats.tobytes() != right.floats.tobytes()
    mended.put(newest - back)
    mended.restep(newest - back, newest)
    # Rows before it are older than the correction in both.
    assert mended.floats.tobytes() == right.floats.tobytes()


def test_without_stepping_every_stat_is_nan_in_both_copies() -> None:
    record = Record()
    bars = CAPACITY + 10
    record.run(bars)
    first = ORIGIN + bars - 30
    record.restep(first, ORIGIN + bars - 1, stepping=False)
    slots = [bar % CAPACITY for bar in range(first, ORIGIN + bars)]
    for copy in (0, CAPACITY):
        assert np.isnan(record.floats[8:, [slot + copy for slot in slots]]).all()
        kept = np.setdiff1d(np.arange(CAPACITY), slots) + copy
        assert not np.isnan(record.floats[8:, kept]).all(axis=0).any()
