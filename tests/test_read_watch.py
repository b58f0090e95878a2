"""The live view on a terminal: keys, Ctrl-Z, and a store that hangs, goes, or is replaced."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reading import attach, rows, table, watch
from reading.board import Board
from reading.changes import Changes
from reading.selection import Choice
from reading.sparkline import sparkline
from ringbuf import layout
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
MINUTE = 29_000_000
STATUSES = ("syncing", "live", "quiet", "stale", "delisted")
COLUMNS = (
    Column("time", "M"),
    *(Column(name) for name in ("open", "high", "low", "close", "volume")),
    *(Column(name, "i") for name in ("trades", "flags")),
    Column("ATR14", unit="price"),
    Column("RSI5", unit="0..100"),
)


def spec(name: str, markets: int = 3) -> StoreSpec:
    series = tuple(Series(f"m{k:03d}usd_perp", f"M{k:03d}") for k in range(markets))
    return StoreSpec(
        name, series, COLUMNS, 60, 60_000, source={"network": "testnet"}, statuses=STATUSES
    )


def fill(writer: Writer, rows: int = 3, price: float = 100.0) -> None:
    """Market k: closes that rise from `price` + k on, an RSI5 of 70 - k, volume of k."""
    for market in range(len(writer.spec.series)):
        for k in range(rows):
            close = price + market + k / 100
            writer.put(
                market,
                MINUTE + k,
                {
                    **dict.fromkeys(("open", "high", "low", "close"), close),
                    "volume": float(market),
                    "trades": k,
                    "flags": 6,
                    "ATR14": 1.0,
                    "RSI5": 70.0 - market % 40,
                },
            )
        control = writer.controls[market]
        control[layout.WORD["closed"]] = MINUTE + rows - 1
        control[layout.WORD["status"]] = STATUSES.index("live")
        control[layout.WORD["heard_ns"]] = time.monotonic_ns()
    writer.set_state(layout.RUNNING)
    writer.publish()


@pytest.fixture
def store(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name)) as writer:
        fill(writer)
        yield writer


class Watcher:
    """`read.py --watch` on a pseudo-terminal of its own, and what that was told to show."""

    def __init__(self, child: subprocess.Popen[bytes], leader: int, before: list[Any]) -> None:
        self.child = child
        self.before = before
        self.leader = leader
        self.shown = ""

    def until(self, pattern: str) -> str:
        """Read until `pattern` has come; returns what came, and forgets it."""
        while not (found := re.search(pattern, self.shown, re.DOTALL)):
            self.shown += os.read(self.leader, 65_536).decode(errors="replace")
        text, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return text

    def press(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def end(self) -> int:
        """Take what is still shown, until the process has ended; returns its exit code."""
        while True:
            try:
                chunk = os.read(self.leader, 65_536)
            except OSError:
                break
            if not chunk:
                break
            self.shown += chunk.decode(errors="replace")
        return self.child.wait(PATIENCE_S)


@contextmanager
def watching(
    *arguments: str, size: tuple[int, int] = (24, 100), own: bool = True, **environment: str
) -> Iterator[Watcher]:
    """With `own` the terminal is the process's, so that it has its keys; else it only draws."""
    leader, follower = pty.openpty()
    before = termios.tcgetattr(leader)
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    variables = {**os.environ, "TERM": "xterm-256color", **environment}
    for name in {"NO_COLOR", "LINES", "COLUMNS"} - set(environment):
        variables.pop(name, None)

    def prepare() -> None:
        # Whoever runs the tests in the background has some of them ignored, by inheritance.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
            signal.signal(number, signal.SIG_DFL)
        if own:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        else:
            # In a group of its own whose parent is in this session: one that can be stopped.
            os.setpgrp()

    child = subprocess.Popen(
        [sys.executable, "read.py", "--watch", *arguments],
        cwd=ROOT,
        env=variables,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=prepare,  # noqa: PLW1509 - no threads here
    )
    os.close(follower)
    try:
        yield Watcher(child, leader, before)
    finally:
        child.kill()
        child.wait(PATIENCE_S)
        os.close(leader)


def test_ctrl_z_gives_the_terminal_back_and_going_on_takes_it_again(store: Writer) -> None:
    with watching("--segment", store.spec.name, own=False) as watcher:
        watcher.until("m002usd_perp")
        os.kill(watcher.child.pid, signal.SIGTSTP)
        _, status = os.waitpid(watcher.child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        watcher.until(re.escape("\x1b[?7h\x1b[?25h\x1b[?1049l"))
        os.kill(watcher.child.pid, signal.SIGCONT)
        watcher.until(re.escape("\x1b[?1049h\x1b[?25l\x1b[?7l"))
        watcher.until("m002usd_perp")
        os.kill(watcher.child.pid, signal.SIGINT)
        assert watcher.end() == 0
        assert "\x1b[?1049l" in watcher.shown


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_however_it_ends_the_terminal_is_as_before(
    store: Writer, number: signal.Signals, code: int
) -> None:
    with watching("--segment", store.spec.name) as watcher:
        watcher.until("m002usd_perp")
        assert termios.tcgetattr(watcher.leader) != watcher.before
        os.kill(watcher.child.pid, number)
        # On the leader's side the modes are the terminal's; they outlive the child.
        watcher.until(re.escape("\x1b[?1049l"))
        assert watcher.end() == code
        assert termios.tcgetattr(watcher.leader) == watcher.before


def seen(segment: str, first: Callable[[], object], text: str) -> str:
    """What `watch` prints where there is no terminal; it does `first` after the first frame."""
    written = io.StringIO()
    frames = iter((first,))

    def stop() -> bool:
        if written.getvalue():
            next(frames, lambda: None)()
        return text in written.getvalue()

    standard, sys.stdout = sys.stdout, written
    try:
        watch(segment, stop=stop, every=0.01, seconds=PATIENCE_S)
    finally:
        sys.stdout = standard
    return written.getvalue()


def test_a_writer_that_hangs_is_said_and_its_markets_are_stale(store: Writer) -> None:
    with attach(store.spec.name) as found:
        assert "not responding" not in table(found)
        store.header["heartbeat_ns"] -= 3600 * 10**9
        lines = table(found).split("\n")
    assert f"writer {os.getpid()} is not responding: heartbeat 60 min ago" in lines[0]
    assert all("stale" in line for line in lines if line.startswith("m0"))


def test_a_store_that_is_gone_stays_on_show_and_is_said(segment_name: str) -> None:
    with create(spec(segment_name)) as writer:
        fill(writer)

    text = seen(segment_name, Path("/dev/shm", segment_name).unlink, "store is gone")
    assert "The store is gone; these were its last rows." in text
    assert "m002usd_perp" in text.rsplit("The store is gone", 1)[1]


def test_a_store_that_is_replaced_is_followed(segment_name: str) -> None:
    with create(spec(segment_name)) as writer:
        fill(writer)
        made = writer.header["created_ms"].copy()
    with create(spec(f"{segment_name}.new")) as other:
        fill(other, price=555.0)
        other.header["created_ms"] = made  # as of a quick machine: their headers are equal
        path = Path("/dev/shm", segment_name)
        new = path.with_name(f"{segment_name}.new")
        text = seen(segment_name, lambda: new.rename(path), "was replaced")
    assert "The store was replaced; attached to the new one." in text
    assert "555.02" in text.rsplit("The store was replaced", 1)[1]


def test_a_name_that_now_holds_something_else_is_said(store: Writer) -> None:
    path = Path("/dev/shm", store.spec.name)
    kept = path.with_name(f"{path.name}.kept")

    def spoil() -> None:
        path.rename(kept)
        path.write_bytes(b"something else" * 1000)

    text = seen(store.spec.name, spoil, "is not a store")
    kept.replace(path)
    assert re.search("is not a store: .*; these are the last rows from before", text)


def markets(frame: str) -> list[str]:
    return re.findall(r"m\d\d\dusd_perp", frame)


def frame_of(board: Board, writer: Writer, **options: Any) -> list[str]:
    """A frame without colour."""
    chosen: Choice = {"markets": (), "stats": (), "last": None, "closed": False, "sort": None}
    chosen["last"] = options.pop("last", None)
    with attach(writer.spec.name) as found:
        return board.lines(found, chosen, **{"width": 100, "height": 24, **options})


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        *(("RSI5", "m002"), ("-RSI5", "m000"), ("-volume", "m002"), ("-market", "m002")),
        *(("ATR14%", "m002"), ("UTC", "m000"), (None, "m000")),
    ],
)
def test_rows_come_in_the_order_of_a_column(store: Writer, sort: str | None, first: str) -> None:
    with attach(store.spec.name) as found:
        shown = rows(found, sort=sort, last=2)
    assert len(shown) == 6
    assert [row["market"][:4] for row in shown[:2]] == [first, first]
    assert shown[0]["time"] < shown[1]["time"]


def test_what_has_no_value_comes_last_either_way(store: Writer) -> None:
    store.put(1, MINUTE + 2, {"close": 101.0, "RSI5": float("nan"), "flags": 6})
    with attach(store.spec.name) as found:
        for sort in ("RSI5", "-RSI5"):
            assert rows(found, sort=sort)[-1]["market"] == "m001usd_perp"


def test_the_command_line_sorts_and_names_the_nearest_column(store: Writer) -> None:
    def read(sort: str) -> subprocess.CompletedProcess[str]:
        arguments = ("--segment", store.spec.name, "--format", "csv", "--sort", sort)
        return subprocess.run(
            [sys.executable, "read.py", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    assert markets(read("-close").stdout) == ["m002usd_perp", "m001usd_perp", "m000usd_perp"]
    wrong = read("-RSI6")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no column named 'RSI6'; nearest: RSI5" in wrong.stderr


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12), (20, 5)])
@pytest.mark.parametrize(("number", "last"), [(5, None), (5, 3), (60, None), (20, 3)])
def test_a_frame_fills_its_window_and_no_more(
    segment_name: str, size: tuple[int, int], number: int, last: int | None
) -> None:
    with create(spec(segment_name, number)) as writer:
        fill(writer)
        board, (width, height) = Board(None), size
        lines = frame_of(board, writer, width=width, height=height, last=last)
        assert len(lines) == height
        if width >= 40:
            assert max(map(len, lines)) <= width
        assert "market" in "".join(lines)
        # Every row can be reached, and none is lost between two pages.
        met = markets("\n".join(lines))
        for _ in range(number * (last or 1)):
            board.press("page down")
            lines = frame_of(board, writer, width=width, height=height, last=last)
            assert len(lines) == height
            met += markets("\n".join(lines))
        assert len(set(met)) == number
        assert met[-1] == f"m{number - 1:03d}usd_perp"


def test_the_bar_says_how_the_service_is(segment_name: str) -> None:
    with create(spec(segment_name)) as writer:
        fill(writer)
        lines = frame_of(Board(None), writer)
        assert f" writer {os.getpid()} · heartbeat 0." in lines[-2]
        assert "3 live" in lines[-2]
        assert "q quit" in lines[-1]
        assert "Ctrl-C ends" in frame_of(Board(None, keys=False), writer)[-1]
    assert "STOPPED, not live" in frame_of(Board(None), writer)[-2]


def test_a_change_is_coloured_fades_and_has_a_sign(store: Writer) -> None:
    changes = Changes()
    shown: dict[str, Any] = {"market": "m", "close": 1.0}
    changes.note([shown], ["close"], 10.0)
    assert changes.style("m", "close", 10.0) == ""
    for close, bright, faded in ((2.0, "rose", "rise"), (1.5, "fell", "fall")):
        changes.note([{**shown, "close": close}], ["close"], 20.0)
        changes.note([{**shown, "close": close}], ["close"], 20.5)
        assert changes.style("m", "close", 20.9) == bright
        assert changes.style("m", "close", 21.1) == faded
        assert changes.style("m", "close", 23.1) == ""
    board = Board(None)
    assert "↑" not in "".join(frame_of(board, store))
    store.put(1, MINUTE + 2, {"close": 900.0})
    row = next(line for line in frame_of(board, store) if line.startswith("m001"))
    assert "900.00↑" in row
    store.put(1, MINUTE + 2, {"close": 800.0})
    painted = next(line for line in frame_of(board, store, color=True) if "m001" in line)
    assert "\x1b[91m\x1b[1m" in painted
    assert "800.00↓" in painted


def test_a_sparkline_spans_from_the_least_to_the_most() -> None:
    assert sparkline(np.array([1.0, 2.0, 3.0, 4.0]), 4) == "▁▃▆█"
    assert sparkline(np.arange(60.0), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.array([np.nan, 5.0, 5.0]), 3) == " ▄▄"
    assert sparkline(np.array([np.nan, np.nan]), 2) == "  "


def test_the_last_hour_is_there_where_there_is_room(store: Writer) -> None:
    wide, narrow = (frame_of(Board(None), store, width=width) for width in (120, 60))
    assert "last hour" in "\n".join(wide)
    assert "last hour" not in "\n".join(narrow)
    assert "last hour" not in "\n".join(frame_of(Board(None, sparks=False), store, width=120))


def test_keys_choose_the_order(store: Writer) -> None:
    board = Board(None)
    frame_of(board, store)
    board.press("right")
    assert board.sort == "market"
    for key, order in (("left", "-age"), ("left", "status"), (">", "-age"), ("r", "age")):
        board.press(key)
        assert board.sort == order
        assert f"{order.removeprefix('-')}{'↓' if order[0] == '-' else '↑'}" in "\n".join(
            frame_of(board, store)
        )
    ends = board.press("o")
    assert (board.sort or "none", ends) == ("none", False)
    assert board.press("q")


def test_keys_work_on_a_terminal(segment_name: str) -> None:
    with create(spec(segment_name, 100)) as writer:
        fill(writer)
        with watching("--segment", segment_name, "--sort", "RSI5") as watcher:
            assert markets(watcher.until("of 100"))[0] == "m039usd_perp"
            watcher.press("r")
            watcher.until("RSI5↓.*m000usd_perp.*of 100")
            watcher.press("\x1b[6~")
            watcher.until(" 19–36 of 100")
            watcher.press("\x1b[D")
            watcher.until("ATR14%↓")
            watcher.press("q")
            assert watcher.end() == 0
            assert "\x1b[?1049l" in watcher.shown
            assert termios.tcgetattr(watcher.leader) == watcher.before


def test_without_colour_there_is_none(store: Writer) -> None:
    with watching("--segment", store.spec.name, NO_COLOR="1") as watcher:
        shown = watcher.until("Ctrl-C ends|q quit")
        assert "m000usd_perp" in shown
        assert not re.search(r"\x1b\[[0-9;]*m", shown)
        watcher.press("q")
        assert watcher.end() == 0


def test_a_terminal_without_a_size_is_taken_for_an_ordinary_one(store: Writer) -> None:
    with watching("--segment", store.spec.name, size=(0, 0)) as watcher:
        shown = watcher.until("q quit")
        assert {"m000usd_perp", "m001usd_perp", "m002usd_perp"} <= set(markets(shown))
        assert shown.count("\n") == 23
        watcher.press("q")
        assert watcher.end() == 0
