"""Where an archive keeps what: two sources, two versions, two days never share a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive_kit import DAY, MAINNET
from monitor.archive import layout

PROXY = {"ws_url": "ws://127.0.0.1:8000/ws", "api_url": "http://127.0.0.1:8000"}


def test_a_file_lies_where_every_reader_of_hive_folders_expects_it() -> None:
    path = layout.file_of(Path("/a"), "mainnet", DAY, "btcusd_perp")
    expected = "/a/v1/source=mainnet/day=2026-11-22/market=btcusd_perp/part-0.parquet"
    assert str(path) == expected


def test_what_is_written_aside_lies_outside_of_the_data_set() -> None:
    data = layout.file_of(Path("/a"), "mainnet", DAY, "x").relative_to("/a").parts[0]
    asides = layout.work_of(Path("/a"), "mainnet"), layout.set_aside_of(Path("/a"), "mainnet")
    assert all(path.relative_to("/a").parts[0] != data for path in asides)


def test_the_exchange_at_its_own_address_has_its_networks_name() -> None:
    assert layout.source_key(MAINNET) == "mainnet"
    testnet = {
        "network": "testnet",
        "ws_url": "wss://api.hyperliquid-testnet.xyz/ws",
        "api_url": "https://api.hyperliquid-testnet.xyz",
    }
    assert layout.source_key(testnet) == "testnet"


@pytest.mark.parametrize("other", [PROXY, {"api_url": PROXY["api_url"]}, {"network": "testnet"}])
def test_an_address_that_is_not_the_networks_own_is_another_source(other: dict[str, str]) -> None:
    key = layout.source_key(MAINNET | other)
    assert key not in {"mainnet", "testnet"}
    assert key == layout.source_key(MAINNET | other)
    assert key != layout.source_key(MAINNET | other | {"ws_url": "ws://elsewhere/ws"})


def test_every_run_of_an_embedded_exchange_is_a_source_of_its_own() -> None:
    runs = [MAINNET | PROXY | {"network": "embedded", "run": run} for run in ("1a", "2b", "../x")]
    keys = [layout.source_key(run) for run in runs]
    assert keys[:2] == ["embedded-1a", "embedded-2b"]
    assert len(set(keys)) == 3
    assert all("/" not in key and "." not in key for key in keys)


def test_the_folders_of_other_versions_are_known_as_such() -> None:
    assert layout.foreign_versions(["v1", "work", "v2", "set-aside", "v10", "video"]) == [
        "v10",
        "v2",
    ]
