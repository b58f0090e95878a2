"""Faults: off by default, checked, seeded."""

from __future__ import annotations

import json

import pytest

from monitor.exchange import (
    FAULTS,
    Closing,
    ConfigError,
    Exchange,
    ExchangeConfig,
    Faults,
    Session,
    UnknownFault,
    parse_faults,
)

START_MS = 1_795_377_833_665
CANDLE = {"type": "candle", "coin": "BTC", "interval": "1m"}


def opened(seed: int = 1, **faults: str) -> tuple[Exchange, Session]:
    exchange = Exchange(ExchangeConfig(seed=seed, faults=faults), START_MS)
    session = exchange.connect()
    exchange.receive(session, json.dumps({"method": "subscribe", "subscription": CANDLE}))
    return exchange, session


def end_of(exchange: Exchange, session: Session) -> int:
    while session.closing is None:
        exchange.advance(exchange.now_ms + 1_000)
        session.take()
    return exchange.now_ms - START_MS


def test_an_unknown_fault_names_the_nearest() -> None:
    with pytest.raises(UnknownFault, match="did you mean 'http_429'"):
        Faults({"http429": "0.1"}, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("drop", "0"), ("drop", "soon"), ("late", "1.5"), ("late", "-1"), ("expire", "inf")],
)
def test_a_value_of_no_use_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"fault {name}: found '{value}', expected a number"):
        Faults({name: value}, 1)


def test_pairs_are_read_from_the_command_line() -> None:
    assert parse_faults(["drop=30", "late=0.1", "drop=60"]) == {"drop": "60", "late": "0.1"}
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        parse_faults(["drop"])


def test_without_faults_none_strikes_in_an_hour() -> None:
    exchange, session = opened()
    exchange.advance(START_MS + 3_600_000)
    assert session.closing is None
    assert set(exchange.faults.counts.values()) == {0}
    assert set(exchange.faults.counts) == set(FAULTS)


def test_drops_come_without_a_close_frame_at_times_that_the_seed_decides() -> None:
    lives = [end_of(*opened(seed, drop="60")) for seed in (1, 1, 2, 3, 4, 5, 6, 7)]
    assert lives[0] == lives[1]
    assert len(set(lives)) >= 6
    exchange, session = opened(1, drop="60")
    end_of(exchange, session)
    assert session.closing == Closing()
    assert exchange.faults.counts["drop"] == 1


def test_expiry_closes_with_1000_at_the_given_age() -> None:
    exchange, session = opened(expire="90")
    assert end_of(exchange, session) == 90_000
    assert session.closing == Closing(1000, "Expired")


def test_a_stalled_subscription_is_silent_until_it_is_made_anew_while_pongs_arrive() -> None:
    exchange, session = opened(stall="1")
    exchange.advance(START_MS + 30_000)
    assert session.muted
    session.take()
    exchange.faults.set("stall", None)
    exchange.receive(session, '{"method":"ping"}')
    exchange.advance(START_MS + 60_000)
    assert session.take() == ['{"channel":"pong"}']
    for method in ("unsubscribe", "subscribe"):
        exchange.receive(session, json.dumps({"method": method, "subscription": CANDLE}))
    session.take()
    exchange.advance(START_MS + 90_000)
    assert any('"candle"' in frame for frame in session.take())


def frames_of(**faults: str) -> list[str]:
    exchange, session = opened(1, **faults)
    exchange.advance(START_MS + 300_000)
    exchange.faults.set("late", None)
    exchange.advance(START_MS + 310_000)
    return [frame for frame in session.take() if '"channel":"candle"' in frame]


def test_late_frames_arrive_behind_newer_ones_and_none_is_lost() -> None:
    plain, late = frames_of(), frames_of(late="0.1")
    assert late != plain
    assert sorted(late) == sorted(plain)


def test_duplicated_and_missing_frames_are_the_same_states() -> None:
    plain = frames_of()
    twice, fewer = frames_of(duplicate="0.2"), frames_of(missing="0.2")
    assert len(fewer) < len(plain) < len(twice)
    assert set(twice) == set(plain)
    assert set(fewer) < set(plain)


def test_a_share_of_the_requests_fails_and_the_seed_decides_which() -> None:
    def statuses(seed: int) -> list[int]:
        faults = {"http_429": "0.2", "http_500": "0.2"}
        exchange = Exchange(ExchangeConfig(seed=seed, faults=faults), START_MS)
        return [exchange.info(b'{"type":"exchangeStatus"}').status for _ in range(200)]

    told = statuses(1)
    assert told == statuses(1) != statuses(2)
    assert 20 < told.count(429) < 60
    assert 15 < told.count(500) < 55


def test_faults_can_be_switched_while_the_exchange_runs() -> None:
    exchange = Exchange(ExchangeConfig(), START_MS)
    exchange.faults.set("http_500", 1.0)
    assert exchange.info(b'{"type":"meta"}').status == 500
    exchange.faults.set("http_500", None)
    assert exchange.info(b'{"type":"meta"}').status == 200
