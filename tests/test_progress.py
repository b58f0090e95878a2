"""The first fill's progress: lines where nobody watches, a bar on a terminal."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from monitor import logs
from monitor.progress import EVERY_S, FillProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def standard_error(stream: io.StringIO) -> Iterator[io.StringIO]:
    """Standard error, and logging to it; in a test's body, as pytest sets its own before that."""
    root = logging.getLogger()
    level = root.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        handler = logs.setup()
        try:
            yield stream
        finally:
            root.removeHandler(handler)
            root.setLevel(level)


def test_elsewhere_it_says_how_far_it_is_now_and_then_and_when_all_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with standard_error(io.StringIO()) as stream:
        seconds = 100.0
        monkeypatch.setattr("monitor.progress.time.monotonic", lambda: seconds)
        fill = FillProgress(300)
        for done in range(300):
            seconds += EVERY_S / 100 - 0.001
            fill.update(done)
        assert stream.getvalue().count("history: ") == 2
        fill.update(300)
        fill.update(300)
        lines = stream.getvalue().splitlines()
        assert len(lines) == 3
        assert lines[-1].endswith("history of all 300 markets is there")


def test_a_bar_goes_away_when_all_is_there_and_gives_the_cursor_back() -> None:
    with standard_error(Terminal()) as terminal:
        fill = FillProgress(2)
        fill.update(1)
        fill.update(2)
        text = terminal.getvalue()
        assert "history" in text
        assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
        assert sys.stderr is terminal


def test_a_bar_that_is_closed_half_way_gives_the_cursor_back() -> None:
    with standard_error(Terminal()) as terminal:
        fill = FillProgress(2)
        fill.update(1)
        fill.close()
        fill.close()
        assert "\x1b[?25h" in terminal.getvalue()
        assert sys.stderr is terminal
        logging.getLogger("monitor").warning("afterwards")
        assert terminal.getvalue().endswith("afterwards\n")


def test_log_lines_stand_above_the_bar() -> None:
    with standard_error(Terminal()) as terminal:
        fill = FillProgress(2)
        terminal.truncate(0)
        logging.getLogger("monitor").warning("in between")
        text = terminal.getvalue()
        fill.close()
        line = next(line for line in text.split("\n") if "in between" in line)
        # The bar's line was wiped, or this one would begin behind it.
        assert "\x1b[2K" in line
        assert "markets" not in line


def test_who_wants_no_lines_gets_no_bar() -> None:
    with standard_error(Terminal()) as terminal:
        logging.getLogger().setLevel(logging.ERROR)
        fill = FillProgress(2)
        fill.update(2)
        assert terminal.getvalue() == ""
