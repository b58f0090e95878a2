"""The reader's command line, as a user runs it: a real process on a real store."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.book import STATUSES
from reading import attach, table
from reading.naming import configured_segment
from ringbuf import StoreNotFound, layout
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
MINUTE = 29_000_000
KEYS = [
    *("market", "coin", "time", "closed", "carried", "open", "high", "low", "close"),
    *("volume", "trades", "ATR14", "RSI5", "status", "age_s"),
]
COLUMNS = (
    Column("time", "M"),
    *(Column(name) for name in ("open", "high", "low", "close", "volume")),
    *(Column(name, "i") for name in ("trades", "flags")),
    Column("ATR14", unit="price"),
    Column("RSI5", unit="0..100"),
    Column("_RSI5_gain"),
)


def spec(name: str) -> StoreSpec:
    series = (
        Series("btcusd_perp", "BTC"),
        Series("kpepeusd_perp", "kPEPE"),
        Series("jeffusdc", "@1"),
    )
    return StoreSpec(
        name, series, COLUMNS, 60, 60_000, source={"network": "testnet"}, statuses=STATUSES
    )


def fill(writer: Writer, rows: int = 5) -> None:
    """Two markets with rows, the last one open; the third has never traded."""
    for market, (price, status) in enumerate(((85_827.5, "live"), (0.0123456, "quiet"))):
        for k in range(rows):
            flags = 6 if k < rows - 1 else 0
            writer.put(
                market,
                MINUTE + k,
                {
                    **dict.fromkeys(("open", "high", "low", "close"), price * (1 + k / 1000)),
                    "volume": 2.5,
                    "trades": k,
                    "flags": flags | (k == 1),
                    **({"ATR14": price / 500, "RSI5": 72.25} if k else {}),
                },
            )
        control = writer.controls[market]
        control[layout.WORD["closed"]] = MINUTE + rows - 2
        control[layout.WORD["status"]] = STATUSES.index(status)
        control[layout.WORD["heard_ns"]] = time.monotonic_ns()
    writer.controls[2, layout.WORD["status"]] = STATUSES.index("quiet")
    writer.set_state(layout.RUNNING)


@pytest.fixture
def store(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name)) as writer:
        fill(writer)
        yield writer


def read(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "read.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def rows_of(writer: Writer, *arguments: str) -> list[dict[str, Any]]:
    done = read("--segment", writer.spec.name, "--format", "json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert all(list(row) == KEYS for row in found)
    return list(found)


def test_json_has_the_newest_row_of_every_market(store: Writer) -> None:
    first, second, third = rows_of(store)
    assert first["market"] == "btcusd_perp"
    assert first["coin"] == "BTC"
    assert first["time"] == "2025-02-19T21:24:00Z"
    assert (first["closed"], first["carried"]) == (False, False)
    assert first["close"] == 85_827.5 * (1 + 4 / 1000)
    assert first["trades"] == 4
    assert isinstance(first["trades"], int)
    assert (first["ATR14"], first["RSI5"]) == (85_827.5 / 500, 72.25)
    assert first["status"] == "live"
    assert 0 <= first["age_s"] < PATIENCE_S
    assert (second["coin"], second["status"]) == ("kPEPE", "quiet")
    nothing = {key: None for key in KEYS if key not in {"market", "coin", "status"}}
    assert third == {"market": "jeffusdc", "coin": "@1", "status": "quiet", **nothing}


def test_last_gives_the_oldest_first_and_marks_what_is_carried_and_closed(store: Writer) -> None:
    found = rows_of(store, "--last", "4", "--market", "btcusd_perp")
    assert [row["trades"] for row in found] == [1, 2, 3, 4]
    assert [row["carried"] for row in found] == [True, False, False, False]
    assert [row["closed"] for row in found] == [True, True, True, False]


def test_more_rows_than_there_are_gives_those_there_are(store: Writer) -> None:
    found = rows_of(store, "--last", "1000", "--market", "btcusd_perp")
    assert len(found) == 5
    assert (found[0]["ATR14"], found[0]["RSI5"]) == (None, None)  # warm-up


def test_closed_leaves_the_open_row_out(store: Writer) -> None:
    found = rows_of(store, "--closed", "--market", "BTC", "--market", "kPEPE")
    assert [row["trades"] for row in found] == [3, 3]
    assert all(row["closed"] for row in found)


def test_a_market_is_found_by_either_name_and_comes_once(store: Writer) -> None:
    found = rows_of(store, "--market", "kPEPE", "--market", "kpepeusd_perp")
    assert [row["market"] for row in found] == ["kpepeusd_perp"]


def test_stat_chooses_columns(store: Writer) -> None:
    done = read("--segment", store.spec.name, "--format", "json", "--stat", "RSI5")
    assert "RSI5" in json.loads(done.stdout)[0]
    assert "ATR14" not in json.loads(done.stdout)[0]


def test_csv_is_the_json_with_a_header(store: Writer) -> None:
    done = read("--segment", store.spec.name, "--format", "csv", "--last", "2")
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(table[0]) == KEYS
    assert [row["closed"] for row in table[:2]] == ["true", "false"]
    assert float(table[1]["close"]) == 85_827.5 * (1 + 4 / 1000)


def test_the_table_says_where_it_comes_from_and_names_every_stat(store: Writer) -> None:
    done = read("--segment", store.spec.name)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    for word in (store.spec.name, "testnet", f"writer {os.getpid()}", "heartbeat"):
        assert word in lines[0]
    head = next(line for line in lines if line.startswith("market"))
    assert {"ATR14", "RSI5", "status", "age"} <= set(head.split())
    row = next(line for line in lines if line.startswith("btcusd_perp"))
    assert "86,170.8" in row
    assert "▲ 72.2" in row
    assert "live" in row
    tiny = next(line for line in lines if line.startswith("kpepeusd_perp"))
    assert "0.0123950" in tiny
    assert "\x1b" not in done.stdout


def test_the_sign_of_an_open_minute_is_explained_where_it_occurs(store: Writer) -> None:
    explained = "… minute still open"
    assert explained in read("--segment", store.spec.name).stdout
    assert explained not in read("--segment", store.spec.name, "--closed").stdout


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [(("--market", "btcusd"), "btcusd_perp"), (("--stat", "ATR15"), "ATR14")],
)
def test_an_unknown_name_is_wrong_use_and_names_the_nearest(
    store: Writer, arguments: tuple[str, ...], nearest: str
) -> None:
    done = read("--segment", store.spec.name, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"market-read: .*{arguments[1]}.*{nearest}.*\n", done.stderr)


def test_no_store_is_exit_3_and_one_line(segment_name: str) -> None:
    done = read("--segment", segment_name)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(rf"market-read: no store named '{segment_name}'.*\n", done.stderr)


def test_the_segment_may_come_from_the_environment(store: Writer) -> None:
    assert read("--format", "json", MONITOR_SEGMENT=store.spec.name).returncode == 0


@pytest.mark.parametrize(
    ("place", "line"), [(".env", "MONITOR_SEGMENT={}\n"), ("monitor.toml", 'segment = "{}"\n')]
)
def test_the_segment_may_come_from_the_service_s_settings(
    store: Writer, tmp_path: Path, place: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / place).write_text("# ours\n" + line.format(store.spec.name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONITOR_SEGMENT", raising=False)
    assert configured_segment() == store.spec.name


def test_without_settings_no_segment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONITOR_SEGMENT", raising=False)
    assert configured_segment() is None


def test_a_name_like_no_other_is_told_what_there_is(store: Writer) -> None:
    done = read("--segment", store.spec.name, "--market", "zzzz")
    assert "btcusd_perp" in done.stderr


def test_a_foreign_segment_is_refused_with_what_was_found(segment_name: str) -> None:
    Path("/dev/shm", segment_name).write_bytes(b"something else" * 1000)
    done = read("--segment", segment_name)
    assert done.returncode == 3
    assert "is not a store" in done.stderr


def test_a_service_that_stopped_is_shown_and_marked(segment_name: str) -> None:
    with create(spec(segment_name)) as writer:
        fill(writer)
    assert {row["status"] for row in rows_of(writer)} == {"stopped"}
    done = read("--segment", segment_name)
    assert "STOPPED" in done.stdout.splitlines()[0]
    assert "86,170.8" in done.stdout


def test_a_service_that_died_is_told_at_once(segment_name: str) -> None:
    child = os.fork()
    if child == 0:
        writer = create(spec(segment_name))
        fill(writer)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    done = read("--segment", segment_name, "--format", "json")
    assert {row["status"] for row in json.loads(done.stdout)} == {"down"}
    assert "DOWN" in read("--segment", segment_name).stdout.splitlines()[0]


def test_the_demos_store_is_shown_where_there_is_no_other_and_says_so(
    store: Writer, segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real names may be in use on this machine; the rule is the same for others.
    monkeypatch.setattr("reading.selection.SEGMENT", f"{segment_name}_none")
    monkeypatch.setattr("reading.selection.DEMO_SEGMENT", segment_name)
    monkeypatch.setattr("reading.drawing.DEMO_SEGMENT", segment_name)
    with attach(None) as found:
        assert table(found).startswith("DEMO")
    with pytest.raises(StoreNotFound):
        attach(f"{segment_name}_none")


@contextmanager
def watching(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "read.py", "--watch", *arguments], cwd=ROOT, text=True, **options
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(PATIENCE_S)


def test_watch_without_a_terminal_prints_what_changes_until_ctrl_c(store: Writer) -> None:
    arguments = ("--segment", store.spec.name, "--format", "json", "--market", "BTC")
    with watching(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())[0]["trades"] == 4
        store.put(0, MINUTE + 5, {"close": 1.0, "trades": 77})
        store.publish()
        while json.loads(child.stdout.readline())[0]["trades"] != 77:
            pass
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=PATIENCE_S)
        assert (child.returncode, errors) == (0, "")


def test_watch_on_a_terminal_redraws_in_colour_and_leaves_it_in_order(store: Writer) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    arguments = ("--segment", store.spec.name)
    with watching(*arguments, stdout=follower, stdin=follower, env=environment) as child:
        os.close(follower)
        shown = until(leader, b"btcusd_perp")
        store.put(0, MINUTE + 5, {"close": 12_345.0, "trades": 1})
        store.publish()
        shown += until(leader, b"12,345")
        child.send_signal(signal.SIGINT)
        shown += until(leader, b"\x1b[?1049l")
        assert child.wait(PATIENCE_S) == 0
    os.close(leader)
    assert b"\x1b[?1049h" in shown
    assert b"\x1b[32m" in shown  # live is green


def until(terminal: int, text: bytes) -> bytes:
    """Read until `text` has come."""
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 65_536)
    return shown


def test_json_needs_neither_rich_nor_anything_of_the_service(store: Writer) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "read.py"),
            *("--segment", store.spec.name, "--format", "json"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    loaded = set(re.findall(r"\| *([\w.]+)$", done.stderr, flags=re.MULTILINE))
    tops = {name.partition(".")[0] for name in loaded}
    assert {"click", "numpy", "ringbuf"} <= tops
    assert not tops & {"aiohttp", "monitor", "numba", "pydantic", "rich", "websockets"}


def test_a_live_table_says_what_the_service_has_counted(segment_name: str) -> None:
    described = replace(spec(segment_name), counters=("frames", "stalls", "corrected"))
    with create(described) as writer:
        fill(writer)
        writer.counters[:3] = (12_345, 2, 0)
        writer.heartbeat()
        with attach(segment_name) as found:
            assert "frames 12,345 · stalls 2\n" in table(found, counts=True)
            assert "frames" not in table(found)


def wide(name: str, markets: int) -> StoreSpec:
    """Many markets, and so many stats that they need several blocks."""
    series = tuple(Series(f"m{k:03d}usd_perp", f"M{k:03d}") for k in range(markets))
    stats = tuple(Column(f"EMA{k}_hlc3", unit="price") for k in range(10, 24))
    return StoreSpec(
        name,
        series,
        COLUMNS[:8] + stats,
        60,
        60_000,
        source={"network": "testnet", "api_url": "http://127.0.0.1:1"},
        statuses=STATUSES,
        counters=("frames", "stalls", "lag_p50_ms", "lag_p99_ms", "corrected", "rejected"),
    )


def visible(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n")


@pytest.mark.parametrize("markets", [1, 3, 40])
@pytest.mark.parametrize("last", [None, 7])
def test_a_table_keeps_to_its_window(segment_name: str, markets: int, last: int | None) -> None:
    with create(wide(segment_name, markets)) as writer:
        values = {"close": 85_827.5, "volume": 2.5, "trades": 3, "flags": 6}
        stats = {f"EMA{k}_hlc3": 85_001.5 for k in range(10, 24)}
        for market in range(markets):
            for k in range(9):
                writer.put(market, MINUTE + k, {**values, **stats})
        writer.counters[:6] = 12_345
        writer.set_state(layout.RUNNING)
        with attach(segment_name) as found:
            whole = table(found, last=last, width=200, counts=True)
            for width in (46, 54, 80):
                least = len(visible(table(found, last=last, width=width, height=1)))
                for height in (*range(least, 16), 31, 59):
                    lines = visible(
                        table(found, last=last, width=width, height=height, color=True, counts=True)
                    )
                    assert len(lines) <= height, (width, height)
                    assert any(line.startswith("m000usd_perp") for line in lines)
                    assert all(len(line) <= width for line in lines), (width, height)
            enough = len(whole.split("\n"))
            same = table(found, last=last, width=200, height=enough, counts=True)
            # Without the heartbeat's age.
            assert same.split("\n")[1:] == whole.split("\n")[1:]


def test_what_a_low_window_leaves_out_is_said(segment_name: str) -> None:
    with create(wide(segment_name, 3)) as writer:
        writer.put(0, MINUTE, {"close": 1.0, "trades": 3, "flags": 6})
        with attach(segment_name) as found:
            text = " ".join(visible(table(found, width=50, height=8)))
            assert re.search(
                r"… \d more rows? and \d+ more columns: a larger window or --market shows", text
            )
            assert "more column" not in table(found, width=200, height=8)


def test_blocks_hold_every_stat_once_and_begin_with_market_and_time(segment_name: str) -> None:
    with create(wide(segment_name, 2)) as writer:
        writer.put(0, MINUTE, {"close": 1.0, "trades": 3, "flags": 6})
        with attach(segment_name) as found:
            heads = [
                line.split()
                for line in visible(table(found, width=60))
                if line.startswith("market ")
            ]
    assert len(heads) > 2
    assert all(head[:2] == ["market", "UTC"] for head in heads)
    named = [name for head in heads for name in head[2:]]
    stats = [f"EMA{k}_hlc3" for k in range(10, 24)]
    assert named == ["close", *stats, "status", "age"]


def test_whoever_stops_reading_has_read_enough(store: Writer) -> None:
    """As `head` does, where a row has changed since."""
    live = subprocess.Popen(
        [sys.executable, "read.py", "--watch", "--format", "json", "--segment", store.spec.name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert live.stdout is not None
    assert live.stderr is not None
    assert live.stdout.readline().startswith("[")
    live.stdout.close()
    end, price = time.monotonic() + PATIENCE_S, 100.0
    while live.poll() is None and time.monotonic() < end:
        price += 1.0
        store.put(0, store.grid, {"close": price, "trades": 3, "flags": 0})
        store.publish()
        time.sleep(0.05)
    assert live.poll() == 0, live.stderr.read()
    assert live.stderr.read() == ""
    live.stderr.close()
