"""The protocol: any bytes in, typed events out, and never an exception."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor import protocol
from monitor.errors import ProtocolError
from monitor.protocol import (
    PING,
    ActiveAssetCtx,
    AllMids,
    Bbo,
    Candle,
    Embedded,
    ExchangeStatus,
    Greeting,
    Malformed,
    Pong,
    ServerError,
    Subscribed,
    Subscription,
    Unknown,
    check_candle,
    decode,
)

OPEN_MS = 1791278880000
ROW: dict[str, Any] = {
    "t": OPEN_MS,
    "T": OPEN_MS + 59_999,
    "s": "BTC",
    "i": "1m",
    "o": "85827.0",
    "c": "85812.0",
    "h": "85827.0",
    "l": "85801.0",
    "v": "0.73617",
    "n": 20,
}
CANDLE = Candle(
    OPEN_MS, OPEN_MS + 59_999, "BTC", "1m", 85827.0, 85827.0, 85801.0, 85812.0, 0.73617, 20
)
PERP_CTX = {
    "funding": "0.0000125",
    "openInterest": "63.91844",
    "prevDayPx": "64031.0",
    "dayNtlVlm": "1274069.4620399997",
    "premium": "0.0",
    "oraclePx": "64232.0",
    "markPx": "64254.0",
    "midPx": "64257.5",
    "impactPxs": ["63990.0", "64674.9"],
    "dayBaseVlm": "19.8655",
}
SPOT_CTX = {
    "dayNtlVlm": "8906.0",
    "prevDayPx": "0.22916",
    "markPx": "0.23482",
    "midPx": None,
    "circulatingSupply": "598274725.27",
    "totalSupply": "1000000000.0",
    "coin": "@1",
}
PARSE = "Error parsing JSON into valid websocket request"
SUBSCRIPTION = Subscription("candle", coin="BTC", interval="1m")


def frame(channel: str, data: object) -> bytes:
    return json.dumps({"channel": channel, "data": data}).encode()


FRAMES = (
    frame("candle", ROW),
    frame("bbo", {"coin": "BTC", "time": OPEN_MS, "bbo": [None, {"px": "1", "sz": "2", "n": 1}]}),
    frame("allMids", {"mids": {"BTC": "80868.5", "@142": "80907.5"}}),
    frame("activeAssetCtx", {"coin": "BTC", "ctx": PERP_CTX}),
    frame("activeSpotAssetCtx", {"coin": "@1", "ctx": SPOT_CTX}),
    frame(
        "subscriptionResponse",
        {
            "method": "subscribe",
            "subscription": {"type": "candle", "interval": "1m", "coin": "BTC"},
        },
    ),
    b'{"channel":"pong"}',
    frame("error", 'Already subscribed: {"type":"candle","interval":"30m","coin":"UNI"}'),
    frame("l2Book", {"coin": "BTC", "time": OPEN_MS, "levels": [[], []]}),
    b"Websocket connection established.",
)
EVENTS = (
    Candle,
    Bbo,
    AllMids,
    ActiveAssetCtx,
    ActiveAssetCtx,
    Subscribed,
    Pong,
    ServerError,
    Unknown,
    Greeting,
)


def with_fields(**fields: object) -> Candle:
    return msgspec.structs.replace(CANDLE, **fields)


def test_imports_neither_an_event_loop_nor_a_network_library() -> None:
    code = (
        "import sys, monitor.protocol\n"
        "bad = {'asyncio', 'anyio', 'websockets', 'aiohttp', 'socket', 'ssl', 'numpy'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_candle_frame_becomes_a_candle_with_numbers() -> None:
    assert decode(frame("candle", ROW)) == CANDLE
    assert decode(frame("candle", ROW).decode()) == CANDLE


def test_the_order_of_keys_does_not_matter() -> None:
    shuffled = {"data": dict(reversed(ROW.items())), "channel": "candle"}
    assert decode(json.dumps(shuffled).encode()) == CANDLE


def test_volume_with_binary_noise_is_kept_as_the_nearest_float() -> None:
    event = decode(frame("candle", {**ROW, "v": "3495670.8399999999"}))
    assert isinstance(event, Candle)
    assert event.volume == 3495670.84


@pytest.mark.parametrize(("data", "kind"), list(zip(FRAMES, EVENTS, strict=True)))
def test_every_known_frame_becomes_its_event(data: bytes, kind: type) -> None:
    assert type(decode(data)) is kind


def test_bbo_keeps_the_block_time_even_when_one_sided() -> None:
    assert decode(FRAMES[1]) == Bbo("BTC", OPEN_MS)


def test_all_mids_are_floats_and_name_their_dex() -> None:
    assert decode(FRAMES[2]) == AllMids({"BTC": 80868.5, "@142": 80907.5}, None)
    other = decode(frame("allMids", {"mids": {"xyz:TSLA": "1.5"}, "dex": "xyz"}))
    assert other == AllMids({"xyz:TSLA": 1.5}, "xyz")


def test_contexts_of_perps_and_spot_have_one_form_and_may_lack_fields() -> None:
    perp = ActiveAssetCtx("BTC", 1274069.4620399997, 19.8655, 64257.5, 64254.0)
    assert decode(FRAMES[3]) == perp
    assert decode(FRAMES[4]) == ActiveAssetCtx("@1", 8906.0, None, None, 0.23482)


def test_an_acknowledgement_equals_what_was_asked_despite_normalisation() -> None:
    echo = {
        "dex": None,
        "coin": "BTC",
        "nSigFigs": None,
        "interval": "1m",
        "fast": False,
        "type": "candle",
    }
    event = decode(frame("subscriptionResponse", {"subscription": echo, "method": "subscribe"}))
    assert event == Subscribed("subscribe", SUBSCRIPTION)
    assert hash(event.subscription) == hash(SUBSCRIPTION)
    assert Subscription("allMids", dex="") == Subscription("allMids")


def test_subscriptions_differ_by_each_of_their_fields() -> None:
    others = {
        Subscription("bbo", coin="BTC"),
        Subscription("candle", coin="btc", interval="1m"),
        Subscription("candle", coin="BTC", interval="1M"),
        Subscription("allMids", dex="xyz"),
        Subscription("allMids"),
    }
    assert len(others | {SUBSCRIPTION}) == 6


@pytest.mark.parametrize(
    ("text", "kind", "subscription"),
    [
        (
            'Already subscribed: {"type":"candle","interval":"1m","coin":"BTC"}',
            "already_subscribed",
            SUBSCRIPTION,
        ),
        (
            'Already unsubscribed: {"type":"candle","interval":"1m","coin":"BTC"}',
            "already_unsubscribed",
            SUBSCRIPTION,
        ),
        (
            'Invalid subscription {"type":"candle","coin":"BTC","interval":"1m"}',
            "invalid_subscription",
            SUBSCRIPTION,
        ),
        (
            f'{PARSE}: {{"method": "subscribe", "subscription": {{"type": "candles"}}}}',
            "parse",
            Subscription("candles"),
        ),
        (
            f'{PARSE}: {{"subscription": {{"coin": ["A"]}}}}',
            "parse",
            None,
        ),
        ("Cannot track more than 15 total users.", "other", None),
        ("Already subscribed: {", "already_subscribed", None),
        ("", "other", None),
    ],
)
def test_a_complaint_is_sorted_and_its_echo_read(
    text: str, kind: str, subscription: Subscription | None
) -> None:
    assert decode(frame("error", text)) == ServerError(kind, text, subscription)


@pytest.mark.parametrize(
    "data",
    [
        frame("candle", {**ROW, "o": None}),
        frame("candle", {**ROW, "o": "twelve"}),
        frame("candle", {**ROW, "t": "soon"}),
        frame("candle", [ROW]),
        frame("candle", {"t": OPEN_MS, "T": OPEN_MS + 59_999, "s": "BTC", "i": "1m"}),
        frame("bbo", {"coin": "BTC"}),
        frame("allMids", {"mids": []}),
        frame("error", {"text": "no string"}),
        frame("subscriptionResponse", None),
        frame("candle", ROW)[:-1],
        frame("candle", ROW) + b"{}",
        b"{}",
        b"[]",
        b"null",
        b"",
        b"\x00",
        b"\xff\xfe",
        b'{"channel":1}',
        b'{"channel":"pong\xff"}',
        b'{"x":' * 20_000,
        b"[" * 100_000,
    ],
)
def test_a_frame_that_is_not_what_it_promises_is_malformed(data: bytes) -> None:
    event = decode(data)
    assert type(event) is Malformed
    assert event.reason
    assert event.excerpt.isprintable()
    assert len(event.excerpt) < 1_000


def test_a_malformed_frame_of_a_known_channel_names_it() -> None:
    event = decode(frame("candle", {**ROW, "h": None}))
    assert isinstance(event, Malformed)
    assert event.reason.startswith("candle: ")
    assert "$.data.h" in event.reason


def test_a_channel_that_is_not_used_here_is_unknown_whatever_its_data() -> None:
    assert decode(b'{"channel":"trades","data":[1,{"x":null}]}') == Unknown("trades")
    assert decode(b'{"channel":"user","data":"\xff"}') == Unknown("user")


@given(st.binary(max_size=400) | st.text(max_size=400))
@example('"\ud800"')
@example(b'{"channel":"error","data":"\\ud800 {"}')
@example(b'{"channel":"candle","data":{"s":"\\ud800"}}')
def test_no_bytes_and_no_text_make_it_raise(data: bytes | str) -> None:
    assert isinstance(decode(data), msgspec.Struct)


@settings(max_examples=400)
@given(
    st.sampled_from(FRAMES),
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 3), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=6,
    ),
)
def test_damaged_frames_never_make_it_raise(
    data: bytes, damages: list[tuple[int, int, bytes]]
) -> None:
    damaged = bytearray(data)
    for position, removed, inserted in damages:
        at = position % (len(damaged) + 1)
        damaged[at : at + removed] = inserted
    event = decode(bytes(damaged))
    assert isinstance(event, msgspec.Struct)
    if isinstance(event, Candle):
        check_candle(event, now_ms=OPEN_MS)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["candle", "bbo", "allMids", "activeAssetCtx", "error", "pong"]), json_values
)
def test_no_data_of_a_known_channel_makes_it_raise(channel: str, data: object) -> None:
    assert isinstance(decode(frame(channel, data)), msgspec.Struct)


@given(st.sampled_from(sorted(ROW)), json_values)
def test_a_candle_with_one_field_of_any_kind_is_refused_or_well_formed(
    key: str, value: object
) -> None:
    event = decode(frame("candle", {**ROW, key: value}))
    assert isinstance(event, (Candle, Malformed))
    if isinstance(event, Candle) and check_candle(event, now_ms=OPEN_MS) is None:
        assert math.isfinite(event.open + event.high + event.low + event.close + event.volume)
        assert event.open_ms % 60_000 == 0
        assert abs(event.trades) < 2**63


positive = st.floats(min_value=1e-9, max_value=1e9)


@given(
    st.integers(1, 10**8).map(lambda minute: minute * 60_000),
    st.text(min_size=1, max_size=10),
    st.lists(positive, min_size=4, max_size=4).map(sorted),
    st.floats(min_value=0.0, max_value=1e12),
    st.integers(1, 10**6),
)
def test_a_candle_survives_the_wire_bit_for_bit(
    open_ms: int, coin: str, prices: list[float], volume: float, trades: int
) -> None:
    low, first, last, high = prices
    sent = Candle(open_ms, open_ms + 59_999, coin, "1m", first, high, low, last, volume, trades)
    row = {
        "t": open_ms,
        "T": open_ms + 59_999,
        "s": coin,
        "i": "1m",
        "o": repr(first),
        "h": repr(high),
        "l": repr(low),
        "c": repr(last),
        "v": repr(volume),
        "n": trades,
    }
    assert decode(frame("candle", row)) == sent
    assert protocol.decode_candles(json.dumps([row, row]).encode()) == [sent, sent]
    assert check_candle(sent, now_ms=open_ms) is None


def test_requests_are_what_the_exchange_reads() -> None:
    assert json.loads(protocol.subscribe(SUBSCRIPTION)) == {
        "method": "subscribe",
        "subscription": {"type": "candle", "coin": "BTC", "interval": "1m"},
    }
    assert json.loads(protocol.unsubscribe(Subscription("allMids", dex="xyz"))) == {
        "method": "unsubscribe",
        "subscription": {"type": "allMids", "dex": "xyz"},
    }
    assert json.loads(PING) == {"method": "ping"}


@given(st.text(max_size=10), *[st.none() | st.text(min_size=1, max_size=10)] * 3)
def test_a_subscription_comes_back_equal_from_its_own_request(
    kind: str, coin: str | None, interval: str | None, dex: str | None
) -> None:
    asked = Subscription(kind, coin, interval, dex)
    echoed = json.loads(protocol.subscribe(asked))
    assert decode(frame("subscriptionResponse", echoed)) == Subscribed("subscribe", asked)


# --- check_candle -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"trades": 0, "volume": 0.0, "high": 85812.0, "low": 85812.0, "open": 85812.0},
        {"trades": 0, "volume": 0.0},
        {"volume": 0.0},
        {"open": 1e-8, "high": 2e-8, "low": 1e-8, "close": 2e-8},
        {"high": 100_002_060.0},
    ],
)
def test_right_rows_are_accepted_flat_tiny_and_absurd_ones_included(
    fields: dict[str, object],
) -> None:
    assert check_candle(with_fields(**fields), now_ms=OPEN_MS + 1) is None


nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"interval": "5m"}, "interval"),
        ({"interval": "1M"}, "interval"),
        ({"interval": ""}, "interval"),
        ({"open_ms": OPEN_MS + 1, "close_ms": OPEN_MS + 60_000}, "time"),
        ({"close_ms": OPEN_MS + 60_000}, "time"),
        ({"close_ms": OPEN_MS + 299_999}, "time"),
        ({"open_ms": 0, "close_ms": 59_999}, "time"),
        ({"open_ms": -60_000, "close_ms": -1}, "time"),
        ({"open_ms": OPEN_MS + 60_000, "close_ms": OPEN_MS + 119_999}, "future"),
        ({"open_ms": 60_000 * 10**30, "close_ms": 60_000 * 10**30 + 59_999}, "future"),
        *(
            ({name: bad}, "price")
            for name in ("open", "high", "low", "close")
            for bad in (nan, inf, -inf, 0.0, -1.0)
        ),
        ({"open": 85828.0}, "price"),
        ({"open": 85800.0}, "price"),
        ({"close": 85828.0}, "price"),
        ({"close": 85800.0}, "price"),
        *(({"volume": bad}, "volume") for bad in (nan, inf, -inf, -1e-9)),
        ({"trades": -1}, "trades"),
        ({"trades": 2**60}, "trades"),
        ({"trades": 0}, "trades"),
    ],
)
def test_wrong_rows_are_refused_with_the_reason(fields: dict[str, object], reason: str) -> None:
    assert check_candle(with_fields(**fields), now_ms=OPEN_MS) == reason


def test_a_candle_may_open_a_little_after_our_estimate_of_now() -> None:
    early = OPEN_MS - protocol.FUTURE_TOLERANCE_MS
    assert check_candle(CANDLE, now_ms=early) is None
    assert check_candle(CANDLE, now_ms=early - 1) == "future"


def test_other_intervals_are_checked_by_their_own_length() -> None:
    hour = 3_600_000
    start = OPEN_MS // hour * hour
    candle = with_fields(interval="1h", open_ms=start, close_ms=start + hour - 1)
    assert check_candle(candle, now_ms=OPEN_MS, interval_ms=hour) is None
    assert check_candle(CANDLE, now_ms=OPEN_MS, interval_ms=hour) == "interval"


# --- REST bodies ------------------------------------------------------------------------------


def test_candle_snapshots_decode_in_order() -> None:
    later = {**ROW, "t": OPEN_MS + 60_000, "T": OPEN_MS + 119_999, "v": "0.0", "n": 0}
    rows = protocol.decode_candles(json.dumps([ROW, later]).encode())
    assert [row.open_ms for row in rows] == [OPEN_MS, OPEN_MS + 60_000]
    assert rows[0] == CANDLE
    assert protocol.decode_candles(b"[]") == []


@pytest.mark.parametrize("body", [b"null", b"", b"{}", b"[1]", b"<html>", b'[{"t":1}]', b"[\xff]"])
def test_a_wrong_body_is_an_error_that_shows_what_was_found(body: bytes) -> None:
    decoders = (
        protocol.decode_candles,
        protocol.decode_meta,
        protocol.decode_all_perp_metas,
        protocol.decode_spot_meta,
        protocol.decode_exchange_status,
        protocol.decode_perp_dexs,
    )
    for decoder in decoders:
        with pytest.raises(ProtocolError, match=r"found .+, expected an"):
            decoder(body)


def test_a_delisted_market_is_one_whose_flag_is_true_not_null() -> None:
    body = json.dumps(
        {
            "universe": [
                {"szDecimals": 5, "name": "BTC", "maxLeverage": 40, "marginTableId": 56},
                {"szDecimals": 1, "name": "MATIC", "isDelisted": True},
                {"szDecimals": 4, "name": "ETH", "isDelisted": None, "onlyIsolated": None},
            ],
            "marginTables": [],
            "collateralToken": 0,
        }
    ).encode()
    assets = protocol.decode_meta(body).universe
    assert [(each.name, each.size_decimals, each.delisted) for each in assets] == [
        ("BTC", 5, False),
        ("MATIC", 1, True),
        ("ETH", 4, False),
    ]
    metas = protocol.decode_all_perp_metas(b"[" + body + b"," + body + b"]")
    assert [len(meta.universe) for meta in metas] == [3, 3]


def test_spot_documents_and_dex_names_decode() -> None:
    meta = protocol.decode_spot_meta(
        json.dumps(
            {
                "universe": [
                    {"tokens": [150, 0], "name": "@107", "index": 107, "isCanonical": False}
                ],
                "tokens": [
                    {
                        "name": "HYPE",
                        "szDecimals": 2,
                        "weiDecimals": 8,
                        "index": 150,
                        "evmContract": None,
                        "fullName": None,
                    }
                ],
            }
        ).encode()
    )
    assert (meta.universe[0].name, meta.universe[0].tokens) == ("@107", (150, 0))
    assert (meta.tokens[0].name, meta.tokens[0].index) == ("HYPE", 150)
    assert protocol.decode_perp_dexs(b'[null,{"name":"xyz","fullName":"XYZ"}]') == ["", "xyz"]


@pytest.mark.parametrize(
    "found",
    [
        '"time":0',
        '"time":1e30',
        f'"time":{10**400}',
        '"time":1791278880123,"embedded":{"run":"a","rate":-1}',
    ],
)
def test_a_time_or_a_rate_that_would_stop_every_clock_is_refused(found: str) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_exchange_status(f"{{{found}}}".encode())
    bbo = f'{{"channel":"bbo","data":{{"coin":"BTC",{found}}}}}'.encode()
    if "embedded" not in found:
        event = protocol.decode(bbo)
        assert isinstance(event, Malformed)
        assert event.channel == "bbo"


def test_a_real_exchange_is_told_from_an_embedded_one() -> None:
    real = protocol.decode_exchange_status(b'{"specialStatuses":null,"time":1791278880123}')
    assert real == ExchangeStatus(1791278880123, None)
    embedded = protocol.decode_exchange_status(
        b'{"specialStatuses":null,"time":1791278880123,"embedded":{"run":"ab12","rate":60.0,"seed":7}}'
    )
    assert embedded == ExchangeStatus(1791278880123, Embedded("ab12", 60.0, 7))
