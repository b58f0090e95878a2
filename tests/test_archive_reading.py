"""An archive, read: by us as one run of rows, by everybody's tools as one data set."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pytest

from archive_kit import DAY, FIRST, LABEL, archive, minutes
from monitor.archive import layout
from monitor.archive.layout import BARS_A_DAY
from monitor.archive.minutes import Minutes
from monitor.archive.parquet import Label, encode
from monitor.archive.reading import newest_run, read_file
from monitor.errors import ArchiveRefused

LAST = FIRST + 2 * BARS_A_DAY + 99


class Disk:
    """Three days of a market, and what is said about damaged files when they are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[tuple[str, str]] = []
        self.rows = minutes(FIRST, LAST - FIRST + 1)
        self.write(self.rows)

    def write(self, rows: Minutes, market: str = "btcusd_perp", coin: str = "BTC") -> None:
        ours = archive(self.folder)
        for day in np.unique(rows.bars // BARS_A_DAY).tolist():
            ours.write(market, coin, day, rows[rows.bars // BARS_A_DAY == day])
        ours.close()

    def path(self, day: int) -> Path:
        return layout.file_of(self.folder, "mainnet", DAY + day, "btcusd_perp")

    def run(self, first: int = FIRST, last: int = LAST, **names: str) -> Minutes:
        where = {"source": "mainnet", "market": "btcusd_perp", "coin": "BTC"} | names
        return newest_run(
            self.folder,
            where["source"],
            where["market"],
            where["coin"],
            first=first,
            last=last,
            damaged=lambda path, reason: self.said.append((path.parent.parent.name, reason)),
        )


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_run_goes_over_days(disk: Disk) -> None:
    assert disk.run().equals(disk.rows)
    assert disk.run(FIRST + 7, LAST - 7).equals(disk.rows[7:-7])
    assert disk.run(FIRST - 9_000, LAST + 9_000).equals(disk.rows)


def test_without_files_there_is_no_run(disk: Disk) -> None:
    assert len(disk.run(FIRST - 99, FIRST - 1)) == 0
    assert len(disk.run(market="ethusd_perp")) == 0
    assert len(disk.run(source="embedded-1a")) == 0
    assert read_file(disk.folder, Label("mainnet", DAY - 1, "btcusd_perp", "BTC")) is None
    assert disk.said == []


def test_a_run_ends_at_a_day_that_is_not_there(disk: Disk) -> None:
    disk.path(1).unlink()
    assert disk.run().equals(disk.rows[2 * BARS_A_DAY :])


@pytest.mark.parametrize("lost", [0, 700, BARS_A_DAY - 1])
def test_a_run_ends_at_a_minute_that_is_not_there(disk: Disk, lost: int) -> None:
    whole = disk.rows[BARS_A_DAY : 2 * BARS_A_DAY]
    holes = whole[whole.bars != whole.bars[lost]]
    disk.path(1).write_bytes(encode(Label("mainnet", DAY + 1, "btcusd_perp", "BTC"), holes))
    assert disk.run().bars[0] == whole.bars[lost] + 1


def test_a_run_ends_where_a_row_is_carried_from_another_close(disk: Disk) -> None:
    bar = next(b for b in range(FIRST + BARS_A_DAY, LAST) if disk.rows.carried[b - FIRST])
    disk.path(0).write_bytes(b"")
    disk.path(1).unlink()
    other = minutes(bar, FIRST + 2 * BARS_A_DAY - bar, price=500.0)
    other.carried[0], other.trades[0] = True, 0
    other.prices[0, :4], other.prices[0, 4] = 700.0, 0.0
    before = minutes(FIRST + BARS_A_DAY, bar - FIRST - BARS_A_DAY)
    disk.write(Minutes.joined(before, other))
    run = disk.run(last=FIRST + 2 * BARS_A_DAY - 1)
    assert run.bars[0] == bar


def test_a_damaged_file_is_a_hole_and_said(disk: Disk) -> None:
    data = bytearray(disk.path(1).read_bytes())
    data[len(data) // 3] ^= 0x10
    disk.path(1).write_bytes(data)
    assert disk.run().equals(disk.rows[2 * BARS_A_DAY :])
    ((day, reason),) = disk.said
    assert day == "day=2026-11-23"
    assert reason


def test_the_newest_days_may_be_missing(disk: Disk) -> None:
    disk.path(2).write_bytes(b"torn")
    assert disk.run(last=LAST + 3_000).equals(disk.rows[: 2 * BARS_A_DAY])


def test_rows_that_another_market_had_under_the_same_name_are_not_used(disk: Disk) -> None:
    assert len(disk.run(coin="@107")) == 0
    assert {reason for _, reason in disk.said} == {"found coin 'BTC', expected '@107'"}


def test_a_file_of_another_version_is_refused(disk: Disk) -> None:
    old, new = b'"version": 1', b'"version": 9'
    data = disk.path(2).read_bytes()
    assert old in data
    disk.path(2).write_bytes(data.replace(old, new))
    with pytest.raises(ArchiveRefused, match="a file of version 9, expected version 1"):
        disk.run()


# --- other people's tools -------------------------------------------------------------------------


@pytest.fixture
def two(disk: Disk) -> Disk:
    """Two markets."""
    disk.write(minutes(FIRST, 500, price=7.0), "ethusd_perp", "ETH")
    return disk


ROWS = LAST - FIRST + 1 + 500
NAMES = [name for name, _, _ in layout.COLUMNS]
CLOSES = "close of the first row on the second day"


def second_day(disk: Disk) -> float:
    return float(disk.rows.prices[BARS_A_DAY, 3])


def test_duckdb_reads_it_as_one_data_set(two: Disk) -> None:
    with duckdb.connect() as connection:
        source = f"read_parquet('{two.folder}/v1/**/*.parquet', hive_partitioning = true)"
        columns = [row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()]
        assert set(columns) == {*NAMES, "source", "day", "market"}
        counts = connection.execute(
            f"SELECT market, count(*) FROM {source} GROUP BY ALL ORDER BY 1"
        )
        assert counts.fetchall() == [("btcusd_perp", ROWS - 500), ("ethusd_perp", 500)]
        one = connection.execute(
            f"SELECT close, epoch_ms(time), source FROM {source} "
            "WHERE market = 'btcusd_perp' AND day = '2026-11-23' ORDER BY time LIMIT 1"
        )
        time_ms = (FIRST + BARS_A_DAY) * 60_000
        assert one.fetchone() == (second_day(two), time_ms, "mainnet")


def test_polars_reads_it_as_one_data_set(two: Disk) -> None:
    frame: Any = pl.scan_parquet(two.folder / "v1", hive_partitioning=True).collect()
    assert set(frame.columns) == {*NAMES, "source", "day", "market"}
    assert len(frame) == ROWS
    assert frame["time"].dtype == pl.Datetime("ms", "UTC")
    days = frame.filter((pl.col("coin") == "BTC") & (pl.col("day") == dt.date(2026, 11, 23)))
    assert days.sort("time")["close"][0] == second_day(two)
    assert frame.select(pl.struct("time", "market").n_unique()).item() == ROWS


def test_pyarrow_reads_it_as_one_data_set(two: Disk) -> None:
    data: Any = ds.dataset(two.folder / "v1", partitioning="hive")
    assert data.count_rows() == ROWS
    here = (ds.field("day") == "2026-11-23") & (ds.field("market") == "btcusd_perp")
    rows = data.to_table(filter=here).sort_by("time")
    assert rows.num_rows == BARS_A_DAY
    assert rows["close"][0].as_py() == second_day(two)
    assert set(rows.column_names) == {*NAMES, "source", "day", "market"}


def test_one_file_alone_says_what_it_is(disk: Disk) -> None:
    data = disk.path(0).read_bytes()
    for word in ("2026-11-22", "btcusd_perp", "mainnet", LABEL.coin, "market-monitor"):
        assert word.encode() in data
