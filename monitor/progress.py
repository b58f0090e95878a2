"""How far the first fill has come: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

__all__ = ["FillProgress"]

log = logging.getLogger(__name__)

EVERY_S = 5.0


class FillProgress:
    """Progress of `total` markets' first histories. Ends by itself when all are there."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._said_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._handlers: list[logging.StreamHandler[Any]] = []
        # Who wants no lines wants no bar either: the demo's service has a table above it.
        if log.isEnabledFor(logging.INFO) and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("history"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("markets"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("history", total=total)
            self._handlers = [
                handler
                for handler in logging.getLogger().handlers
                if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
            ]
            self._bar.start()
            self._redirect()

    def update(self, done: int) -> None:
        """`done` markets have their history."""
        if done == self._done:
            return
        self._done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        if done == self._total:
            self.close()
            log.info("history of all %d markets is there", done)
        elif self._bar is None and time.monotonic() - self._said_s >= EVERY_S:
            self._said_s = time.monotonic()
            log.info("history: %d of %d markets", done, self._total)

    def close(self) -> None:
        """Take the bar off the terminal. Idempotent."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._redirect()

    def _redirect(self) -> None:
        """Log lines to what is now standard error: above the bar while there is one."""
        for handler in self._handlers:
            handler.setStream(sys.stderr)
