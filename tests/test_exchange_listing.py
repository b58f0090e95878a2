"""Which markets are listed, and how a wrong list is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from monitor.exchange import ConfigError, Exchange, ExchangeConfig, Market
from monitor.exchange.listing import default_markets, generated_markets, load_markets

START_MS = 1_795_377_833_665


def test_the_default_markets_have_every_kind() -> None:
    markets = default_markets()
    coins = [market.coin for market in markets]
    assert coins[:2] == ["BTC", "ETH"]
    assert {"xyz:TSLA", "PURR/USDC", "@107", "@142", "kPEPE"} <= set(coins)
    assert any(market.delisted for market in markets)
    assert any(not market.trades_per_minute for market in markets)
    assert any(0 < market.trades_per_minute < 0.01 for market in markets)


def test_n_markets_are_n_with_btc_and_eth_first_in_a_realistic_mix() -> None:
    markets = generated_markets(650, 1)
    assert len({market.coin for market in markets}) == 650
    assert [market.coin for market in markets[:2]] == ["BTC", "ETH"]
    kinds = Counter("dex" if market.dex else market.kind for market in markets)
    assert 150 < kinds["perp"] < 240
    assert 100 < kinds["dex"] < 200
    assert 240 < kinds["spot"] < 370
    assert sum(m.trades_per_minute < 0.01 for m in markets if m.kind == "spot") > 100
    assert sum(market.delisted for market in markets) >= 5
    assert generated_markets(650, 1) == markets != generated_markets(650, 2)
    assert len(generated_markets(1, 1)) == 1


def test_any_number_of_markets_can_be_served() -> None:
    exchange = Exchange(ExchangeConfig(markets=300), START_MS)
    assert len(exchange.mids("", START_MS)) > 200
    for market in exchange.world.markets[:60]:
        rows = exchange.truth(market.coin, START_MS - 3_600_000, START_MS)
        assert all(0 < row.low <= row.high for row in rows)


def load(tmp_path: Path, rows: Any) -> tuple[Market, ...]:
    path = tmp_path / "markets.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return load_markets(path)


def test_a_file_lists_markets_and_the_kind_of_spot_pairs_is_known_by_their_names(
    tmp_path: Path,
) -> None:
    rows = [
        {"coin": "BTC", "price": 90_000, "sz_decimals": 5, "trades_per_minute": 3},
        {"coin": "@7", "base": "ABC"},
        {"coin": "A/USDC"},
        {"coin": "BTC2", "replay": "btc.csv", "replay_shift_minutes": -5},
    ]
    one, two, three, four = load(tmp_path, rows)
    assert one == Market("BTC", price=90_000, sz_decimals=5, trades_per_minute=3)
    assert (two.kind, three.kind) == ("spot", "spot")
    assert four.replay == tmp_path / "btc.csv"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("[", "expected JSON"),
        ([], "a list of at least one market"),
        ({}, "a list of at least one market"),
        ([7], r"\[0\]: found 7, expected an object"),
        ([{"price": 1}], "the key 'coin'"),
        ([{"coin": "A", "rate": 1}], "found 'rate', expected one of the keys coin"),
        ([{"coin": "A"}, {"coin": "B", "price": "1"}], r"\[1\]: price: found '1', expected a num"),
        ([{"coin": "A", "price": -1}], "market 'A': price: found -1"),
        ([{"coin": "A", "delisted": 1}], "expected true or false"),
        ([{"coin": "A", "sz_decimals": True}], "expected an integer"),
        ([{"coin": "A", "sz_decimals": 9}], "expected 0 to 6"),
        ([{"coin": "A", "kind": "future"}], "expected perp or spot"),
        ([{"coin": "A", "trades_per_minute": 1e9}], "0 to 5000"),
        ([{"coin": "A", "kind": "spot"}], "BASE/USDC or @<index>"),
        ([{"coin": " "}], "a coin's name"),
    ],
)
def test_a_wrong_list_is_refused_saying_where_and_what(
    tmp_path: Path, rows: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, rows)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json.*No such file"):
        ExchangeConfig(markets=tmp_path / "none.json").listing()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 0}, "speed"),
        ({"seed": -1}, "seed"),
        ({"start_ms": -1}, "start"),
    ],
)
def test_a_config_of_no_use_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ExchangeConfig(**change)


@pytest.mark.parametrize("count", [0, 100_000])
def test_a_number_of_markets_of_no_use_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="1 to 5000"):
        Exchange(ExchangeConfig(markets=count), START_MS)


def test_a_coin_listed_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="each coin once"):
        Exchange(ExchangeConfig(markets=(Market("A"), Market("A"))), START_MS)


def test_spot_tokens_have_to_be_found_by_their_index() -> None:
    meta = Exchange(ExchangeConfig(), START_MS).world.spot_meta()
    by_index = {token["index"]: token["name"] for token in meta["tokens"]}
    names = {
        pair["name"]: [by_index[index] for index in pair["tokens"]] for pair in meta["universe"]
    }
    assert names["@107"] == ["HYPE", "USDC"]
    assert names["@142"] == ["UBTC", "USDC"]
    assert [token["index"] for token in meta["tokens"]] != list(range(len(meta["tokens"])))
    assert {pair["index"] for pair in meta["universe"]} >= {107, 142, 166, 221}
    assert [pair["name"] for pair in meta["universe"] if pair["isCanonical"]] == ["PURR/USDC"]
