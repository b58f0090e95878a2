"""From trades to candles: the truth of the exchange.

A row exists for every minute in which a trade happened, and for every minute between two such
minutes: flat at the close before it, volume and trades 0. It is written when the next trade
comes: after the last trade there is no row.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .intervals import MINUTE_MS, Interval
from .prices import format_decimal, format_volume
from .tape import Tape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .prices import Process, Trades

__all__ = ["RETAINED_ROWS", "Bar", "Candle", "Rows", "Series"]

RETAINED_ROWS = 5_000
_KEPT_MINUTES = 5_600


class Candle(NamedTuple):
    """One row as REST says it, in numbers. `volume` in base units."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int


class Rows(NamedTuple):
    """Rows as columns, ascending: `t` int64 open ms, prices float64, `v` int64 units, `n` int64."""

    t: NDArray[np.int64]
    o: NDArray[np.float64]
    h: NDArray[np.float64]
    l: NDArray[np.float64]
    c: NDArray[np.float64]
    v: NDArray[np.int64]
    n: NDArray[np.int64]

    def cut(self, first_ms: int, last_ms: int) -> Rows:
        """The rows that open in [first_ms, last_ms]."""
        span = slice(*np.searchsorted(self.t, (first_ms, last_ms + 1)).tolist())
        return Rows._make(column[span] for column in self)


_NO_ROWS = Rows(*(np.empty(0, kind) for kind in ("i8", "f8", "f8", "f8", "f8", "i8", "i8")))


class Bar:
    """One bar while its trades come in. Volume in units of the market."""

    __slots__ = ("close", "high", "low", "open", "open_ms", "trades", "units")

    def __init__(self, open_ms: int, price: float, units: int, counted: int) -> None:
        """Begin with the bar's first trade."""
        self.open_ms = open_ms
        self.open = self.high = self.low = self.close = price
        self.units = units
        self.trades = counted

    def add(self, price: float, units: int, counted: int) -> None:
        """Take in one more trade."""
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.units += units
        self.trades += counted


def _group(keys: NDArray[np.int64], rows: Rows) -> Rows:
    """Rows of one key made one row; `keys` int64[n] ascending."""
    if not len(keys):
        return _NO_ROWS
    first = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    last = np.append(first[1:], len(keys)) - 1
    return Rows(
        keys[first],
        rows.o[first],
        np.maximum.reduceat(rows.h, first),
        np.minimum.reduceat(rows.l, first),
        rows.c[last],
        np.add.reduceat(rows.v, first),
        np.add.reduceat(rows.n, first),
    )


def _traded(trades: Trades) -> Rows:
    minutes = trades.times - trades.times % MINUTE_MS
    px = trades.px
    return _group(minutes, Rows(minutes, px, px, px, px, trades.sz, trades.counted))


class Series:
    """The candles of one market, of every interval, as of any time."""

    def __init__(self, process: Process) -> None:
        """Nothing is generated before it is asked for."""
        self.process = process
        self.tape = Tape(process)
        self._rows: OrderedDict[int, Rows] = OrderedDict()
        self._keep = max(24, _KEPT_MINUTES // process.chunk_minutes + 4)
        self._first: int | None = None

    def forget(self) -> None:
        """Ask the process for everything anew: it has changed."""
        self.tape.forget()
        self._rows.clear()

    def _chunk_rows(self, chunk: int) -> Rows:
        found = self._rows.get(chunk)
        if found is None:
            found = self._rows[chunk] = _traded(self.tape.chunk(chunk))
            while len(self._rows) > self._keep:
                self._rows.popitem(last=False)
        return found

    def _open_rows(self, as_of_ms: int) -> Rows:
        """The row of the minute that holds `as_of_ms`, as far as it is known then."""
        trades = self.tape.chunk(self.process.chunk_of(as_of_ms))
        minute = as_of_ms - as_of_ms % MINUTE_MS
        i, j = np.searchsorted(trades.times, (minute, as_of_ms + 1)).tolist()
        part = type(trades)(trades.times[i:j], trades.px[i:j], trades.sz[i:j], trades.counted[i:j])
        return _traded(part)

    def written(self, first_ms: int, last_ms: int, as_of_ms: int) -> Rows:
        """Minutes with trades that open in [first_ms, last_ms], known at `as_of_ms`."""
        process = self.process
        minute = as_of_ms - as_of_ms % MINUTE_MS
        last_ms = min(last_ms, minute)
        parts = []
        low = max(process.chunk_of(first_ms), process.first_chunk)
        high = min(process.chunk_of(last_ms), process.last_chunk)
        for chunk in range(low, high + 1):
            part = self._chunk_rows(chunk).cut(first_ms, min(last_ms, minute - 1))
            if len(part.t):
                parts.append(part)
        if first_ms <= minute == last_ms and process.first_chunk <= high:
            parts.append(self._open_rows(as_of_ms))
        if not parts:
            return _NO_ROWS
        return Rows._make(map(np.concatenate, zip(*parts, strict=True)))

    def last_before(self, as_of_ms: int) -> tuple[int, float] | None:
        """Open time and close of the newest minute with a trade, None if there was none."""
        process = self.process
        chunk = min(process.chunk_of(as_of_ms), process.last_chunk)
        while chunk >= process.first_chunk:
            start, end = process.span(chunk)
            rows = self.written(start, end - 1, min(as_of_ms, end - 1))
            if len(rows.t):
                return int(rows.t[-1]), float(rows.c[-1])
            chunk -= 1
        return None

    def first_ms(self, as_of_ms: int) -> int | None:
        """Open time of the first minute ever with a trade, None if there was none."""
        if self._first is None:
            process = self.process
            for chunk in range(process.first_chunk, process.last_chunk + 1):
                start, end = process.span(chunk)
                if start > as_of_ms:
                    break
                rows = self.written(start, end - 1, min(as_of_ms, end - 1))
                if len(rows.t):
                    self._first = int(rows.t[0])
                    break
        return self._first

    def rows(
        self,
        interval: Interval,
        start_ms: int,
        end_ms: int,
        as_of_ms: int,
        retained: int | None = None,
    ) -> Rows:
        """Bars that overlap [start_ms, end_ms], flat ones too, known at `as_of_ms`.

        `retained`: only so many, counted back from the newest that there is.
        """
        newest, first = self.last_before(as_of_ms), self.first_ms(as_of_ms)
        if newest is None or first is None or end_ms < start_ms:
            return _NO_ROWS
        last = interval.floor(newest[0])
        low = interval.floor(max(start_ms, first))
        if retained is not None:
            low = max(low, interval.back(last, retained - 1))
        high = min(interval.floor(end_ms), last)
        if high < low:
            return _NO_ROWS
        # The bar before `low` with trades gives the price of flat bars at the beginning.
        until = min(interval.after(high) - 1, as_of_ms)
        traded = self.written(low, until, as_of_ms)
        bars = (
            traded if interval.length_ms == MINUTE_MS else _group(interval.floors(traded.t), traded)
        )
        if not len(bars.t) or bars.t[0] > low:
            before = self.last_before(low - 1)
            assert before is not None  # low is not before the first row
            close = np.array([before[1]])
            zero = np.zeros(1, np.int64)
            seed = Rows(np.array([low - 1]), close, close, close, close, zero, zero)
            bars = Rows._make(map(np.concatenate, zip(seed, bars, strict=True)))
        return _filled(bars, interval.grid(low, high))

    def bar(self, interval: Interval, as_of_ms: int) -> Bar | None:
        """The bar that is open at `as_of_ms`, None without a trade in it."""
        open_ms = interval.floor(as_of_ms)
        rows = self.written(open_ms, as_of_ms, as_of_ms)
        if not len(rows.t) or not int(rows.n.sum()):
            return None
        bar = Bar(open_ms, float(rows.o[0]), int(rows.v.sum()), int(rows.n.sum()))
        bar.high, bar.low = float(rows.h.max()), float(rows.l.min())
        bar.close = float(rows.c[-1])
        return bar

    def candles(self, rows: Rows) -> list[Candle]:
        """Rows as numbers: the doubles nearest to the decimal numbers on the wire."""
        units = 10**self.process.size_decimals
        t, o, h, low, c, v, n = (column.tolist() for column in rows)
        return [Candle(t[i], o[i], h[i], low[i], c[i], v[i] / units, n[i]) for i in range(len(t))]

    def snapshot(
        self, coin_json: str, interval: Interval, start_ms: int, end_ms: int, as_of_ms: int
    ) -> list[str]:
        """The JSON objects of a `candleSnapshot` answer."""
        rows = self.rows(interval, start_ms, end_ms, as_of_ms, RETAINED_ROWS)
        t, o, h, low, c, v, n = (column.tolist() for column in rows)
        places, sizes = self.process.price_decimals, self.process.size_decimals
        units = 10**sizes
        head = f',"s":{coin_json},"i":"{interval.name}","o":"'
        texts = []
        for i in range(len(t)):
            close = format_decimal(c[i], places)
            if o[i] == c[i] == h[i] == low[i]:
                prices = f'{close}","c":"{close}","h":"{close}","l":"{close}'
            else:
                prices = (
                    f'{format_decimal(o[i], places)}","c":"{close}",'
                    f'"h":"{format_decimal(h[i], places)}","l":"{format_decimal(low[i], places)}'
                )
            volume = format_volume(v[i] / units, sizes) if v[i] else "0.0"
            end = interval.after(t[i]) - 1
            texts.append(f'{{"t":{t[i]},"T":{end}{head}{prices}","v":"{volume}","n":{n[i]}}}')
        return texts

    def frame(self, coin_json: str, interval: Interval, bar: Bar) -> str:
        """The websocket frame that tells the bar's state."""
        places, sizes = self.process.price_decimals, self.process.size_decimals
        volume = format_volume(bar.units / 10**sizes, sizes)
        return (
            f'{{"channel":"candle","data":{{"t":{bar.open_ms},'
            f'"T":{interval.after(bar.open_ms) - 1},"s":{coin_json},"i":"{interval.name}",'
            f'"o":"{format_decimal(bar.open, places)}","c":"{format_decimal(bar.close, places)}",'
            f'"h":"{format_decimal(bar.high, places)}","l":"{format_decimal(bar.low, places)}",'
            f'"v":"{volume}","n":{bar.trades}}}}}'
        )


def _filled(bars: Rows, grid: NDArray[np.int64]) -> Rows:
    """The bars of `grid`, those without trades flat; bars.t[0] <= grid[0]."""
    at = np.searchsorted(bars.t, grid, side="right") - 1
    flat = bars.t[at] != grid
    close = bars.c[at]
    return Rows(
        grid,
        np.where(flat, close, bars.o[at]),
        np.where(flat, close, bars.h[at]),
        np.where(flat, close, bars.l[at]),
        close,
        np.where(flat, 0, bars.v[at]),
        np.where(flat, 0, bars.n[at]),
    )
