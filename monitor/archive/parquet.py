"""One day of one market, as the bytes of a Parquet file and back. The one module that has pyarrow.

Bytes in, bytes out: what goes wrong on disk is `OSError` in the modules that touch it, and what
goes wrong here is a file that is not what it should be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monitor import __version__
from monitor.book import INTERVAL_MS
from monitor.errors import ArchiveRefused

from .layout import BARS_A_DAY, COLUMNS, METADATA_KEY, VERSION, day_name
from .minutes import Minutes, fault

__all__ = ["Damaged", "Label", "decode", "encode"]

_TYPES = {
    "timestamp[ms, tz=UTC]": pa.timestamp("ms", tz="UTC"),
    "double": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
}
_SCHEMA = pa.schema([pa.field(n, _TYPES[kind], nullable=False) for n, kind, _ in COLUMNS])
_PRICES = ("open", "high", "low", "close", "volume")


class Damaged(Exception):
    """A file of an archive is not what it should be: `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Label:
    """What a file is of: names as in `layout`, `day` since the epoch."""

    source: str
    day: int
    market: str
    coin: str

    def document(self) -> dict[str, Any]:
        """What the file's metadata say; software that differs does not matter."""
        return {
            "version": VERSION,
            "source": self.source,
            "day": day_name(self.day),
            "market": self.market,
            "coin": self.coin,
            "interval_ms": INTERVAL_MS,
        }


def encode(label: Label, minutes: Minutes) -> bytes:
    """The file of these rows, which must be of that day."""
    document = label.document() | {"software": f"market-monitor {__version__}"}
    arrays = {
        "time": pa.array(minutes.bars * INTERVAL_MS).cast(_TYPES["timestamp[ms, tz=UTC]"]),
        **{n: pa.array(np.ascontiguousarray(minutes.prices[:, k])) for k, n in enumerate(_PRICES)},
        "trades": pa.array(minutes.trades),
        "carried": pa.array(minutes.carried),
        "coin": pa.repeat(pa.scalar(label.coin, pa.string()), len(minutes)),
    }
    schema = _SCHEMA.with_metadata({METADATA_KEY: json.dumps(document).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(arrays, schema=schema),
        sink,
        compression="zstd",
        use_dictionary=["coin"],
        # Old bits on a disk change: a reader that checks finds out.
        write_page_checksum=True,
        sorting_columns=[pq.SortingColumn(0)],
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(label: Label, data: bytes) -> Minutes:
    """The rows of a file that should be of `label`: each could be true, and is checked.

    Raises Damaged, and ArchiveRefused for a file of another version of the layout.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        _belongs(label, (file.metadata.metadata or {}).get(METADATA_KEY))
        schema = file.schema_arrow.remove_metadata()
        if not schema.equals(_SCHEMA):
            raise Damaged(f"found columns {schema.names}, expected {_SCHEMA.names} of their types")
        if file.metadata.num_rows > BARS_A_DAY:
            raise Damaged(f"found {file.metadata.num_rows} rows, expected a day's at most")
        table = file.read(use_threads=False)
        table.validate(full=True)
        columns = {name: table.column(name) for name in _SCHEMA.names}
        if any(column.null_count for column in columns.values()):
            raise Damaged("found values that are missing")
        coins = set(columns["coin"].unique().to_pylist())
        times = columns["time"].cast(pa.int64()).to_numpy()
        prices = [columns[name].to_numpy() for name in _PRICES]
        trades, carried = columns["trades"].to_numpy(), columns["carried"].to_numpy()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        # From memory pyarrow has no I/O that could fail: its OSError is about the bytes.
        raise Damaged(f"not readable as Parquet: {error}") from None
    if coins - {label.coin}:
        raise Damaged(f"found rows of {sorted(coins)}, expected {label.coin!r}")
    if (times % INTERVAL_MS).any():
        raise Damaged("found a time that is no whole minute")
    minutes = Minutes(
        np.ascontiguousarray(times // INTERVAL_MS),
        np.column_stack(prices),
        np.ascontiguousarray(trades),
        np.ascontiguousarray(carried),
    )
    first = label.day * BARS_A_DAY
    if (wrong := fault(minutes, first, first + BARS_A_DAY - 1)) is not None:
        raise Damaged(f"found a row that cannot be for its {wrong}")
    return minutes


def _belongs(label: Label, metadata: bytes | None) -> None:
    try:
        document = json.loads(metadata or b"null")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Damaged("no metadata of ours")
    if document.get("version") != VERSION:
        raise ArchiveRefused(f"a file of version {document.get('version')}", f"version {VERSION}")
    for key, expected in label.document().items():
        if document.get(key) != expected:
            raise Damaged(f"found {key} {document.get(key)!r}, expected {expected!r}")
