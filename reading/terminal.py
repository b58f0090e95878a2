"""The terminal while a live view has it: its other screen, its keys, and as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import click

__all__ = ["Screen"]

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_SEQUENCES = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "5~": "page up",
    "6~": "page down",
    "7~": "home",
    "8~": "end",
}
_KEY = re.compile(r"\x1b[\[O]([0-9;]*[A-Za-z~])|([^\x1b])|\x1b(?![\[O]|$)")


class Screen:
    """The other screen without cursor and line wrap, keys without Enter; a context manager.

    Both end with the context, whichever way it ends, and for as long as Ctrl-Z stops the process.
    Keys are only read by the foreground of a terminal. One for a process, in its main thread; in
    another thread Ctrl-Z is not looked after.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.wanted = wanted
        self._asked: int | None = None
        self._handlers: dict[int, Any] = {}
        self._modes: list[Any] | None = None
        self._begun = ""

    def __enter__(self) -> Screen:
        if self.wanted:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGTSTP, signal.SIGCONT):
                    # Nohup and shells without job control have it ignored: so be it.
                    if signal.getsignal(number) is not signal.SIG_IGN:
                        self._handlers[number] = signal.signal(number, self._note)
            self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.wanted:
            # Whoever is impatient now would leave the terminal as no shell can use it.
            with _undisturbed():
                self._leave()
                for number, handler in self._handlers.items():
                    signal.signal(number, handler)

    @property
    def reads_keys(self) -> bool:
        """Does a key that is pressed come here?"""
        return self._modes is not None

    def settle(self) -> bool:
        """Stop if Ctrl-Z was pressed, until the shell goes on; is everything to be drawn anew?

        To be called often. A handler alone could not do it: it may come in the middle of a frame.
        """
        number, self._asked = self._asked, None
        if number == signal.SIGTSTP:
            with _undisturbed():
                self._leave()
            mine = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, mine)
            self._asked = None
        if number is not None:
            self._enter()
        return number is not None

    def keys(self, seconds: float) -> list[str]:
        """The keys that were pressed, waiting for the first at most so long; names or characters.

        Names are up, down, left, right, home, end, page up, page down.
        """
        if not self.reads_keys:
            time.sleep(max(0.0, seconds))
            return []
        try:
            if not select.select([sys.stdin], [], [], max(0.0, seconds))[0]:
                return []
            read = os.read(sys.stdin.fileno(), 1024)
        except OSError:
            read = b""
        if not read:  # the terminal is gone
            self._modes = None
            return []
        text = self._begun + read.decode(errors="ignore")
        found, end = [], 0
        for match in _KEY.finditer(text):
            sequence, character = match.groups()
            end = match.end()
            if character or sequence in _SEQUENCES:
                found.append(character or _SEQUENCES[sequence])
        # A sequence may come in two parts.
        self._begun = text[end:][:16]
        return found

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # Going on after a stop must not make the stop be forgotten.
        if self._asked != signal.SIGTSTP:
            self._asked = number

    def _enter(self) -> None:
        with contextlib.suppress(OSError, ValueError, termios.error):
            fd = sys.stdin.fileno()
            if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
                modes = termios.tcgetattr(fd)
                # A process that was stopped with SIGSTOP still has its own modes.
                self._modes = self._modes or modes
                tty.setcbreak(fd, termios.TCSANOW)
        click.echo(_ENTER, nl=False, color=True)

    def _leave(self) -> None:
        with contextlib.suppress(OSError):
            click.echo(_LEAVE, nl=False, color=True)
        if self._modes is not None:
            with contextlib.suppress(OSError, ValueError, termios.error):
                # What was typed ahead for the shell is the shell's.
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._modes)
            self._modes = None


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Without Ctrl-C and the like, in the main thread; what came meanwhile comes afterwards."""
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
