"""What the engine's tests share: an engine in memory, its invariants, one market driven by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import talib

import indicators
from monitor import kernels
from monitor.book import COUNTERS, INTERVAL_MS, STATUSES
from monitor.engine import Engine
from monitor.history import PATIENCE, RETRY_MS
from monitor.kernels import CARRIED, CLOSED, CONFIRMED
from monitor.ledger import Ask, Stream
from monitor.protocol import Candle
from ringbuf import layout
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import in_memory

STATS = ("ATR14", "RSI5", "EMA20", "SMA9")
BAR = 29_900_000
"""A minute to begin at."""
MINUTE = INTERVAL_MS
DAY = 86_400_000
FIELDS = ("open", "high", "low", "close", "volume", "trades")

Floats = npt.NDArray[np.float64]


def make_engine(
    coins: Sequence[str], *, history: int = 20, stats: Sequence[str] = STATS, **settings: Any
) -> Engine:
    """An engine over a store in private memory, with `coins` as its series."""
    plan = indicators.plan(list(stats), history=history)
    kinds = ("M", "f", "f", "f", "f", "f", "i", "i")
    candle_columns = [
        Column(name, kind) for name, kind in zip(kernels.CANDLE_COLUMNS, kinds, strict=True)
    ]
    stat_columns = [Column(c.name, "f", c.unit, c.definition) for c in plan.columns]
    spec = StoreSpec(
        name="test",
        series=tuple(Series(f"market{k}", coin) for k, coin in enumerate(coins)),
        columns=(*candle_columns, *stat_columns),
        history=history,
        interval_ms=MINUTE,
        lookback=plan.lookback + plan.runup,
        counters=COUNTERS,
        statuses=STATUSES,
    )
    # One stream is enough where a test does not ask for more: most tell one story at a time.
    return Engine(in_memory(spec), plan, coins, **{"witnesses": 1, **settings})


def candle(
    coin: str,
    bar: int,
    price: float = 100.0,
    trades: int = 3,
    *,
    close: float | None = None,
    volume: float | None = None,
) -> Candle:
    """A valid 1-minute candle; without trades it is flat at `price`."""
    close = price if close is None else close
    wick = 1.0 if trades else 0.0
    return Candle(
        open_ms=bar * MINUTE,
        close_ms=bar * MINUTE + MINUTE - 1,
        coin=coin,
        interval="1m",
        open=price,
        high=max(price, close) + wick,
        low=min(price, close) - wick,
        close=close,
        volume=(2.0 * trades) if volume is None else volume,
        trades=trades,
    )


def word(engine: Engine, name: str, market: int = 0) -> int:
    """A word of a market's control record."""
    return int(engine.book.controls[market, WORD[name]])


def status(engine: Engine, market: int = 0) -> str:
    """The status that readers see."""
    return STATUSES[word(engine, "status", market)]


def span(engine: Engine, market: int = 0) -> tuple[int, int]:
    """First and last readable bar, as far as the ring goes."""
    return word(engine, "start", market), word(engine, "newest", market)


def column(
    engine: Engine, name: str, market: int = 0, first: int | None = None, last: int | None = None
) -> npt.NDArray[Any]:
    """A column's readable rows `first` .. `last` as a reader's view has them."""
    writer = engine.book.writer
    begin, newest = span(engine, market)
    first = begin if first is None else first
    last = newest if last is None else last
    end = last % writer.geometry.capacity + writer.geometry.capacity + 1
    kind = writer.spec.columns[writer.column[name]].kind
    block: npt.NDArray[Any] = writer.floats if kind == "f" else writer.integers
    values: npt.NDArray[Any] = block[market, writer.column[name], end - (last - first + 1) : end]
    return values


def row(engine: Engine, bar: int, market: int = 0) -> dict[str, Any]:
    """One row as a mapping of column name to value."""
    names = engine.book.writer.column
    return {name: column(engine, name, market, bar, bar)[0].item() for name in names}


def flags(engine: Engine, bar: int, market: int = 0) -> int:
    """The flags of a row."""
    return int(row(engine, bar, market)["flags"])


def check(engine: Engine) -> None:
    """Every invariant of the store that does not need the truth; AssertionError names the first."""
    writer = engine.book.writer
    capacity, grid = writer.geometry.capacity, writer.grid
    first, second = writer.integers[:, :, :capacity], writer.integers[:, :, capacity:]
    assert (first == second).all(), "the two copies of some row differ"
    named = [writer.column[stat] for stat in writer.column if stat not in kernels.CANDLE_COLUMNS]
    times = writer.integers[:, writer.column["time"], :capacity]
    if grid >= 0:
        assert (times[:, (grid + 1) % capacity] == layout.EMPTY_TIME).all(), "next slot not clear"
    for market, ledger in enumerate(engine.book.ledgers):
        where = f"{engine.book.coins[market]} with words {writer.controls[market, :16]}"
        assert word(engine, "sequence", market) % 2 == 0, where
        start, newest = span(engine, market)
        closed = word(engine, "closed", market)
        if newest < 0:
            continue
        assert start <= newest <= grid, where
        assert closed <= newest, where
        assert newest - start < capacity, where
        ahead = range(newest + 1, min(grid + 2, start + capacity))
        assert all(times[market, bar % capacity] == layout.EMPTY_TIME for bar in ahead), where
        bars = np.arange(start, newest + 1)
        assert (column(engine, "time", market) == bars * MINUTE).all(), where
        marks = column(engine, "flags", market)
        assert ((marks & CLOSED != 0) == (bars <= closed)).all(), (where, marks)
        assert (marks[marks & CONFIRMED != 0] & CLOSED != 0).all(), where
        o, h, l, c, v, n = (column(engine, name, market) for name in FIELDS)
        for prices in (o, h, l, c):
            assert (np.isfinite(prices) & (prices > 0)).all(), where
        assert ((l <= o) & (o <= h) & (l <= c) & (c <= h)).all(), where
        carried = marks & CARRIED != 0
        assert ((n[carried] == 0) & (v[carried] == 0.0)).all(), where
        flat = (o == h) & (h == l) & (l == c)
        assert flat[carried].all(), where
        follows = carried[1:]
        assert (c[1:][follows] == c[:-1][follows]).all(), where
        if not engine.book.whole(market):
            assert all(np.isnan(writer.floats[market, k, bars % capacity]).all() for k in named)
        if ledger.filled and engine.book.whole(market):
            assert ledger.certain <= max(newest, closed), where


def rsi(close: Floats, n: int) -> Floats:
    """TA-Lib's RSI but for its 0 where nothing moves: then the mirrored prices are at 0 as well."""
    values: Floats = talib.RSI(close, n)
    values[(values == 0.0) & (talib.RSI(-close, n) == 0.0)] = 50.0
    return values


def oracle(rows: dict[str, Floats]) -> dict[str, Floats]:
    """TA-Lib's values of `STATS` over rows from the origin on."""
    return {
        "ATR14": talib.ATR(rows["high"], rows["low"], rows["close"], 14),
        "RSI5": rsi(rows["close"], 5),
        "EMA20": talib.EMA(rows["close"], 20),
        "SMA9": talib.SMA(rows["close"], 9),
    }


def assert_stats(engine: Engine, rows: dict[str, Floats], origin: int, market: int = 0) -> None:
    """The readable stats are TA-Lib's over `rows`, which begin at bar `origin`."""
    start, newest = span(engine, market)
    for name, expected in oracle(rows).items():
        np.testing.assert_allclose(
            column(engine, name, market),
            expected[start - origin : newest - origin + 1],
            rtol=1e-9,
            atol=1e-11 if name == "RSI5" else 0.0,
            err_msg=f"{name} of {engine.book.coins[market]}",
        )


def ring_rows(engine: Engine, market: int = 0) -> dict[str, Floats]:
    """The readable candle columns as floats."""
    return {name: column(engine, name, market).astype(np.float64) for name in FIELDS}


# --- a market driven by hand ----------------------------------------------------------------------


class Desk:
    """One market, driven by hand: its engine, its stream, its clock, and a REST that is asked.

    `rest` is what the exchange would list, by bar. Every minute before `BAR` has three trades at a
    price of its own; the clock begins 30 s into `BAR`, watched, without a history.
    """

    def __init__(
        self,
        *,
        history: int = 20,
        rest_from: int = BAR - 700,
        coins: int = 1,
        witnesses: int = 1,
    ) -> None:
        names = [f"C{k}" for k in range(coins)]
        self.engine = make_engine(names, history=history, witnesses=witnesses)
        self.now = BAR * MINUTE + 30_000.0
        self.stream = Stream("first", self.now)
        self.rest = {bar: candle("C0", bar, price_of(bar)) for bar in range(rest_from, BAR)}
        self.engine.watch(0, self.stream, self.now)

    @property
    def bar(self) -> int:
        """The running minute."""
        return int(self.now // MINUTE)

    def hear(self, bar: int | None = None, price: float | None = None, trades: int = 3) -> bool:
        """A frame, which the exchange lists from then on."""
        bar = self.bar if bar is None else bar
        heard = candle("C0", bar, price_of(bar) if price is None else price, trades)
        if bar not in self.rest or self.rest[bar].trades < trades:
            self.rest[bar] = heard
        return self.engine.candle(heard, self.now, 5)

    def miss(self, bar: int | None = None, price: float | None = None, trades: int = 3) -> None:
        """A candle that REST alone tells about."""
        bar = self.bar if bar is None else bar
        self.rest[bar] = candle("C0", bar, price_of(bar) if price is None else price, trades)

    def go(self, seconds: float, *, alive: bool = True) -> bool:
        """The clock goes on, the stream lives on, the engine ticks once."""
        self.now += seconds * 1_000
        if alive and self.stream in self.engine.book.ledgers[0].streams:
            self.stream.alive_ms = self.now
        return self.engine.tick(self.now)

    def go_to(self, bar: int, seconds: float = 1.0) -> None:
        """Go to `seconds` into `bar`, ticking every second: live, but without a trade."""
        end = bar * MINUTE + seconds * 1_000
        while self.now < end:
            self.go(min(1.0, (end - self.now) / 1_000))

    def lose(self) -> None:
        """The stream is gone."""
        self.engine.unwatch(self.stream, self.now)

    def regain(self, name: str = "next") -> None:
        """Another stream is there."""
        self.stream = Stream(name, self.now)
        self.engine.watch(0, self.stream, self.now)

    def asks(self) -> list[Ask]:
        """What is to be asked of the market now."""
        return [ask for ask in self.engine.history.wanted(self.now) if ask.market == 0]

    def listed(self, ask: Ask) -> list[Candle]:
        """What REST says to it: flat rows between two trades, none behind the last."""
        if ask.kind == "last_close":
            traded = [row for bar, row in self.rest.items() if bar <= ask.last]
            return [day_of(row) for row in traded[-1:]]
        rows: list[Candle] = []
        last = max((bar for bar in self.rest if bar <= self.bar), default=-1)
        for bar in range(max(ask.first, min(self.rest, default=0)), min(ask.until, last) + 1):
            close = max((b for b in self.rest if b <= bar), default=-1)
            there = self.rest.get(bar)
            rows.append(there or candle("C0", bar, self.rest[close].close, 0))
        return rows

    def answer(self, ask: Ask, rows: list[Candle] | None = None) -> bool:
        """REST answers: the truth, or `rows`."""
        self.engine.history.sent(ask)
        rows = self.listed(ask) if rows is None else rows
        return self.engine.history.answer(ask, rows, self.now, 9)

    def settle(self) -> list[Ask]:
        """Answer truly until nothing is asked any more; what was asked."""
        asked: list[Ask] = []
        while asks := self.asks():
            assert len(asked) < 20, f"asked again and again: {asked}"
            self.answer(asks[0])
            asked.append(asks[0])
        return asked

    def never(self) -> list[Ask]:
        """Nothing is listed, has ever been and will be; what was asked until that is believed."""
        self.rest.clear()
        asked = []
        for _ in range(PATIENCE + 2):
            asked += self.settle()
            self.go(RETRY_MS / 1_000)
        return asked

    def check(self) -> None:
        """The invariants, and every stat of a whole run is TA-Lib's from the origin."""
        check(self.engine)
        start, _ = span(self.engine)
        if self.engine.book.whole(0) and word(self.engine, "origin") == start:
            assert_stats(self.engine, ring_rows(self.engine), start)


def day_of(row: Candle) -> Candle:
    """The day's candle that ends with `row`."""
    open_ms = row.open_ms - row.open_ms % DAY
    times = {"open_ms": open_ms, "close_ms": open_ms + DAY - 1}
    return msgspec.structs.replace(row, interval="1d", **times)


def price_of(bar: int) -> float:
    """A price that wanders, another one for every minute."""
    return 100.0 + (bar * 7) % 13 + (bar * 3) % 5 / 8


def filled(**settings: Any) -> Desk:
    """A desk with its first history, and a live row in the running minute."""
    desk = Desk(**settings)
    desk.hear()
    desk.settle()
    desk.go(0.0)
    return desk
