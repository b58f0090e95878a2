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

import pytest

from reading import attach, table, watch
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

    def __init__(self, child: subprocess.Popen[bytes], leader: int) -> None:
        self.child = child
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
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    variables = {**os.environ, "TERM": "xterm-256color", **environment}
    for name in {"NO_COLOR", "LINES", "COLUMNS"} - set(environment):
        variables.pop(name, None)

    def prepare() -> None:
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
        yield Watcher(child, leader)
    finally:
        child.kill()
        child.wait(PATIENCE_S)
        os.close(leader)


def modes(terminal: int) -> list[Any]:
    return termios.tcgetattr(terminal)


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
        before = modes(watcher.leader)
        watcher.until("m002usd_perp")
        assert modes(watcher.leader) != before
        os.kill(watcher.child.pid, number)
        # On the leader's side the modes are the terminal's; they outlive the child.
        watcher.until(re.escape("\x1b[?1049l"))
        assert watcher.end() == code
        assert modes(watcher.leader) == before


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
    with create(spec(f"{segment_name}.new")) as other:
        fill(other, price=555.0)
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
