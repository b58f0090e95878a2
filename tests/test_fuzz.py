"""Whatever a socket or REST may say: no crash, and nothing invalid in the ring.

`benchmarks/stress/fuzz.py` does the same with a million messages.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from validity import assert_valid

import engine_kit as kit
from engine_kit import BAR, MINUTE
from monitor import protocol
from monitor.errors import ProtocolError
from monitor.protocol import Candle

odd_number = st.one_of(
    st.integers(-5, 5),
    st.integers(BAR * MINUTE - 3 * MINUTE, BAR * MINUTE + 3 * MINUTE),
    st.floats(),
    st.sampled_from([0, -1, 2**53 + 1, 2**63, -(2**63), 10**400]),
)
odd_text = st.one_of(
    st.sampled_from(["NaN", "Infinity", "-1", "0", "1e999", "", "C0", "1m", "\ud800", "100.5"]),
    st.text(max_size=5),
    odd_number.map(str),
)
odd = st.one_of(st.none(), st.booleans(), odd_number, odd_text, st.lists(odd_number, max_size=2))
keys = st.sampled_from(["t", "T", "s", "i", "o", "c", "h", "l", "v", "n"])


@st.composite
def candles(draw: st.DrawFn) -> dict[str, object]:
    """A candle of a minute close by with up to two values that are not what they should be."""
    open_ms = (BAR + draw(st.sampled_from([0, 0, 0, 0, 1, 2, -1, -3]))) * MINUTE
    prices = sorted(draw(st.floats(0.5, 200.0)) for _ in range(4))
    candle: dict[str, object] = {"t": open_ms, "T": open_ms + MINUTE - 1, "s": "C0", "i": "1m"}
    candle |= {"l": str(prices[0]), "o": str(prices[1]), "c": str(prices[2]), "h": str(prices[3])}
    candle |= {"v": "1.5", "n": draw(st.integers(2, 20))}
    for key in draw(st.lists(keys, max_size=2)):
        if draw(st.booleans()):
            candle[key] = draw(st.one_of(st.sampled_from(["-1", "0", "NaN", "1e9", -1, 0]), odd))
        else:
            candle.pop(key, None)
    return candle


def as_bytes(document: object, cut: int) -> bytes:
    text = json.dumps(document)
    return (text if cut > len(text) else text[:cut]).encode("utf-8", "surrogatepass")


quick = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@quick
@given(frames=st.lists(st.tuples(candles(), st.integers(0, 3_000)), min_size=1, max_size=12))
def test_no_frame_breaks_the_engine_or_leaves_an_invalid_row(
    frames: list[tuple[dict[str, object], int]],
) -> None:
    desk = kit.filled()
    for data, cut in frames:
        event = protocol.decode(as_bytes({"channel": "candle", "data": data}, cut))
        if isinstance(event, Candle):
            if desk.engine.candle(event, desk.now, 1):
                assert_valid(event)
                assert event.open_ms <= desk.now + MINUTE
        else:
            desk.engine.unreadable(desk.stream, desk.now)
        desk.go(4.0)
        kit.check(desk.engine)
    for price in kit.column(desk.engine, "close"):
        assert math.isfinite(price)
        assert price > 0


@pytest.mark.parametrize("field", ["o", "h", "l", "c"])
@pytest.mark.parametrize("price", ["0", "-1", "-0.0", "NaN", "1e999"])
def test_no_price_that_cannot_be_is_taken(field: str, price: str) -> None:
    desk = kit.filled()
    good = {"t": BAR * MINUTE, "T": BAR * MINUTE + MINUTE - 1, "s": "C0", "i": "1m", "n": 9}
    for others in ({}, {"l": price}, dict.fromkeys("ohlc", price)):
        data = good | {"o": "1", "h": "1", "l": "1", "c": "1", "v": "1"} | others | {field: price}
        event = protocol.decode(as_bytes({"channel": "candle", "data": data}, 10**6))
        if isinstance(event, Candle) and desk.engine.candle(event, desk.now, 1):
            assert_valid(event)


@quick
@given(rows=st.lists(candles(), max_size=12), cut=st.integers(0, 5_000))
def test_no_answer_breaks_the_engine_or_leaves_an_invalid_row(
    rows: list[dict[str, object]], cut: int
) -> None:
    desk = kit.Desk()
    for _ in range(6):
        asks = desk.asks()
        try:
            listed = protocol.decode_candles(as_bytes(rows, cut))
        except ProtocolError:
            listed = None
        if asks and listed is not None:
            desk.answer(asks[0], listed)
        elif asks:
            desk.engine.history.failed(asks[0], desk.now)
        desk.go(16.0)
        kit.check(desk.engine)


@pytest.mark.parametrize(
    "decoder",
    [
        protocol.decode,
        protocol.decode_candles,
        protocol.decode_meta,
        protocol.decode_all_perp_metas,
        protocol.decode_spot_meta,
        protocol.decode_perp_dexs,
        protocol.decode_exchange_status,
    ],
)
@given(body=st.one_of(st.binary(max_size=200), odd.map(lambda value: as_bytes(value, 10**6))))
def test_no_bytes_break_a_decoder(decoder: Callable[[bytes], object], body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decoder(body)
