"""What a socket's client says, and what it gets for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.exchange import Closing, Exchange, ExchangeConfig, Session
from monitor.exchange.limits import IDLE_MS

START_MS = 1_795_377_833_665
PARSE = "Error parsing JSON into valid websocket request: "
BBO = {"type": "bbo", "coin": "BTC"}


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(ExchangeConfig(), START_MS)


@pytest.fixture
def session(exchange: Exchange) -> Session:
    return exchange.connect()


def say(exchange: Exchange, session: Session, method: str, subscription: Any) -> list[Any]:
    message = json.dumps({"method": method, "subscription": subscription})
    exchange.receive(session, message)
    return [json.loads(frame) for frame in session.take()]


def ended(session: Session) -> bool:
    return session.closing is not None


def test_a_ping_is_answered(exchange: Exchange, session: Session) -> None:
    exchange.receive(session, '{"method":"ping"}')
    assert session.take() == ['{"channel":"pong"}']


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        (
            {"coin": "BTC", "type": "candle", "interval": "1m"},
            '{"type":"candle","interval":"1m","coin":"BTC"}',
        ),
        ({"coin": "BTC", "type": "bbo"}, '{"type":"bbo","coin":"BTC"}'),
        ({"type": "allMids"}, '{"type":"allMids"}'),
        ({"dex": "xyz", "type": "allMids"}, '{"type":"allMids","dex":"xyz"}'),
        (
            {"type": "l2Book", "coin": "BTC"},
            '{"type":"l2Book","coin":"BTC","nSigFigs":null,"mantissa":null,"fast":false}',
        ),
    ],
)
def test_the_ack_comes_first_and_echoes_the_normalised_subscription(
    exchange: Exchange, session: Session, sent: dict[str, Any], echo: str
) -> None:
    for method in ("subscribe", "unsubscribe"):
        exchange.receive(session, json.dumps({"method": method, "subscription": sent}))
        frame = session.take()[0]
        head = '{"channel":"subscriptionResponse","data":{"method":"'
        assert frame == f'{head}{method}","subscription":{echo}}}}}'


def test_subscribing_twice_is_an_error_and_unsubscribing_twice_too(
    exchange: Exchange, session: Session
) -> None:
    say(exchange, session, "subscribe", BBO)
    (frame,) = say(exchange, session, "subscribe", dict(reversed(BBO.items())))
    assert frame == {"channel": "error", "data": 'Already subscribed: {"type":"bbo","coin":"BTC"}'}
    say(exchange, session, "unsubscribe", BBO)
    (frame,) = say(exchange, session, "unsubscribe", BBO)
    assert frame["data"] == 'Already unsubscribed: {"type":"bbo","coin":"BTC"}'


def test_after_unsubscribing_nothing_comes_any_more(exchange: Exchange, session: Session) -> None:
    say(exchange, session, "subscribe", BBO)
    say(exchange, session, "unsubscribe", BBO)
    exchange.advance(START_MS + 30_000)
    assert session.take() == []


@pytest.mark.parametrize(
    "subscription",
    [
        {"type": "candles", "coin": "BTC", "interval": "1m"},
        {"type": "candle", "symbol": "BTC", "interval": "1m"},
        {"type": "candle", "coin": ["BTC", "ETH"], "interval": "1m"},
        {"type": "candle", "coin": "BTC"},
        {"type": "candle", "coin": "BTC", "interval": "7m"},
        {"type": "bbo"},
        {"type": "webData2", "user": "0x0"},
        {"type": "l2Book", "coin": "BTC", "fast": "yes"},
        {"type": "allMids", "dex": 1},
        "candle",
        None,
    ],
)
def test_what_cannot_be_parsed_is_echoed_in_an_error(
    exchange: Exchange, session: Session, subscription: Any
) -> None:
    text = json.dumps({"method": "subscribe", "subscription": subscription})
    exchange.receive(session, text)
    (frame,) = (json.loads(frame) for frame in session.take())
    assert frame == {"channel": "error", "data": PARSE + text}
    exchange.advance(START_MS + 1_000)
    assert session.closing is None


def test_what_is_well_formed_but_not_served_is_refused(
    exchange: Exchange, session: Session
) -> None:
    for sub in ({"type": "allDexsAssetCtxs"}, {"type": "allMids", "dex": "nowhere"}):
        (frame,) = say(exchange, session, "subscribe", sub)
        assert frame["data"] == "Invalid subscription " + json.dumps(sub, separators=(",", ":"))


@pytest.mark.parametrize("coin", ["btc", "BONK", "XYZ:TSLA", "TSLA", "@9999", ""])
@pytest.mark.parametrize("kind", ["candle", "bbo", "l2Book", "trades", "activeAssetCtx"])
def test_an_unknown_coin_costs_the_whole_socket_within_100_ms_without_a_word(
    exchange: Exchange, session: Session, kind: str, coin: str
) -> None:
    say(exchange, session, "subscribe", {"type": "candle", "coin": "@166", "interval": "1m"})
    frames = say(exchange, session, "subscribe", {"type": kind, "coin": coin, "interval": "1m"})
    assert frames == []
    assert not ended(session)
    exchange.advance(START_MS + 100)
    assert session.closing == Closing(None, "")
    assert exchange.counts["unknown_coins"] == 1


def test_a_delisted_coin_is_accepted_and_silent(exchange: Exchange, session: Session) -> None:
    sub = {"type": "candle", "coin": "MATIC", "interval": "1m"}
    (ack,) = say(exchange, session, "subscribe", sub)
    assert ack["channel"] == "subscriptionResponse"
    exchange.advance(START_MS + 50_000)
    assert session.take() == []
    assert session.closing is None


def test_a_socket_to_which_nothing_is_sent_for_a_minute_is_dropped(
    exchange: Exchange, session: Session
) -> None:
    exchange.advance(START_MS + IDLE_MS - 1)
    assert not ended(session)
    exchange.advance(START_MS + IDLE_MS)
    assert session.closing == Closing()


def test_a_pong_keeps_a_quiet_socket_alive(exchange: Exchange, session: Session) -> None:
    for half_minute in range(1, 6):
        exchange.advance(START_MS + half_minute * 30_000)
        exchange.receive(session, '{"method":"ping"}')
    assert session.closing is None


def test_a_client_that_never_reads_is_dropped(exchange: Exchange, session: Session) -> None:
    for number in range(20_001):
        session.send(str(number), START_MS)
    assert session.closing == Closing()


def test_a_socket_that_is_gone_leaves_no_stream_behind(
    exchange: Exchange, session: Session
) -> None:
    say(exchange, session, "subscribe", BBO)
    exchange.disconnect(session)
    exchange.advance(START_MS + 10_000)
    assert exchange.next_due_ms() is None


@given(st.text() | st.binary() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_no_message_breaks_the_exchange(message: str | bytes) -> None:
    exchange = Exchange(ExchangeConfig(), START_MS)
    session = exchange.connect()
    exchange.receive(session, message)
    frames = [json.loads(frame) for frame in session.take()]
    # Texts of the project's own sources are among the examples: some of them are good messages.
    if b"method" not in (message.encode() if isinstance(message, str) else message):
        assert [frame["channel"] for frame in frames] == ["error"]
        assert frames[0]["data"].startswith(PARSE)
