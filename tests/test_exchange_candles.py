"""The truth: which rows there are, and what they say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.exchange import Candle, Exchange, ExchangeConfig, Market
from monitor.exchange.candles import RETAINED_ROWS, Series
from monitor.exchange.intervals import INTERVALS
from monitor.exchange.prices import Trades

MINUTE = 60_000
START_MS = 1_795_377_833_665
EVER = 1 << 60
THIN = Market("FTT", "perp", 0.3, 0.87, 1)
BUSY = Market("ETH", "perp", 30.0, 3_100.0, 4)
SILENT = Market("@1", "spot", 0.003, 0.02, 0)
NEVER = Market("@2", "spot", 0.0, 0.02, 0)


class Listed:
    """A process whose trades are given: (ms, price, units)."""

    price_decimals = 2
    size_decimals = 1
    chunk_minutes = 3
    first_chunk = 0
    last_chunk = 40

    def __init__(self, trades: list[tuple[int, float, int]]) -> None:
        self._trades = sorted(trades, key=lambda trade: trade[0])

    def chunk_of(self, ms: int) -> int:
        return ms // (3 * MINUTE)

    def span(self, chunk: int) -> tuple[int, int]:
        return chunk * 3 * MINUTE, (chunk + 1) * 3 * MINUTE

    def mid(self, ms: int) -> float:
        return 1.0 + ms

    def generate(self, chunk: int) -> Trades:
        start, end = self.span(chunk)
        rows = [row for row in self._trades if start <= row[0] < end]
        times, px, sz = zip(*rows, strict=True) if rows else ((), (), ())
        return Trades(np.array(times, np.int64), np.array(px, float), np.array(sz, np.int64))


def by_hand(
    trades: list[tuple[int, float, int]], interval_ms: int, as_of_ms: int
) -> dict[int, Candle]:
    """The rows, worked out slowly: the reference."""
    bars: dict[int, list[tuple[int, float, int]]] = {}
    for trade in sorted(trades, key=lambda row: row[0]):
        if trade[0] <= as_of_ms:
            bars.setdefault(trade[0] // interval_ms * interval_ms, []).append(trade)
    rows: dict[int, Candle] = {}
    close = 0.0
    for t in range(min(bars, default=0), max(bars, default=-1) + 1, interval_ms):
        traded = bars.get(t, [])
        prices = [row[1] for row in traded] or [close]
        volume = sum(row[2] for row in traded) / 10
        close = prices[-1]
        rows[t] = Candle(t, prices[0], max(prices), min(prices), close, volume, len(traded))
    return rows


trade_lists = st.lists(
    st.tuples(
        st.integers(0, 100 * MINUTE),
        st.integers(1, 99_999).map(lambda ticks: ticks / 100),
        st.integers(1, 10**9),
    ),
    max_size=40,
)


@given(
    trade_lists,
    st.sampled_from(["1m", "3m", "5m", "15m", "1h"]),
    st.integers(0, 110 * MINUTE),
    st.integers(0, 110 * MINUTE),
    st.integers(0, 110 * MINUTE),
)
def test_rows_are_those_worked_out_by_hand(
    trades: list[tuple[int, float, int]], name: str, as_of: int, start: int, end: int
) -> None:
    interval = INTERVALS[name]
    series = Series(Listed(trades))
    expected = [
        row
        for row in by_hand(trades, interval.length_ms, as_of).values()
        if row.open_ms <= end and row.open_ms + interval.length_ms > start and start <= end
    ]
    assert series.candles(series.rows(interval, start, end, as_of)) == expected


@given(trade_lists, st.integers(0, 110 * MINUTE))
def test_the_open_bar_is_the_row_of_its_minute(
    trades: list[tuple[int, float, int]], as_of: int
) -> None:
    bar = Series(Listed(trades)).bar(INTERVALS["1m"], as_of)
    row = by_hand(trades, MINUTE, as_of).get(as_of - as_of % MINUTE)
    if row is None:
        assert bar is None
    else:
        assert bar is not None
        told = (bar.open_ms, bar.open, bar.high, bar.low, bar.close, bar.units / 10, bar.trades)
        assert told == row


def exchange(*markets: Market, seed: int = 1) -> Exchange:
    return Exchange(ExchangeConfig(markets=markets, seed=seed), START_MS)


@pytest.mark.parametrize("market", [BUSY, THIN, SILENT])
def test_rows_have_no_gap_and_empty_minutes_are_flat_at_the_close_before(market: Market) -> None:
    world = exchange(market)
    world.advance(START_MS + 90 * MINUTE)
    rows = world.truth(market.coin, 0, EVER)
    assert len(rows) > 5_000
    for before, row in pairwise(rows):
        assert row.open_ms == before.open_ms + MINUTE
        assert 0 < row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high
        assert (row.trades == 0) == (row.volume == 0)
        if not row.trades:
            assert row[1:5] == (before.close,) * 4
    assert rows[-1].trades
    assert rows[0].trades


def test_after_the_last_trade_there_is_no_row_until_the_next_one_comes() -> None:
    world = exchange(THIN)
    series = world.desk("FTT").series
    seen = 0
    for minute in range(120):
        now = START_MS + minute * MINUTE
        world.advance(now)
        newest = world.truth("FTT", now - 60 * MINUTE, now)[-1]
        recent = series.tape.recent(now, 1)[0][0]
        assert newest.open_ms == recent - recent % MINUTE
        assert newest.trades
        seen += newest.open_ms < now - MINUTE
    assert seen > 20


def test_rest_keeps_5000_rows_counted_from_the_last_one() -> None:
    world = exchange(SILENT, BUSY, NEVER)
    for market in (SILENT, BUSY):
        desk = world.desk(market.coin)
        rows = desk.series.rows(INTERVALS["1m"], 0, EVER, START_MS, RETAINED_ROWS)
        assert len(rows.t) == RETAINED_ROWS
        last = desk.series.last_before(START_MS)
        assert last is not None
        assert rows.t[-1] == last[0]
    assert world.truth("@2", 0, EVER) == []


def test_the_minute_of_the_start_goes_on_from_what_was_before() -> None:
    world = exchange(BUSY)
    minute = START_MS - START_MS % MINUTE
    (before,) = world.truth("ETH", minute, minute)
    world.advance(minute + MINUTE - 1)
    (after,) = world.truth("ETH", minute, minute)
    assert 0 < before.trades < after.trades
    assert before.open == after.open
    assert before.high <= after.high


@settings(max_examples=20)
@given(st.lists(st.integers(1, 20 * MINUTE), max_size=30), st.integers(0, 50))
def test_the_truth_does_not_depend_on_how_the_exchange_is_advanced(
    steps: list[int], seed: int
) -> None:
    walked, jumped = exchange(BUSY, THIN, seed=seed), exchange(THIN, BUSY, seed=seed)
    for step in steps:
        walked.advance(walked.now_ms + step)
        walked.truth("FTT", walked.now_ms - 5 * MINUTE, walked.now_ms)
    end = START_MS + 600 * MINUTE
    for world in (walked, jumped):
        world.advance(end)
    for coin in ("ETH", "FTT"):
        since = START_MS - 30 * MINUTE
        assert walked.truth(coin, since, end) == jumped.truth(coin, since, end)


@pytest.mark.parametrize("name", ["3m", "5m", "15m", "1h", "4h", "1d", "1w", "1M"])
def test_longer_bars_are_made_of_the_minutes(name: str) -> None:
    world = exchange(THIN)
    interval = INTERVALS[name]
    minutes = world.truth("FTT", 0, EVER)
    for bar in world.truth("FTT", 0, EVER, name):
        end = interval.after(bar.open_ms)
        part = [row for row in minutes if bar.open_ms <= row.open_ms < end]
        traded = [row for row in part if row.trades] or part
        assert bar.trades == sum(row.trades for row in part)
        assert bar.volume == pytest.approx(sum(row.volume for row in part), rel=1e-12)
        assert bar.high == max(row.high for row in traded)
        assert bar.low == min(row.low for row in traded)
        assert (bar.open, bar.close) == (traded[0].open, part[-1].close)


def test_old_rows_can_be_asked_for_again_after_a_long_run() -> None:
    world = exchange(THIN)
    since = START_MS - 100 * MINUTE
    before = world.truth("FTT", since, START_MS - MINUTE)[:-1]
    for hour in range(24 * 8):
        world.advance(START_MS + hour * 3_600_000)
        world.truth("FTT", world.now_ms - 3_600_000, world.now_ms)
    rows = world.truth("FTT", since, START_MS - MINUTE)
    assert rows[: len(before)] == before
