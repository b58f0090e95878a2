"""Addresses of this machine are told from all others."""

from __future__ import annotations

import pytest

from monitor.urls import is_loopback


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:1/ws", "http://localhost", "http://127.9.9.9", "http://[::1]:8000"]
)
def test_this_machine(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url", ["wss://api.hyperliquid.xyz/ws", "http://10.0.0.1", "http://localhost.example", "x", ""]
)
def test_another_one(url: str) -> None:
    assert not is_loopback(url)
