"""An archive, written: one folder and source, one process, one call at a time from any thread.

A file is built aside, made durable, and renamed into place: whoever reads finds the old one or the
new one, and after a death at any moment there is a data set without half a file in it. What the
death left behind lies outside of the data set and goes at the next start.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.errors import ArchiveRefused

from . import layout
from .minutes import Minutes, merge
from .parquet import Damaged, Label, encode
from .reading import read_file

__all__ = ["FULL", "Archive"]

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that say that there is no room: they pass when somebody makes some."""
_LOCK = "lock"
_BEING_WRITTEN = "part.tmp"


class Archive:
    """The rows of one source in `folder`; `damaged` is told of files that had to be set aside.

    Use `open` first. All methods block; none is thread-safe.
    """

    def __init__(
        self, folder: Path, source: Mapping[str, Any], damaged: Callable[[Path, str], None]
    ) -> None:
        self.folder = folder
        self.source = layout.source_key(source)
        self._damaged = damaged
        self._work = layout.work_of(folder, self.source)
        self._lock = -1

    @property
    def is_open(self) -> bool:
        """Is it ours to write?"""
        return self._lock >= 0

    def open(self) -> None:
        """Become the one writer, and clear away what a death left behind. Idempotent.

        Raises ArchiveRefused where another process writes it, or another version has; OSError.
        """
        if self.is_open:
            return
        _make(self._work)
        there = [path.name for path in self.folder.iterdir()]
        if foreign := layout.foreign_versions(there):
            raise ArchiveRefused(
                f"{' and '.join(foreign)} in {self.folder}", f"v{layout.VERSION} or nothing"
            )
        lock = os.open(self._work / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ArchiveRefused(
                f"{self.folder} written by another service", "one writer for each source"
            ) from None
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        for path in self._work.iterdir():
            if path.name != _LOCK:
                path.unlink()

    def close(self) -> None:
        """Let others write. Idempotent."""
        if self.is_open:
            os.close(self._lock)
            self._lock = -1

    def write(self, market: str, coin: str, day: int, rows: Minutes) -> int:
        """See to it that the archive has these rows of `day`; how many it did not have like this.

        Of two rows of one minute these win; rows that are there and not among these stay. Nothing
        is written where there is nothing new. A damaged file is set aside first.

        Raises ArchiveRefused, OSError; the archive is as it was then.
        """
        label = Label(self.source, day, market, coin)
        path = layout.file_of(self.folder, self.source, day, market)
        try:
            old = read_file(self.folder, label) or Minutes.none()
        except Damaged as error:
            self._set_aside(path, label)
            self._damaged(path, f"{error.reason}; it is in {layout.SET_ASIDE} now")
            old = Minutes.none()
        both = merge(old, rows)
        if both.equals(old):
            return 0
        same = np.isin(both.bars, old.bars)
        if same.any():
            was, now = old[np.isin(old.bars, both.bars)], both[same]
            differs = (was.prices != now.prices).any(axis=1) | (was.trades != now.trades)
            changed = int((differs | (was.carried != now.carried)).sum())
        else:
            changed = 0
        self._replace(path, encode(label, both))
        return changed + int((~same).sum())

    def _replace(self, path: Path, data: bytes) -> None:
        """Put a file in place, durably, or leave everything as it was."""
        aside = self._work / _BEING_WRITTEN
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _make(path.parent)
            # SYNC: the bytes are durable before they have the name, the name before we say so.
            aside.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        _sync(path.parent)

    def _set_aside(self, path: Path, label: Label) -> None:
        folder = layout.set_aside_of(self.folder, self.source)
        _make(folder)
        name = f"{layout.day_name(label.day)}.{label.market}"
        number = sum(one.name.startswith(name) for one in folder.iterdir())
        path.rename(folder / f"{name}.{number}.parquet")


def _make(folder: Path) -> None:
    """Make a folder and those above it, each durable in the one that it is in."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _make(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        _sync(folder.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
