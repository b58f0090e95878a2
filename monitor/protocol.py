"""Hyperliquid's wire format: bytes in, events out, nothing else.

No socket, no clock, no event loop: this module imports neither asyncio nor a network library (a
test proves it). The two directions:

* `decode` turns one websocket frame into one event and never raises, whatever the bytes: what
  cannot be understood is `Malformed`, what is understood but of no use here is `Unknown`.
* `decode_candles`, `decode_meta`, ... turn REST bodies into values, and raise `ProtocolError`.

Frames are decoded by one typed pass: a tagged union on ``channel`` picks the shape, and decimal
strings become floats on the way, which costs half of decoding to dictionaries and converting. A
value can therefore be odd (NaN, negative, misaligned) and still decode: `check_candle` judges it.

Units: ``*_ms`` are Unix milliseconds UTC, prices are in quote currency, volume in base units.
"""

from __future__ import annotations

import math
from typing import TypeVar, Union

import msgspec

from monitor.errors import ProtocolError
from monitor.wire import (
    ActiveAssetCtx,
    AllMids,
    Bbo,
    Candle,
    CandleFrame,
    DayVolume,
    Embedded,
    Envelope,
    ErrorFrame,
    Event,
    ExchangeStatus,
    Frame,
    Greeting,
    Malformed,
    PerpAsset,
    PerpDex,
    PerpMeta,
    Pong,
    Request,
    ServerError,
    SpotMeta,
    SpotPair,
    SpotToken,
    Subscribed,
    Subscription,
    Unknown,
)

__all__ = [
    "FUTURE_TOLERANCE_MS",
    "INTERVAL_MS",
    "PING",
    "ActiveAssetCtx",
    "AllMids",
    "Bbo",
    "Candle",
    "Embedded",
    "Event",
    "ExchangeStatus",
    "Greeting",
    "Malformed",
    "PerpAsset",
    "PerpMeta",
    "Pong",
    "ServerError",
    "SpotMeta",
    "SpotPair",
    "SpotToken",
    "Subscribed",
    "Subscription",
    "Unknown",
    "check_candle",
    "decode",
    "decode_all_perp_metas",
    "decode_candles",
    "decode_day_volumes",
    "decode_exchange_status",
    "decode_meta",
    "decode_perp_dexs",
    "decode_spot_meta",
    "subscribe",
    "unsubscribe",
]

FUTURE_TOLERANCE_MS = 5_000
"""How far a candle may open after "now": the estimate of the exchange's clock lags behind it."""

INTERVAL_MS = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000,
    "1w": 604_800_000,
}
"""Length of each candle interval; ``1M`` is missing because months differ."""

PING = b'{"method":"ping"}'

_EXCERPT = 200
_MAX_TRADES = 2**53
_GREETING = "Websocket connection"
_KNOWN_CHANNELS = frozenset(
    {
        "candle",
        "bbo",
        "allMids",
        "activeAssetCtx",
        "activeSpotAssetCtx",
        "subscriptionResponse",
        "pong",
        "error",
    }
)


_decode_frame = msgspec.json.Decoder(Frame, strict=False).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_subscription = msgspec.json.Decoder(Subscription).decode
_decode_request = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode

# Deep nesting overflows the decoder's stack, bytes that are not UTF-8 are a ValueError.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


def decode(data: bytes | str) -> Event:
    """Decode one websocket frame; never raises, whatever `data` holds."""
    try:
        frame = _decode_frame(data)
    except _UNREADABLE as error:
        return _fallback(data, error)
    if type(frame) is CandleFrame:
        return frame.data
    if type(frame) is ErrorFrame:
        return _server_error(frame.data)
    event: Event = frame.event()
    return event


def _fallback(data: bytes | str, error: Exception) -> Event:
    try:
        channel = _decode_envelope(data).channel
    except _UNREADABLE:
        text = _excerpt(data)
        return Greeting(text) if text.startswith(_GREETING) else Malformed(str(error), text)
    if channel in _KNOWN_CHANNELS:
        return Malformed(f"{channel}: {error}", _excerpt(data), channel)
    return Unknown(channel)


_ERROR_KINDS = (
    ("Already subscribed", "already_subscribed"),
    ("Already unsubscribed", "already_unsubscribed"),
    ("Invalid subscription", "invalid_subscription"),
    ("Error parsing JSON", "parse"),
)


def _server_error(text: str) -> ServerError:
    kind = next((kind for phrase, kind in _ERROR_KINDS if text.startswith(phrase)), "other")
    start = text.find("{")
    return ServerError(kind, text, _echoed(text[start:]) if start >= 0 else None)


def _echoed(text: str) -> Subscription | None:
    try:
        return _decode_subscription(text)
    except _UNREADABLE:
        pass
    try:
        return _decode_request(text).subscription
    except _UNREADABLE:
        return None


def _excerpt(data: bytes | str) -> str:
    head = data[:_EXCERPT]
    text = head if isinstance(head, str) else bytes(head).decode("utf-8", "backslashreplace")
    printable = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return printable + ("..." if len(data) > _EXCERPT else "")


def subscribe(subscription: Subscription) -> bytes:
    """Encode the request to subscribe."""
    return _encode({"method": "subscribe", "subscription": subscription})


def unsubscribe(subscription: Subscription) -> bytes:
    """Encode the request to unsubscribe."""
    return _encode({"method": "unsubscribe", "subscription": subscription})


# --- judging a candle -------------------------------------------------------------------------


def check_candle(candle: Candle, *, now_ms: float, interval_ms: int = 60_000) -> str | None:
    """Judge a decoded candle by its values alone: None if it may be placed, else a short reason.

    `now_ms` is the exchange's time. Reasons: ``interval`` (of another length), ``time`` (not
    aligned, or its two ends disagree), ``future``, ``price`` (not finite and positive, or not
    low <= open, close <= high), ``volume``, ``trades`` (negative, absurd, or none behind a
    volume). A row without trades may have any price: the exchange gives such rows for minutes
    before a market's first trade.
    """
    open_ms = candle.open_ms
    if INTERVAL_MS.get(candle.interval) != interval_ms:
        return "interval"
    if open_ms <= 0 or open_ms % interval_ms or candle.close_ms != open_ms + interval_ms - 1:
        return "time"
    if open_ms > now_ms + FUTURE_TOLERANCE_MS:
        return "future"
    low = candle.low
    high = candle.high
    # Every comparison with NaN is false, so these two chains refuse it in any of the four.
    if not (0.0 < low <= candle.open <= high < math.inf and low <= candle.close <= high):
        return "price"
    if not 0.0 <= candle.volume < math.inf:
        return "volume"
    if not 0 <= candle.trades <= _MAX_TRADES or (candle.trades == 0 and candle.volume > 0.0):
        return "trades"
    return None


# --- REST bodies ------------------------------------------------------------------------------


_T = TypeVar("_T")

_candles = msgspec.json.Decoder(list[Candle], strict=False)
_meta = msgspec.json.Decoder(PerpMeta)
_all_metas = msgspec.json.Decoder(list[PerpMeta])
_spot_meta = msgspec.json.Decoder(SpotMeta)
_perp_dexs = msgspec.json.Decoder(list[Union[PerpDex, None]])  # noqa: UP007
_contexts = msgspec.json.Decoder(tuple[PerpMeta, list[DayVolume]], strict=False)
_status = msgspec.json.Decoder(ExchangeStatus)


def decode_candles(body: bytes) -> list[Candle]:
    """Decode the answer to ``candleSnapshot``, ascending by open time as sent."""
    return _body(_candles, body, "candleSnapshot", "an array of candles")


def decode_meta(body: bytes) -> PerpMeta:
    """Decode the answer to ``meta``."""
    return _body(_meta, body, "meta", "an object with a universe")


def decode_all_perp_metas(body: bytes) -> list[PerpMeta]:
    """Decode the answer to ``allPerpMetas``: the first dex, then the builder-deployed ones."""
    return _body(_all_metas, body, "allPerpMetas", "an array of objects with a universe")


def decode_spot_meta(body: bytes) -> SpotMeta:
    """Decode the answer to ``spotMeta``."""
    return _body(_spot_meta, body, "spotMeta", "an object with universe and tokens")


def decode_perp_dexs(body: bytes) -> list[str]:
    """Decode the answer to ``perpDexs`` to the dexes' names; the first dex's is empty."""
    dexs = _body(_perp_dexs, body, "perpDexs", "an array of dexes, the first null")
    return [dex.name if dex is not None else "" for dex in dexs]


def decode_day_volumes(body: bytes) -> dict[str, DayVolume]:
    """Decode the answer to ``metaAndAssetCtxs`` or ``spotMetaAndAssetCtxs``: contexts by coin."""
    what = "metaAndAssetCtxs"
    meta, contexts = _body(_contexts, body, what, "a list of markets and one of contexts")
    volumes = {each.coin: each for each in contexts if each.coin is not None}
    if volumes or not contexts:
        return volumes
    if len(meta.universe) != len(contexts):
        found = f"{len(meta.universe)} markets and {len(contexts)} contexts"
        raise ProtocolError(what, found, "a context for each market")
    return {asset.name: each for asset, each in zip(meta.universe, contexts, strict=True)}


def decode_exchange_status(body: bytes) -> ExchangeStatus:
    """Decode the answer to ``exchangeStatus``."""
    return _body(_status, body, "exchangeStatus", "an object with a time in ms")


def _body(decoder: msgspec.json.Decoder[_T], body: bytes, what: str, expected: str) -> _T:
    try:
        return decoder.decode(body)
    except _UNREADABLE as error:
        found = f"{_excerpt(body)!r} ({error})" if body else "an empty body"
        raise ProtocolError(what, found, expected) from error
