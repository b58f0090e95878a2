"""What the day's volumes prove: one that has not changed is a silence, if the answer is fresh.

An answer has no time of its own, so one that is served again and again would prove everything
silent. It counts as fresh if some volume in it has moved since the one before, and if none of the
markets that the streams told trades of in between has the volume that it had. Pure but for
`day_volumes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .book import INTERVAL_MS
from .markets import Market
from .rest import InfoClient

__all__ = ["VOLUMES_LAG_MS", "Scales", "day_volumes", "places"]

VOLUMES_LAG_MS = 5_000.0
"""The day's volumes tell of all trades that are so old. An assumption: no source says how old."""

Place: TypeAlias = "str | None"
"""Where a market is listed: a dex ("" the first), None for spot."""


def places(markets: Sequence[Market]) -> list[Place]:
    """Where these markets are listed, each place once."""
    return list(dict.fromkeys(None if each.kind == "spot" else each.dex for each in markets))


async def day_volumes(
    client: InfoClient, listed: Sequence[Place], *, urgent: bool = False
) -> tuple[dict[str, float], dict[str, float]]:
    """Volumes of a day by coin, in units of the base and of the quote currency.

    Raises RestError, ProtocolError.
    """
    base: dict[str, float] = {}
    quote: dict[str, float] = {}
    for place in listed:
        for coin, context in (await client.day_volumes(place, urgent=urgent)).items():
            quote[coin] = context.day_ntl_vlm
            if context.day_base_vlm is not None:
                base[coin] = context.day_base_vlm
    return base, quote


@dataclass(frozen=True)
class _Volume:
    """Both volumes of a market, and since when they are known to be so."""

    base: float
    quote: float
    since_ms: float


class Scales:
    """The day's volumes of all markets, as they were told one minute after the other.

    It is a rolling day: a volume that has shrunk says nothing, one that is the same in both
    currencies that nothing was traded.
    """

    def __init__(self) -> None:
        self._markets: dict[str, _Volume] = {}
        self._before: dict[str, float] = {}
        self._told_ms = float("inf")

    def weigh(
        self,
        base: Mapping[str, float],
        quote: Mapping[str, float],
        heard_ms: Mapping[str, float],
        asked_ms: float,
        told_ms: float,
    ) -> dict[str, tuple[int, int]]:
        """First and last bar in which markets of `base` are now known to have been silent.

        `quote` may have any other markets. `heard_ms` says when a stream last told a trade of each
        of `base`. Asked for at `asked_ms` and told at `told_ms`, of the exchange's clock.
        """
        fresh = any(self._before.get(coin) != volume for coin, volume in quote.items())
        silent: dict[str, tuple[int, int]] = {}
        for coin, volume in base.items():
            found = _Volume(volume, quote.get(coin, 0.0), told_ms)
            before = self._markets.get(coin, found)
            if (found.base, found.quote) == (before.base, before.quote):
                found = before
                told = self._told_ms + VOLUMES_LAG_MS < heard_ms[coin] < asked_ms - VOLUMES_LAG_MS
                fresh = fresh and not told
            self._markets[coin] = found
            first = -int(-max(found.since_ms, heard_ms[coin]) // INTERVAL_MS)
            last = int((asked_ms - VOLUMES_LAG_MS) // INTERVAL_MS) - 1
            if first <= last:
                silent[coin] = first, last
        self._before, self._told_ms = dict(quote), told_ms
        return silent if fresh else {}
