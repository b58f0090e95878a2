"""Write docs/layout.md: the bytes of a store, from the module that derives them.

python tests/layout_page.py            writes the file
python tests/layout_page.py -          prints it
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ringbuf import layout

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "layout.md"

_HEAD = """\
# The layout of a store

Version {major}.{minor}. Written by `python tests/layout_page.py` from `ringbuf/layout.py`; not to
be edited. This is all that a reader in another language needs: `tests/c_reader/` has one in C.

"""

_KINDS = {"S": "bytes, padded with 0", "V": "reserved"}


def page() -> str:
    """The whole page."""
    head = _HEAD.format(major=layout.MAJOR, minor=layout.MINOR)
    text = (layout.__doc__ or "").partition("\n\n")[2]
    parts = [head + _markdown(text)]
    for title, dtype, every in (
        ("Header", layout.HEADER_DTYPE, ""),
        ("Control record", layout.CONTROL_DTYPE, ", one a series"),
        ("Entry of the columns' table", layout.COLUMN_DTYPE, ", one a column"),
        ("Entry of the series' table", layout.SERIES_DTYPE, ", one a series"),
    ):
        rows = "\n".join(_rows(dtype))
        table = f"| offset | field | type |\n|---:|---|---|\n{rows}\n"
        parts.append(f"## {title}\n\n{dtype.itemsize} bytes{every}.\n\n{table}")
    constants = {
        "magic": repr(layout.MAGIC),
        "ready": f"{layout.READY:#x}",
        "states": ", ".join(f"{k} {name}" for k, name in enumerate(layout.STATES)),
        "an empty row's time": str(layout.EMPTY_TIME),
    }
    lines = "\n".join(f"| {name} | `{value}` |" for name, value in constants.items())
    parts.append(f"## Constants\n\n| | |\n|---|---|\n{lines}\n")
    return "\n".join(parts)


def _markdown(text: str) -> str:
    """The docstring's few forms: literal blocks, ``names``, `names`."""
    text = re.sub(r"::\n\n((?:    .*\n|\n)+)", _block, text)
    return re.sub(r"``(.+?)``", r"`\1`", text).rstrip() + "\n"


def _block(found: re.Match[str]) -> str:
    lines = [line[4:] for line in found[1].rstrip("\n").split("\n")]
    return ":\n\n```text\n" + "\n".join(lines) + "\n```\n\n"


def _rows(dtype: np.dtype[np.void]) -> Iterator[str]:
    for name in dtype.names or ():
        assert dtype.fields is not None
        field, offset = dtype.fields[name][:2]
        base, shape = field.subdtype or (field, ())
        kind = _KINDS.get(base.kind) or f"{'u' * (base.kind == 'u')}int{8 * base.itemsize}"
        kind = f"{kind}, {base.itemsize}" if base.kind in _KINDS else kind
        times = "".join(f" × {size}" for size in shape)
        shown = "" if base.kind == "V" else f"`{name}`"
        yield f"| {offset} | {shown} | {kind}{times} |"


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page(), "utf-8")
