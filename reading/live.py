"""The table on a terminal, redrawn as the store changes; elsewhere printed now and then."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence

import click

import ringbuf

from .board import Board
from .output import colorful, drawn, on_terminal, sentence, window
from .selection import Choice, Row, attach, rows, serialized
from .terminal import Screen

__all__ = ["watch"]

# At most so many frames a second; one a second where nothing happens, because ages grow.
_FRAME_S, _IDLE_S, _SLICE_S = 0.25, 1.0, 0.05


def watch(
    segment: str | None = None,
    *,
    markets: Sequence[str] = (),
    stats: Sequence[str] = (),
    last: int | None = None,
    closed: bool = False,
    sort: str | None = None,
    form: str = "table",
    seconds: float | None = None,
    stop: Callable[[], bool] | None = None,
    every: float = 5.0,
) -> None:
    """Show the store on stdout as it changes, until `seconds` are over or `stop()` is true.

    On a terminal the table is redrawn in place, at most four times a second, and the last one
    stays when it ends; elsewhere it is printed anew `every` so many seconds. JSON is one array a
    line, CSV goes on without another header. A store that is replaced is followed, one that is
    gone stays on show and is said to be.

    `segment` None means the default, or the demo. KeyboardInterrupt is the caller's to catch; the
    terminal is in order by then. Raises what `ringbuf.attach` does, at the start only, and
    UnknownName.
    """
    chosen: Choice = {
        "markets": markets,
        "stats": stats,
        "last": last,
        "closed": closed,
        "sort": sort,
    }
    screen = form == "table" and on_terminal()
    least = every if form == "table" and not screen else _FRAME_S
    end = math.inf if seconds is None else time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() >= end or (stop is not None and stop())

    store, note, noted, text = attach(segment), "", 0.0, ""
    told: list[Row] = []
    board, shown = Board(sort, sparks=_shows("▁")), False

    def frame(final: bool = False) -> list[str]:
        width, height = window()
        return board.lines(
            store,
            chosen,
            width=width,
            height=height,
            color=colorful(),
            note=note,
            final=final,
        )

    try:
        with Screen(screen) as terminal:
            while True:
                store, news = _follow(store)
                now = time.monotonic()
                if news or now > noted:
                    note, noted = news, now + 2 * every
                if form != "table":
                    found = rows(store, **chosen)
                    known = [{key: row[key] for key in row if key != "age_s"} for row in found]
                    if known != told:
                        told = known
                        text = serialized(found, form, stream=True, first=not text)
                        click.echo(text, nl=False)
                elif screen:
                    board.keys = terminal.reads_keys
                    click.echo(_frame(frame()), nl=False, color=True)
                    shown = True
                else:
                    gap = "\n" if text else ""
                    text = drawn(store, chosen, note=note, counts=True)
                    click.echo(gap + text)
                if over() or _pause(store, terminal, board, now + least, over):
                    break
    finally:
        if shown:
            click.echo("\n".join(frame(final=True)), color=True)
        store.close()


def _follow(store: ringbuf.Store) -> tuple[ringbuf.Store, str]:
    """The store that the name leads to now, and what there is to say about it."""
    try:
        fresh = ringbuf.attach(store.name)
    except ringbuf.StoreNotFound:
        # A name alone that is gone comes back: its writer sees to it.
        return store, "" if store.alive else "The store is gone; these were its last rows."
    except (ringbuf.StoreRefused, PermissionError) as error:
        return store, f"{sentence(error)}; these are the last rows from before"
    replaced = fresh.inode != store.inode  # two can be made in one millisecond
    if not replaced and fresh.header == store.header:
        fresh.close()
        return store, ""
    store.close()
    return fresh, "The store was replaced; attached to the new one." if replaced else ""


def _pause(
    store: ringbuf.Store,
    terminal: Screen,
    board: Board,
    earliest: float,
    over: Callable[[], bool],
) -> bool:
    """Sleep until `earliest`, then until something is published, or a key is pressed, at most a
    second or until `earliest`; is the view to end?
    """
    latest = max(earliest, time.monotonic() + _IDLE_S)
    while (now := time.monotonic()) < latest and not over() and not terminal.settle():
        keys = terminal.keys(min(_SLICE_S, earliest - now) if now < earliest else 0.0)
        if keys:
            ends = [board.press(key) for key in keys]
            return any(ends)
        if now >= earliest and store.wait(min(_SLICE_S, latest - now)):
            return False
    return False


def _frame(lines: Iterable[str]) -> str:
    """The lines from the top left corner over what is there, shown by the terminal in one go."""
    body = "\n".join(f"\x1b[2K{line}" for line in lines)
    return f"\x1b[?2026h\x1b[H{body}\x1b[J\x1b[?2026l"


def _shows(text: str) -> bool:
    """Has stdout's encoding these characters?"""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
