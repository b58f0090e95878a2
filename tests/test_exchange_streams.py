"""What subscriptions send: states of the truth, on trades only, at the recorded pace."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.exchange import Exchange, ExchangeConfig, Session
from monitor.exchange.intervals import INTERVALS

MINUTE = 60_000
START_MS = 1_795_377_833_665
Told = tuple[int, dict[str, Any]]


def opened(seed: int = 1, start_ms: int = START_MS) -> tuple[Exchange, Session]:
    exchange = Exchange(ExchangeConfig(seed=seed), start_ms)
    return exchange, exchange.connect()


def subscribe(exchange: Exchange, session: Session, **subscription: Any) -> None:
    exchange.receive(session, json.dumps({"method": "subscribe", "subscription": subscription}))


def run(exchange: Exchange, session: Session, until_ms: int) -> list[Told]:
    """Every frame with the time at which it was sent."""
    told: list[Told] = []

    def take() -> None:
        told.extend((exchange.now_ms, json.loads(frame)) for frame in session.take())

    take()
    while exchange.now_ms < until_ms:
        if exchange.now_ms - session.spoken_ms >= 20_000:
            exchange.receive(session, '{"method":"ping"}')
        due = exchange.next_due_ms()
        assert due is not None
        exchange.advance(min(due, until_ms, exchange.now_ms + 20_000))
        take()
    assert session.closing is None
    return told


def bars(told: list[Told], name: str = "1m") -> list[Told]:
    return [
        (at, frame["data"])
        for at, frame in told
        if frame["channel"] == "candle" and frame["data"]["i"] == name
    ]


def numbers(bar: dict[str, Any]) -> tuple[float, ...]:
    return (bar["t"], *(float(bar[key]) for key in "ohlcv"), bar["n"])


@pytest.mark.parametrize(
    ("coin", "name"), [("BTC", "1m"), ("CELO", "1m"), ("@107", "3m"), ("ETH", "1h")]
)
def test_every_frame_is_the_state_of_the_truth_when_it_is_sent(coin: str, name: str) -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="candle", coin=coin, interval=name)
    frames = bars(run(exchange, session, START_MS + 20 * MINUTE), name)
    assert len(frames) > 3
    for at, bar in frames:
        end = INTERVALS[name].after(bar["t"]) - 1
        assert bar["T"] == end
        (row,) = exchange.truth(coin, bar["t"], bar["t"], name, as_of_ms=min(at, end))
        assert numbers(bar) == tuple(row)


def test_frames_are_driven_by_trades_at_one_to_two_a_second() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="candle", coin="BTC", interval="1m")
    frames = bars(run(exchange, session, START_MS + 30 * MINUTE))
    for (_, before), (_, bar) in pairwise(frames):
        assert bar["t"] > before["t"] or bar["n"] > before["n"]
    gaps = [b[0] - a[0] for a, b in pairwise(frames)]
    assert 600 <= median(gaps) <= 2_500
    assert max(Counter(bar["t"] for _, bar in frames).values()) <= 100


def test_a_minute_without_trades_sends_nothing_and_one_with_trades_is_always_heard_of() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="candle", coin="FTT", interval="1m")
    frames = bars(run(exchange, session, START_MS + 3_000 * MINUTE))
    rows = exchange.truth("FTT", START_MS, exchange.now_ms)[:-1]
    heard = {bar["t"] for _, bar in frames}
    assert {row.open_ms for row in rows if row.trades} <= heard
    assert not heard & {row.open_ms for row in rows if not row.trades}
    assert sum(not row.trades for row in rows) > 1_000
    # The case in question was there: a first trade in the last moments of its minute.
    times = [trade[0] for trade in exchange.desk("FTT").tape.recent(exchange.now_ms, 10_000)]
    firsts = {time // MINUTE: time % MINUTE for time in reversed(times) if time > START_MS}
    assert any(rest >= MINUTE - 5 for rest in firsts.values())


def test_some_minutes_lack_their_last_trades_and_only_those_of_their_last_moments() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="candle", coin="BTC", interval="1m")
    last: dict[int, dict[str, Any]] = {}
    first_of: dict[int, int] = {}
    frames = bars(run(exchange, session, START_MS + 600 * MINUTE))
    for at, bar in frames:
        last[bar["t"]] = bar
        first_of.setdefault(bar["t"], at)
    rows = {row.open_ms: row for row in exchange.truth("BTC", START_MS, exchange.now_ms)[:-1]}
    short = [t for t, row in rows.items() if t in last and last[t]["n"] < row.trades]
    assert exchange.missing_tails() == len(short)
    assert 1 / 100 < len(short) / len(rows) < 1 / 7
    for t in short:
        (row,) = exchange.truth("BTC", t, t, as_of_ms=t + MINUTE - 51)
        assert last[t]["n"] >= row.trades
    late = [bar["t"] for at, bar in frames if at > bar["T"]]
    assert 0 < len(late) < len(rows) / 10


def test_no_frame_says_that_a_bar_has_ended() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="candle", coin="SOL", interval="1m")
    frames = bars(run(exchange, session, START_MS + 20 * MINUTE))
    by_bar = defaultdict(list)
    for _, bar in frames:
        by_bar[bar["t"]].append(bar)
    assert all(set(bar) == set("tTsiohlcvn") for _, bar in frames)
    assert all(len({numbers(bar) for bar in group}) == len(group) for group in by_bar.values())


def test_subscribing_pushes_the_open_bar_only_if_it_is_traded() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="candle", coin="BTC", interval="1m")
    ack, bar = (json.loads(frame) for frame in session.take())
    assert ack["channel"] == "subscriptionResponse"
    (row,) = exchange.truth("BTC", START_MS, START_MS)
    assert numbers(bar["data"]) == tuple(row)
    subscribe(exchange, session, type="candle", coin="@166", interval="1m")
    assert len(session.take()) == 1


def test_subscribing_anew_does_not_multiply_the_frames() -> None:
    told = []
    for again in (0, 3):
        exchange, session = opened()
        subscribe(exchange, session, type="bbo", coin="BTC")
        for _ in range(again):
            sub = {"type": "bbo", "coin": "BTC"}
            exchange.receive(session, json.dumps({"method": "unsubscribe", "subscription": sub}))
            subscribe(exchange, session, **sub)
        session.take()
        exchange.advance(START_MS + MINUTE)
        told.append(session.take())
    assert told[0] == told[1]


def test_a_second_subscriber_gets_the_newest_state_and_then_the_same_frames() -> None:
    exchange, one = opened()
    subscribe(exchange, one, type="candle", coin="BTC", interval="1m")
    run(exchange, one, START_MS + 2 * MINUTE + 777)
    other = exchange.connect()
    subscribe(exchange, other, type="candle", coin="BTC", interval="1m")
    snapshot = json.loads(other.take()[1])["data"]
    (row,) = exchange.truth("BTC", exchange.now_ms, exchange.now_ms)
    assert numbers(snapshot) == tuple(row)
    exchange.advance(exchange.now_ms + 5 * MINUTE)
    frames = one.take()
    assert len(frames) > 100
    assert frames == other.take()


@settings(max_examples=15)
@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=40))
def test_frames_do_not_depend_on_how_the_exchange_is_advanced(steps: list[int]) -> None:
    end = START_MS + sum(steps)
    told = []
    for pattern in (steps, [sum(steps)]):
        exchange, session = opened()
        for sub in ({"type": "candle", "interval": "1m"}, {"type": "bbo"}, {"type": "trades"}):
            subscribe(exchange, session, coin="ETH", **sub)
        for step in pattern:
            exchange.advance(exchange.now_ms + step)
        assert exchange.now_ms == end
        told.append(session.take())
    assert told[0] == told[1]


def test_trades_add_up_to_the_candles() -> None:
    start = START_MS - START_MS % MINUTE
    exchange, session = opened(start_ms=start)
    subscribe(exchange, session, type="trades", coin="ETH")
    replay, *frames = [
        frame["data"]
        for _, frame in run(exchange, session, start + 5 * MINUTE)
        if frame["channel"] == "trades"
    ]
    assert len(replay) == 30
    assert all(trade["time"] <= start for trade in replay)
    trades = [trade for data in frames for trade in data]
    for row in exchange.truth("ETH", start, start + 4 * MINUTE):
        part = [t for t in trades if row.open_ms <= t["time"] < row.open_ms + MINUTE]
        prices = [float(trade["px"]) for trade in part]
        assert (prices[0], max(prices), min(prices), prices[-1]) == row[1:5]
        assert sum(float(t["sz"]) for t in part) == pytest.approx(row.volume, rel=1e-12)
        assert len(part) == row.trades
    assert {trade["side"] for trade in trades} == {"A", "B"}
    assert len({trade["tid"] for trade in trades}) == len(trades)


def test_bbo_of_btc_comes_5_to_8_times_a_second_with_the_time_of_its_block() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="bbo", coin="BTC")
    told = run(exchange, session, START_MS + MINUTE)
    frames = [(at, frame["data"]) for at, frame in told if frame["channel"] == "bbo"]
    assert 5 * 60 <= len(frames) <= 8 * 60
    for at, data in frames:
        assert data["time"] == at
        bid, ask = data["bbo"]
        assert 0 < float(bid["px"]) < float(ask["px"])


def test_a_book_without_orders_has_null_sides_and_a_delisted_market_is_silent() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="bbo", coin="@221")
    assert json.loads(session.take()[1])["data"]["bbo"] == [None, None]
    for kind in ("bbo", "trades", "candle", "l2Book"):
        interval = {"interval": "1m"} if kind == "candle" else {}
        subscribe(exchange, session, type=kind, coin="MATIC", **interval)
    frames = [json.loads(frame) for frame in session.take()]
    frames += [frame for _, frame in run(exchange, session, START_MS + 10 * MINUTE)]
    data = [f for f in frames if f["channel"] not in {"subscriptionResponse", "pong"}]
    assert {frame["channel"] for frame in data} <= {"trades"}
    assert all(trade["time"] < START_MS for frame in data for trade in frame["data"])


def test_all_mids_come_every_five_seconds_per_dex() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="allMids")
    subscribe(exchange, session, type="allMids", dex="xyz")
    told = run(exchange, session, START_MS + MINUTE)
    data = [frame["data"] for _, frame in told if frame["channel"] == "allMids"]
    first, builder = [d for d in data if "dex" not in d], [d for d in data if "dex" in d]
    assert len(first) == len(builder) == 13
    assert {"BTC", "@107", "PURR/USDC"} <= set(first[0]["mids"])
    assert all(set(d["mids"]) == {"xyz:TSLA", "xyz:SP500"} for d in builder)


def test_the_days_volume_moves_exactly_with_the_trades() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="activeAssetCtx", coin="BTC")
    subscribe(exchange, session, type="activeAssetCtx", coin="@107")
    told = run(exchange, session, START_MS + 3 * MINUTE)
    assert {"activeAssetCtx", "activeSpotAssetCtx"} <= {frame["channel"] for _, frame in told}
    for coin in ("BTC", "@107"):
        seen = [
            (at, frame["data"]["ctx"])
            for at, frame in told
            if frame["channel"].startswith("active") and frame["data"]["coin"] == coin
        ]
        assert len(seen) > 150
        desk = exchange.desk(coin)
        trades = [t for t in desk.tape.recent(seen[-1][0], 10_000) if t[0] > seen[0][0]]
        units = 10**desk.sizes
        base = sum(sz for _, _, sz in trades) / units
        notional = sum(px * sz for _, px, sz in trades) / units
        for key, traded in (("dayBaseVlm", base), ("dayNtlVlm", notional)):
            moved = float(seen[-1][1][key]) - float(seen[0][1][key])
            assert moved == pytest.approx(traded, rel=1e-5)


def test_fast_books_have_five_levels_and_others_twenty() -> None:
    exchange, session = opened()
    subscribe(exchange, session, type="l2Book", coin="BTC")
    subscribe(exchange, session, type="l2Book", coin="ETH", fast=True)
    told = run(exchange, session, START_MS + MINUTE)
    books = [frame["data"] for _, frame in told if frame["channel"] == "l2Book"]
    depths = Counter((book["coin"], len(book["levels"][0])) for book in books)
    assert set(depths) == {("BTC", 20), ("ETH", 5)}
    assert 10 <= depths["BTC", 20] <= 13
    assert 100 <= depths["ETH", 5] <= 115
