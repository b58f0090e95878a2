"""Replayed candles: the truth is the file, row for row."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.exchange import ConfigError, Exchange, ExchangeConfig, Market
from monitor.exchange.replay import ReplayProcess, Row, read_rows

MINUTE = 60_000
FIRST_MS = 1_753_097_280_000
HEAD = "t,o,h,l,c,v\n"


def told(row: Row) -> tuple[float, ...]:
    return (row.open_ms, *(float(value) for value in row[1:6]))


def replayed(rows: list[Row], shift: int = 0) -> Exchange:
    market = Market("X", replay=Path("none"), replay_shift_minutes=shift)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.exchange.replay.read_rows", lambda _: rows)
        return Exchange(ExchangeConfig(markets=(market,)), FIRST_MS)


@st.composite
def recordings(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Row]:
    rows: list[Row] = []
    prices = st.integers(1, 10**7).map(lambda units: Decimal(units).scaleb(-4))
    for minute in range(draw(st.integers(1, 30))):
        if rows and draw(st.booleans()):
            o = h = low = c = rows[-1].close
            volume, trades = Decimal(0), 0
        else:
            o, c, one, two = (draw(prices) for _ in range(4))
            h, low = max(o, c, one, two), min(o, c, one, two)
            volume = draw(st.integers(0, 10**12).map(lambda units: Decimal(units).scaleb(-5)))
            trades = draw(st.integers(1, 700)) if volume else 0
        told_trades = trades if draw(st.booleans()) or not volume else None
        rows.append(Row(FIRST_MS + minute * MINUTE, o, h, low, c, volume, told_trades))
    return rows


@given(recordings())
def test_the_truth_is_exactly_the_files_rows(rows: list[Row]) -> None:
    exchange = replayed(rows)
    exchange.advance(rows[-1].open_ms + 10 * MINUTE)
    truth = exchange.truth("X", 0, 1 << 60)
    assert [tuple(row)[:6] for row in truth] == [told(row) for row in rows]
    for row, candle in zip(rows, truth, strict=True):
        if row.trades is not None:
            assert candle.trades == row.trades
        else:
            assert candle.trades > 0


@given(recordings(), st.integers(0, 30 * MINUTE))
def test_at_any_time_the_rows_before_are_history_and_the_open_one_grows_towards_the_file(
    rows: list[Row], step: int
) -> None:
    exchange = replayed(rows)
    exchange.advance(FIRST_MS + step)
    by_open = {row.open_ms: row for row in rows}
    open_ms = exchange.now_ms - exchange.now_ms % MINUTE
    for candle in exchange.truth("X", 0, 1 << 60):
        row = by_open[candle.open_ms]
        if candle.open_ms < open_ms:
            assert tuple(candle)[:6] == told(row)
        else:
            assert candle.open == float(row.open)
            assert float(row.low) <= candle.low <= candle.high <= float(row.high)
            assert candle.volume <= float(row.volume)


def test_a_file_becomes_a_market_with_the_same_texts_on_the_wire(tmp_path: Path) -> None:
    lines = [
        f"{FIRST_MS},118712.0,118727.0,118654.0,118675.0,2.63688",
        f"{FIRST_MS + MINUTE},118675.0,118675.0,118675.0,118675.0,0.0",
        f"{FIRST_MS + 2 * MINUTE},118677.0,118738.0,118677.0,118713.0,7.19912",
    ]
    (tmp_path / "btc.csv").write_text(HEAD + "\n".join(lines) + "\n")
    (tmp_path / "m.json").write_text('[{"coin":"BTC","replay":"btc.csv"}]')
    exchange = Exchange(ExchangeConfig(markets=tmp_path / "m.json"), FIRST_MS + 10 * MINUTE)
    request = {"coin": "BTC", "interval": "1m", "startTime": 0}
    body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
    rows = json.loads(exchange.info(body).body)
    assert [",".join([str(row["t"]), *(row[key] for key in "ohlcv")]) for row in rows] == lines


def test_replayed_trades_are_sent_live_and_the_last_frame_is_the_row_or_lacks_its_tail() -> None:
    price = Decimal(100)
    rows = [
        Row(FIRST_MS + k * MINUTE, price + k, price + 2 * k + 1, price - k, price, Decimal(5), 40)
        for k in range(30)
    ]
    exchange = replayed(rows)
    session = exchange.connect()
    sub = {"type": "candle", "coin": "X", "interval": "1m"}
    exchange.receive(session, json.dumps({"method": "subscribe", "subscription": sub}))
    exchange.advance(FIRST_MS + 31 * MINUTE)
    last = {}
    for frame in map(json.loads, session.take()):
        if frame["channel"] == "candle":
            last[frame["data"]["t"]] = frame["data"]
    assert sorted(last) == [row.open_ms for row in rows]
    whole = [row for row in rows if last[row.open_ms]["n"] == row.trades]
    assert len(whole) == len(rows) - exchange.missing_tails()
    for row in whole:
        bar = last[row.open_ms]
        assert (bar["t"], *(float(bar[key]) for key in "ohlcv")) == told(row)


def test_rows_can_be_moved_in_time(tmp_path: Path) -> None:
    row = Row(FIRST_MS, *(Decimal(3),) * 4, Decimal(1), 1)
    exchange = replayed([row], shift=7)
    exchange.advance(FIRST_MS + 8 * MINUTE)
    assert [candle.open_ms for candle in exchange.truth("X", 0, 1 << 60)] == [FIRST_MS + 7 * MINUTE]


def test_a_hole_in_the_file_becomes_flat_rows() -> None:
    flat = (Decimal(3),) * 4
    rows = [Row(FIRST_MS, *flat, Decimal(1), 1), Row(FIRST_MS + 5 * MINUTE, *flat, Decimal(1), 1)]
    exchange = replayed(rows)
    exchange.advance(FIRST_MS + 6 * MINUTE)
    assert [candle.trades for candle in exchange.truth("X", 0, 1 << 60)] == [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: .*the columns t,o,h,l,c,v; no t"),
        ("t,o,h,l,c\n", "no v"),
        (HEAD, "at least one"),
        (HEAD + "60000,1,1,1\n", "line 2: .*six numbers"),
        (HEAD + "60000,1,1,1,x,1\n", "line 2: .*six numbers"),
        (HEAD + "60001,1,1,1,1,1\n", "line 2: found 60001, expected a whole minute"),
        (HEAD + "60000,1,1,1,1,1\n60000,1,1,1,1,1\n", "line 3: .*after the line before"),
        (HEAD + "60000,1,1,1,nan,1\n", "finite"),
        (HEAD + "60000,1,1,1,2,1\n", "low <= open, close <= high"),
        (HEAD + "60000,0,1,0,1,1\n", "0 < low"),
        (HEAD + "60000,1,1,1,1,-1\n", "a volume of 0 or more"),
        ("t,o,h,l,c,v,n\n60000,1,1,1,1,1,0\n", "trades exactly where there is volume"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_rows(path)


def test_a_missing_file_and_volumes_without_measure_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a readable CSV file"):
        read_rows(tmp_path / "none.csv")
    row = Row(FIRST_MS, *(Decimal(3),) * 4, Decimal(10) ** 18 + Decimal("0.1"), 1)
    with pytest.raises(ConfigError, match="17 digits"):
        ReplayProcess(Market("X"), [row], 1)
