"""A recording of candles as a market: trades that add up to its rows exactly.

The file is CSV with the columns t,o,h,l,c,v (t in Unix ms, ascending, whole minutes) and
optionally n. Rows without volume that say no more than the exchange's own flat rows need no
trade; others (before the first trade, after the last, with moving prices) become prints that
make the row but count as no trade.
"""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .errors import ConfigError
from .intervals import MINUTE_MS
from .prices import Trades, chance, stable_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .world import Market

__all__ = ["ReplayProcess", "Row", "read_rows"]

_COLUMNS = ("t", "o", "h", "l", "c", "v")
_CHUNK_MINUTES = 240
_MOST_TRADES = 12
_MOST_PRINTS = 500
_MOST_UNITS = 1 << 60


class Row(NamedTuple):
    """One row of the file. `trades` is None where the file does not tell."""

    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int | None


def _exact(text: str) -> Decimal:
    """The shortest decimal number of the same double: recordings carry binary noise."""
    return Decimal(repr(float(text)))


def read_rows(path: Path) -> list[Row]:
    """The file's rows; ConfigError names the file and the line."""
    try:
        with path.open(newline="") as file:
            return _read(path, csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("replay", str(path), f"a readable CSV file ({error})") from None


def _read(path: Path, lines: Iterator[list[str]]) -> list[Row]:
    header = next(lines, [])
    if missing := [name for name in _COLUMNS if name not in header]:
        raise ConfigError(f"{path}, line 1", header, "the columns t,o,h,l,c,v; no " + missing[0])
    places = [header.index(name) for name in _COLUMNS]
    count = header.index("n") if "n" in header else None
    rows: list[Row] = []
    for number, line in enumerate(lines, start=2):
        where = f"{path}, line {number}"
        try:
            t, o, h, low, c, v = (line[place] for place in places)
            trades = None if count is None else int(line[count])
            row = Row(int(t), _exact(o), _exact(h), _exact(low), _exact(c), _exact(v), trades)
        except (ValueError, IndexError, InvalidOperation):
            raise ConfigError(where, ",".join(line), "six numbers: t,o,h,l,c,v") from None
        if row.open_ms % MINUTE_MS or (rows and row.open_ms <= rows[-1].open_ms):
            raise ConfigError(where, row.open_ms, "a whole minute after the line before")
        if not all(value.is_finite() for value in row[1:6]):
            raise ConfigError(where, ",".join(line), "finite numbers")
        if not 0 < row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high:
            raise ConfigError(where, ",".join(line), "0 < low <= open, close <= high")
        if row.volume < 0:
            raise ConfigError(where, str(row.volume), "a volume of 0 or more")
        if trades is not None and (trades > 0) != (row.volume > 0):
            raise ConfigError(where, trades, "trades exactly where there is volume")
        rows.append(row)
    if not rows:
        raise ConfigError(str(path), "no row", "at least one")
    return rows


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # finite
    return max(0, -exponent)


class ReplayProcess:
    """The trades of a recording."""

    chunk_minutes = _CHUNK_MINUTES

    def __init__(self, market: Market, rows: list[Row], seed: int) -> None:
        """Take the rows as they are, moved by the market's shift; ConfigError."""
        shift = market.replay_shift_minutes * MINUTE_MS
        self.price_decimals = max(_decimals(value) for row in rows for value in row[1:5])
        sizes = max(_decimals(row.volume) for row in rows)
        # One digit more than the volumes have: their trades can always be told apart.
        self.size_decimals = sizes + 1
        largest = max(row.volume for row in rows)
        if largest.scaleb(self.size_decimals) >= _MOST_UNITS:
            raise ConfigError(
                f"market {market.coin!r}: replay", str(largest), "volumes of 17 digits at most"
            )
        self._key = stable_key(seed, market.coin, "replay")
        self._rows = rows
        self._opens = np.array([row.open_ms + shift for row in rows], np.int64)
        if self._opens[0] < 0:
            raise ConfigError(
                f"market {market.coin!r}: replay_shift_minutes",
                market.replay_shift_minutes,
                "a first row that is not before 1970",
            )
        self._closes = np.array([float(row.close) for row in rows])
        traded = [i for i, row in enumerate(rows) if row.volume]
        self._last_traded = traded[-1] if traded else -1
        self._first_traded = traded[0] if traded else len(rows)
        self.first_chunk = self.chunk_of(int(self._opens[0]))
        self.last_chunk = self.chunk_of(int(self._opens[-1]))

    @classmethod
    def load(cls, market: Market, seed: int) -> ReplayProcess:
        """Read the market's file; ConfigError."""
        assert market.replay is not None  # asked for markets with a file only
        return cls(market, read_rows(market.replay), seed)

    def chunk_of(self, ms: int) -> int:
        """Number of the chunk that holds `ms`."""
        return ms // (_CHUNK_MINUTES * MINUTE_MS)

    def span(self, chunk: int) -> tuple[int, int]:
        """First ms of the chunk and of the next one."""
        length = _CHUNK_MINUTES * MINUTE_MS
        return chunk * length, (chunk + 1) * length

    def mid(self, ms: int) -> float:
        """The close of the row before the minute of `ms`, and of the first one before it."""
        at = int(np.searchsorted(self._opens, ms - MINUTE_MS, side="right")) - 1
        return float(self._closes[max(at, 0)])

    def generate(self, chunk: int) -> Trades:
        """The chunk's trades: always the same."""
        first, last = np.searchsorted(self._opens, self.span(chunk)).tolist()
        times: list[int] = []
        px: list[float] = []
        sz: list[int] = []
        counted: list[int] = []
        for i in range(first, last):
            prices, units, trades = self._prints(i)
            steps = sorted(
                int(chance(self._key, int(self._opens[i]) + k) * MINUTE_MS)
                for k in range(len(prices))
            )
            times += [int(self._opens[i]) + step for step in steps]
            px += prices
            sz += units
            counted += trades
        return Trades(
            np.array(times, np.int64),
            np.array(px, np.float64),
            np.array(sz, np.int64),
            np.array(counted, np.int64),
        )

    def _prints(self, i: int) -> tuple[list[float], list[int], list[int]]:
        """Prices, sizes and counts of the prints that make row `i`."""
        row = self._rows[i]
        o, h, low, c = (float(value) for value in row[1:5])
        path = [o, h, low, c] if chance(self._key, 2 * i) < 0.5 else [o, low, h, c]
        needed = [p for k, p in enumerate(path) if not k or p != path[k - 1]]
        if not row.volume:
            derived = self._first_traded < i < self._last_traded
            if derived and needed == [self._closes[i - 1]]:
                return [], [], []
            return needed, [0] * len(needed), [0] * len(needed)
        total = int(row.volume.scaleb(self.size_decimals))
        told = row.trades
        wanted = len(needed) + int(chance(self._key, 2 * i + 1) * _MOST_TRADES)
        if told is not None:
            wanted = min(told, _MOST_PRINTS)
        count = max(len(needed), min(wanted, total))
        # The row's prices in their order, each repeated as often as it takes.
        prices = [needed[k * len(needed) // count] for k in range(count)]
        share, rest = divmod(total, count)
        units = [share + (k < rest) for k in range(count)]
        if told is None:
            return prices, units, [1] * count
        # The file's number may be smaller or larger than the prints that are needed or bearable.
        trades = [1] * min(told, count) + [0] * max(0, count - told)
        trades[0] += max(0, told - count)
        return prices, units, trades
