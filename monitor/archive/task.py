"""The archive beside the service: it fills the store at the start, and takes what is confirmed.

The event loop's thread only copies rows, a day of one market at a time; files are read and written
in another thread. Whatever goes wrong on disk is said, counted, and tried again: rows wait in the
store for as long as it keeps them.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from indicators import Plan
from monitor.book import INTERVAL_MS, Book
from monitor.clock import Clock
from monitor.errors import ArchiveRefused, Problem, SettingsError
from monitor.logs import RateLimited
from ringbuf.layout import WORD
from ringbuf.writer import Writer

from .filling import confirmed, held, place, usable
from .layout import BARS_A_DAY
from .minutes import Minutes
from .reading import newest_run
from .writing import FULL, Archive

__all__ = ["PERIOD_S", "Archiving"]

log = logging.getLogger(__name__)

PERIOD_S: Final = 300.0
"""Between two looks at what is new. Each writes the day's file of every market that has some, so
looking more often costs the disk more; what is not written yet is in the store, and at REST."""
LAST_S: Final = 5.0
"""How long the last look may take, when the service stops."""
_NOTE_S: Final = 600.0

_ORIGIN, _CONFIRMED, _REVISION = WORD["origin"], WORD["confirmed"], WORD["revision"]

_T = TypeVar("_T")


class Archiving:
    """The archive in `folder` for the store of one source; held by the service, in its thread.

    Raises SettingsError where the folder cannot be used, ArchiveRefused where it must not be. A
    full disk is no reason not to start.
    """

    def __init__(self, folder: Path, source: Mapping[str, Any]) -> None:
        self._archive = Archive(folder, source, self._damaged)
        self._notes = RateLimited(log, _NOTE_S)
        self._limiter = anyio.CapacityLimiter(1)
        self._archived = self._errors = 0
        self._broken: set[Path] = set()
        # Of each market: the revision, and the last confirmed bar, up to which all is archived.
        self._done: dict[int, tuple[int, int]] = {}
        # Of each market and day: what the rows were that were archived last.
        self._seen: dict[tuple[int, int], int] = {}
        try:
            self._archive.open()
        except OSError as error:
            if error.errno not in FULL:
                found = f"{str(folder)!r} ({error.strerror})"
                expected = "a folder that can be written to"
                raise SettingsError([Problem("MONITOR_ARCHIVE", found, expected)]) from None
            self._failed(error)

    def close(self) -> None:
        """Let another process write. Idempotent."""
        self._archive.close()

    def count(self, counters: dict[str, int]) -> None:
        """Bring the counters up to date."""
        counters["archived"] = self._archived
        counters["archive_errors"] = self._errors
        counters["archive_damaged"] = len(self._broken)

    async def _aside(self, do: Callable[[], _T]) -> _T:
        """Do it in the archive's thread. A caller that is cancelled waits for its end."""
        return await anyio.to_thread.run_sync(do, limiter=self._limiter)

    def _failed(self, error: OSError | ArchiveRefused) -> None:
        self._errors += 1
        # No key for each market: a full disk is one piece of news.
        key = error.errno if isinstance(error, OSError) else str(error)
        self._notes.log(
            key, logging.WARNING, "archive: %s; rows wait in the store meanwhile", error
        )

    def _damaged(self, path: Path, reason: str) -> None:
        self._broken.add(path)
        self._notes.log("damaged", logging.WARNING, "archive: %s is not used: %s", path, reason)

    # -- at the start --------------------------------------------------------------------------

    async def fill(self, writer: Writer, stats: Plan, clock: Clock) -> None:
        """Put archived rows in front of what the store has, where they reach further than REST.

        Raises ArchiveRefused for files of another version.
        """
        depth = writer.spec.history + stats.runup
        began, filled, rows = time.monotonic(), 0, 0
        for market, series in enumerate(writer.spec.series):
            there = held(writer, market)
            now_bar = int(clock.now_ms() // INTERVAL_MS)
            last = now_bar - 1
            if there is None:
                continue
            if there.newest >= 0:
                last = there.first - 1
            read = partial(
                newest_run,
                self._archive.folder,
                self._archive.source,
                series.name,
                series.alias,
                first=now_bar - depth,
                last=last,
                damaged=self._damaged,
            )
            try:
                run = await self._aside(read)
            except OSError as error:
                self._failed(error)
                continue
            writer.heartbeat()
            if usable(run, there, now_bar, depth):
                place(writer, stats, market, run, clock.now_ms())
                filled, rows = filled + 1, rows + len(run)
        if filled:
            took = time.monotonic() - began
            log.info("%d rows of %d markets from the archive, in %.1f s", rows, filled, took)

    # -- while it runs -------------------------------------------------------------------------

    async def run(self, book: Book, rate: float) -> None:
        """Archive what is confirmed, again and again, and once more when cancelled."""
        try:
            while True:
                await anyio.sleep(PERIOD_S / rate)
                await self.look(book)
        finally:
            with anyio.CancelScope(shield=True):
                await self.look(book, time.monotonic() + LAST_S)

    async def look(self, book: Book, until: float = math.inf) -> None:
        """Archive what is confirmed and not archived yet; nothing is begun after `until`."""
        try:
            await self._aside(self._archive.open)
        except (ArchiveRefused, OSError) as error:
            self._failed(error)
            return
        for market in range(len(book.coins)):
            if not await self._try(book.writer, market, until):
                return  # the next look begins with the first market that is not done

    async def _try(self, writer: Writer, market: int, until: float) -> bool:
        """Archive what one market has; False where there is no room for any other either."""
        try:
            await self._market(writer, market, until)
        except (ArchiveRefused, OSError) as error:
            self._failed(error)
            return not (isinstance(error, OSError) and error.errno in FULL)
        return True

    async def _market(self, writer: Writer, market: int, until: float) -> None:
        series, control = writer.spec.series[market], writer.controls[market]
        mark = int(control[_REVISION]), int(control[_CONFIRMED])
        done = self._done.get(market)
        if mark == done:
            return
        oldest = max(int(control[_ORIGIN]), writer.grid + 2 - writer.geometry.capacity)
        first = oldest
        if done is not None and done[0] == mark[0]:
            first = max(first, done[1] + 1)
        for day in range(first // BARS_A_DAY, mark[1] // BARS_A_DAY + 1):
            begin, end = day * BARS_A_DAY, (day + 1) * BARS_A_DAY - 1
            oldest = max(oldest, writer.grid + 2 - writer.geometry.capacity)
            begin, end = max(begin, oldest), min(end, mark[1])
            if end < begin:
                continue
            rows = confirmed(writer, market, begin, end)
            digest = _digest(rows)
            if self._seen.get((market, day)) == digest or not len(rows):
                await anyio.lowlevel.checkpoint()
                continue
            if time.monotonic() > until:
                return
            write = partial(self._archive.write, series.name, series.alias, day, rows)
            self._archived += await self._aside(write)
            self._seen[market, day] = digest
        self._done[market] = mark


def _digest(rows: Minutes) -> int:
    """A number that differs, as good as certainly, where a row does."""
    digest = 0
    for array in (rows.bars, rows.prices, rows.trades, rows.carried):
        digest = zlib.crc32(array.tobytes(), digest)
    return digest << 32 | zlib.adler32(rows.prices.tobytes())
