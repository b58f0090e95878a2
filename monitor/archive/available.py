"""Can there be an archive at all? Told before anything else is begun."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from monitor.errors import Problem, SettingsError

__all__ = ["require"]


def require(folder: Path) -> None:
    """Raise SettingsError where the library for an archive in `folder` is not installed."""
    try:
        found = find_spec("pyarrow") is not None
    except ValueError:  # how a module without a specification, such as a blocked one, is told
        found = False
    if not found:
        problem = f"{str(folder)!r}, but pyarrow is not installed"
        expected = "pip install 'market-monitor[archive]', or no archive"
        raise SettingsError([Problem("MONITOR_ARCHIVE", problem, expected)])
