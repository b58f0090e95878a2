"""An archive, read: single files, and the rows that can be put in front of the exchange's.

Everybody may read at any time: files appear and change by a rename alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import layout
from .layout import BARS_A_DAY
from .minutes import Minutes, unbroken
from .parquet import Damaged, Label, decode

__all__ = ["newest_run", "read_file"]


def read_file(folder: Path, label: Label) -> Minutes | None:
    """The rows of one day of one market; None where there is no file.

    Raises Damaged, ArchiveRefused, OSError.
    """
    path = layout.file_of(folder, label.source, label.day, label.market)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return decode(label, data)


def newest_run(
    folder: Path,
    source: str,
    market: str,
    coin: str,
    *,
    first: int,
    last: int,
    damaged: Callable[[Path, str], None],
) -> Minutes:
    """The newest archived rows among the bars first..last that follow each other without a hole.

    A file that is not what it should be is a hole, and `damaged` is told of it. Raises
    ArchiveRefused, OSError.
    """
    parts: list[Minutes] = []
    for day in range(last // BARS_A_DAY, first // BARS_A_DAY - 1, -1):
        label = Label(source, day, market, coin)
        try:
            rows = read_file(folder, label) or Minutes.none()
        except Damaged as error:
            damaged(layout.file_of(folder, source, day, market), error.reason)
            rows = Minutes.none()
        rows = rows[(rows.bars >= first) & (rows.bars <= last)]
        whole = unbroken(rows)
        if parts and not _follows(whole, parts[-1]):
            break
        if len(whole):
            parts.append(whole)
            if whole.bars[0] > day * BARS_A_DAY:
                break
    return Minutes.joined(*reversed(parts)) if parts else Minutes.none()


def _follows(before: Minutes, after: Minutes) -> bool:
    """Is `after` what comes next, without a hole?"""
    if not len(before) or before.bars[-1] + 1 != after.bars[0]:
        return False
    return not after.carried[0] or bool(before.prices[-1, 3] == after.prices[0, 3])
