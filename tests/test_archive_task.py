"""The archive beside the service: what it takes, when it writes, and that nothing waits for it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import anyio
import numpy as np
import pytest

import engine_kit as kit
import indicators
from archive_kit import MAINNET
from monitor.archive import layout
from monitor.archive.filling import confirmed
from monitor.archive.layout import BARS_A_DAY
from monitor.archive.minutes import Minutes
from monitor.archive.parquet import Label
from monitor.archive.reading import read_file
from monitor.archive.task import Archiving
from monitor.book import Book
from monitor.clock import ManualClock
from monitor.engine import Engine
from monitor.errors import ArchiveRefused, SettingsError

ROOT = Path(__file__).resolve().parent.parent
BAR = kit.BAR
TODAY = BAR // BARS_A_DAY
HISTORY = 60
NAME, COIN = "market0", "C0"
PLAN = indicators.plan(list(kit.STATS), history=HISTORY)


def there(folder: Path, day: int = TODAY) -> Minutes:
    return read_file(folder, Label("mainnet", day, NAME, COIN)) or Minutes.none()


def all_rows(folder: Path) -> Minutes:
    return Minutes.joined(*(there(folder, day) for day in (TODAY - 1, TODAY)))


def counted(archiving: Archiving) -> tuple[int, int, int]:
    counters: dict[str, int] = {}
    archiving.count(counters)
    return counters["archived"], counters["archive_errors"], counters["archive_damaged"]


def in_store(desk: kit.Desk) -> Minutes:
    first = kit.word(desk.engine, "origin")
    return confirmed(desk.engine.book.writer, 0, first, kit.word(desk.engine, "newest"))


def look(archiving: Archiving, desk: kit.Desk) -> None:
    anyio.run(archiving.look, desk.engine.book)


def live_minutes(desk: kit.Desk, count: int) -> None:
    """So many minutes with trades, confirmed but for the last."""
    for bar in range(desk.bar + 1, desk.bar + 1 + count):
        desk.go_to(bar)
        desk.hear()
    desk.go(10.0)
    desk.settle()


@pytest.fixture
def desk() -> kit.Desk:
    return kit.filled(history=HISTORY)


def test_all_that_is_confirmed_is_archived_and_what_is_open_is_not(
    desk: kit.Desk, tmp_path: Path
) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    look(archiving, desk)
    rows = all_rows(tmp_path)
    assert rows.equals(in_store(desk))
    assert rows.bars[-1] == BAR - 1
    assert counted(archiving) == (len(rows), 0, 0)
    archiving.close()


def test_a_second_look_writes_what_is_new_alone(desk: kit.Desk, tmp_path: Path) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    look(archiving, desk)
    before, _, _ = counted(archiving)
    look(archiving, desk)
    assert counted(archiving)[0] == before
    live_minutes(desk, 5)
    look(archiving, desk)
    assert counted(archiving)[0] == before + 5
    assert there(tmp_path).equals(in_store(desk)[-len(there(tmp_path)) :])
    archiving.close()


def test_the_next_life_writes_nothing_that_is_there(desk: kit.Desk, tmp_path: Path) -> None:
    for life in range(2):
        archiving = Archiving(tmp_path, MAINNET)
        look(archiving, desk)
        assert (counted(archiving)[0] > 0) is (life == 0)
        archiving.close()


def test_a_correction_of_archived_rows_is_archived(desk: kit.Desk, tmp_path: Path) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    look(archiving, desk)
    before, _, _ = counted(archiving)
    for bar in (BAR - 3, BAR - 20):
        desk.rest[bar] = kit.candle("C0", bar, 555.0, 9)
    live_minutes(desk, 1)
    look(archiving, desk)
    rows = all_rows(tmp_path)
    assert rows.equals(in_store(desk))
    assert rows.prices[rows.bars == BAR - 3, 3] == 555.0
    assert counted(archiving)[0] == before + 3
    archiving.close()


def test_a_correction_of_a_day_that_is_over_is_archived(desk: kit.Desk, tmp_path: Path) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    midnight = (TODAY + 1) * BARS_A_DAY
    live_minutes(desk, midnight + 5 - desk.bar)
    look(archiving, desk)
    desk.rest[midnight - 3] = kit.candle("C0", midnight - 3, 555.0, 9)
    live_minutes(desk, 1)
    look(archiving, desk)
    rows = there(tmp_path)
    assert rows.prices[rows.bars == midnight - 3, 3] == 555.0
    archiving.close()


def test_rows_that_the_store_no_longer_has_stay_archived(desk: kit.Desk, tmp_path: Path) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    look(archiving, desk)
    first = all_rows(tmp_path)
    for _ in range(8):
        live_minutes(desk, 100)
        look(archiving, desk)
    rows = all_rows(tmp_path)
    assert desk.engine.book.capacity < len(rows)
    assert rows[: len(first)].equals(first)
    assert (np.diff(rows.bars) == 1).all()
    archiving.close()


def test_an_empty_store_is_filled_from_the_archive(desk: kit.Desk, tmp_path: Path) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    look(archiving, desk)
    writer = kit.make_engine([COIN], history=HISTORY).book.writer
    clock = ManualClock(desk.now + 120_000.0)
    anyio.run(archiving.fill, writer, PLAN, clock)
    engine = Engine(writer, PLAN, [COIN])
    assert kit.span(engine) == (kit.span(desk.engine)[0] + 2, BAR - 1)
    origin = kit.word(desk.engine, "origin")
    assert confirmed(writer, 0, origin + 2, BAR - 1).equals(in_store(desk)[2:])
    archiving.close()


def test_rows_of_another_source_never_fill_a_store(desk: kit.Desk, tmp_path: Path) -> None:
    ours = Archiving(tmp_path, MAINNET)
    look(ours, desk)
    other = Archiving(tmp_path, MAINNET | {"network": "embedded", "run": "1a"})
    writer = kit.make_engine([COIN], history=HISTORY).book.writer
    anyio.run(other.fill, writer, PLAN, ManualClock(desk.now))
    assert held_nothing(writer)
    ours.close()
    other.close()


def held_nothing(writer: object) -> bool:
    return kit.word(Engine(writer, PLAN, [COIN]), "newest") == -1  # type: ignore[arg-type]


def test_a_damaged_file_fills_nothing_and_is_counted_and_written_anew(
    desk: kit.Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    look(archiving, desk)
    path = layout.file_of(tmp_path, "mainnet", TODAY, NAME)
    path.write_bytes(path.read_bytes()[:-20])
    archiving.close()
    again = Archiving(tmp_path, MAINNET)
    writer = kit.make_engine([COIN], history=HISTORY).book.writer
    anyio.run(again.fill, writer, PLAN, ManualClock(desk.now))
    assert held_nothing(writer)
    assert counted(again) == (0, 0, 1)
    look(again, desk)
    assert all_rows(tmp_path).equals(in_store(desk))
    assert counted(again)[1:] == (0, 1)
    assert "is not used: not readable as Parquet" in caplog.text
    again.close()


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_one_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"MONITOR_ARCHIVE: found '.*file' \(.*\), expected a"):
        Archiving(tmp_path / "file", MAINNET)


def test_an_archive_that_another_service_writes_is_refused(tmp_path: Path) -> None:
    first = Archiving(tmp_path, MAINNET)
    with pytest.raises(ArchiveRefused):
        Archiving(tmp_path, MAINNET)
    first.close()
    Archiving(tmp_path, MAINNET).close()


def test_a_file_that_cannot_be_written_is_said_once_counted_and_written_later(
    desk: kit.Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    path = layout.file_of(tmp_path, "mainnet", TODAY, NAME)
    path.parent.parent.mkdir(parents=True)
    path.parent.touch()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            look(archiving, desk)
    assert counted(archiving)[1] == 3
    assert caplog.text.count("rows wait in the store") == 1
    path.parent.unlink()
    live_minutes(desk, 3)
    look(archiving, desk)
    assert all_rows(tmp_path).equals(in_store(desk))
    archiving.close()


def test_a_file_of_another_version_is_left_alone_while_the_service_runs(
    desk: kit.Desk, tmp_path: Path
) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    look(archiving, desk)
    path = layout.file_of(tmp_path, "mainnet", TODAY, NAME)
    newer = path.read_bytes().replace(b'"version": 1', b'"version": 2')
    path.write_bytes(newer)
    live_minutes(desk, 1)
    look(archiving, desk)
    assert path.read_bytes() == newer
    assert counted(archiving)[1] == 1
    archiving.close()


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import anyio, engine_kit as kit
from archive_kit import MAINNET
from monitor.archive.task import Archiving
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def counted():
    counters = {}
    archiving.count(counters)
    return counters
desk = kit.filled(history=60, coins=3)  # first: its kernels' cache needs room, too
room(0)
archiving = Archiving(Path(sys.argv[1]), MAINNET)
for _ in range(4):
    anyio.run(archiving.look, desk.engine.book)
assert counted() == {"archived": 0, "archive_errors": 4, "archive_damaged": 0}, counted()
room(resource.RLIM_INFINITY)
anyio.run(archiving.look, desk.engine.book)
assert counted()["archived"] > 300, counted()
assert counted()["archive_errors"] == 4, counted()
"""


def test_without_room_it_waits_with_one_error_a_look_and_catches_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path, ROOT, ROOT / "tests"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# --- beside the service ---------------------------------------------------------------------------


def test_the_event_loop_goes_on_while_the_disk_does_not(desk: kit.Desk, tmp_path: Path) -> None:
    archiving = Archiving(tmp_path, MAINNET)
    path = layout.file_of(tmp_path, "mainnet", TODAY, NAME)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)  # whoever reads it waits until somebody writes

    async def both() -> int:
        turns = 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(archiving.look, desk.engine.book)
            for _ in range(500):
                await anyio.lowlevel.checkpoint()
                turns += 1
            assert counted(archiving)[2] == 0, "it does not wait"
            await anyio.to_thread.run_sync(path.write_bytes, b"no file")
        return turns

    assert anyio.run(both) == 500
    assert counted(archiving)[2] == 1
    assert all_rows(tmp_path).equals(in_store(desk))
    archiving.close()


def test_what_is_left_when_the_service_stops_is_written_then(
    desk: kit.Desk, tmp_path: Path
) -> None:
    archiving = Archiving(tmp_path, MAINNET)

    async def stopped_at_once(book: Book) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(archiving.run, book, 1.0)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(stopped_at_once, desk.engine.book)
    assert all_rows(tmp_path).equals(in_store(desk))
    archiving.close()
