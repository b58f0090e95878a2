"""What README and the readers' pages show runs as it stands; only the store's name is another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import ringbuf
from ringbuf import ownership

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
READERS = (ROOT / "docs" / "what-happens-when.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = [
    block
    for text in (README, READERS, PYTHON)
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
]
PATIENCE_S = 90.0


@contextmanager
def command(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """One of our commands in the background, ended by SIGTERM."""
    child = subprocess.Popen(
        [sys.executable, "-m", "monitor", *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The name of a store that a real service fills from an embedded exchange."""
    name = f"test_readme_{os.getpid()}"
    with ExitStack() as running:
        exchange = running.enter_context(command("exchange"))
        assert exchange.stdout is not None
        urls = dict(part.split("=", 1) for part in exchange.stdout.readline().split())
        service = running.enter_context(
            command(
                "run",
                MONITOR_SEGMENT=name,
                MONITOR_WS_URL=urls["ws_url"],
                MONITOR_API_URL=urls["api_url"],
                MONITOR_LOG_LEVEL="ERROR",
            )
        )
        deadline = time.monotonic() + PATIENCE_S
        while not settled(name):
            assert service.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield name
    ownership.remove(name)


def settled(name: str) -> bool:
    try:
        with ringbuf.attach(name) as store:
            return all(ring.status in {"live", "quiet"} for ring in store.values())
    except ringbuf.RingbufError:
        return False


def test_there_are_python_blocks_and_the_raw_one_needs_nothing_of_ours() -> None:
    assert len(BLOCKS) == 9
    raw = next(block for block in BLOCKS if "SharedMemory(" in block)
    assert 'SharedMemory("market_monitor"' in raw
    assert "ringbuf" not in raw


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_python_block_runs_and_prints_prices(block: str, served: str) -> None:
    code = block.replace('"market_monitor"', f'"{served}"')
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    numbers = [float(text) for text in re.findall(r"\d+\.\d*", done.stdout)]
    assert max(numbers) > 1_000.0, done.stdout
    # Nobody took the store down, not even the block without the library.
    with ringbuf.attach(served) as store:
        assert store.life == "running"


def test_the_settings_table_names_every_setting_and_its_default() -> None:
    from monitor.settings import PREFIX, Settings

    for name, field in Settings.model_fields.items():
        rows = [row for row in README.splitlines() if f"`{PREFIX}{name.upper()}`" in row]
        assert any(row.startswith("|") for row in rows), name
        default = field.default
        if name == "segment_mode":
            default = "0600"
        if isinstance(default, bool):
            default = str(default).lower()
        if isinstance(default, tuple):
            default = ",".join(default)
        assert not default or any(f"`{default}`" in row for row in rows), name


def test_every_command_that_is_named_exists() -> None:
    from monitor.cli import main

    for name in re.findall(r"`(?:market-monitor|python -m monitor) (\w+)", README + READERS):
        assert name in main.commands


def test_the_statuses_are_those_that_readers_see() -> None:
    from monitor.book import STATUSES

    table = README[README.index("| status |") : README.index("### As a table")]
    assert set(re.findall(r"`(\w+)`", table)) == {*STATUSES, "stopped", "down"}
