"""The types that users see: complete, without stubs, and not just Any."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

import ringbuf
from reader_kit import INTERVAL_MS, row, spec
from ringbuf import kernels, layout
from ringbuf.writer import create
from typed_reader import closing, rounds, study, tables

EXAMPLE = Path(__file__).resolve().parent / "typed_reader.py"
FIRST = 29_922_480

WRONG = """
import ringbuf

store = ringbuf.attach("x")
store["BTC"].last(5)  # arg: misc
store["BTC"].at(None)  # arg
store["BTC"].resample(5)  # arg
store["BTC"].snapshot(last="5")  # arg
store.to_pandas(5)  # arg
store["BTC"].closes(since=1.5)  # arg
length: str = store.markets  # assignment
store.updates(timeout="5")  # arg
for rings in store.updates():
    rings.name  # attr
"""


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, int]]:
    """What ``mypy --strict`` finds where, asked as a user would: none of our settings count."""
    folder = tmp_path_factory.mktemp("mypy")
    (folder / "wrong.py").write_text(WRONG, encoding="utf-8")
    home = Path(ringbuf.__file__).resolve().parent.parent
    installed = home.name in {"site-packages", "dist-packages"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache"),
            *("--follow-imports=silent", "--no-error-summary", "wrong.py", str(EXAMPLE)),
        ],
        env={**os.environ, **({} if installed else {"MYPYPATH": str(home)})},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    found = re.findall(r"^(.*?):(\d+): error:", done.stdout, re.MULTILINE)
    return {(Path(name).name, int(line)) for name, line in found}


def test_a_strict_example_has_no_error(errors: set[tuple[str, int]]) -> None:
    assert {name for name, _ in errors} == {"wrong.py"}


def test_what_is_called_wrong_is_an_error(errors: set[tuple[str, int]]) -> None:
    expected = {k for k, line in enumerate(WRONG.splitlines(), 1) if "  # " in line}
    assert {line for name, line in errors if name == "wrong.py"} == expected


def test_the_example_does_what_it_says(segment_name: str) -> None:
    writer = create(spec(segment_name))
    writer.set_state(layout.RUNNING)
    with ringbuf.attach(segment_name) as store:
        for k in range(4):
            writer.put(0, FIRST + k, row(k))
        kernels.begin(writer.controls[0], FIRST)
        writer.controls[0][layout.WORD["closed"]] = FIRST + 2
        kernels.commit(writer.controls[0])
        found = study(segment_name)
        assert (found["close"], found["mean"], found["at"]) == (3.0, 1.0, 3.0)
        assert tables(store) == 4 * 3 + 2 + 2 + 2
        names = rounds(store)
        assert next(names) == []
        writer.put(1, FIRST, row(5))
        assert next(names) == ["ethusd_perp"]
        writer.close()
        assert list(names) == [["stopped"]]
        since = FIRST * INTERVAL_MS
        assert anyio.run(closing, store["BTC"], since) == [0.0, 1.0, 2.0]
