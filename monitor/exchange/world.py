"""The markets of the embedded exchange, and the documents that list them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Market", "World"]

_PERP_DECIMALS = 6
_SPOT_DECIMALS = 8
_INDEXED = re.compile(r"@(\d+)\Z")
_QUOTE = "USDC"


@dataclass(frozen=True)
class Market:
    """One market. `coin` is the wire name; `volatility` the typical share a price moves a minute.

    `base` (spot) is the token's name; `replay` a file of candles instead of invented trading,
    moved by `replay_shift_minutes`.
    """

    coin: str
    kind: str = "perp"
    trades_per_minute: float = 10.0
    price: float = 1.0
    sz_decimals: int = 2
    volatility: float = 0.0006
    notional: float = 400.0
    delisted: bool = False
    base: str = ""
    replay: Path | None = None
    replay_shift_minutes: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not be listed."""
        where = f"market {self.coin!r}"
        if not self.coin or self.coin != self.coin.strip():
            raise ConfigError("market", self.coin, "a coin's name, as the exchange writes it")
        if self.kind not in {"perp", "spot"}:
            raise ConfigError(f"{where}: kind", self.kind, "perp or spot")
        limit = self.price_limit
        if not 0 <= self.sz_decimals <= limit:
            raise ConfigError(f"{where}: sz_decimals", self.sz_decimals, f"0 to {limit}")
        if not 0 <= self.trades_per_minute <= 5_000:
            raise ConfigError(f"{where}: trades_per_minute", self.trades_per_minute, "0 to 5000")
        if not 10.0**-self.price_decimals <= self.price <= 1e9:
            least = f"{10.0**-self.price_decimals:.{self.price_decimals}f}"
            raise ConfigError(f"{where}: price", self.price, f"{least} to 1e9")
        if not 0 <= self.volatility <= 0.05:
            raise ConfigError(f"{where}: volatility", self.volatility, "0 to 0.05 a minute")
        if not 0 < self.notional <= 1e9:
            raise ConfigError(f"{where}: notional", self.notional, "above 0, up to 1e9")
        if self.kind == "spot" and "/" not in self.coin and not _INDEXED.match(self.coin):
            raise ConfigError(f"{where}: coin of a spot pair", self.coin, "BASE/USDC or @<index>")

    @property
    def price_limit(self) -> int:
        """Most decimals that size and price have together."""
        return _SPOT_DECIMALS if self.kind == "spot" else _PERP_DECIMALS

    @property
    def price_decimals(self) -> int:
        """Most decimals of a price."""
        return self.price_limit - self.sz_decimals

    @property
    def dex(self) -> str:
        """Name of the builder's dex, empty for the first one."""
        return self.coin.split(":", 1)[0] if self.kind == "perp" and ":" in self.coin else ""


def _universe_row(market: Market) -> dict[str, Any]:
    leverage = 40 if market.trades_per_minute > 50 else 10 if market.trades_per_minute > 1 else 3
    row: dict[str, Any] = {
        "szDecimals": market.sz_decimals,
        "name": market.coin,
        "maxLeverage": leverage,
        "marginTableId": leverage,
    }
    if market.dex:
        row |= {"onlyIsolated": True, "marginMode": "strictIsolated", "growthMode": "enabled"}
    if market.delisted:
        row["isDelisted"] = True
    return row


def _meta(markets: list[Market]) -> dict[str, Any]:
    universe = [_universe_row(market) for market in markets]
    tables = sorted({row["marginTableId"] for row in universe})
    return {
        "universe": universe,
        "marginTables": [
            [
                table,
                {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": table}]},
            ]
            for table in tables
        ],
        "collateralToken": 0,
    }


def _token(index: int, name: str, sz_decimals: int, *, canonical: bool) -> dict[str, Any]:
    return {
        "name": name,
        "szDecimals": sz_decimals,
        "weiDecimals": max(8, sz_decimals + 5) if index else 8,
        "index": index,
        "tokenId": f"0x{(index + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}",
        "isCanonical": canonical,
        "evmContract": None,
        "fullName": None,
        "deployerTradingFeeShare": "0.0",
    }


@dataclass
class World:
    """All markets, by name and in the order in which the documents list them."""

    markets: tuple[Market, ...]
    by_coin: dict[str, Market] = field(init=False)
    dexes: dict[str, list[Market]] = field(init=False)
    spot: list[Market] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the markets into their dexes."""
        self.by_coin = {}
        self.dexes = {"": []}
        self.spot = []
        for market in self.markets:
            if market.coin in self.by_coin:
                raise ConfigError("markets", market.coin, "each coin once")
            self.by_coin[market.coin] = market
            if market.kind == "spot":
                self.spot.append(market)
            else:
                self.dexes.setdefault(market.dex, []).append(market)
        self._metas = {dex: _meta(markets) for dex, markets in self.dexes.items()}
        self._spot_meta = self._make_spot_meta()

    @classmethod
    def of(cls, markets: Iterable[Market]) -> World:
        """A world of these markets."""
        return cls(tuple(markets))

    def delist(self, coin: str) -> None:
        """List the market as delisted from now on; KeyError."""
        old = self.by_coin[coin]
        new = self.by_coin[coin] = replace(old, delisted=True)
        self.markets = tuple(new if market is old else market for market in self.markets)
        same = self.spot if new.kind == "spot" else self.dexes[new.dex]
        same[next(k for k, market in enumerate(same) if market is old)] = new
        if new.kind == "perp":
            self._metas[new.dex] = _meta(same)

    def meta(self, dex: str = "") -> dict[str, Any]:
        """The `meta` document; KeyError for an unknown dex."""
        return self._metas[dex]

    def all_metas(self) -> list[dict[str, Any]]:
        """The `allPerpMetas` document."""
        return list(self._metas.values())

    def perp_dexs(self) -> list[dict[str, Any] | None]:
        """The `perpDexs` document: `null` stands for the first dex."""
        address = "0x" + "0" * 40
        rows: list[dict[str, Any] | None] = [None]
        rows += [
            {
                "name": dex,
                "fullName": dex.upper(),
                "deployer": address,
                "oracleUpdater": None,
                "feeRecipient": address,
                "assetToStreamingOiCap": [[m.coin, "25000000.0"] for m in markets],
                "subDeployers": [],
                "assetToFundingMultiplier": [],
            }
            for dex, markets in self.dexes.items()
            if dex
        ]
        return rows

    def spot_meta(self) -> dict[str, Any]:
        """The `spotMeta` document. A token's `index` is not its place in the list."""
        return self._spot_meta

    def _make_spot_meta(self) -> dict[str, Any]:
        taken = {int(found[1]) for m in self.spot if (found := _INDEXED.match(m.coin))}
        free = (index for index in range(10_000) if index not in taken)
        tokens = [_token(0, _QUOTE, 8, canonical=True)]
        universe = []
        for place, market in enumerate(self.spot):
            found = _INDEXED.match(market.coin)
            index = int(found[1]) if found else next(free)
            base = market.base or market.coin.split("/")[0].replace("@", "T")
            token = 3 * place + 1
            canonical = not found
            tokens.append(_token(token, base, market.sz_decimals, canonical=canonical))
            universe.append(
                {
                    "tokens": [token, 0],
                    "name": market.coin,
                    "index": index,
                    "isCanonical": canonical,
                }
            )
        return {"universe": universe, "tokens": tokens}
