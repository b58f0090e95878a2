"""Readers that attach by hand, and whose resource tracker unlinks the store when they leave."""

from __future__ import annotations

import functools
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

import ringbuf
from monitor import service, stores
from monitor.errors import ForeignFile
from monitor.exchange import ExchangeConfig, Market, serve
from monitor.settings import Settings
from ringbuf.adoption import open_store
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create

PATIENCE_S = 120
SHARED_MEMORY = Path("/dev/shm")
TIMES = 3

BY_HAND = """
import sys
from multiprocessing import shared_memory
shm = shared_memory.SharedMemory(sys.argv[1])
print(bytes(shm.buf[:8]))
shm.close()
"""
"""Without ``track=False``, which is new in Python 3.13: what most of the recipes look like."""


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for comes through shared memory
        await anyio.sleep(0.01)


def attach_by_hand(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND, name], capture_output=True, text=True, check=True
    )
    # Its tracker tells what it does, on some versions of Python.
    return done.stdout


CUT_SHORT = """
import os, resource, sys
import ringbuf
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
store = ringbuf.attach(sys.argv[1])
os.truncate("/dev/shm/" + sys.argv[1], int(sys.argv[2]))
store["a"].last()
"""


@pytest.mark.parametrize(("left", "force"), [(4096, False), (0, True)])
def test_a_file_cut_short_kills_who_looks_is_refused_then_and_can_be_cleaned(
    segment_name: str, left: int, force: bool
) -> None:
    """What the documentation says of it."""
    spec = StoreSpec(segment_name, (Series("a"),), (Column("time", "M"),), 5, 60_000)
    create(spec).close()
    ended = subprocess.run([sys.executable, "-c", CUT_SHORT, segment_name, str(left)], check=False)
    assert ended.returncode == -signal.SIGBUS
    with pytest.raises(ringbuf.NotAStore, match=f"found (a file of )?{left} bytes"):
        ringbuf.attach(segment_name)
    with pytest.raises(ringbuf.NotReplaced):
        open_store(spec)
    if force:
        with pytest.raises(ForeignFile):
            stores.clean(segment_name)
    assert stores.clean(segment_name, force=force) == [segment_name, f"{segment_name}.keep"]


def test_the_name_comes_back_to_the_same_memory_and_the_log_says_so_once(
    segment_name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = SHARED_MEMORY / segment_name

    def restored(store: ringbuf.Store, times: int) -> bool:
        return bool(store.health()["counters"]["names_restored"] == times)

    def told() -> list[str]:
        said = (record.getMessage() for record in caplog.records)
        return [line for line in said if "has been put back" in line]

    async def main() -> None:
        config = ExchangeConfig(markets=(Market("BTC", "perp", 90.0, 85_800.0, 5),), rate=20.0)
        with anyio.fail_after(PATIENCE_S):
            async with serve(config) as running, anyio.create_task_group() as tasks:
                settings = Settings(
                    segment=segment_name,
                    markets=("BTC",),
                    history=30,
                    ws_url=running.ws_url,
                    api_url=running.api_url,
                )
                tasks.start_soon(service.run, settings)
                await until(lambda: path.exists() and len(ringbuf.attach(segment_name)["BTC"]) > 5)
                inode = path.stat().st_ino
                with ringbuf.attach(segment_name) as store:
                    for time in range(1, TIMES + 1):
                        said = await anyio.to_thread.run_sync(attach_by_hand, segment_name)
                        assert said == "b'ringbuf\\n'\n"
                        await until(functools.partial(restored, store, time))
                        assert path.stat().st_ino == inode
                        assert time > 1 or len(told()) == 1
                    rows = len(store["BTC"])
                    with ringbuf.attach(segment_name) as again:
                        assert len(again["BTC"]) >= rows
                        assert again["BTC"].last()["close"] > 0
                tasks.cancel_scope.cancel()

    caplog.set_level(logging.INFO)
    anyio.run(main)
    # The others are counted, not told, unless they come long after.
    assert 1 <= len(told()) <= TIMES
    assert "track=False" in told()[0]
