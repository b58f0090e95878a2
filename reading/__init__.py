"""What a store holds, shown: as rows for machines, as a table for people, once or live.

The way of a row: `selection` copies it out of the store, `drawing` makes a table of it with the
help of `text`, `live` does so again and again. `read.py` is the command line over all of it.
Start-up is what one call costs, so tables are drawn here: importing rich and drawing one with it
took half as long again as all the rest together.
"""

from .drawing import table
from .live import watch
from .selection import DEMO_SEGMENT, SEGMENT, attach, rows, serialized

__all__ = ["DEMO_SEGMENT", "SEGMENT", "attach", "rows", "serialized", "table", "watch"]
