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

__all__ = ["FAULTS", "Fault", "Faults", "parse_faults"]


@dataclass(frozen=True)
class Fault:
    """One fault: its `unit` is 'seconds' (of the exchange's time) or 'probability'."""

    name: str
    unit: str
    help: str


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "drop", "seconds", "mean life of a socket before it is dropped without a close frame"
        ),
        Fault("expire", "seconds", "age at which a socket is closed: code 1000, reason Expired"),
        Fault("stall", "seconds", "mean time until one subscription of a socket falls silent"),
        Fault("late", "probability", "a candle frame is sent 1 to 8 s late, behind newer ones"),
        Fault("duplicate", "probability", "a candle frame is sent twice"),
        Fault("missing", "probability", "a candle frame is not sent at all"),
        Fault("http_429", "probability", "an /info request is answered 429"),
        Fault("http_500", "probability", "an /info request is answered 500"),
    )
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
    expected = "a number of seconds above 0" if fault.unit == "seconds" else "a number from 0 to 1"
    try:
        value = float(given)
    except (TypeError, ValueError):
        raise ConfigError(f"fault {fault.name}", given, expected) from None
    good = value > 0 if fault.unit == "seconds" else 0 <= value <= 1
    if not (good and math.isfinite(value)):
        raise ConfigError(f"fault {fault.name}", given, expected)
    return value


class Faults:
    """Which faults are on, and the dice for them: one stream of numbers for each user."""

    def __init__(self, values: Mapping[str, str | float] | None, seed: int) -> None:
        """Check the names and values."""
        self._seed = seed
        self._values: dict[str, float] = {}
        self.counts: dict[str, int] = dict.fromkeys(FAULTS, 0)
        for name, value in (values or {}).items():
            self.set(name, value)

    def set(self, name: str, value: str | float | None) -> None:
        """Switch a fault on, or off with None; UnknownFault, ConfigError.

        Those with seconds take hold of the sockets that are opened from now on.
        """
        if name not in FAULTS:
            raise UnknownFault(name, FAULTS)
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = _value(FAULTS[name], value)

    def seconds(self, name: str) -> float | None:
        """The fault's seconds, None while it is off."""
        return self._values.get(name)

    def dice(self, *user: object) -> Random:
        """A generator of its own for a user: a socket, the requests."""
        return Random(stable_key(self._seed, "faults", *user))

    def hits(self, name: str, dice: Random) -> bool:
        """Whether the fault strikes this time; counted."""
        share = self._values.get(name)
        if not share or dice.random() >= share:
            return False
        self.counts[name] += 1
        return True

    def after_ms(self, name: str, dice: Random) -> int | None:
        """Milliseconds until the fault strikes next: exponential, None while it is off."""
        mean = self._values.get(name)
        return None if mean is None else max(1, round(dice.expovariate(1 / mean) * 1000))
