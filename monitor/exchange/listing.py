"""Which markets the embedded exchange lists: the default dozen, N invented ones, or a file's."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from .errors import ConfigError
from .prices import stable_key
from .world import Market

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["default_markets", "generated_markets", "load_markets"]

_MOST_MARKETS = 5_000


def _spot(coin: str, base: str, rate: float, price: float, sz_decimals: int = 2) -> Market:
    return Market(coin, "spot", rate, price, sz_decimals, 0.0008, 150.0, base=base)


def default_markets() -> tuple[Market, ...]:
    """Liquid, thin, silent, never traded and delisted: one market of each kind at least."""
    return (
        Market("BTC", "perp", 90.0, 85_800.0, 5, 0.0004, 900.0),
        Market("ETH", "perp", 60.0, 3_120.0, 4, 0.0005, 700.0),
        Market("MATIC", "perp", 2.0, 0.3794, 1, delisted=True),
        Market("SOL", "perp", 40.0, 186.4, 2, 0.0006, 500.0),
        Market("kPEPE", "perp", 12.0, 0.00716, 0, 0.0009),
        Market("HYPE", "perp", 45.0, 92.6, 2, 0.0007, 500.0),
        Market("CELO", "perp", 1.6, 0.2914, 0, 0.0008),
        Market("FTT", "perp", 0.25, 0.8712, 1, 0.0008, 120.0),
        Market("xyz:TSLA", "perp", 6.0, 412.55, 3, 0.0004),
        Market("xyz:SP500", "perp", 1.0, 6_871.0, 3, 0.0002),
        _spot("PURR/USDC", "PURR", 0.6, 0.06713, 0),
        _spot("@107", "HYPE", 18.0, 92.61, 2),
        _spot("@142", "UBTC", 5.0, 85_800.0, 5),
        _spot("@166", "TILT", 0.002, 0.000226, 0),
        _spot("@221", "LORA", 0.0, 0.01234, 0),
    )


def _fitting_decimals(price: float, limit: int) -> int:
    """Size decimals that leave the price its five significant figures."""
    return int(np.clip(np.floor(np.log10(price)) + limit - 4, 0, limit - 1))


def generated_markets(count: int, seed: int) -> tuple[Market, ...]:
    """`count` markets: BTC, ETH, then perps, builder perps and spot pairs in about the mix of the
    real exchange, most perps thin and most spot pairs silent; every 25th perp is delisted.
    """
    if not 1 <= count <= _MOST_MARKETS:
        raise ConfigError("markets", count, f"1 to {_MOST_MARKETS}")
    rng = np.random.Generator(np.random.PCG64([stable_key(seed, "markets"), count]))
    markets = list(default_markets()[:2])
    perps = 0
    for number in range(2, count):
        price = float(np.exp(rng.normal(0.0, 3.0)))
        price = min(max(price, 1e-4), 5e4)
        volatility = float(rng.uniform(0.0003, 0.0012))
        kind = rng.random()
        if kind < 0.30:
            perps += 1
            rate = float(min(np.exp(rng.normal(1.2, 1.2)), 80.0))
            coin, name = f"C{number:03d}", "perp"
        elif kind < 0.53:
            dex = ("xyz", "xyz", "xyz", "para", "io")[int(rng.integers(5))]
            rate = float(min(np.exp(rng.normal(0.0, 1.5)), 60.0))
            coin, name = f"{dex}:S{number:03d}", "perp"
        else:
            rate = float(min(np.exp(rng.normal(-6.2, 3.0)), 25.0))
            coin, name = f"@{number}", "spot"
        markets.append(
            Market(
                coin,
                name,
                rate,
                price,
                _fitting_decimals(price, 8 if name == "spot" else 6),
                volatility,
                delisted=kind < 0.30 and perps % 25 == 0,
                base=f"T{number:03d}" if name == "spot" else "",
            )
        )
    return tuple(markets[:count])


_KEYS = {f.name: f.type for f in fields(Market)}


def load_markets(path: Path) -> tuple[Market, ...]:
    """The markets of a JSON file: a list of objects with the fields of `Market`.

    A replay file is looked for beside the list. ConfigError says what is wrong, and where.
    """
    try:
        rows = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            "markets file", str(path), f"a readable file ({error.strerror})"
        ) from None
    except msgspec.DecodeError as error:
        raise ConfigError("markets file", str(path), f"JSON ({error})") from None
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}", type(rows).__name__, "a list of at least one market object")
    return tuple(_market(path, number, row) for number, row in enumerate(rows))


def _market(path: Path, number: int, row: Any) -> Market:
    where = f"{path}[{number}]"
    if not isinstance(row, dict):
        raise ConfigError(where, row, "an object, at least with 'coin'")
    if "coin" not in row:
        raise ConfigError(where, sorted(row), "the key 'coin'")
    values = dict(row)
    _known(where, values, _KEYS)
    if isinstance(values.get("replay"), str):
        values["replay"] = path.parent / values["replay"]
    coin = values["coin"]
    if isinstance(coin, str) and "kind" not in values and (coin[:1] == "@" or "/" in coin):
        values["kind"] = "spot"
    for key, value in values.items():
        kinds: tuple[type, ...]
        if key in {"coin", "kind", "base"}:
            kinds, expected = (str,), "a text"
        elif key == "replay":
            kinds, expected = (type(path),), "the name of a CSV file"
        elif key == "delisted":
            kinds, expected = (bool,), "true or false"
        elif key in {"sz_decimals", "replay_shift_minutes"}:
            kinds, expected = (int,), "an integer"
        else:
            kinds, expected = (int, float), "a number"
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError(f"{where}: {key}", value, expected)
    return Market(**values)


def _known(where: str, values: dict[str, Any], known: Iterable[str]) -> None:
    for key in values:
        if key not in known:
            raise ConfigError(where, key, "one of the keys " + ", ".join(known))
