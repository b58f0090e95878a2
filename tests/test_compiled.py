"""Where machine code is kept: never that of another source."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest

from monitor import compiled
from monitor.compiled import keep_cache

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Everything that is written goes below the test's folder; numba's setting is put back."""
    before = numba.config.CACHE_DIR
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield
    numba.config.CACHE_DIR = before


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program of one file a room, taken for ours."""
    for room in ("ringbuf", "indicators", "monitor"):
        (tmp_path / "src" / room).mkdir(parents=True)
        (tmp_path / "src" / room / "kernels.py").write_text("x = 1\n")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "src" / "monitor" / "compiled.py"))
    return tmp_path / "src"


def test_the_same_sources_share_a_folder(sources: Path) -> None:
    assert keep_cache() == keep_cache()


@pytest.mark.parametrize("room", ["ringbuf", "indicators", "monitor"])
def test_another_source_has_another_folder(sources: Path, room: str) -> None:
    before = keep_cache()
    (sources / room / "kernels.py").write_text("x = 2\n")
    changed = keep_cache()
    assert changed != before
    (sources / room / "kernels.py").rename(sources / room / "other.py")
    assert keep_cache() not in {before, changed}


@pytest.mark.parametrize(
    ("variable", "below"),
    [("NUMBA_CACHE_DIR", "n"), ("XDG_CACHE_HOME", "x"), ("HOME", "h/.cache")],
)
def test_the_folder_is_where_the_user_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, below: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / below.split("/", maxsplit=1)[0]))
    folder = keep_cache()
    assert folder.is_dir()
    assert folder.parent == tmp_path / below / "market-monitor"
    assert str(folder) == numba.config.CACHE_DIR


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    folder = keep_cache()
    assert folder.parent == tmp_path / "tmp"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "closed"))
    monkeypatch.setattr("monitor.compiled.os.access", lambda *_: False)
    assert keep_cache().parent == tmp_path / "tmp"


def test_a_user_without_a_home_gets_a_temporary_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("monitor.compiled.Path.home", homeless)
    assert keep_cache().parent == tmp_path / "tmp"


def test_numba_uses_the_folder_for_our_kernels(tmp_path: Path) -> None:
    program = """if True:
        import json, sys
        from pathlib import Path
        from monitor.compiled import keep_cache
        folder = keep_cache()
        import numpy as np
        from ringbuf import kernels
        kernels.announce(np.zeros(1, np.uint32))
        json.dump([p.name for p in folder.rglob("*.nbi")], sys.stdout)
    """
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert any("announce" in name for name in json.loads(found.stdout))
