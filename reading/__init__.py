"""What a store holds, shown: as rows for machines, as a table for people, once or live.

The way of a row: `selection` copies it out of the store, `drawing` makes a table of it with the
help of `text`, `live` does so again and again with the frames of `board`, `plotting` draws charts:
`candles` on a terminal, `picture` into a file. `read.py` is the command line over all of it.
Start-up is what one call costs, so tables are drawn here: importing rich and drawing one with it
took half as long again as all the rest together. For the same reason what JSON does not need is
imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .selection import DEMO_SEGMENT, SEGMENT, attach, rows, serialized

if TYPE_CHECKING:
    from .drawing import table
    from .live import watch

__all__ = ["DEMO_SEGMENT", "SEGMENT", "attach", "rows", "serialized", "table", "watch"]


def __getattr__(name: str) -> Any:
    if name == "table":
        from .drawing import table

        return table
    if name == "watch":
        from .live import watch

        return watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
