"""Where an archive keeps what: names and versions, without any I/O.

::

    FOLDER/
        v1/                                    the data set: nothing but Parquet files
            source=mainnet/
                day=2026-11-22/
                    market=btcusd_perp/
                        part-0.parquet         at most 1,440 rows, ascending by time
        work/mainnet/                          files being written, and the lock of the one writer
        set-aside/mainnet/                     files that were found damaged

Folders are named as Hive does, so that every reader has ``source``, ``day`` and ``market`` as
columns. One file holds a whole day of a market and is replaced as a whole, by a rename: whenever
anybody looks, each minute is there once.

The columns of a file are `COLUMNS`; none is ever null. Its schema's metadata has one entry of ours,
`METADATA_KEY`, a JSON object: ``version`` of this layout, ``source``, ``day``, ``market``,
``coin`` (the exchange's name of the market), ``interval_ms`` and ``software``. The version is in
the path, too: software of another version leaves the folder of this one alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = [
    "BARS_A_DAY",
    "COLUMNS",
    "FILE",
    "METADATA_KEY",
    "SET_ASIDE",
    "VERSION",
    "day_name",
    "file_of",
    "foreign_versions",
    "set_aside_of",
    "source_key",
    "work_of",
]

VERSION: Final = 1
BARS_A_DAY: Final = 1_440
FILE: Final = "part-0.parquet"
SET_ASIDE: Final = "set-aside"
METADATA_KEY: Final = b"market_monitor"

COLUMNS: Final = (
    ("time", "timestamp[ms, tz=UTC]", "open time of the minute"),
    ("open", "double", "first trade, quote currency"),
    ("high", "double", "highest trade"),
    ("low", "double", "lowest trade"),
    ("close", "double", "last trade"),
    ("volume", "double", "sum of the trades' sizes, base units"),
    ("trades", "int64", "number of trades"),
    ("carried", "bool", "no trade in this minute: the close before it, carried on"),
    ("coin", "string", "the exchange's name of the market"),
)
"""Name, Arrow type and meaning of each column of a file, in order."""

_EPOCH = date(1970, 1, 1)
_HOSTS = {"mainnet": "api.hyperliquid.xyz", "testnet": "api.hyperliquid-testnet.xyz"}
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERSION_FOLDER = re.compile(r"v[0-9]+")


def source_key(source: Mapping[str, Any]) -> str:
    """The name of a store's source (`store.source_of`): rows of two names never meet.

    ``mainnet`` and ``testnet`` at the exchange's own address; somebody else's address is part of
    the name, and of an embedded exchange its run, because the next run invents other prices.
    """
    if "run" in source:
        run = str(source["run"])
        return f"embedded-{run if _PLAIN.fullmatch(run) else _digest(source)}"
    network = str(source["network"])
    hosts = {urlsplit(str(source[url])).hostname for url in ("ws_url", "api_url")}
    return network if hosts == {_HOSTS.get(network)} else f"{network}-{_digest(source)}"


def _digest(source: Mapping[str, Any]) -> str:
    text = json.dumps(source, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def day_name(day: int) -> str:
    """``2026-11-22`` for a number of days since the epoch."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def file_of(folder: Path, source: str, day: int, market: str) -> Path:
    """The file of one day of one market; `day` counts from the epoch."""
    partition = Path(f"source={source}", f"day={day_name(day)}", f"market={market}")
    return folder / f"v{VERSION}" / partition / FILE


def work_of(folder: Path, source: str) -> Path:
    """Where files of a source are written before they take their names."""
    return folder / "work" / source


def set_aside_of(folder: Path, source: str) -> Path:
    """Where files of a source go that turned out to be damaged."""
    return folder / SET_ASIDE / source


def foreign_versions(names: list[str]) -> list[str]:
    """Those of the names in an archive's folder that are the data sets of other versions."""
    return sorted(n for n in names if _VERSION_FOLDER.fullmatch(n) and n != f"v{VERSION}")
