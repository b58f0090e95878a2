"""Logging: text or JSON lines on one stream, UTC, and a lid on lines that come by the thousand."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

__all__ = ["JsonFormatter", "RateLimited", "TextFormatter", "setup"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET = ("aiohttp", "asyncio", "numba")


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    # It takes no parameters at run time before 3.11.
    _StreamHandler = logging.StreamHandler


class _Handler(_StreamHandler):
    """Ours, to be recognised by the next `setup`."""


def _utc(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class TextFormatter(logging.Formatter):
    """``2026-11-22T17:20:00.123Z INFO  monitor.feed: message key=value``, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; `extra` fields follow the message."""
        line = f"{_utc(record)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        text = (line + fields).replace("\n", "\n    ")
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then `extra` fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; values that JSON does not know become their `str`."""
        document: dict[str, Any] = {
            "time": _utc(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        document.update(
            (name, value) for name, value in _fields(record).items() if name not in document
        )
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)


def setup(level: str = "INFO", form: str = "text", stream: TextIO | None = None) -> logging.Handler:
    """Send all logging to `stream` (default: standard error) and return the handler.

    `level` is for this project; the libraries below it are held at warnings. Calling it again
    replaces what an earlier call had set up.
    """
    if form not in {"text", "json"}:
        raise ValueError(f"found log format {form!r}, expected 'text' or 'json'")
    handler = _Handler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        library = logging.getLogger(name)
        library.setLevel(max(logging.WARNING, root.level))
    return handler


class _Key:
    __slots__ = ("again_at", "suppressed")

    def __init__(self, again_at: float) -> None:
        self.again_at = again_at
        self.suppressed = 0


class RateLimited:
    """Logs the first line of each key at once, then one every `every_s` seconds with a count.

    Keys are any hashable values, such as ``(reason, market)``. At most `max_keys` are remembered;
    beyond that the one longest unused is forgotten. `flush` says what was held back last.
    """

    def __init__(
        self,
        logger: logging.Logger,
        every_s: float = 10.0,
        *,
        max_keys: int = 4_096,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._every_s = every_s
        self._max_keys = max_keys
        self._monotonic = monotonic
        self._keys: OrderedDict[object, _Key] = OrderedDict()

    def log(self, key: object, level: int, message: str, *args: object, **extra: object) -> bool:
        """Log ``message % args`` unless this key's last line is too recent; True if it was."""
        if not self._logger.isEnabledFor(level):
            return False
        now = self._monotonic()
        state = self._keys.get(key)
        if state is not None and now < state.again_at:
            state.suppressed += 1
            self._keys.move_to_end(key)
            return False
        suppressed = state.suppressed if state is not None else 0
        self._keys[key] = _Key(now + self._every_s)
        self._keys.move_to_end(key)
        if len(self._keys) > self._max_keys:
            self._keys.popitem(last=False)
        if suppressed:
            if not args:
                # logging formats only where there are arguments, and now there will be one.
                message = message.replace("%", "%%")
            message += " (and %d more like it since the last such line)"
            args = (*args, suppressed)
        self._logger.log(level, message, *args, extra=extra or None)
        return True

    def flush(self) -> None:
        """Say for each key how many lines were held back since its last; then forget all."""
        for key, state in self._keys.items():
            if state.suppressed:
                self._logger.info("%s: %d more like the last such line", key, state.suppressed)
        self._keys.clear()
