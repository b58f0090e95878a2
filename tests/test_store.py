"""What a store of ours holds, and what makes two stores' rows the same rows."""

from __future__ import annotations

import pytest

from indicators import plan
from monitor.markets import Market
from monitor.settings import Settings
from monitor.store import columns_of, source_of, spec_of
from monitor.wire import Embedded
from ringbuf.spec import Geometry

PUBLIC = ["time", "open", "high", "low", "close", "volume", "trades", "flags"]
MARKETS = (
    Market("btcusd_perp", "BTC", "perp", "", False, 5, 0),
    Market("hypeusdc", "@107", "spot", "", False, 2, 107),
)


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))


def test_public_columns_come_in_the_order_of_the_contract_then_of_the_settings() -> None:
    stats = plan(["RSI5", "ATR14"], history=100)
    names = [column.name for column in columns_of(stats)]
    assert names[:10] == [*PUBLIC, "RSI5", "ATR14"]
    assert names[10:]
    assert all(name.startswith("_") for name in names[10:])


def test_every_stat_carries_its_definition_and_every_column_its_unit() -> None:
    columns = columns_of(plan(["ATR14"], history=100))
    assert all(column.definition for column in columns if not column.name.startswith("_"))
    assert all(column.unit for column in columns if not column.name.startswith("_"))


def test_the_store_is_what_the_settings_ask_for() -> None:
    settings = Settings(history=300, stats=("RSI5",), segment="x")
    stats = plan(settings.stats, history=settings.history)
    spec = spec_of(settings, MARKETS, stats, source_of(settings, None))
    assert spec.name == "x"
    assert [(s.name, s.alias) for s in spec.series] == [
        ("btcusd_perp", "BTC"),
        ("hypeusdc", "@107"),
    ]
    assert spec.history == 300
    assert spec.interval_ms == 60_000
    assert spec.software.startswith("market-monitor ")
    # The oldest visible row has its window behind it, and a view taken stays whole for an hour.
    assert Geometry.of(spec).capacity >= 300 + stats.lookback + stats.runup + 60 + 1


def test_the_source_names_network_and_urls() -> None:
    assert source_of(Settings(network="testnet"), None) == {
        "exchange": "hyperliquid",
        "network": "testnet",
        "ws_url": "wss://api.hyperliquid-testnet.xyz/ws",
        "api_url": "https://api.hyperliquid-testnet.xyz",
    }


def test_an_embedded_exchange_is_never_taken_for_the_real_one_nor_for_its_own_next_run() -> None:
    settings = Settings()
    real = source_of(settings, None)
    first = source_of(settings, Embedded("run1", 20.0))
    second = source_of(settings, Embedded("run2", 20.0))
    assert first["network"] == second["network"] == "embedded"
    assert first != real
    assert first != second
