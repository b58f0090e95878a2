"""The exchange's market lists, read again now and then while the service runs.

What comes and goes (`relisting`) is acted upon without a restart as far as the layout of the store
allows: a delisted market is marked and left alone, its rows stay. New markets and new names need
columns and names that the store does not have: they are offered in the log, once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

from .clock import ExchangeClock
from .engine import Engine
from .errors import ProtocolError, RestError
from .logs import RateLimited
from .markets import Market, Universe
from .relisting import compare
from .rest import InfoClient
from .stalls import Stalls

__all__ = ["LISTING_MS", "Listing"]

log = logging.getLogger(__name__)

LISTING_MS = 600_000.0
"""How often the lists are read: 40 weight in ten minutes, of 600 in one."""
_JITTER = 0.1
"""So much more or less, so that the services of one address do not ask together."""


class Listing:
    """Keeps the engine's idea of which `markets` are traded up to date."""

    def __init__(
        self,
        engine: Engine,
        markets: Sequence[Market],
        selectors: Sequence[str],
        client: InfoClient,
        clock: ExchangeClock,
        stalls: Stalls,
        news: Callable[[], None],
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._engine = engine
        self._markets = markets
        self._selectors = selectors
        self._client = client
        self._clock = clock
        self._stalls = stalls
        self._news = news
        self._rng = rng if rng is not None else random.Random()
        self._notes = RateLimited(log)
        self._away = {market.coin for market in markets if market.delisted}
        self._missing: frozenset[str] = frozenset()
        self._said: set[tuple[str, str]] = set()

    async def watch(self) -> None:
        """Read the lists every ten minutes or so, until cancelled."""
        while True:
            pause_ms = LISTING_MS * self._rng.uniform(1.0 - _JITTER, 1.0 + _JITTER)
            await self._clock.sleep_until(self._clock.now_ms() + pause_ms)
            try:
                fresh = await self._client.universe(urgent=False)
            except (RestError, ProtocolError) as error:
                self._engine.book.counters["rest_errors"] += 1
                self._notes.log("lists", logging.WARNING, "the market lists: %s", error)
                continue
            self.take(fresh)

    def take(self, fresh: Universe) -> None:
        """Act upon a list of the exchange's markets."""
        found = compare(self._markets, self._selectors, fresh)
        counters = self._engine.book.counters
        # A list may lack what is there: it takes two to believe that.
        away = found.delisted | (found.gone & self._missing)
        self._missing = found.gone
        for market in self._markets:
            if market.coin in away and market.coin not in self._away:
                self._leave(market, known=market.coin in found.delisted)
            elif market.coin in self._away and _traded(market, fresh):
                self._return(market)
        for old, new in found.renamed:
            if self._once(old.coin, f"{new.coin} {new.name}"):
                counters["renamed"] += 1
                log.warning(
                    "market %s (%s) is called %s (%s) at the exchange now: a restart with that "
                    "name follows it",
                    old.name,
                    old.coin,
                    new.name,
                    new.coin,
                )
        offered = [each for each in found.offered if self._once(each.coin, "offered")]
        counters["offered"] += len(offered)
        if offered:
            log.warning(
                "%d new markets that MONITOR_MARKETS asks for: %s; they are followed from the next "
                "start on",
                len(offered),
                ", ".join(market.name for market in offered),
            )

    def _leave(self, market: Market, *, known: bool) -> None:
        self._away.add(market.coin)
        self._engine.delist(self._engine.book.index[market.coin], self._clock.now_ms())
        if not known:
            self._stalls.forget(market.coin)
        log.warning(
            "market %s is %s; its history is kept as it is",
            market.name,
            "delisted" if known else "no longer listed",
        )
        self._news()

    def _return(self, market: Market) -> None:
        self._away.discard(market.coin)
        now_ms = self._clock.now_ms()
        self._engine.delist(self._engine.book.index[market.coin], now_ms, delisted=False)
        self._stalls.subscribe_anew(market.coin)
        # The sockets know those that were traded at the start.
        follows = "; it is followed from the next start on" if market.delisted else ""
        log.warning("market %s is traded again%s", market.name, follows)
        self._news()

    def _once(self, coin: str, what: str) -> bool:
        new = (coin, what) not in self._said
        self._said.add((coin, what))
        return new


def _traded(market: Market, fresh: Universe) -> bool:
    now = fresh.find(market.coin)
    return now is not None and now.coin == market.coin and not now.delisted
