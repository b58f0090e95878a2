"""`POST /info`: what is answered, and how bad requests are refused."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from monitor.exchange import Exchange, ExchangeConfig

MINUTE = 60_000
START_MS = 1_795_377_833_665
OPEN_MS = START_MS - START_MS % MINUTE
NO_TYPE = "Failed to deserialize the JSON body into the target type"


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(ExchangeConfig(seed=5, rate=10.0, run="a-run"), START_MS)


def ask(exchange: Exchange, **request: Any) -> Any:
    exchange.advance(exchange.now_ms + 60_000)  # the weight limit is another test's subject
    answer = exchange.info(json.dumps(request).encode())
    assert answer.status == 200, answer
    return json.loads(answer.body)


def candles(exchange: Exchange, coin: str = "BTC", interval: str = "1m", **times: Any) -> Any:
    request = {"coin": coin, "interval": interval, "startTime": 0} | times
    body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
    answer = exchange.info(body)
    assert answer.status == 200, answer
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("start", "end", "opens"),
    [
        (OPEN_MS - 120_000, OPEN_MS - 60_000, [-2, -1]),
        (OPEN_MS - 60_001, OPEN_MS - 60_001, [-2]),
        (OPEN_MS - 90_000, OPEN_MS - 1, [-2, -1]),
        (OPEN_MS - 60_000, None, [-1, 0]),
        (OPEN_MS, OPEN_MS, [0]),
        (OPEN_MS, OPEN_MS + 10**9, [0]),
        (OPEN_MS + 60_000, OPEN_MS + 10**9, []),
        (OPEN_MS, OPEN_MS - 60_000, []),
    ],
)
def test_a_range_gives_the_bars_that_overlap_it_both_ends_included(
    exchange: Exchange, start: int, end: int | None, opens: list[int]
) -> None:
    rows = candles(exchange, startTime=start, endTime=end)
    assert [(row["t"] - OPEN_MS) // MINUTE for row in rows] == opens


@pytest.mark.parametrize("name", ["1m", "1d", "1M"])
def test_times_at_the_end_of_the_world_are_no_error(exchange: Exchange, name: str) -> None:
    latest = (1 << 63) - 1
    assert candles(exchange, interval=name, startTime=latest, endTime=latest) == []
    assert candles(exchange, interval=name, endTime=latest) == candles(exchange, interval=name)


def test_a_row_has_the_keys_types_and_values_of_the_truth(exchange: Exchange) -> None:
    rows = candles(exchange, "kPEPE")
    assert len(rows) == 5_000
    truth = exchange.truth("kPEPE", rows[0]["t"], rows[-1]["t"])
    told = [
        (row["t"], *(float(row[key]) for key in "ohlcv"), row["n"])
        for row in rows
        if row["T"] == row["t"] + 59_999 and row["s"] == "kPEPE" and row["i"] == "1m"
    ]
    assert told == truth
    assert set(rows[0]) == set("tTsiohlcvn")
    assert all(isinstance(rows[0][key], str) for key in "ohlcv")


def test_the_open_bar_is_the_last_row_as_far_as_it_is_traded(exchange: Exchange) -> None:
    before = candles(exchange, startTime=OPEN_MS)[0]
    exchange.advance(OPEN_MS + 59_999)
    after = candles(exchange, startTime=OPEN_MS)[0]
    assert before["t"] == after["t"] == OPEN_MS
    assert before["n"] < after["n"]


@pytest.mark.parametrize("name", ["3m", "15m", "1h", "1d", "1M"])
def test_longer_intervals_are_answered(exchange: Exchange, name: str) -> None:
    rows = candles(exchange, "SOL", name)
    truth = exchange.truth("SOL", 0, 1 << 60, name)
    assert [(row["t"], float(row["c"]), row["n"]) for row in rows] == [
        (row.open_ms, row.close, row.trades) for row in truth
    ]
    assert all(one["T"] + 1 == two["t"] for one, two in pairwise(rows))


@pytest.mark.parametrize(
    ("body", "content_type", "status", "text"),
    [
        (b'{"type":"nothing"}', "application/json", 422, NO_TYPE),
        (b'{"no":"type"}', "application/json", 422, NO_TYPE),
        (b"[]", "application/json", 422, NO_TYPE),
        (b'{"type":"meta","dex":5}', "application/json", 422, NO_TYPE),
        (b'{"type":"candleSnapshot"}', "application/json", 422, NO_TYPE),
        (b'{"type":"meta"', "application/json", 400, None),
        (b"\xff", "application/json", 400, None),
        (b'{"type":"meta"}', "text/plain", 415, None),
        (b'{"type":"meta"}', "", 415, None),
        (b'{"type":"meta","dex":"nowhere"}', "application/json", 500, "null"),
        (b'{"type":"recentTrades","coin":"btc"}', "application/json", 500, "null"),
        (b'{"type":"l2Book","coin":"btc"}', "application/json", 200, "null"),
        (b'{"type":"meta"}', "application/json; charset=utf-8", 200, None),
    ],
)
def test_bad_requests_are_refused_as_on_the_real_exchange(
    exchange: Exchange, body: bytes, content_type: str, status: int, text: str | None
) -> None:
    answer = exchange.info(body, content_type)
    assert answer.status == status
    assert text is None or answer.body == text


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"startTime": -1}, 422),
        ({"startTime": "0"}, 422),
        ({"startTime": 1.5}, 422),
        ({"startTime": True}, 422),
        ({"startTime": None}, 422),
        ({"endTime": -5}, 422),
        ({"endTime": "9"}, 422),
        ({"interval": "7m"}, 422),
        ({"interval": 1}, 422),
        ({"coin": None}, 422),
        ({"coin": "btc"}, 500),
    ],
)
def test_odd_candle_requests_are_refused(
    exchange: Exchange, change: dict[str, Any], status: int
) -> None:
    request = {"coin": "BTC", "interval": "1m", "startTime": 0, "endTime": 1} | change
    body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
    assert exchange.info(body).status == status


def test_the_lists_agree_with_each_other(exchange: Exchange) -> None:
    metas = ask(exchange, type="allPerpMetas")
    dexes = ask(exchange, type="perpDexs")
    assert dexes[0] is None
    names = [dex["name"] if dex else "" for dex in dexes]
    assert metas == [ask(exchange, type="meta", dex=name) for name in names]
    assert ask(exchange, type="meta") == metas[0]
    for name in names:
        meta, contexts = ask(exchange, type="metaAndAssetCtxs", dex=name)
        assert len(meta["universe"]) == len(contexts)
    spot, contexts = ask(exchange, type="spotMetaAndAssetCtxs")
    assert spot == ask(exchange, type="spotMeta")
    assert [ctx["coin"] for ctx in contexts] == [pair["name"] for pair in spot["universe"]]


def test_delisted_markets_are_marked_and_have_no_book(exchange: Exchange) -> None:
    meta, contexts = ask(exchange, type="metaAndAssetCtxs")
    marked = [row.get("isDelisted", False) for row in meta["universe"]]
    assert sum(marked) == 1
    for delisted, context in zip(marked, contexts, strict=True):
        for key in ("midPx", "premium", "impactPxs"):
            assert (context[key] is None) == delisted
    mids = ask(exchange, type="allMids")
    assert "MATIC" not in mids
    assert {"BTC", "PURR/USDC", "@107"} <= set(mids)
    assert set(ask(exchange, type="allMids", dex="xyz")) == {"xyz:TSLA", "xyz:SP500"}


def test_the_status_tells_the_time_and_that_the_exchange_is_embedded(exchange: Exchange) -> None:
    status = ask(exchange, type="exchangeStatus")
    assert status["time"] == exchange.now_ms
    assert status["embedded"] == {"run": "a-run", "rate": 10.0, "seed": 5}


def test_every_start_has_a_run_of_its_own_unless_one_is_given() -> None:
    runs = {Exchange(ExchangeConfig(), START_MS).run for _ in range(5)}
    assert len(runs) == 5


def test_recent_trades_are_the_newest_first(exchange: Exchange) -> None:
    trades = ask(exchange, type="recentTrades", coin="BTC")
    times = [trade["time"] for trade in trades]
    assert times == sorted(times, reverse=True)
    assert times[0] <= exchange.now_ms
    assert ask(exchange, type="recentTrades", coin="@221") == []


def test_there_are_no_outcome_markets(exchange: Exchange) -> None:
    assert ask(exchange, type="outcomeMeta") == []


def test_a_book_is_sorted_and_not_crossed(exchange: Exchange) -> None:
    for coin in exchange.world.by_coin:
        bids, asks = ask(exchange, type="l2Book", coin=coin)["levels"]
        prices = [float(level["px"]) for level in bids[::-1] + asks]
        assert prices == sorted(set(prices))
