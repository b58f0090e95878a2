"""What stdout can show, and what is said to a person there or on stderr."""

from __future__ import annotations

import os
import shutil
import sys

import click

import ringbuf

from .selection import Choice

__all__ = ["colorful", "drawn", "on_terminal", "sentence", "window"]


def drawn(
    store: ringbuf.Store,
    chosen: Choice,
    *,
    note: str = "",
    counts: bool = False,
) -> str:
    """The table as stdout can show it: in colour and its width on a terminal, whole elsewhere."""
    from .drawing import table

    width = window()[0] if sys.stdout.isatty() else None
    return table(store, **chosen, width=width, color=colorful(), note=note, counts=counts)


def window() -> tuple[int, int]:
    """Columns and lines of the terminal: 80 and 24 where it does not know them.

    Some, as `docker exec` makes them, have none; Python 3.10 would take that for a size.
    """
    size = shutil.get_terminal_size()
    return size.columns or 80, size.lines or 24


def on_terminal() -> bool:
    """Can stdout be drawn on?"""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def colorful() -> bool:
    """Is stdout to have colours?"""
    return on_terminal() and not os.environ.get("NO_COLOR")


def sentence(error: Exception) -> str:
    """What went wrong, in one line for a person."""
    if isinstance(error, PermissionError):
        return (
            f"not allowed to read {error.filename}: be the user that runs its service, or have it "
            f"set MONITOR_SEGMENT_MODE=0644"
        )
    return error.format_message() if isinstance(error, click.ClickException) else str(error)
