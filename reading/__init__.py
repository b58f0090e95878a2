"""What a store holds, shown: as rows for machines, as a table for people, once or live.

The way of a row: `rows` copies it out of the store, `table` draws it with `text`'s help, `live`
does so again and again. `read.py` is the command line over all of it. Start-up is what one call
costs, so tables are drawn here: importing rich and drawing one with it took half as long again as
all the rest together.
"""

from .live import watch
from .rows import DEMO_SEGMENT, SEGMENT, attach, rows, serialized
from .table import table

__all__ = ["DEMO_SEGMENT", "SEGMENT", "attach", "rows", "serialized", "table", "watch"]
