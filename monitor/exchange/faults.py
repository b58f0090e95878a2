"""Faults on demand: all off by default, seeded, and changeable while the exchange runs.

A fault is a name and a number. To add one: a row in `FAULTS`, and the place that asks for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from .errors import ConfigError, UnknownFault
from .prices import stable_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CHAOS", "DAMAGES", "FAULTS", "Fault", "Faults", "parse_faults"]


@dataclass(frozen=True)
class Fault:
    """One fault.

    `unit`: 'seconds' (of the exchange's time), 'probability', 'offset' (seconds, either sign) or
    'seed'.
    """

    name: str
    unit: str
    help: str


FAULTS = {
    fault.name: fault
    for fault in (
        # sockets
        Fault("drop", "seconds", "mean life of a socket before it is dropped without close frame"),
        Fault("close", "seconds", "mean life of a socket before it is closed with code 1001"),
        Fault("expire", "seconds", "age at which a socket is closed: code 1000, reason Expired"),
        Fault("stall", "seconds", "mean time until one subscription of a socket falls silent"),
        Fault("hush", "seconds", "mean time until a socket sends nothing any more but pongs"),
        Fault("half_open", "seconds", "mean time until a socket neither sends nor reads any more"),
        Fault("lag", "seconds", "what a socket sends is under way for so long, in order"),
        # candle frames
        Fault("late", "probability", "a candle frame is sent 1 to 8 s late, behind newer ones"),
        Fault("reorder", "probability", "a candle frame changes places with the socket's next one"),
        Fault("duplicate", "probability", "a candle frame is sent twice"),
        Fault("missing", "probability", "a candle frame is not sent at all"),
        Fault("tail", "probability", "a market's frames in a minute's last 3 s are not sent"),
        Fault("fragment", "probability", "a frame comes in pieces, up to 0.1 s apart"),
        # what is in them
        Fault("corrupt", "probability", "a candle frame is no JSON"),
        Fault("wrong_type", "probability", "a value of a candle frame is of another type"),
        Fault("nan", "probability", "a price or volume of a candle frame is NaN or infinite"),
        Fault("negative", "probability", "a number of a candle frame is negative"),
        Fault("absurd", "probability", "a candle frame's prices contradict each other, or are 0"),
        Fault("unknown_coin", "probability", "a candle frame is of a coin that is not listed"),
        Fault("future", "probability", "a candle frame is of a minute that is still to come"),
        # the truth
        Fault("correct", "probability", "a minute's last trades are told 5 to 40 s after its end"),
        Fault("delist", "seconds", "mean time until one more perp is delisted, never BTC or ETH"),
        Fault("skew", "offset", "bbo frames and exchangeStatus tell a time that is so much later"),
        # REST
        Fault("http_429", "probability", "an /info request is answered 429"),
        Fault("http_500", "probability", "an /info request is answered 500"),
        Fault("http_timeout", "probability", "an /info request is never answered"),
        Fault("http_truncated", "probability", "an /info answer ends somewhere in its middle"),
        Fault("http_damaged", "probability", "a row of a candleSnapshot answer is damaged"),
        Fault("http_gap", "probability", "a candleSnapshot answer lacks some rows before its last"),
        Fault("http_stale", "probability", "candles or contexts are told as of 5 to 150 s before"),
        Fault("chaos", "seed", "all of the above at once, moderately; each can be set beside it"),
    )
}

DAMAGES = ("corrupt", "wrong_type", "nan", "negative", "absurd", "unknown_coin", "future")
"""Those that change what a frame says."""

CHAOS: dict[str, float] = {
    "drop": 1_800.0,
    "close": 2_700.0,
    "expire": 10_800.0,
    "stall": 1_800.0,
    "hush": 5_400.0,
    "half_open": 3_600.0,
    "lag": 0.4,
    "late": 0.01,
    "reorder": 0.02,
    "duplicate": 0.02,
    "missing": 0.01,
    "tail": 0.01,
    "fragment": 0.01,
    **dict.fromkeys(DAMAGES, 0.0005),
    "correct": 0.002,
    "delist": 21_600.0,
    "skew": -0.3,
    "http_429": 0.03,
    "http_500": 0.03,
    "http_timeout": 0.01,
    "http_truncated": 0.02,
    "http_damaged": 0.01,
    "http_gap": 0.01,
    "http_stale": 0.02,
}
"""What `chaos` means."""

_EXPECTED = {
    "seconds": "a number of seconds above 0",
    "offset": "a number of seconds, at most 3600 either way",
    "probability": "a number from 0 to 1",
    "seed": "an integer from 0 on",
}


def parse_faults(pairs: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; a later one replaces an earlier one."""
    faults = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError("fault", pair, "NAME=VALUE")
        faults[name.strip()] = value.strip()
    return faults


def _value(fault: Fault, given: str | float) -> float:
    expected = _EXPECTED[fault.unit]
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"fault {fault.name}", given, expected) from None
    good = (
        math.isfinite(value)
        and {
            "seconds": value > 0,
            "offset": abs(value) <= 3_600,
            "probability": 0 <= value <= 1,
            "seed": value >= 0 and value == math.floor(value),
        }[fault.unit]
    )
    if not good or isinstance(given, bool):
        raise ConfigError(f"fault {fault.name}", given, expected)
    return value


class Faults:
    """Which faults are on, and the dice for them: one stream of numbers for each user.

    `version` grows with every change, so that who has planned ahead can plan anew.
    """

    def __init__(self, values: Mapping[str, str | float | None] | None, seed: int) -> None:
        """Check the names and values."""
        self._seed = seed
        self._values: dict[str, float] = {}
        self.version = 0
        self.counts: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self.update(values or {})

    def update(self, values: Mapping[str, str | float | None]) -> None:
        """Switch several, all or none of them: as `set`."""
        for name, value in values.items():
            self._check(name, value)
        for name, value in values.items():
            self.set(name, value)

    def set(self, name: str, value: str | float | None) -> None:
        """Switch a fault on, or off with None; UnknownFault, ConfigError. It takes hold at once."""
        given = self._check(name, value)
        self.version += 1
        if given is None:
            self._values.pop(name, None)
        else:
            self._values[name] = given

    @staticmethod
    def _check(name: str, value: str | float | None) -> float | None:
        if name not in FAULTS:
            raise UnknownFault(name, FAULTS)
        return None if value is None else _value(FAULTS[name], value)

    @property
    def values(self) -> dict[str, float]:
        """What is on now, by name; what `chaos` switches on included."""
        return {name: value for name in FAULTS if (value := self._get(name)) is not None}

    def _get(self, name: str) -> float | None:
        value = self._values.get(name)
        return CHAOS.get(name) if value is None and "chaos" in self._values else value

    def seconds(self, name: str) -> float | None:
        """The fault's seconds, None while it is off."""
        return self._get(name)

    def key(self, *user: object) -> int:
        """A number of 64 bits of its own for a user."""
        return stable_key(self._seed, self._values.get("chaos"), "faults", *user)

    def dice(self, *user: object) -> Random:
        """A generator of its own for a user: a socket, the requests."""
        seed = self._values.get("chaos")
        chaos = () if seed is None else ("chaos", seed)
        return Random(stable_key(self._seed, "faults", *user, *chaos))

    def share(self, name: str) -> float:
        """The fault's probability, 0 while it is off."""
        return self._get(name) or 0.0

    def hits(self, name: str, dice: Random) -> bool:
        """Whether the fault strikes this time; counted."""
        share = self._get(name)
        if not share or dice.random() >= share:
            return False
        self.counts[name] += 1
        return True

    def after_ms(self, name: str, dice: Random) -> int | None:
        """Milliseconds until the fault strikes next: exponential, None while it is off."""
        mean = self._get(name)
        return None if mean is None else max(1, round(dice.expovariate(1 / mean) * 1000))
