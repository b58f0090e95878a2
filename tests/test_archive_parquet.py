"""A day of rows as a Parquet file: it comes back as it was, or is refused."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archive_kit import DAY, FIRST, LABEL, minutes
from monitor.archive.layout import COLUMNS, METADATA_KEY
from monitor.archive.minutes import Minutes
from monitor.archive.parquet import Damaged, decode, encode
from monitor.errors import ArchiveRefused


def table(data: bytes) -> Any:
    return pq.read_table(io.BytesIO(data))


def written(changed: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(changed, sink)
    return sink.getvalue()


def with_document(data: bytes, **changes: object) -> bytes:
    """The same rows under metadata that say something else."""
    rows = table(data)
    document = json.loads(rows.schema.metadata[METADATA_KEY]) | changes
    return written(rows.replace_schema_metadata({METADATA_KEY: json.dumps(document).encode()}))


def with_column(data: bytes, name: str, values: Any) -> bytes:
    rows = table(data)
    return written(rows.set_column(rows.column_names.index(name), name, values))


@pytest.mark.parametrize("count", [1, 20, 1_440])
def test_rows_come_back_as_they_were(count: int) -> None:
    rows = minutes(count=count)
    assert decode(LABEL, encode(LABEL, rows)).equals(rows)


def test_every_float_comes_back_to_the_bit() -> None:
    rows = minutes(count=3)
    rows.carried[:], rows.trades[:] = False, 3
    rows.prices[:, :4] = np.nextafter(1e-8, 1.0)
    rows.prices[:, 4] = 0.1 + 0.2
    assert decode(LABEL, encode(LABEL, rows)).equals(rows)


def test_the_columns_are_those_of_the_layout() -> None:
    schema = table(encode(LABEL, minutes())).schema
    assert [(field.name, str(field.type)) for field in schema] == [
        (name, kind) for name, kind, _ in COLUMNS
    ]


def test_the_times_are_the_exchanges_in_utc() -> None:
    first = table(encode(LABEL, minutes())).column("time")[0].as_py()
    assert first.isoformat() == "2026-11-22T00:00:00+00:00"


def test_no_changed_byte_ever_gives_other_rows() -> None:
    """Each byte of a small file, damaged: refused, or it did not matter."""
    rows = minutes(count=9)
    data, chance = encode(LABEL, rows), random.Random(5)
    refused = 0
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= chance.randrange(1, 256)
        try:
            found = decode(LABEL, bytes(changed))
        except (Damaged, ArchiveRefused):
            refused += 1
        else:
            assert found.equals(rows), position
    assert refused > 500


def test_a_file_that_was_cut_short_is_refused_wherever_it_was_cut() -> None:
    data = encode(LABEL, minutes(count=9))
    for size in range(0, len(data), 7):
        with pytest.raises(Damaged):
            decode(LABEL, data[:size])


@pytest.mark.parametrize("data", [b"", b"PAR1", b"time,open\n1,2\n" * 50])
def test_what_is_no_parquet_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged, match="not readable as Parquet"):
        decode(LABEL, data)


@pytest.mark.parametrize(
    ("field", "other"),
    [("source", "embedded-1"), ("day", DAY + 1), ("market", "ethusd_perp"), ("coin", "ETH")],
)
def test_a_file_in_anothers_place_is_refused(field: str, other: Any) -> None:
    data = encode(LABEL, minutes())
    with pytest.raises(Damaged, match=f"found {field}"):
        decode(dataclasses.replace(LABEL, **{field: other}), data)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_version_is_refused_by_name(version: object) -> None:
    data = with_document(encode(LABEL, minutes()), version=version)
    with pytest.raises(ArchiveRefused, match=f"version {version}, expected version 1"):
        decode(LABEL, data)


def test_a_parquet_file_of_somebody_else_is_refused() -> None:
    with pytest.raises(Damaged, match="no metadata of ours"):
        decode(LABEL, written(pa.table({"a": [1]})))


def test_columns_of_other_types_are_refused() -> None:
    data = encode(LABEL, minutes())
    other = pa.array([float(k) for k in range(20)])
    with pytest.raises(Damaged, match="found columns"):
        decode(LABEL, with_column(data, "trades", other))
    without = table(data).drop_columns(["volume"])
    with pytest.raises(Damaged, match="found columns"):
        decode(LABEL, written(without))


def test_rows_of_another_coin_under_the_right_name_are_refused() -> None:
    other = encode(dataclasses.replace(LABEL, coin="ETH"), minutes())
    with pytest.raises(Damaged, match=r"found rows of \['ETH'\], expected 'BTC'"):
        decode(LABEL, with_document(other, coin="BTC"))


def test_values_that_are_missing_are_refused() -> None:
    data = encode(LABEL, minutes())
    with pytest.raises(Damaged):
        decode(LABEL, with_column(data, "trades", pa.array([None] * 20, pa.int64())))


def test_rows_that_cannot_be_are_refused() -> None:
    rows = minutes()
    rows.prices[4, 2] = rows.prices[4, 1] + 1.0
    with pytest.raises(Damaged, match="a row that cannot be for its price"):
        decode(LABEL, encode(LABEL, rows))
    with pytest.raises(Damaged, match="a row that cannot be for its time"):
        decode(LABEL, encode(LABEL, minutes(FIRST - 1)))
    with pytest.raises(Damaged, match="expected a day's at most"):
        decode(LABEL, encode(LABEL, minutes(FIRST, 1_441)))


def test_a_file_without_rows_is_fine() -> None:
    assert len(decode(LABEL, encode(LABEL, Minutes.none()))) == 0
