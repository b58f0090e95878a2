"""The byte layout of a store: the specification, and nothing but the specification.

A store is one shared-memory segment, little-endian, every number aligned to its size. A reader in
any language can be written from this text; Python code takes the offsets from the constants below,
which are derived in order and typed nowhere else.

The segment::

    0      header      HEADER_DTYPE, one page: what the segment is, then what changes while it lives
    4096   document    JSON (UTF-8), the same facts for people, and whatever numbers cannot say
           columns     COLUMN_DTYPE[columns]: name, unit and definition of each column
           series      SERIES_DTYPE[series]: canonical name and source's name of each series
           control     CONTROL_DTYPE[series], 256 bytes (four cache lines) each
           data        one record a series, `record_stride` bytes apart

Every section starts at the offset that the header names for it. A reader takes all sizes from the
header, never from the file's size, and refuses another `major`.

**Time grid.** Time is cut into intervals of `interval_ms`. The *bar* of a moment is
``time_ms // interval_ms``. The row of bar ``b`` is at ``slot = b % capacity`` **and** at
``slot + capacity``: every row is stored twice, so that the last ``k <= capacity`` rows up to ``b``
are one contiguous, ordered run, ``slot + capacity - k + 1 .. slot + capacity``, whatever ``b`` is.

**Data.** A record holds the columns one after the other, each ``2 * capacity`` values of 8 bytes
(`column_stride` bytes apart). Column 0 is ``time`` (int64, milliseconds since 1970-01-01 UTC, the
start of the bar). The kind of a column is ``f`` (IEEE double), ``i`` (int64) or ``M`` (int64
milliseconds). An empty row has ``time`` = INT64_MIN (numpy's NaT), NaN in doubles, 0 in integers.
Columns whose name starts with ``_`` are the writer's own.

**Control.** What a reader may look at in a series is fixed by its control record: the readable
rows are those of the bars ``max(start, newest - history + 1) .. newest``; the closed ones among
them end at ``closed``; ``newest`` = -1 means none.
`start` is the first bar of the run that has no hole up to `newest`, `origin` the first one that the
row's values depend on. `status` is a position in the document's ``statuses``. `revision` grows when
a closed row changes. `confirmed` is the newest bar that the source has vouched for, -1 for none.
`heard_ns` (CLOCK_MONOTONIC) and `updated_ms` tell when the source last spoke and a row last
changed; 0 is never. The remaining words are counters.

**Sequence lock.** ``sequence`` is even while the record is at rest. The writer stores
``dirty_from`` (the oldest bar that it is going to touch; release), then the odd ``sequence``
(release), a release fence, the rows and control words, then the next even ``sequence`` (release).
A reader loads ``sequence`` (acquire; odd: try again), copies, then (acquire fence) loads
``sequence`` again: unchanged means that the copy is one consistent state. While ``sequence`` stays
odd (the writer died in mid-write), rows before ``dirty_from`` are intact. A writer that never rests
is met the same way: `rewinds` counts the writes whose ``dirty_from`` was older than the one before
(stored after it, with release), and the times that only `start` was moved on, to rows that stay
(`sequence` then grows by 2 without having been odd, before the rows in front of it are cleared).
Load `rewinds`, then ``dirty_from``, copy the rows before it, load `rewinds` again: unchanged means
that none of them was touched meanwhile.

**Grid.** ``grid`` in the header is the newest bar that any series has published. The slot of bar
``grid + 1`` is empty in every series. A series whose ``newest`` is behind ``grid`` has empty rows
after it, never old ones.

**Life.** ``ready`` is written last when a segment is made: without it the rest means nothing.
``state`` is one of STARTING, RUNNING, STOPPED. The writer holds a write lock on the segment's file
(open-file-description lock, whole file) as long as it lives, whatever ``state`` says: RUNNING
without the lock means that it died. ``heartbeat_ns`` (CLOCK_MONOTONIC) is renewed about twice a
second. ``published`` (uint32) grows with each publication and is a futex: sleep on it to be woken.
``retired`` is not 0 when a newer segment has taken this one's name: nothing is published here any
more. A restarted writer goes on in the same segment where it can: ``writer_pid`` and ``started_ms``
are then new, rows that a death left in work are gone (``newest`` may be smaller), all else stays.

**Versions.** A minor version only adds: fields in what was reserved, columns, keys in the document.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

__all__ = [
    "ALIGNMENT",
    "COLUMN_DTYPE",
    "CONTROL_DTYPE",
    "CONTROL_WORDS",
    "COUNTERS",
    "EMPTY_TIME",
    "HEADER_DTYPE",
    "HEADER_SIZE",
    "KINDS",
    "MAGIC",
    "MAJOR",
    "MINOR",
    "READY",
    "RUNNING",
    "SERIES_DTYPE",
    "STARTING",
    "STATES",
    "STOPPED",
    "WORD",
    "WORD_SIZE",
    "offset",
]

MAGIC: Final = b"ringbuf\n"
MAJOR: Final = 1
MINOR: Final = 0
READY: Final = 0x59444552  # "REDY" in memory
STARTING: Final = 0
RUNNING: Final = 1
STOPPED: Final = 2
STATES: Final = ("starting", "running", "stopped")
KINDS: Final = {"f": "<f8", "i": "<i8", "M": "<M8[ms]"}
EMPTY_TIME: Final = np.iinfo(np.int64).min
WORD_SIZE: Final = 8
ALIGNMENT: Final = 64
HEADER_SIZE: Final = 4096
COUNTERS: Final = 64

_HEADER: Final[list[tuple[Any, ...]]] = [
    # What it is: fixed once `ready` is set.
    ("magic", "S8"),
    ("ready", "<u4"),
    ("major", "<u2"),
    ("minor", "<u2"),
    ("size", "<i8"),
    ("document_offset", "<i8"),
    ("document_size", "<i8"),
    ("columns_offset", "<i8"),
    ("columns_stride", "<i8"),
    ("columns", "<i8"),
    ("series_offset", "<i8"),
    ("series_stride", "<i8"),
    ("series", "<i8"),
    ("control_offset", "<i8"),
    ("control_stride", "<i8"),
    ("data_offset", "<i8"),
    ("record_stride", "<i8"),
    ("column_stride", "<i8"),
    ("capacity", "<i8"),
    ("history", "<i8"),
    ("interval_ms", "<i8"),
    ("created_ms", "<i8"),
    ("_fixed", "V352"),
    # What changes while it lives, on lines of its own.
    ("state", "<i8"),
    ("writer_pid", "<i8"),
    ("started_ms", "<i8"),
    ("heartbeat_ns", "<i8"),
    ("heartbeat_ms", "<i8"),
    ("grid", "<i8"),
    ("clock_ms", "<i8"),
    ("retired", "<i8"),
    ("_live", "V64"),
    ("published", "<u4"),
    ("_published", "V60"),
    # Named by the document's "counters", in order.
    ("counters", "<i8", (COUNTERS,)),
]

_CONTROL: Final = [
    "sequence",
    "dirty_from",
    "newest",
    "closed",
    "start",
    "origin",
    "revision",
    "status",
    "updated_ms",
    "heard_ns",
    "confirmed",
    "frames",
    "corrected",
    "repaired",
    "rejected",
    "rewinds",
]
CONTROL_WORDS: Final = 32


def _padded(fields: list[tuple[Any, ...]], size: int) -> np.dtype[np.void]:
    """`fields` packed in order, the rest of `size` bytes reserved."""
    used = np.dtype(fields).itemsize
    assert used <= size, (used, size)
    return np.dtype([*fields, ("_reserved", f"V{size - used}")])


HEADER_DTYPE: Final = _padded(_HEADER, HEADER_SIZE)
CONTROL_DTYPE: Final = _padded([(name, "<i8") for name in _CONTROL], CONTROL_WORDS * WORD_SIZE)
COLUMN_DTYPE: Final = np.dtype(
    [("name", "S64"), ("kind", "S8"), ("unit", "S32"), ("definition", "S152")]
)
SERIES_DTYPE: Final = np.dtype([("name", "S64"), ("alias", "S64")])


def offset(field: str) -> int:
    """Byte offset of a header field."""
    fields = HEADER_DTYPE.fields
    assert fields is not None
    return int(fields[field][1])


WORD: Final = {name: position for position, name in enumerate(_CONTROL)}
"""Position of each control word, in units of 8 bytes."""
