"""The command line: light help, one line a problem, exit codes."""

from __future__ import annotations

import gc
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from monitor import cli, service
from monitor.cli import main
from monitor.errors import RestError
from ringbuf import layout, reader
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("run", "demo", "exchange", "warm", "stats", "check", "status", "store")
STATUSES = ("syncing", "live", "quiet", "stale")


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings but the test's; logging is put back, and so is the garbage collector."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)
    gc.unfreeze()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, stdout, stderr."""

    def called(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments), prog_name="market-monitor")
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return called


Call = Callable[..., tuple[int, str, str]]


def loaded(program: str) -> set[str]:
    """The modules that are loaded when `program` has run in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json, sys\n{program}\nprint(json.dumps(list(sys.modules)))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_help_of_every_command_is_there_and_light() -> None:
    program = f"""
from monitor.cli import main
assert set(main.commands) == {set(COMMANDS)!r}
for command in main.commands:
    main([command, "--help"], standalone_mode=False)
main(["--help"], standalone_mode=False)
"""
    heavy = {"aiohttp", "anyio", "numba", "numpy", "pydantic", "rich", "websockets"}
    assert not heavy & loaded(program)


def test_status_waits_for_no_compiler_and_no_network_library() -> None:
    program = """
import os
from monitor.cli import main
os.environ["MONITOR_SEGMENT"] = "mmtest_nobody_has_this"
try:
    main(["status"])
except SystemExit as ended:
    assert ended.code == 3
"""
    assert not {"aiohttp", "llvmlite", "numba", "rich", "websockets"} & loaded(program)


@pytest.mark.parametrize("command", ["run", "check", "status", "warm"])
def test_every_setting_that_is_wrong_has_a_line_of_its_own(
    call: Call, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MONITOR_HISTORY", "many")
    monkeypatch.setenv("MONITOR_LOG_LEVEL", "LOUD")
    code, out, err = call(command)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("market-monitor: MONITOR_HISTORY: found 'many', expected ")
    assert lines[1].startswith("market-monitor: MONITOR_LOG_LEVEL: found 'LOUD', expected ")


def test_an_unknown_stat_is_one_line_that_names_the_nearest(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_STATS", "ATRR14")
    code, out, err = call("run")
    assert (code, out) == (2, "")
    assert err.startswith("market-monitor: Stat 'ATRR14'")
    assert "ATR14" in err
    assert err.count("\n") == 1


def failing(error: BaseException) -> Callable[[Any], Any]:
    async def fail(_settings: object) -> None:
        async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
            outer.start_soon(anyio.sleep_forever)
            inner.start_soon(_fail, error)

    return fail


async def _fail(error: BaseException) -> None:
    raise error


def test_an_error_inside_of_task_groups_is_told_as_plainly(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RestError("meta", "http://x/info", 500, "", 3)
    monkeypatch.setattr(service, "run", failing(error))
    code, _, err = call("run")
    assert code == 2
    assert err == f"market-monitor: {error}\n"


def test_a_bug_is_a_traceback_and_nothing_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "run", failing(ZeroDivisionError("bug")))
    with pytest.raises(Exception, match=r"bug|unhandled") as caught:
        main(["run"], prog_name="market-monitor")
    assert isinstance(cli._innermost(caught.value), ZeroDivisionError)


def test_a_store_that_may_not_be_opened_is_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = PermissionError(13, "Permission denied", "/dev/shm/market_monitor")
    monkeypatch.setattr(service, "run", failing(denied))
    code, _, err = call("run")
    assert code == 2
    assert err.startswith("market-monitor: not allowed: ")
    assert "/dev/shm/market_monitor" in err
    assert err.count("\n") == 1


# -- the exchange ----------------------------------------------------------------------------------


def test_the_exchange_tells_its_faults(call: Call) -> None:
    code, out, _ = call("exchange", "--list-faults")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()} >= {"drop", "expire", "missing"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "dropp=3"), "did you mean 'drop'?"),
        (("--fault", "drop"), "NAME=VALUE"),
        (("--fault", "drop=-1"), "fault drop: found '-1'"),
        (("--speed", "0"), "speed: found 0.0"),
        (("--speed", "nan"), "speed: found nan"),
        (("--seed", "-1"), "seed: found -1"),
        (("--markets", "0"), "markets: found 0"),
        (("--markets", "²"), "²"),
        (("--markets", "nowhere.json"), "nowhere.json"),
    ],
)
def test_an_exchange_that_cannot_be_is_one_line(
    call: Call, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = call("exchange", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("market-monitor: ")
    assert said in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(call: Call) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = call("exchange", "--port", str(port))
    assert (code, out) == (2, "")
    assert err.startswith(f"market-monitor: 127.0.0.1:{port}: found ")
    assert err.count("\n") == 1


# -- status ----------------------------------------------------------------------------------------


@pytest.fixture
def writer(segment_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    """A running store of two markets, both live, that this process writes."""
    monkeypatch.setenv("MONITOR_SEGMENT", segment_name)
    spec = StoreSpec(
        name=segment_name,
        series=(Series("btcusd_perp", "BTC"), Series("ethusd_perp", "ETH")),
        columns=(Column("time", "M"), Column("close", "f")),
        history=4,
        interval_ms=60_000,
        statuses=STATUSES,
        troubled=("stale", "syncing"),
    )
    with create(spec) as made:
        made.set_state(layout.RUNNING)
        made.controls[:, WORD["status"]] = STATUSES.index("live")
        yield made


def test_status_of_a_live_service_is_0(call: Call, writer: Writer) -> None:
    writer.heartbeat()
    code, out, err = call("status")
    assert (code, err) == (0, "")
    assert out.startswith(
        f"live: store {writer.spec.name}, writer {writer.header['writer_pid'][0]}"
    )
    assert out.endswith("2 markets (2 live)\n")


@pytest.mark.parametrize(
    ("status", "condition", "expected"),
    [("quiet", "live", 0), ("stale", "degraded", 1), ("syncing", "degraded", 1)],
)
def test_status_of_a_market_in_trouble_is_1_and_a_quiet_one_is_none(
    call: Call, writer: Writer, status: str, condition: str, expected: int
) -> None:
    writer.controls[1, WORD["status"]] = STATUSES.index(status)
    writer.heartbeat()
    code, out, _ = call("status", "--format", "json")
    document = json.loads(out)
    assert (code, document["status"]) == (expected, condition)
    assert document["markets"]["ethusd_perp"]["status"] == status


def test_status_of_a_service_that_does_not_move_is_3(
    call: Call, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "HUNG_S", -1.0)
    code, out, _ = call("status")
    assert code == 3
    assert out.startswith("hung: ")


def test_status_of_a_stopped_service_is_3(call: Call, writer: Writer) -> None:
    writer.close()
    code, out, _ = call("status")
    assert code == 3
    assert out.startswith("stopped: ")
    assert "2 stopped" in out


def test_status_of_a_service_that_died_is_3_at_once(call: Call, writer: Writer) -> None:
    writer.heartbeat()
    writer.disown()
    code, out, _ = call("status")
    assert code == 3
    assert out.startswith("down: ")


def test_status_without_a_store_is_3_and_says_what_to_do(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_SEGMENT", "mmtest_nobody_has_this")
    code, out, _ = call("status")
    assert code == 3
    assert "mmtest_nobody_has_this" in out
    assert "python -m monitor run" in out
    code, out, _ = call("status", "--format", "json")
    assert code == 3
    assert json.loads(out)["status"] == "none"
