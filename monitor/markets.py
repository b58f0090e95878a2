"""Market names: what the exchange lists, what it is called here, what a setting means by it.

A market has two names. The *wire name* (`Market.coin`) is the exchange's own and case-sensitive:
``BTC``, ``kPEPE``, ``xyz:TSLA``, ``PURR/USDC``, ``@107``. The *canonical name* (`Market.name`) is
made of ``[a-z0-9_]`` only, so that it can stand in a shell, a file name or a glob pattern:
``btcusd_perp``, ``kpepeusd_perp``, ``xyz_tslausd_perp``, ``purrusdc``, ``hypeusdc``.

Anybody may list a market, under nearly any name. Characters outside of the canonical alphabet are
replaced (``-``, ``.``, ``/`` and blanks by ``_``, others by ``x`` and their code point in
hexadecimal), and where two markets come to the same name, the one that was there first keeps it
(living ones before delisted ones) and the later one gets its exchange index as a suffix.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from monitor.errors import (
    AmbiguousMarket,
    DelistedMarket,
    MarketError,
    SeveralMarkets,
    UnknownMarket,
)
from monitor.protocol import PerpMeta, SpotMeta

__all__ = ["Market", "Resolution", "Universe", "resolve", "shell_safe"]

_UNSAFE = re.compile(r"[^a-z0-9_]")
_SEPARATORS = "-./ "
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Market:
    """One market: canonical `name`, wire name `coin`, `kind` "perp" or "spot".

    `dex` is "" for the first dex and for spot; `index` is the position in its dex's universe, for
    spot the pair's index; `size_decimals` bounds the digits of a volume.
    """

    name: str
    coin: str
    kind: str
    dex: str
    delisted: bool
    size_decimals: int
    index: int


@dataclass(frozen=True)
class Resolution:
    """The markets that a list of selectors stands for, in order, and what a person should know."""

    markets: tuple[Market, ...]
    warnings: tuple[str, ...]


def shell_safe(name: str) -> str:
    """Map any name onto ``[a-z0-9_]``, always in the same way; two names may meet."""

    def safe(match: re.Match[str]) -> str:
        char = match[0]
        return "_" if char in _SEPARATORS else f"x{ord(char):x}"

    return _UNSAFE.sub(safe, name.lower())


class Universe:
    """Every market that the exchange lists, by either name.

    Iteration follows the exchange: the first dex, the builder-deployed ones, spot. Canonical and
    wire names are unique. `warnings` names listings that could not be understood fully.
    """

    def __init__(self, markets: Iterable[Market], warnings: Iterable[str] = ()) -> None:
        self.warnings = tuple(warnings)
        # One wire name, one market: a second listing could not be subscribed to separately.
        listed = list({market.coin: market for market in markets}.values())
        self._sharing: dict[str, list[Market]] = {}
        for market in sorted(listed, key=lambda each: each.delisted):
            self._sharing.setdefault(market.name, []).append(market)
        taken = set(self._sharing)
        final: dict[str, Market] = {}
        self._renamed: dict[str, str] = {}
        for name, sharing in self._sharing.items():
            final[sharing[0].coin] = sharing[0]
            for later in sharing[1:]:
                suffixed = _suffixed(name, later.index, taken)
                taken.add(suffixed)
                final[later.coin] = replace(later, name=suffixed)
                self._renamed[later.coin] = name
        self.markets: tuple[Market, ...] = tuple(final[market.coin] for market in listed)
        self._by_name = {market.name: market for market in self.markets}
        self._by_coin = final

    @classmethod
    def from_documents(
        cls,
        all_perp_metas: Sequence[PerpMeta],
        spot_meta: SpotMeta,
        perp_dexs: Sequence[str] | None = None,
    ) -> Universe:
        """Build it from the answers to ``allPerpMetas``, ``spotMeta`` and perhaps ``perpDexs``.

        Without `perp_dexs` a dex's name is read from its markets' names, which carry it.
        """
        warnings: list[str] = []
        markets: list[Market] = []
        for position, meta in enumerate(all_perp_metas):
            dex = perp_dexs[position] if perp_dexs and position < len(perp_dexs) else None
            markets.extend(_perps(meta, dex))
        markets.extend(_spots(spot_meta, warnings))
        return cls(markets, warnings)

    def __iter__(self) -> Iterator[Market]:
        return iter(self.markets)

    def __len__(self) -> int:
        return len(self.markets)

    def find(self, name: str) -> Market | None:
        """The market with this canonical or wire name, None if there is none."""
        return self._by_name.get(name) or self._by_coin.get(name)

    def rivals(self, market: Market) -> tuple[Market, ...]:
        """The markets of the same standing (traded or delisted) that `market` shares its name with.

        Itself included, in the exchange's order; at most itself where the name was always its own.
        """
        sharing = self._sharing.get(market.name, [])
        return tuple(each for each in sharing if each.delisted == market.delisted)

    def renamed_from(self, market: Market) -> str | None:
        """The canonical name that `market` would have, had it not been taken before."""
        return self._renamed.get(market.coin)

    def nearest(self, name: str, count: int = 3) -> tuple[str, ...]:
        """Canonical or wire names that look like `name`, each market once, the likeliest first."""
        spelled: dict[str, Market] = {}
        for market in self.markets:
            for alias in (market.name, market.coin, market.coin.rpartition(":")[2]):
                spelled.setdefault(alias.lower(), market)
        begins = [alias for alias in spelled if name and alias.startswith(name.lower())]
        close = difflib.get_close_matches(name.lower(), spelled, n=3 * count, cutoff=0.5)
        names: dict[str, None] = {}
        # Where nothing is like it, what there is helps more than silence.
        for alias in [*begins, *close] or spelled:
            market = spelled[alias]
            if not market.delisted:
                names[market.name] = None
        return tuple(names)[:count]


def resolve(selectors: Iterable[str], universe: Universe, keep: Collection[str] = ()) -> Resolution:
    """Find the markets that `selectors` stand for, each once, in the order first named.

    A selector is a canonical name, a wire name, ``perps`` (first dex), ``spot``, ``dex:NAME``, or
    a glob pattern over canonical names; all but the first two leave delisted markets out. `keep`
    has names (of either kind) whose history is already there: those may be delisted.

    Raises `UnknownMarket`, `AmbiguousMarket`, `DelistedMarket`, or `SeveralMarkets` for more than
    one such problem.
    """
    chosen: dict[str, Market] = {}
    warnings: list[str] = []
    problems: list[MarketError] = []
    for selector in selectors:
        try:
            found = _select(selector, universe, keep, warnings)
        except MarketError as error:
            problems.append(error)
            continue
        for market in found:
            chosen.setdefault(market.coin, market)
    if problems:
        raise problems[0] if len(problems) == 1 else SeveralMarkets(problems)
    for market in chosen.values():
        taken = universe.renamed_from(market)
        if taken is not None:
            first = universe.find(taken)
            warnings.append(
                f"market {market.coin!r} is called {market.name!r} here, because {taken!r} is "
                f"{first.coin if first else '?'!r}"
            )
    return Resolution(tuple(chosen.values()), tuple(dict.fromkeys(warnings)))


def _select(
    selector: str, universe: Universe, keep: Collection[str], warnings: list[str]
) -> list[Market]:
    living = [market for market in universe if not market.delisted]
    if selector == "perps":
        found = [each for each in living if each.kind == "perp" and not each.dex]
        return _some(found, selector, universe)
    if selector == "spot":
        return _some([each for each in living if each.kind == "spot"], selector, universe)
    if selector.startswith("dex:"):
        dex = selector[len("dex:") :]
        found = [each for each in living if dex and each.dex == dex]
        return _some(found, selector, universe)
    # An exact name first: a wire name may contain what looks like a pattern.
    market = universe.find(selector)
    if market is not None:
        return [_asked_for(selector, market, universe, keep, warnings)]
    if _GLOB.search(selector):
        found = [each for each in living if fnmatch.fnmatchcase(each.name, selector)]
        return _some(found, selector, universe)
    raise UnknownMarket(selector, universe.nearest(selector))


def _asked_for(
    selector: str, market: Market, universe: Universe, keep: Collection[str], warnings: list[str]
) -> Market:
    if selector == market.name and selector != market.coin:
        rivals = universe.rivals(market)
        if len(rivals) > 1:
            raise AmbiguousMarket(selector, [each.coin for each in rivals])
    if market.delisted:
        if market.name not in keep and market.coin not in keep:
            raise DelistedMarket(selector, market.coin)
        warnings.append(f"market {market.name!r} is delisted; its history is kept as it is")
    return market


def _some(found: list[Market], selector: str, universe: Universe) -> list[Market]:
    if found:
        return found
    living = [market for market in universe if not market.delisted]
    if selector.startswith("dex:"):
        dexs = dict.fromkeys(market.dex for market in living if market.dex)
        exists = f"dexes with traded markets: {', '.join(dexs) or 'none'}"
        near = difflib.get_close_matches(selector, [f"dex:{dex}" for dex in dexs])
        raise UnknownMarket(selector, near, exists)
    perps = sum(market.kind == "perp" and not market.dex for market in living)
    spots = sum(market.kind == "spot" for market in living)
    built = len(living) - perps - spots
    exists = f"traded markets: {perps} perps, {built} of builder-deployed dexes, {spots} spot pairs"
    plain = re.sub(r"[*?\[\]!]", "", selector)
    raise UnknownMarket(selector, universe.nearest(plain), exists)


def _suffixed(name: str, index: int, taken: Collection[str]) -> str:
    suffixed = f"{name}_{index}"
    while suffixed in taken:
        suffixed += "_"
    return suffixed


def _perps(meta: PerpMeta, dex: str | None) -> Iterator[Market]:
    for index, asset in enumerate(meta.universe):
        prefix, colon, base = asset.name.rpartition(":")
        if not base:
            continue
        of = prefix if dex is None and colon else dex or ""
        name = f"{shell_safe(base)}usd_perp"
        yield Market(
            name=f"{shell_safe(of)}_{name}" if of else name,
            coin=asset.name,
            kind="perp",
            dex=of,
            delisted=asset.delisted,
            size_decimals=asset.size_decimals,
            index=index,
        )


def _spots(meta: SpotMeta, warnings: list[str]) -> Iterator[Market]:
    tokens = {token.index: token for token in meta.tokens}
    for pair in meta.universe:
        if not pair.name:
            continue
        base, quote = (tokens.get(index) for index in pair.tokens)
        if base is None or quote is None:
            warnings.append(
                f"spot pair {pair.name!r} is of token {pair.tokens[0 if base is None else 1]}, "
                f"which the exchange does not list; it is named after its pair"
            )
        known = base is not None and quote is not None and base.name and quote.name
        name = f"{base.name}{quote.name}" if known and base and quote else f"spot_{pair.index}"
        yield Market(
            name=shell_safe(name),
            coin=pair.name,
            kind="spot",
            dex="",
            delisted=False,
            size_decimals=base.size_decimals if base is not None else 0,
            index=pair.index,
        )
