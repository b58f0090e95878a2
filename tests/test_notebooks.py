"""The notebooks do what they show: every one is executed, on a service and an embedded exchange."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import jupytext
import pytest

from e2e_kit import ROOT, environment

FOLDER = ROOT / "notebooks"
NAMES = ["bot_loop", "cross_market", "quick_start", "raw_access"]


def kept(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """A notebook as it is on disk, with its outputs."""
    found: dict[str, Any] = json.loads((folder / f"{name}.ipynb").read_text("utf-8"))
    return found


def printed(notebook: dict[str, Any]) -> str:
    """All that its cells have printed."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(output.get("text", [])) for output in outputs)


def pictures(notebook: dict[str, Any]) -> int:
    """How many pictures its cells have drawn."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all notebooks, executed now."""
    folder = tmp_path_factory.mktemp("notebooks")
    done = subprocess.run(
        [sys.executable, str(FOLDER / "execute.py"), "--into", str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_there_is_a_notebook_for_each_source_and_a_source_for_each_notebook() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted([*NAMES, "execute"])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_its_source_with_outputs(name: str) -> None:
    source = jupytext.read(FOLDER / f"{name}.py")
    found = kept(name)
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in found["cells"]] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ]
    assert printed(found).strip()
    assert "/" not in printed(found)  # no path of the machine that executed it
    assert "output_type': 'error" not in str(found)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_shows_as_much_as_what_is_kept(name: str, executed: Path) -> None:
    found = kept(name, executed)
    assert pictures(found) == pictures(kept(name))
    assert [bool(cell.get("outputs")) for cell in found["cells"]] == [
        bool(cell.get("outputs")) for cell in kept(name)["cells"]
    ]


def test_a_bot_sees_every_minute_once(executed: Path) -> None:
    lines = printed(kept("bot_loop", executed)).splitlines()
    minutes = [line.split()[0] for line in lines if "hold" in line]
    assert len(minutes) >= 6
    stamps = [int(minute[11:13]) * 60 + int(minute[14:16]) for minute in minutes]
    assert all((late - early) % 1440 == 1 for early, late in pairwise(stamps))


def test_a_cell_that_fails_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "execute.py").write_text((FOLDER / "execute.py").read_text("utf-8"), "utf-8")
    (tmp_path / "broken.py").write_text("# %%\nassert 1 == 2, 'a cell that fails'\n", "utf-8")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "execute.py")],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a cell that fails" in done.stderr
    assert not (tmp_path / "broken.ipynb").exists()
