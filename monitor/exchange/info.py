"""`POST /info`: request bodies in, answers out. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .damage import damage_candle
from .errors import BadRequest
from .faults import DAMAGES
from .intervals import INTERVALS
from .limits import extra_weight, weight_of
from .streams import dump

if TYPE_CHECKING:
    from collections.abc import Callable

    from .core import Exchange

__all__ = ["Answer", "answer"]

_NO_TYPE = "Failed to deserialize the JSON body into the target type"
_NO_JSON = "Failed to parse the request body as JSON"
_NO_CONTENT_TYPE = "Expected request with `Content-Type: application/json`"
_LARGEST_MS = 1 << 63
_RECENT_TRADES = 10
_STALE_MS = 5_000, 150_000
_LONGEST_GAP = 8


class Answer(NamedTuple):
    """An HTTP answer: JSON when `status` is 200. `fault`: what the shell is to do to it.

    `http_timeout`: it is never sent. `http_truncated`: `body` is only a part of what is announced.
    """

    status: int
    body: str
    fault: str = ""


def answer(exchange: Exchange, body: bytes, content_type: str = "application/json") -> Answer:
    """What the exchange says to the body at its present time. The weight limit is counted."""
    now_ms = exchange.now_ms
    faults, dice = exchange.faults, exchange.http_dice
    kind = ""
    try:
        kind, request = _parse(body, content_type)
        budget = exchange.limits.weight
        weight = weight_of(kind)
        if faults.hits("http_429", dice) or not budget.fits(weight, now_ms):
            raise BadRequest(429, "null")
        budget.spend(weight, now_ms)
        if faults.hits("http_500", dice):
            raise BadRequest(500, "null")
        text, items = _ANSWERS[kind](exchange, request)
        extra = extra_weight(kind, items)
        if extra:
            budget.spend(extra, now_ms)
    except BadRequest as error:
        exchange.counts[f"http_{error.status}"] += 1
        return Answer(error.status, error.body)
    exchange.counts[f"info_{kind}"] += 1
    if faults.hits("http_timeout", dice):
        return Answer(200, text, "http_timeout")
    if faults.hits("http_truncated", dice):
        return Answer(200, text[: dice.randrange(len(text))], "http_truncated")
    return Answer(200, text)


def _parse(body: bytes, content_type: str) -> tuple[str, dict[str, Any]]:
    essence = content_type.split(";", maxsplit=1)[0].strip().lower()
    if essence != "application/json":
        raise BadRequest(415, _NO_CONTENT_TYPE)
    try:
        request = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise BadRequest(400, _NO_JSON) from None
    if not isinstance(request, dict):
        raise BadRequest(422, _NO_TYPE)
    kind = request.get("type")
    if not isinstance(kind, str) or kind not in _ANSWERS:
        raise BadRequest(422, _NO_TYPE)
    return kind, request


def _text(request: dict[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise BadRequest(422, _NO_TYPE)
    return value


def _dex(exchange: Exchange, request: dict[str, Any]) -> str:
    dex = request.get("dex")
    if dex is not None and not isinstance(dex, str):
        raise BadRequest(422, _NO_TYPE)
    if (dex or "") not in exchange.world.dexes:
        raise BadRequest(500, "null")
    return dex or ""


def _milliseconds(request: dict[str, Any], key: str) -> int:
    value = request.get(key)
    if type(value) is not int or not 0 <= value < _LARGEST_MS:
        raise BadRequest(422, _NO_TYPE)
    return value


def _as_of(exchange: Exchange) -> int:
    """The time that an answer is of: now, or what a replica that lags behind has got to."""
    if exchange.faults.hits("http_stale", exchange.http_dice):
        return exchange.now_ms - exchange.http_dice.randrange(*_STALE_MS)
    return exchange.now_ms


def _candle_snapshot(exchange: Exchange, request: dict[str, Any]) -> tuple[str, int]:
    inner = request.get("req")
    if not isinstance(inner, dict):
        raise BadRequest(422, _NO_TYPE)
    coin, name = _text(inner, "coin"), _text(inner, "interval")
    if name not in INTERVALS:
        raise BadRequest(422, _NO_TYPE)
    start_ms, now_ms = _milliseconds(inner, "startTime"), _as_of(exchange)
    end_ms = now_ms if inner.get("endTime") is None else _milliseconds(inner, "endTime")
    if coin not in exchange.world.by_coin:
        raise BadRequest(500, "null")
    desk = exchange.desk(coin)
    end_ms = min(end_ms, now_ms)
    rows = desk.series.snapshot(desk.coin_json, INTERVALS[name], start_ms, end_ms, now_ms)
    early = exchange.corrections.early(coin) if name == "1m" else None
    if early is not None:
        rows = [early[1] if row.startswith(f'{{"t":{early[0]},') else row for row in rows]
    faults, dice = exchange.faults, exchange.http_dice
    if len(rows) > 1 and faults.hits("http_gap", dice):
        at = dice.randrange(len(rows) - 1)
        del rows[at : min(at + dice.randrange(1, _LONGEST_GAP), len(rows) - 1)]
    if rows and faults.hits("http_damaged", dice):
        at = dice.randrange(len(rows))
        rows[at] = damage_candle(rows[at], dice.choice(DAMAGES), dice)
    return "[" + ",".join(rows) + "]", len(rows)


def _meta(exchange: Exchange, request: dict[str, Any]) -> tuple[str, int]:
    return dump(exchange.world.meta(_dex(exchange, request))), 0


def _meta_and_contexts(exchange: Exchange, request: dict[str, Any]) -> tuple[str, int]:
    dex = _dex(exchange, request)
    markets = exchange.world.dexes[dex]
    as_of_ms = _as_of(exchange)
    contexts = [exchange.desk(m.coin).context(as_of_ms) for m in markets]
    return dump([exchange.world.meta(dex), contexts]), 0


def _spot_meta(exchange: Exchange, _: dict[str, Any]) -> tuple[str, int]:
    return dump(exchange.world.spot_meta()), 0


def _spot_meta_and_contexts(exchange: Exchange, _: dict[str, Any]) -> tuple[str, int]:
    markets = exchange.world.spot
    as_of_ms = _as_of(exchange)
    contexts = [exchange.desk(m.coin).context(as_of_ms) for m in markets]
    return dump([exchange.world.spot_meta(), contexts]), 0


def _all_metas(exchange: Exchange, _: dict[str, Any]) -> tuple[str, int]:
    return dump(exchange.world.all_metas()), 0


def _perp_dexs(exchange: Exchange, _: dict[str, Any]) -> tuple[str, int]:
    return dump(exchange.world.perp_dexs()), 0


def _all_mids(exchange: Exchange, request: dict[str, Any]) -> tuple[str, int]:
    return dump(exchange.mids(_dex(exchange, request), exchange.now_ms)), 0


def _status(exchange: Exchange, _: dict[str, Any]) -> tuple[str, int]:
    config = exchange.config
    embedded = {"run": exchange.run, "rate": config.rate, "seed": config.seed}
    document = {"time": exchange.told_ms(), "specialStatuses": None, "embedded": embedded}
    return dump(document), 0


def _outcomes(_: Exchange, __: dict[str, Any]) -> tuple[str, int]:
    return "[]", 0


def _recent_trades(exchange: Exchange, request: dict[str, Any]) -> tuple[str, int]:
    coin = _text(request, "coin")
    if coin not in exchange.world.by_coin:
        raise BadRequest(500, "null")
    trades = exchange.desk(coin).trades(exchange.now_ms, _RECENT_TRADES)[::-1]
    return dump(trades), len(trades)


def _book(exchange: Exchange, request: dict[str, Any]) -> tuple[str, int]:
    coin = _text(request, "coin")
    if coin not in exchange.world.by_coin:
        return "null", 0
    levels = exchange.desk(coin).book(exchange.now_ms)
    return dump({"coin": coin, "time": exchange.now_ms, "levels": levels}), 0


_ANSWERS: dict[str, Callable[[Exchange, dict[str, Any]], tuple[str, int]]] = {
    "allMids": _all_mids,
    "allPerpMetas": _all_metas,
    "candleSnapshot": _candle_snapshot,
    "exchangeStatus": _status,
    "l2Book": _book,
    "meta": _meta,
    "metaAndAssetCtxs": _meta_and_contexts,
    "outcomeMeta": _outcomes,
    "perpDexs": _perp_dexs,
    "recentTrades": _recent_trades,
    "spotMeta": _spot_meta,
    "spotMetaAndAssetCtxs": _spot_meta_and_contexts,
}
