"""The demo as a user runs it: three processes, one table, nothing left behind.

Its store has one name on the whole machine, so these tests take turns with anybody's demo.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import e2e_kit as kit
import ringbuf
from monitor.demo import SEGMENT
from ringbuf import ownership, segment

PATHS = (Path("/dev/shm") / SEGMENT, Path("/dev/shm") / f"{SEGMENT}.keep")


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """No other test run's demo, no store left by a former one."""
    path = Path(tempfile.gettempdir()) / f"{SEGMENT}.{os.getuid()}.test"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ownership.remove(SEGMENT)
        yield
        ownership.remove(SEGMENT)


@contextlib.contextmanager
def demo(*arguments: str, **settings: object) -> Iterator[kit.Process]:
    with kit.process("demo", "--speed", "20", *arguments, settings=settings) as found:
        yield found


def children(parent: int) -> dict[str, int]:
    """The living children of a process by command: ``exchange``, ``run``."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            state, ppid = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            arguments = (folder / "cmdline").read_text().split("\0")
            if int(ppid) == parent and state != "Z" and "monitor" in arguments:
                found[arguments[arguments.index("monitor") + 1]] = int(folder.name)
    return found


def running(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def shown(found: kit.Process) -> dict[str, int]:
    """Wait for the table; the demo's children."""
    kit.until(lambda: "btcusd_perp" in found.stdout or found.ended, "the table", found)
    assert not found.ended, found.stderr
    return children(found.pid)


def nothing_left(family: dict[str, int]) -> None:
    assert set(family) == {"exchange", "run"}
    kit.until(lambda: not any(running(pid) for pid in family.values()), "the children's end")
    assert not any(path.exists() for path in PATHS)


def test_it_shows_a_table_for_a_while_and_leaves_nothing_behind() -> None:
    with demo("--seconds", "1") as found:
        family = shown(found)
        assert found.wait() == 0
        for word in ("DEMO", SEGMENT, "btcusd_perp", "ethusd_perp", "ATR14", "RSI5"):
            assert word in found.stdout
        assert found.stderr == ""
        nothing_left(family)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0_and_leaves_nothing_behind(number: int) -> None:
    with demo() as found:
        family = shown(found)
        assert found.stop(number) == 0
        assert found.stderr == ""
        nothing_left(family)


@pytest.mark.parametrize("child", ["run", "exchange"])
def test_it_ends_and_says_so_when_one_of_its_processes_does(child: str) -> None:
    with demo() as found:
        family = shown(found)
        os.kill(family[child], signal.SIGKILL)
        assert found.wait() == 1
        what = {"run": "service", "exchange": "exchange"}[child]
        assert f"market-monitor: the demo's {what} ended" in found.stderr
        nothing_left(family)


def test_its_processes_end_with_it_also_when_it_is_killed_and_the_next_one_starts_anew() -> None:
    with demo() as found:
        family = shown(found)
        found.send(signal.SIGKILL)
        found.wait()
        kit.until(lambda: not any(running(pid) for pid in family.values()), "the children's end")
        with ringbuf.attach(SEGMENT) as store:
            assert store.life == "stopped"
            before = store.source["run"]
    with demo() as found:
        shown(found)
        with ringbuf.attach(SEGMENT) as store:
            assert store.source["run"] != before
        assert found.stop() == 0


def test_a_second_one_says_that_there_is_one_and_leaves_it_alone() -> None:
    with demo() as first:
        family = shown(first)
        with demo() as second:
            assert second.wait() == 2
            assert second.stdout == ""
            assert second.stderr.startswith("market-monitor: ")
            assert f"process {family['run']}" in second.stderr
            assert second.stderr.count("\n") == 1
        assert not first.ended
        # As when its terminal is closed.
        assert first.stop(signal.SIGHUP) == 0
        nothing_left(family)


def test_what_is_wrong_with_its_arguments_is_one_line() -> None:
    for arguments, said in (
        (("--speed", "0"), "speed: found 0.0"),
        (("--markets", "btcusd_prep"), "nearest: btcusd_perp"),
    ):
        with kit.process("demo", *arguments) as found:
            assert found.wait() == 2
            assert found.stdout == ""
            assert said in found.stderr
            assert found.stderr.count("\n") == 1
    assert not segment.path_of(SEGMENT).exists()


def test_settings_for_the_real_service_do_not_lead_it_there() -> None:
    settings = {"ws_url": "ws://127.0.0.1:1/ws", "api_url": "http://127.0.0.1:1", "segment": "mine"}
    with demo("--markets", "SOL,spot", stats="EMA9", **settings) as found:
        kit.until(lambda: "solusd_perp" in found.stdout or found.ended, "the table", found)
        assert "EMA9" in found.stdout
        with ringbuf.attach(SEGMENT) as store:
            assert len(store) == 6
            assert store.source["network"] == "embedded"
        assert found.stop() == 0
