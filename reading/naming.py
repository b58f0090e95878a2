"""Which store is meant where nobody says so: the service's settings name it.

The service reads them with a library that readers do not load. One name is all that is needed here:
`MONITOR_SEGMENT` from the environment, from ``.env``, or ``segment`` from ``monitor.toml``, in the
working directory and in this order.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["configured_segment"]

_QUOTED = r"""(?:"([^"\n]*)"|'([^'\n]*)'|([^\s#"']+))"""
_PLACES = (
    (
        ".env",
        re.compile(
            rf"^\s*(?:export\s+)?MONITOR_SEGMENT\s*=\s*{_QUOTED}", re.MULTILINE | re.IGNORECASE
        ),
    ),
    ("monitor.toml", re.compile(rf"^segment\s*=\s*{_QUOTED}", re.MULTILINE)),
)


def configured_segment() -> str | None:
    """The name in the settings; None where they name none."""
    named = os.environ.get("MONITOR_SEGMENT")
    if named:
        return named
    for place, pattern in _PLACES:
        try:
            found = pattern.search(Path(place).read_text(encoding="utf-8"))
        except (OSError, UnicodeError):
            continue
        if found:
            return next(text for text in found.groups() if text is not None) or None
    return None
