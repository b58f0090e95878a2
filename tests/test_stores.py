"""``python -m monitor store``: which stores there are, what they say, whether they are sound."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import ringbuf
from monitor import stores
from monitor.cli import main
from ringbuf import NotAStore, layout, segment
from ringbuf.adoption import open_store
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

SHARED_MEMORY = Path("/dev/shm")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Call]:
    """Run ``store …`` in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def called(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["store", *arguments], prog_name="market-monitor")
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield called
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def writer(segment_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setenv("MONITOR_SEGMENT", segment_name)
    spec = StoreSpec(
        name=segment_name,
        series=(Series("btcusd_perp", "BTC"), Series("ethusd_perp", "ETH")),
        columns=(Column("time", "M"), Column("close", "f")),
        history=4,
        interval_ms=60_000,
        source={"network": "test"},
        software="tests 1",
        counters=("frames",),
    )
    with create(spec) as made:
        made.set_state(layout.RUNNING)
        made.put(0, 1000, {"close": 1.5})
        yield made


def files(name: str) -> list[str]:
    return sorted(path.name for path in SHARED_MEMORY.glob(f"{name}*"))


# -- ls --------------------------------------------------------------------------------------------


def test_the_list_tells_the_live_from_the_dead(call: Call, writer: Writer) -> None:
    def line() -> list[str]:
        code, out, err = call("ls")
        assert (code, err) == (0, "")
        (mine,) = (line for line in out.splitlines() if line.split()[0] == writer.spec.name)
        return mine.split()

    pid = str(writer.header["writer_pid"][0])
    assert line()[1:] == ["live", pid, "0.0", "2", "tests", "1"]
    writer.disown()
    assert line()[1] == "down"
    writer.set_state(layout.STOPPED)
    assert line()[1] == "stopped"


def test_the_list_is_there_for_machines(call: Call, writer: Writer) -> None:
    there = {one["name"]: one for one in json.loads(call("ls", "--format", "json")[1])}
    assert there[writer.spec.name]["status"] == "live"
    assert there[writer.spec.name]["markets"] == 2


def test_the_list_names_each_store_once_and_nothing_of_other_programs(
    call: Call, writer: Writer
) -> None:
    foreign = SHARED_MEMORY / f"{writer.spec.name}.foreign"
    foreign.write_bytes(b"not ours")
    out = call("ls")[1]
    assert out.count(writer.spec.name) == 1


def test_the_list_says_why_a_store_cannot_be_used(call: Call, writer: Writer) -> None:
    writer.header["major"] = 9
    out = call("ls")[1]
    assert [writer.spec.name, "refused"] in [line.split()[:2] for line in out.splitlines()]
    assert f"{writer.spec.name}: store {writer.spec.name!r} has layout version 9" in out


def test_the_list_has_a_store_whose_name_was_unlinked(call: Call, writer: Writer) -> None:
    segment.path_of(writer.spec.name).unlink()
    lines = call("ls")[1].splitlines()
    assert [writer.spec.name, "unlinked"] in [line.split()[:2] for line in lines]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _through_a_file(path: Path) -> None:
    path.symlink_to(Path(__file__) / "x")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, _socket, _through_a_file])
def test_what_is_no_file_holds_nobody_up_and_is_refused_in_a_line(
    call: Call, segment_name: str, make: Callable[[Path], None]
) -> None:
    path = segment.path_of(segment_name)
    make(path)
    try:
        assert segment_name not in call("ls")[1]
        for verb in ("inspect", "doctor", "clean"):
            code, out, err = call(verb, segment_name)
            assert code
            assert re.search("found a (folder, a FIFO or a device|socket|link)", out + err)
            assert len((out + err).splitlines()) == 1
        with pytest.raises(NotAStore):
            open_store(StoreSpec(segment_name, (Series("a"),), (Column("time", "M"),), 5, 60_000))
    finally:
        path.rmdir() if path.is_dir() else path.unlink()


def test_one_odd_file_hides_no_other_from_the_list(call: Call, writer: Writer) -> None:
    name = writer.spec.name
    long = SHARED_MEMORY / f"{name}.{'a' * 200}"
    long.write_bytes(bytes(writer.memory))
    memory = bytearray(writer.memory)
    at = memory.index(b'"tests 1"')
    memory[at : at + 9] = b'"\\ud800x"'
    (SHARED_MEMORY / f"{name}.odd").write_bytes(memory)
    code, out, err = call("ls")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert lines[name][0] == "live"
    assert lines[f"{name}.odd"][-1] == "\\ud800x"
    assert long.name not in lines


def test_the_list_has_a_store_whose_name_is_somebody_s(call: Call, writer: Writer) -> None:
    path = segment.path_of(writer.spec.name)
    path.unlink()
    path.write_bytes(b"somebody's")
    out = call("ls")[1]
    path.unlink()
    assert [writer.spec.name, "refused"] in [line.split()[:2] for line in out.splitlines()]


def test_a_status_that_there_is_not_is_shown_as_such(call: Call, writer: Writer) -> None:
    for number in (1_000, -1):
        writer.controls[0, WORD["status"]] = number
        assert call("ls")[0] == call("inspect")[0] == 0
        with ringbuf.attach(writer.spec.name) as store:
            assert store["BTC"].status == f"unknown ({number})"
            assert store.health()["markets"]["btcusd_perp"]["status"] == f"unknown ({number})"


def test_no_stores_are_said_to_be_none() -> None:
    assert stores.listing([]) == "no stores in /dev/shm"


# -- inspect ---------------------------------------------------------------------------------------


def test_inspect_says_what_the_header_says(call: Call, writer: Writer) -> None:
    code, out, err = call("inspect")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["status"] == "live"
    assert found["layout"] == {"major": layout.MAJOR, "minor": layout.MINOR}
    assert found["header"]["history"] == 4
    assert found["live"]["grid"] == 1000
    assert found["live"]["state"] == "running"
    assert found["counters"] == {"frames": 0}
    assert found["document"]["source"] == {"network": "test"}
    assert [column["name"] for column in found["document"]["columns"]] == ["time", "close"]


@pytest.mark.parametrize("command", ["inspect", "doctor"])
def test_no_store_is_3_and_one_line(call: Call, command: str) -> None:
    code, out, err = call(command, "mmtest_nobody_has_this")
    assert (code, out) == (3, "")
    assert "mmtest_nobody_has_this" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["inspect", "doctor", "clean"])
def test_a_name_that_no_store_can_have_is_wrong_use(call: Call, command: str) -> None:
    code, out, err = call(command, "../passwd")
    assert (code, out) == (2, "")
    assert "segment name '../passwd'" in err


def test_inspect_refuses_what_it_cannot_read(call: Call, writer: Writer) -> None:
    writer.header["major"] = 9
    code, out, err = call("inspect", writer.spec.name)
    assert (code, out) == (2, "")
    assert "version 9" in err


# -- doctor ----------------------------------------------------------------------------------------


def test_a_sound_store_is_sound_live_and_dead(call: Call, writer: Writer) -> None:
    assert call("doctor") == (0, f"{writer.spec.name}: sound\n", "")
    writer.disown()
    assert call("doctor", writer.spec.name) == (0, f"{writer.spec.name}: sound\n", "")


@pytest.mark.parametrize("alive", [True, False])
def test_the_first_broken_promise_is_named(call: Call, writer: Writer, alive: bool) -> None:
    writer.controls[1, WORD["sequence"]] = 7
    writer.controls[0, WORD["closed"]] = 2000
    if not alive:
        writer.disown()
    code, out, err = call("doctor")
    assert (code, err) == (1, "")
    assert out == (
        f"{writer.spec.name}: btcusd_perp: closed 2000 is ahead of newest 1000\n(1 more)\n"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file, expected a store"),
        (b"x" * 10, "10 bytes, expected a header of 4096 bytes"),
        (b"x" * 8192, "magic b'xxxxxxxx'"),
    ],
)
def test_what_is_no_store_is_said_to_be_none(
    call: Call, segment_name: str, content: bytes, said: str
) -> None:
    (SHARED_MEMORY / segment_name).write_bytes(content)
    code, out, _ = call("doctor", segment_name)
    assert code == 1
    assert said in out


def test_a_truncated_store_is_named_and_not_mapped(call: Call, writer: Writer) -> None:
    name = writer.spec.name
    whole = segment.path_of(name).read_bytes()
    for path in (segment.path_of(name), segment.keep_path(name)):
        path.unlink()
    (SHARED_MEMORY / name).write_bytes(whole[:8192])
    code, out, _ = call("doctor")
    assert code == 1
    assert "a file of 8192 bytes" in out


def test_a_missing_second_link_is_a_broken_promise(call: Call, writer: Writer) -> None:
    segment.keep_path(writer.spec.name).unlink()
    assert call("doctor")[:2] == (
        1,
        f"{writer.spec.name}: names: {writer.spec.name}.keep is missing, expected a second link\n",
    )
    (SHARED_MEMORY / f"{writer.spec.name}.keep").write_bytes(b"x")
    assert "leads to another segment" in call("doctor")[1]


# -- clean -----------------------------------------------------------------------------------------


def test_clean_leaves_a_live_writers_store_alone(call: Call, writer: Writer) -> None:
    before = files(writer.spec.name)
    code, out, err = call("clean")
    assert (code, out) == (2, "")
    assert f"being written by process {writer.header['writer_pid'][0]}" in err
    assert files(writer.spec.name) == before


def test_clean_finds_the_writer_of_a_name_that_was_unlinked(call: Call, writer: Writer) -> None:
    segment.path_of(writer.spec.name).unlink()
    assert call("clean")[0] == 2
    assert files(writer.spec.name) == [f"{writer.spec.name}.keep"]


def test_clean_removes_a_dead_store_and_all_that_was_left_behind(
    call: Call, writer: Writer
) -> None:
    name = writer.spec.name
    with ringbuf.attach(name) as store:
        writer.disown()
        for left in (f"{name}~new", f"{name}~link", f"{name}.lock"):
            (SHARED_MEMORY / left).write_bytes(b"")
        assert call("clean") == (0, f"removed {name}, {name}.keep, {name}~new, {name}~link\n", "")
        assert files(name) == []
        assert store["BTC"].last()["close"] == 1.5
    assert call("clean") == (0, f"there is nothing named {name}\n", "")


def test_clean_leaves_the_stores_of_longer_names_alone(call: Call, writer: Writer) -> None:
    other = f"{writer.spec.name}.2"
    create(
        StoreSpec(other, writer.spec.series, writer.spec.columns, history=4, interval_ms=60_000)
    ).close()
    writer.disown()
    assert call("clean")[0] == 0
    assert files(writer.spec.name) == [other, f"{other}.keep"]


@pytest.mark.parametrize("suffix", ["", ".keep", "~new", "~link"])
@pytest.mark.parametrize("content", [b"somebody's", b"some"])
def test_clean_asks_before_it_removes_what_is_not_a_store(
    call: Call, writer: Writer, suffix: str, content: bytes
) -> None:
    name = writer.spec.name
    writer.disown()
    segment.path_of(name).unlink()
    foreign = SHARED_MEMORY / f"{name}{suffix}"
    foreign.unlink(missing_ok=True)
    foreign.write_bytes(content)
    before = files(name)
    code, out, err = call("clean")
    assert (code, out) == (2, "")
    assert f"{foreign}: found {len(content)} bytes that begin with {content[:8]!r}" in err
    assert "--force" in err
    assert err.count("\n") == 1
    assert files(name) == before
    assert call("clean", "--force")[0] == 0
    # A store is not removed together with what has taken its name.
    assert files(name) == ([] if suffix else [f"{name}.keep"])
    assert call("clean", "--force")[0] == 0
    assert files(name) == []


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/etc/hostname")])
def test_clean_leaves_an_empty_file_and_a_link_alone(
    call: Call, segment_name: str, make: Callable[[Path], None]
) -> None:
    make(SHARED_MEMORY / segment_name)
    assert call("clean", segment_name)[0] == 2
    assert files(segment_name) == [segment_name]
    assert call("clean", segment_name, "--force")[:2] == (0, f"removed {segment_name}\n")


@pytest.mark.parametrize("wrong", ["major", "ready", "series_offset"])
def test_clean_needs_no_force_for_a_store_that_a_start_refuses_to_replace(
    call: Call, writer: Writer, wrong: str
) -> None:
    name = writer.spec.name
    writer.header[wrong] = 77
    writer.disown()
    assert call("clean")[:2] == (0, f"removed {name}, {name}.keep\n")


# -- what was built aside --------------------------------------------------------------------------


@pytest.mark.parametrize("written", [False, True])
def test_what_a_death_left_beside_the_name_is_listed_and_removed(
    call: Call, writer: Writer, written: bool
) -> None:
    name = writer.spec.name
    descriptor, aside = segment.reserve(name, 2**20)
    os.pwrite(descriptor, layout.MAGIC if written else b"", 0)
    os.close(descriptor)
    there = {one["name"]: one for one in json.loads(call("ls", "--format", "json")[1])}
    assert there[name]["status"] == "live"
    assert (there[aside.name]["status"], there[aside.name]["mib"]) == ("unfinished", 1.0)
    assert there[aside.name]["reason"].endswith(f"python -m monitor store clean {name}")
    assert call("clean")[0] == 2
    assert aside.exists()
    writer.disown()
    assert call("clean")[:2] == (0, f"removed {name}, {name}.keep, {aside.name}\n")


def test_what_is_being_built_is_listed_as_that_and_not_removed(
    call: Call, segment_name: str
) -> None:
    descriptor, aside = segment.reserve(segment_name, 4096)
    lock = segment.take(aside, segment_name)
    try:
        (line,) = (line for line in call("ls")[1].splitlines() if line.startswith(f"{aside.name} "))
        assert line.split()[1] == "building"
        code, out, err = call("clean", segment_name)
        assert (code, out) == (2, "")
        assert "being written by another process" in err
    finally:
        os.close(lock)
        os.close(descriptor)
    assert call("clean", segment_name)[:2] == (0, f"removed {aside.name}\n")


def test_somebody_elses_file_of_such_a_name_is_not_listed(call: Call, segment_name: str) -> None:
    aside = SHARED_MEMORY / f"{segment_name}~new"
    aside.write_bytes(b"somebody's")
    try:
        assert segment_name not in call("ls")[1]
    finally:
        aside.unlink()


# -- what it costs ---------------------------------------------------------------------------------


def test_no_compiler_is_needed() -> None:
    code = "import sys, monitor.stores; sys.exit(bool({'numba', 'anyio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_overwritten_segment_hides_no_other(
    call: Call, writer: Writer, segment_name: str
) -> None:
    """Whatever its document is now, the list has both, and each command says it in a line."""
    bad = f"{segment_name}_bad"
    spoilt = create(replace(writer.spec, name=bad))
    spoilt.close()
    path = segment.path_of(bad)
    whole = path.read_bytes()
    try:
        for document in (b"[" * 1_500, b'{"series": []}', b"7", b'{"software": 7}', b"\xff"):
            path.write_bytes(whole[:4096] + document.ljust(1_500) + whole[5_596:])
            code, out, err = call("ls")
            assert (code, err) == (0, "")
            assert f"{writer.spec.name} " in out
            assert f"{bad}: " in out
            for verb in ("inspect", "doctor"):
                code, out, err = call(verb, bad)
                assert code
                assert (out + err).count("\n") == 1
                assert "Traceback" not in out + err
    finally:
        segment.unlink(bad)
