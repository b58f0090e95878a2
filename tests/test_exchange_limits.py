"""The limits of one address."""

from __future__ import annotations

import json

import pytest

from monitor.exchange import Exchange, ExchangeConfig, RefusedConnection
from monitor.exchange.limits import Window, extra_weight, weight_of

START_MS = 1_795_377_833_665


@pytest.mark.parametrize(
    ("kind", "rows", "weight"),
    [
        ("candleSnapshot", 0, 20),
        ("candleSnapshot", 1, 21),
        ("candleSnapshot", 60, 21),
        ("candleSnapshot", 180, 23),
        ("candleSnapshot", 1_440, 44),
        ("candleSnapshot", 5_000, 104),
        ("recentTrades", 10, 21),
        ("meta", 300, 20),
        ("exchangeStatus", 0, 2),
        ("allMids", 1_000, 2),
        ("userRole", 0, 60),
    ],
)
def test_requests_weigh_what_the_documentation_says(kind: str, rows: int, weight: int) -> None:
    assert weight_of(kind) + extra_weight(kind, rows) == weight


def test_a_window_forgets_after_a_minute() -> None:
    window = Window(10)
    window.spend(8, 0)
    assert not window.fits(3, 59_999)
    assert window.fits(10, 60_000)
    assert (window.total, window.peak) == (8, 8)


def test_more_than_1200_weight_in_a_minute_is_answered_429() -> None:
    exchange = Exchange(ExchangeConfig(), START_MS)
    answers = [exchange.info(b'{"type":"meta"}') for _ in range(61)]
    assert [answer.status for answer in answers] == [200] * 60 + [429]
    assert answers[-1].body == "null"
    exchange.advance(START_MS + 60_000)
    assert exchange.info(b'{"type":"meta"}').status == 200


def test_rows_of_an_answer_count_against_the_weight() -> None:
    exchange = Exchange(ExchangeConfig(), START_MS)
    request = {"coin": "ETH", "interval": "1m", "startTime": 0}
    body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
    statuses = [exchange.info(body).status for _ in range(13)]
    assert statuses == [200] * 12 + [429]
    assert exchange.limits.weight.peak == 12 * 104


def test_an_eleventh_socket_is_refused_until_one_is_gone() -> None:
    exchange = Exchange(ExchangeConfig(), START_MS)
    sessions = [exchange.connect() for _ in range(10)]
    with pytest.raises(RefusedConnection, match="more than 10 websockets at a time"):
        exchange.connect()
    exchange.disconnect(sessions[0])
    exchange.connect()


def test_a_31st_new_socket_within_a_minute_is_refused() -> None:
    exchange = Exchange(ExchangeConfig(), START_MS)
    for _ in range(30):
        exchange.disconnect(exchange.connect())
    with pytest.raises(RefusedConnection, match="more than 30 new websockets a minute"):
        exchange.connect()
    exchange.advance(START_MS + 60_000)
    exchange.connect()


def test_a_1001st_subscription_is_refused_over_all_sockets() -> None:
    exchange = Exchange(ExchangeConfig(markets=600), START_MS)
    frames: list[str] = []
    for _ in range(2):
        session = exchange.connect()
        for coin in list(exchange.world.by_coin)[:501]:
            sub = {"type": "bbo", "coin": coin}
            exchange.receive(session, json.dumps({"method": "subscribe", "subscription": sub}))
        frames += session.take()
    refused = [json.loads(frame)["data"] for frame in frames if '"error"' in frame]
    assert len(refused) == 2
    assert refused[0].startswith("Invalid subscription {")
    assert sum(len(session.subscriptions) for session in exchange.sessions.values()) == 1_000


def test_a_2001st_message_within_a_minute_costs_the_socket() -> None:
    exchange = Exchange(ExchangeConfig(), START_MS)
    one, other = exchange.connect(), exchange.connect()
    for _ in range(1_000):
        exchange.receive(one, '{"method":"ping"}')
        exchange.receive(other, '{"method":"ping"}')
    exchange.advance(START_MS + 1)
    assert one.closing is None
    exchange.receive(other, '{"method":"ping"}')
    exchange.advance(START_MS + 2)
    assert other.closing is not None
    assert other.closing.code is None
