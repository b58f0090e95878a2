"""Markets that come and go while the service runs: what has changed in the exchange's lists.

Pure: the markets that are followed and a fresh `Universe` go in, differences come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .errors import MarketError
from .markets import Market, Universe, resolve

__all__ = ["Relisting", "compare"]


@dataclass(frozen=True)
class Relisting:
    """The state of the followed markets in a fresh list.

    delisted: wire names of those that are not traded any more, `gone` of those not even listed.
    renamed: pairs of a followed market and of what is listed in its place, under another name.
    offered: markets that the selectors find and that are not followed.
    """

    delisted: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    renamed: tuple[tuple[Market, Market], ...] = ()
    offered: tuple[Market, ...] = field(default=())


def compare(followed: Sequence[Market], selectors: Iterable[str], fresh: Universe) -> Relisting:
    """What the fresh list says of the `followed` markets, and of others that `selectors` find.

    Where a list has no market at all of a dex, or no spot pair, that is believed of nobody: those
    have not changed then.
    """
    told = {(market.kind, market.dex) for market in fresh}
    place = {(market.kind, market.dex, market.index): market for market in fresh}
    delisted, gone, renamed = set(), set(), []
    for market in followed:
        if (market.kind, market.dex) not in told:
            continue
        now = fresh.find(market.coin)
        if now is None or now.coin != market.coin:
            gone.add(market.coin)
            now = place.get((market.kind, market.dex, market.index))
        elif now.delisted:
            delisted.add(market.coin)
        if now is not None and not _same(market, now, fresh):
            renamed.append((market, now))
    return Relisting(
        frozenset(delisted), frozenset(gone), tuple(renamed), _offered(followed, selectors, fresh)
    )


def _same(market: Market, now: Market, fresh: Universe) -> bool:
    """Do both names still hold? A suffix that another listing has brought since does not count."""
    return now.coin == market.coin and market.name in {now.name, fresh.renamed_from(now)}


def _offered(
    followed: Sequence[Market], selectors: Iterable[str], fresh: Universe
) -> tuple[Market, ...]:
    coins = {market.coin for market in followed}
    names = {market.name for market in followed}
    found: dict[str, Market] = {}
    for selector in selectors:
        try:
            markets = resolve([selector], fresh, coins | names).markets
        except MarketError:
            continue  # a name that is gone or ambiguous by now offers nobody
        found.update((market.coin, market) for market in markets)
    return tuple(market for coin, market in found.items() if coin not in coins)
