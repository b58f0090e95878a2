"""An archive on disk: written twice it is the same, killed it is whole, full it waits."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest

from archive_kit import DAY, FIRST, LABEL, MAINNET, archive, minutes
from monitor.archive import layout
from monitor.archive.minutes import Minutes
from monitor.archive.reading import read_file
from monitor.archive.writing import Archive
from monitor.errors import ArchiveRefused

ROOT = Path(__file__).resolve().parent.parent
NAMES = (LABEL.market, LABEL.coin, LABEL.day)


def path_in(folder: Path) -> Path:
    return layout.file_of(folder, "mainnet", DAY, LABEL.market)


def rows_in(folder: Path) -> Minutes:
    rows = read_file(folder, LABEL)
    assert rows is not None
    return rows


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "v1").rglob("*") if path.is_file())


def test_what_is_written_is_there_and_nothing_else_is(tmp_path: Path) -> None:
    assert archive(tmp_path).write(*NAMES, minutes()) == 20
    assert rows_in(tmp_path).equals(minutes())
    assert files(tmp_path) == [layout.FILE]
    assert [path.name for path in layout.work_of(tmp_path, "mainnet").iterdir()] == ["lock"]


def test_the_same_rows_again_write_nothing(tmp_path: Path) -> None:
    ours = archive(tmp_path)
    ours.write(*NAMES, minutes())
    before = path_in(tmp_path).stat()
    assert ours.write(*NAMES, minutes()) == 0
    assert ours.write(*NAMES, minutes(FIRST, 7)) == 0
    after = path_in(tmp_path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_rows_of_the_day_come_together_in_its_one_file(tmp_path: Path) -> None:
    ours = archive(tmp_path)
    whole = minutes(count=60)
    assert ours.write(*NAMES, whole[40:]) == 20
    assert ours.write(*NAMES, whole[:45]) == 40
    assert rows_in(tmp_path).equals(whole)
    assert files(tmp_path) == [layout.FILE]


def test_a_correction_of_archived_rows_replaces_them_alone(tmp_path: Path) -> None:
    ours = archive(tmp_path)
    ours.write(*NAMES, minutes())
    corrected = minutes(FIRST + 4, 2, price=300.0)
    assert ours.write(*NAMES, corrected) == 2
    rows = rows_in(tmp_path)
    assert rows[4:6].equals(corrected)
    assert rows[:4].equals(minutes()[:4])
    assert rows[6:].equals(minutes()[6:])


def test_two_markets_two_days_two_sources_are_files_of_their_own(tmp_path: Path) -> None:
    ours = archive(tmp_path)
    other = Archive(tmp_path, MAINNET | {"run": "1a", "network": "embedded"}, print)
    other.open()
    ours.write(*NAMES, minutes())
    ours.write("ethusd_perp", "ETH", DAY, minutes())
    ours.write("btcusd_perp", "BTC", DAY + 1, minutes(FIRST + 1_440))
    other.write(*NAMES, minutes(price=900.0))
    assert len(files(tmp_path)) == 4
    assert rows_in(tmp_path).equals(minutes())


def test_a_damaged_file_is_set_aside_said_and_written_anew(tmp_path: Path) -> None:
    said: list[tuple[Path, str]] = []
    ours = Archive(tmp_path, MAINNET, lambda path, reason: said.append((path, reason)))
    ours.open()
    for content in (b"torn", b"once more"):
        path_in(tmp_path).parent.mkdir(parents=True, exist_ok=True)
        path_in(tmp_path).write_bytes(content)
        assert ours.write(*NAMES, minutes()) == 20
        assert rows_in(tmp_path).equals(minutes())
    assert [path for path, _ in said] == [path_in(tmp_path)] * 2
    kept = sorted(layout.set_aside_of(tmp_path, "mainnet").iterdir())
    assert [path.read_bytes() for path in kept] == [b"torn", b"once more"]
    assert files(tmp_path) == [layout.FILE]


def test_a_second_writer_of_a_source_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    first, second = archive(tmp_path), Archive(tmp_path, MAINNET, print)
    with pytest.raises(ArchiveRefused, match="written by another service"):
        second.open()
    first.close()
    second.open()
    second.open()
    second.close()
    second.close()


def test_the_data_set_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "v2").mkdir()
    with pytest.raises(ArchiveRefused, match=r"found v2 in .*, expected v1 or nothing"):
        archive(tmp_path)


@pytest.mark.parametrize("blocked", ["a_file", "a_file/below"])
def test_a_folder_that_cannot_be_is_an_error_of_the_system(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "a_file").touch()
    with pytest.raises(OSError, match="a_file"):
        Archive(tmp_path / blocked, MAINNET, print).open()


def test_what_a_death_left_behind_is_cleared_away_at_the_next_start(tmp_path: Path) -> None:
    work = layout.work_of(tmp_path, "mainnet")
    work.mkdir(parents=True)
    (work / "part.tmp").write_bytes(b"half a file")
    archive(tmp_path)
    assert [path.name for path in work.iterdir()] == ["lock"]


# --- death ----------------------------------------------------------------------------------------

# Writes two states of a day in turn, for ever; each is one that a reader may see.
WRITES = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from archive_kit import DAY, archive, minutes
ours = archive(Path(sys.argv[1]))
k = 0
while True:
    ours.write("btcusd_perp", "BTC", DAY, minutes(count=1_000, price=100.0 + k % 2))
    k += 1
    print(k, flush=True)
"""


def test_killed_at_any_moment_it_leaves_a_data_set_that_is_whole(tmp_path: Path) -> None:
    states = minutes(count=1_000), minutes(count=1_000, price=101.0)
    for life in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITES, tmp_path, ROOT, ROOT / "tests"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        with writer.stdout:
            for _ in range(1 + life * 2):
                assert writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        writer.wait()
        rows = rows_in(tmp_path)
        assert any(rows.equals(state) for state in states)
        assert ds.dataset(tmp_path / "v1", partitioning="hive").count_rows() == 1_000
        assert files(tmp_path) == [layout.FILE]


# --- no room --------------------------------------------------------------------------------------

# Every write of a file fails behind so many bytes, as it does when a disk is full.
LIMITED = """
import errno, resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from archive_kit import DAY, LABEL, archive, minutes
from monitor.archive.reading import read_file
ours = archive(Path(sys.argv[1]))
old, new = minutes(count=100), minutes(count=1_000, price=200.0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ours.write("btcusd_perp", "BTC", DAY, old)
for k, limit in enumerate(range(0, 100_000, 500)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        ours.write("btcusd_perp", "BTC", DAY, new)
        break
    except OSError as error:
        assert read_file(ours.folder, LABEL).equals(old)
        code = error.errno
        left = sorted(path.name for path in Path(sys.argv[1], "work", "mainnet").iterdir())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(errno.errorcode[code], left)
print(f"written {k - 1} times in vain")
"""


def test_without_room_the_archive_stays_as_it_was_and_goes_on_when_there_is_some(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path, ROOT, ROOT / "tests"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    failed = lines.count("EFBIG ['lock']")
    assert failed > 10
    assert lines == ["EFBIG ['lock']"] * failed + [f"written {failed - 1} times in vain"]
    assert rows_in(tmp_path).equals(minutes(count=1_000, price=200.0))


def test_a_place_that_is_taken_leaves_nothing_behind_and_is_used_once_it_is_free(
    tmp_path: Path,
) -> None:
    ours = archive(tmp_path)
    day = path_in(tmp_path).parent.parent
    day.parent.mkdir(parents=True)
    day.touch()
    with pytest.raises(NotADirectoryError):
        ours.write(*NAMES, minutes())
    assert [path.name for path in layout.work_of(tmp_path, "mainnet").iterdir()] == ["lock"]
    day.unlink()
    assert ours.write(*NAMES, minutes()) == 20


def test_how_many_rows_are_new_or_different_is_told_exactly(tmp_path: Path) -> None:
    ours = archive(tmp_path)
    ours.write(*NAMES, minutes())
    rows = minutes(FIRST, 25)
    rows.prices[5, 4] += 1.0
    rows.trades[6] += 1
    np.testing.assert_array_equal(rows.carried[5:7], False)
    assert ours.write(*NAMES, rows) == 7
