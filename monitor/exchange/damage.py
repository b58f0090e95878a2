"""What the damaging faults make of a candle's JSON: text in, text out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .intervals import MINUTE_MS

if TYPE_CHECKING:
    from random import Random

__all__ = ["damage_candle", "damage_frame"]

_PRICES = ("o", "h", "l", "c")
_HEAD = '{"channel":"candle","data":'


def _wrong_type(candle: dict[str, Any], dice: Random) -> None:
    key = dice.choice(("t", "T", "s", "o", "c", "h", "l", "v", "n"))
    candle[key] = dice.choice((None, [], {}, True, "twelve", [candle[key]]))


def _nan(candle: dict[str, Any], dice: Random) -> None:
    candle[dice.choice((*_PRICES, "v"))] = dice.choice(("NaN", "nan", "Infinity", "-inf", "1e999"))


def _negative(candle: dict[str, Any], dice: Random) -> None:
    key = dice.choice((*_PRICES, "v", "n", "t"))
    value = candle[key]
    candle[key] = f"-{value}" if isinstance(value, str) else -value - 1


def _absurd(candle: dict[str, Any], dice: Random) -> None:
    # The low of a candle cannot be above its high; no price is 0.
    if dice.random() < 0.5:
        candle["l"] = str(float(candle["h"]) * 1_000)
    else:
        candle[dice.choice(_PRICES)] = "0.0"


def _unknown_coin(candle: dict[str, Any], dice: Random) -> None:
    candle["s"] = dice.choice(("NOSUCH", "", candle["s"].lower() + "?", "@99999"))


def _future(candle: dict[str, Any], dice: Random) -> None:
    ahead = dice.choice((2, 60, 600_000)) * MINUTE_MS
    candle["t"] += ahead
    candle["T"] += ahead


_CHANGES = {
    "wrong_type": _wrong_type,
    "nan": _nan,
    "negative": _negative,
    "absurd": _absurd,
    "unknown_coin": _unknown_coin,
    "future": _future,
}


def damage_candle(text: str, kind: str, dice: Random) -> str:
    """The candle object `text` with the damage `kind`; `corrupt` leaves no JSON."""
    if kind == "corrupt":
        return text[: dice.randrange(1, len(text))]
    candle = json.loads(text)
    _CHANGES[kind](candle, dice)
    return json.dumps(candle, separators=(",", ":"))


def damage_frame(frame: str, kind: str, dice: Random) -> str:
    """The same for the frame that brings the candle."""
    if kind == "corrupt":
        return damage_candle(frame, kind, dice)
    return f"{_HEAD}{damage_candle(frame[len(_HEAD) : -1], kind, dice)}}}"
