"""Faults: off by default, checked, seeded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import anyio
import pytest
from websockets.asyncio.client import connect

from monitor import protocol
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
    serve,
)
from monitor.exchange.damage import damage_frame
from monitor.exchange.faults import CHAOS, DAMAGES

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
    [
        *(("drop", "0"), ("drop", "soon"), ("late", "1.5"), ("late", "-1"), ("expire", "inf")),
        *(("chaos", "-1"), ("chaos", "0.5"), ("skew", "1e9")),
    ],
)
def test_a_value_of_no_use_is_refused(name: str, value: str) -> None:
    with pytest.raises(
        ConfigError, match=f"fault {name}: found '{value}', expected an? (number|int)"
    ):
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


# --- whole sockets --------------------------------------------------------------------------------


def test_a_hushed_socket_sends_pongs_alone_and_a_half_open_one_nothing() -> None:
    for fault, answer in (("hush", ['{"channel":"pong"}']), ("half_open", [])):
        exchange, session = opened(1, **{fault: "1"})
        exchange.advance(START_MS + 20_000)
        session.take()
        exchange.receive(session, '{"method":"ping"}')
        exchange.advance(START_MS + 40_000)
        assert session.take() == answer
        assert session.closing is None
        assert exchange.faults.counts[fault] == 1


def test_a_half_open_socket_is_given_up_by_the_exchange_without_a_close_frame() -> None:
    exchange, session = opened(1, half_open="1")
    assert 60_000 <= end_of(exchange, session) < 90_000
    assert session.closing == Closing()


def test_a_lagging_socket_keeps_its_order() -> None:
    exchange, session = opened(1)
    exchange.faults.set("lag", 3)
    session.take()
    exchange.receive(session, '{"method":"ping"}')
    exchange.advance(START_MS + 2_900)
    assert session.take() == []
    exchange.faults.set("lag", None)
    exchange.receive(session, '{"method":"ping"}')
    exchange.advance(START_MS + 60_000)
    frames = session.take()
    assert frames.count('{"channel":"pong"}') == 2
    states = [json.loads(frame)["data"] for frame in frames if '"candle"' in frame]
    assert states == sorted(states, key=lambda state: (state["t"], state["n"]))


def test_faults_with_a_time_take_hold_of_sockets_that_are_open() -> None:
    exchange, session = opened(1)
    exchange.advance(START_MS + 60_000)
    exchange.faults.set("close", 1)
    due = exchange.next_due_ms()
    assert due is not None
    assert due <= exchange.now_ms
    exchange.advance(exchange.now_ms)
    exchange.advance(START_MS + 90_000)
    assert session.closing == Closing(1001, "Going away")


# --- what candles say -----------------------------------------------------------------------------


def test_reordered_frames_are_the_same_frames_in_another_order() -> None:
    plain, mixed = frames_of(), frames_of(reorder="0.2")
    assert mixed != plain
    assert set(plain) - set(mixed) <= {plain[-1]}
    assert len(plain) - len(mixed) <= 1


def test_the_end_of_a_minute_can_be_withheld_from_the_socket() -> None:
    exchange, session = opened(1, tail="1")
    exchange.advance(START_MS + 180_000)
    exchange.truth("BTC", START_MS, START_MS + 180_000)
    told = [json.loads(f)["data"] for f in session.take() if '"channel":"candle"' in f]
    true = {row.open_ms: row.trades for row in exchange.truth("BTC", START_MS, START_MS + 120_000)}
    last = {state["t"]: state["n"] for state in told}
    assert any(last[open_ms] < true[open_ms] for open_ms in list(true)[:2])


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_candle_is_never_accepted(kind: str) -> None:
    """And the shop's own check finds each of them: nothing else would be worth a fault."""
    dice, plain = Random(1), frames_of()
    for frame in plain[:200]:
        event = protocol.decode(damage_frame(frame, kind, dice))
        if isinstance(event, protocol.Candle):
            now_ms = json.loads(frame)["data"]["T"]
            assert event.coin != "BTC" or protocol.check_candle(event, now_ms=now_ms), event
        else:
            assert isinstance(event, protocol.Malformed), event


def test_the_last_trades_of_a_minute_can_be_told_late_and_by_rest_not_before() -> None:
    exchange, session = opened(1, correct="1")
    open_ms = START_MS - START_MS % 60_000 + 60_000
    exchange.advance(open_ms + 61_000)

    def listed() -> int:
        request = {"coin": "BTC", "interval": "1m", "startTime": open_ms, "endTime": open_ms}
        body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
        return int(json.loads(exchange.info(body).body)[0]["n"])

    true = exchange.truth("BTC", open_ms, open_ms)[0].trades
    assert listed() < true
    session.take()
    exchange.advance(open_ms + 105_000)
    assert listed() == true
    told = [json.loads(f)["data"] for f in session.take() if '"channel":"candle"' in f]
    assert (open_ms, true) in {(state["t"], state["n"]) for state in told}


def snapshot_of(exchange: Exchange, minutes: int) -> list[dict[str, Any]]:
    end = exchange.now_ms
    request = {
        "coin": "BTC",
        "interval": "1m",
        "startTime": end - minutes * 60_000,
        "endTime": end,
    }
    body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
    rows: list[dict[str, Any]] = json.loads(exchange.info(body).body)
    return rows


def test_a_replica_that_lags_behind_knows_nothing_of_the_last_minutes() -> None:
    exchange, _ = opened(1)
    exchange.advance(START_MS + 600_000)
    fresh = snapshot_of(exchange, 8)
    exchange.faults.set("http_stale", 1.0)
    behind = set()
    for _ in range(50):
        stale = snapshot_of(exchange, 8)
        whole = stale[:-1]  # the last one may be a part
        assert whole == fresh[: len(whole)]
        behind.add(len(fresh) - len(stale))
    assert behind <= {0, 1, 2, 3}
    assert max(behind) >= 2


def test_an_answer_with_a_gap_has_the_rows_around_it() -> None:
    exchange, _ = opened(1)
    exchange.advance(START_MS + 600_000)
    fresh = snapshot_of(exchange, 8)
    exchange.faults.set("http_gap", 1.0)
    for _ in range(50):
        rows = snapshot_of(exchange, 8)
        assert 0 < len(rows) < len(fresh)
        assert all(row in fresh for row in rows)
        assert rows[-1] == fresh[-1]


def test_a_delisted_market_is_listed_so_and_trades_no_more() -> None:
    exchange, session = opened(1)
    exchange.advance(START_MS + 60_000)
    session.take()
    exchange.delist("BTC")
    exchange.advance(START_MS + 600_000)
    assert not any('"candle"' in frame for frame in session.take())
    assert exchange.truth("BTC", START_MS + 120_000, START_MS + 600_000) == []
    assert exchange.world.meta()["universe"][0]["isDelisted"]
    assert exchange.mids("", exchange.now_ms).get("BTC") is None
    with pytest.raises(KeyError):
        exchange.delist("NOSUCH")


def test_markets_are_delisted_in_time_but_never_the_two_everybody_has() -> None:
    exchange = Exchange(ExchangeConfig(faults={"delist": 60}), START_MS)
    for minute in range(60):
        exchange.advance(START_MS + minute * 60_000)
    gone = {m.coin for m in exchange.world.markets if m.delisted}
    assert len(gone) > 4
    assert not gone & {"BTC", "ETH"}


def test_a_skewed_clock_is_told_and_not_kept() -> None:
    exchange = Exchange(ExchangeConfig(faults={"skew": "-2.5"}), START_MS)
    told = json.loads(exchange.info(b'{"type":"exchangeStatus"}').body)["time"]
    assert (told, exchange.now_ms) == (START_MS - 2_500, START_MS)


# --- all at once ----------------------------------------------------------------------------------


def test_chaos_switches_everything_on_and_each_can_be_set_beside_it() -> None:
    faults = Faults({"chaos": "7", "drop": "5"}, 1)
    assert set(faults.values) == set(FAULTS)
    assert faults.values == CHAOS | {"chaos": 7.0, "drop": 5.0}
    assert faults.dice("x").random() != Faults({"chaos": "8"}, 1).dice("x").random()
    faults.set("chaos", None)
    assert faults.values == {"drop": 5.0}


def test_several_are_switched_together_or_none() -> None:
    faults = Faults({}, 1)
    with pytest.raises(ConfigError):
        faults.update({"drop": 5, "late": 2})
    assert faults.values == {}


# --- the shell ------------------------------------------------------------------------------------


def test_faults_are_seen_and_switched_by_http_and_frames_in_pieces_are_whole() -> None:
    async def main() -> None:
        async with serve(ExchangeConfig(rate=20)) as running, aiohttp.ClientSession() as client:
            url = f"{running.api_url}/faults"
            async with client.post(url, json={"fragment": 1}) as response:
                assert (await response.json())["faults"] == {"fragment": 1.0}
            async with client.post(url, json={"fragments": 1}) as response:
                assert response.status == 422
                assert "did you mean 'fragment'" in await response.text()
            for bad in (b"[]", b"{"):
                async with client.post(url, data=bad) as response:
                    assert response.status == 422
            async with connect(running.ws_url, proxy=None, ping_interval=None) as socket:
                await socket.send(protocol.subscribe(protocol.Subscription("candle", "BTC", "1m")))
                with anyio.fail_after(30):
                    events = [protocol.decode(await socket.recv(decode=False)) for _ in range(6)]
                assert {type(event) for event in events} == {protocol.Subscribed, protocol.Candle}
            async with client.get(url) as response:
                assert (await response.json())["counts"]["fragment"] >= 6

    anyio.run(main)


def test_a_truncated_answer_breaks_off_and_one_that_never_comes_ends_with_its_client() -> None:
    async def main() -> None:
        async with serve(ExchangeConfig()) as running, aiohttp.ClientSession() as client:
            faults = running.exchange.faults
            faults.set("http_truncated", 1.0)
            async with client.post(f"{running.api_url}/info", json={"type": "meta"}) as response:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.read()
            faults.update({"http_truncated": None, "http_timeout": 1.0})
            timeout = aiohttp.ClientTimeout(total=0.3)
            with pytest.raises(asyncio.TimeoutError):
                await client.post(f"{running.api_url}/info", json={"type": "meta"}, timeout=timeout)

    anyio.run(main)


def test_the_docs_list_every_fault_as_it_is() -> None:
    docs = Path(__file__).resolve().parent.parent / "docs" / "faults.md"
    listed = [line for line in docs.read_text().splitlines() if line.startswith("| `")]
    assert listed == [
        f"| `{fault.name}` | {fault.unit} | {fault.help} | "
        f"{'' if name == 'chaos' else format(CHAOS[name], 'g')} |"
        for name, fault in FAULTS.items()
    ]
