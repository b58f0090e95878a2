"""The engine's compiled half: whole updates of a market's record, each one call from Python.

A call from Python into compiled code costs a quarter of a microsecond whatever it does inside, so
one call does everything that one event needs: take the sequence lock, write the candle, step the
stats, write the second copy, release the lock. `ringbuf.kernels` brings the lock, `indicators` the
stats, this module puts them together.

Arrays, by the name they have everywhere here:

    floats, integers  [markets, columns, 2 * capacity]   the data block, twice over the same memory
    controls          int64[markets, 32]                 control records, see `ringbuf.layout`
    ops, pars                                            the stat table, see `indicators.dispatch`

**Death between two stores.** A candle is written into the second copy of its row, which is marked
`WORKING` meanwhile, then the stats are stepped, then the first copy is made of it: at every moment
one of the two copies is a whole candle, and the mark says which. What else follows from candles
(stats, carried rows, `closed`) can be done again: see `mending`. Fences keep the compiler from
moving stores across the mark; a death, unlike another processor, sees them in program order.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from indicators.dispatch import steps
from ringbuf.kernels import begin, commit, copy_row, release_fence
from ringbuf.layout import WORD

__all__ = [
    "AHEAD",
    "CANDLE_COLUMNS",
    "CARRIED",
    "CLOSED",
    "CONFIRMED",
    "CORRECTED",
    "LATE",
    "OLDER",
    "PLACED",
    "WORKING",
    "close_bars",
    "compute",
    "fill",
    "open_bars",
    "place",
    "rework",
]

CARRIED: Final = 1
CONFIRMED: Final = 2
CLOSED: Final = 4
WORKING: Final = 8
"""The candle is being written: only ever seen in the second copy, of a record that is in work."""
PLACED: Final = 0
CORRECTED: Final = 1
OLDER: Final = 2
LATE: Final = 3
AHEAD: Final = 4
CANDLE_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume", "trades", "flags")

_TIME, _OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _TRADES, _FLAGS = range(8)
_STATS = 8
_NEWEST = WORD["newest"]
_CLOSED = WORD["closed"]
_START = WORD["start"]
_ORIGIN = WORD["origin"]
_REVISION = WORD["revision"]
_UPDATED = WORD["updated_ms"]
_HEARD = WORD["heard_ns"]
_CONFIRMED = WORD["confirmed"]
_FRAMES = WORD["frames"]
_CORRECTED = WORD["corrected"]

# The options are those of `indicators.jit` and `ringbuf.kernels`, for the reasons given there.
jit = njit(cache=True, nogil=True, error_model="numpy")


@jit
def _flat(floats: Any, i: int, price: float) -> None:
    """A minute without trades: all four prices are the close before."""
    floats[_OPEN, i] = price
    floats[_HIGH, i] = price
    floats[_LOW, i] = price
    floats[_CLOSE, i] = price
    floats[_VOLUME, i] = 0.0


@jit
def rework(
    floats: Any,
    integers: Any,
    ops: Any,
    pars: Any,
    origin: int,
    first: int,
    last: int,
    stepping: bool,
) -> None:
    """Make the rows first..last follow from their candles: flat rows, stats, second copies.

    A carried row is flat at the close before it, whatever that has become. Without `stepping`
    (the market is syncing) stats are NaN.
    """
    capacity = floats.shape[1] // 2
    bar = first
    while bar <= last:
        # As far as the ring goes before it wraps: a stat is stepped over all of it in one call, and
        # what follows reads the second copies of these rows.
        slot = bar % capacity
        i = slot + capacity
        rows = min(last - bar + 1, capacity - slot)
        for k in range(rows):
            if bar + k > first and integers[_FLAGS, i + k] & CARRIED != 0:
                _flat(floats, i + k, floats[_CLOSE, i + k - 1])
        if stepping:
            steps(ops, pars, floats, integers, i, i + rows, bar - origin)
        else:
            for column in range(_STATS, floats.shape[0]):
                floats[column, i : i + rows] = np.nan
        for k in range(rows):
            copy_row(integers, slot + k, capacity)
        bar += rows


@jit
def _restep(
    floats: Any, integers: Any, control: Any, ops: Any, pars: Any, first: int, stepping: bool
) -> None:
    """Bring everything that follows from row `first` up to the newest."""
    rework(floats, integers, ops, pars, control[_ORIGIN], first, control[_NEWEST], stepping)


@jit
def compute(floats: Any, integers: Any, ops: Any, pars: Any, first: int, last: int) -> None:
    """Step stats over the rows first..last of one market's record that nobody reads yet.

    As if `first` were the market's origin: what the stats would need of rows before is not there.
    """
    rework(floats, integers, ops, pars, first, first, last, True)


@jit
def place(
    floats: Any,
    integers: Any,
    controls: Any,
    ops: Any,
    pars: Any,
    market: int,
    open_ms: int,
    interval_ms: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    trades: int,
    certain: int,
    opens: bool,
    now_ms: int,
    heard_ns: int,
) -> int:
    """Merge one state of a candle into the ring: what became of it is one of the five words.

    Of two states of one minute the one with more trades, then volume, wins: the other is `OLDER`. A
    closed row that grows is `CORRECTED`: a revision, to be confirmed (again). A bar before the
    readable run is `LATE`. One that has no row yet is `AHEAD`: nothing is written unless it `opens`
    (the grid has been moved to it). A bar that does not follow the newest row then starts a run of
    its own (``start`` = bar). Everything else is `PLACED`.

    `certain`: up to there the rows are whole, -1 before there is a history; stats are stepped in a
    run that follows it, NaN in one that does not.
    """
    control = controls[market]
    control[_HEARD] = heard_ns
    bar = open_ms // interval_ms
    newest = control[_NEWEST]
    record = floats[market]
    numbers = integers[market]
    capacity = record.shape[1] // 2
    i = bar % capacity + capacity
    if bar > newest:
        if not opens:
            return AHEAD
    elif bar < control[_START]:
        return LATE
    else:
        known = numbers[_TRADES, i]
        if trades < known or (trades == known and not volume > record[_VOLUME, i]):
            return OLDER
    correction = bar <= min(newest, control[_CLOSED])
    begin(control, bar)
    if newest < 0:
        control[_ORIGIN] = bar
    numbers[_FLAGS, i] = WORKING
    release_fence()
    numbers[_TIME, i] = open_ms
    record[_OPEN, i] = open_
    record[_HIGH, i] = high
    record[_LOW, i] = low
    record[_CLOSE, i] = close
    record[_VOLUME, i] = volume
    numbers[_TRADES, i] = trades
    release_fence()
    numbers[_FLAGS, i] = CLOSED if correction else 0
    release_fence()
    if bar > newest:
        if bar != newest + 1:
            control[_START] = bar
        control[_NEWEST] = bar
    if correction:
        control[_REVISION] += 1
        control[_CORRECTED] += 1
        control[_CONFIRMED] = min(control[_CONFIRMED], bar - 1)
    _restep(record, numbers, control, ops, pars, bar, control[_START] <= certain + 1)
    control[_UPDATED] = now_ms
    control[_FRAMES] += 1
    commit(control)
    return CORRECTED if correction else PLACED


@jit
def open_bars(
    floats: Any,
    integers: Any,
    controls: Any,
    ops: Any,
    pars: Any,
    markets: Any,
    stepping: Any,
    bar: int,
    interval_ms: int,
    now_ms: int,
) -> None:
    """Open `bar` in each of `markets: int64[n]`, whose newest row is the bar before it.

    `stepping: bool[n]` is False where stats are NaN, because the market is syncing.
    The new row is flat at the previous close and carried: nobody has heard of a trade yet.
    """
    for k in range(markets.shape[0]):
        control = controls[markets[k]]
        record = floats[markets[k]]
        numbers = integers[markets[k]]
        capacity = record.shape[1] // 2
        begin(control, bar)
        i = bar % capacity + capacity
        numbers[_FLAGS, i] = WORKING
        release_fence()
        numbers[_TIME, i] = bar * interval_ms
        numbers[_TRADES, i] = 0
        _flat(record, i, record[_CLOSE, i - 1])
        release_fence()
        numbers[_FLAGS, i] = CARRIED
        release_fence()
        control[_NEWEST] = bar
        _restep(record, numbers, control, ops, pars, bar, stepping[k])
        control[_UPDATED] = now_ms
        commit(control)


@jit
def close_bars(integers: Any, controls: Any, markets: Any, bars: Any) -> None:
    """Close, in each of `markets: int64[n]`, the rows behind the closed ones up to `bars`."""
    for k in range(markets.shape[0]):
        control = controls[markets[k]]
        numbers = integers[markets[k]]
        capacity = numbers.shape[1] // 2
        first = max(control[_CLOSED] + 1, control[_START])
        begin(control, first)
        for bar in range(first, bars[k] + 1):
            slot = bar % capacity
            numbers[_FLAGS, slot + capacity] |= CLOSED
            numbers[_FLAGS, slot] |= CLOSED
        control[_CLOSED] = bars[k]
        commit(control)


@jit
def fill(
    floats: Any,
    integers: Any,
    controls: Any,
    ops: Any,
    pars: Any,
    market: int,
    first: int,
    interval_ms: int,
    prices: Any,
    counts: Any,
    start: int,
    origin: int,
    closed: int,
    confirmed: int,
    step_from: int,
    corrected: int,
    revised: bool,
    now_ms: int,
) -> None:
    """Place consecutive rows that REST settled, and step what follows from those that are new.

    prices: float64[n, 5], open, high, low, close, volume; counts: int64[n, 2], trades and flags;
    both from bar `first` on. `start` and `origin` become those of the readable run, which now is
    one piece; it is closed up to `closed` and confirmed up to `confirmed`. Stats are stepped from
    bar `step_from` to the newest: rows before it are what they were. `corrected` rows that readers
    had seen as closed are different; `revised` says that readers should take their copies anew.
    """
    control = controls[market]
    record = floats[market]
    numbers = integers[market]
    capacity = record.shape[1] // 2
    last = first + prices.shape[0] - 1
    moves = control[_NEWEST] >= 0 and control[_START] != start
    begin(control, min(first, control[_START]) if moves else first)
    if control[_NEWEST] < 0:
        control[_ORIGIN] = origin
    for k in range(prices.shape[0]):
        slot = (first + k) % capacity
        i = slot + capacity
        numbers[_FLAGS, i] = WORKING
        release_fence()
        numbers[_TIME, i] = (first + k) * interval_ms
        for column in range(5):
            record[_OPEN + column, i] = prices[k, column]
        numbers[_TRADES, i] = counts[k, 0]
        release_fence()
        numbers[_FLAGS, i] = counts[k, 1]
        release_fence()
        copy_row(numbers, slot, capacity)
    control[_START] = start
    control[_ORIGIN] = origin
    control[_NEWEST] = max(control[_NEWEST], last)
    control[_CLOSED] = max(control[_CLOSED], closed)
    control[_CONFIRMED] = max(control[_CONFIRMED], confirmed)
    control[_REVISION] += revised
    control[_CORRECTED] += corrected
    _restep(record, numbers, control, ops, pars, step_from, True)
    control[_UPDATED] = now_ms
    commit(control)
