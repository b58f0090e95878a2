"""Where compiled kernels are kept between runs.

numba decides whether a cached function is still good by the time stamp of the file in which it is
defined. The engine's functions have other modules' functions compiled into them, so an update that
touches only those would leave old machine code in use. Here the cache's folder is named by what was
compiled: another source, another folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from pathlib import Path

__all__ = ["keep_cache"]

_ROOMS = ("ringbuf", "indicators", "monitor")


def keep_cache() -> Path:
    """Set numba's cache folder for this process; call before the modules of kernels are imported.

    Below ``NUMBA_CACHE_DIR`` where that is set, else in the user's cache folder, else (no home, or
    a read-only one) in a temporary folder. Returns the folder.
    """
    import numba

    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    try:
        home = Path(base) if base else Path.home() / ".cache"
        folder = home / "market-monitor" / _fingerprint(numba.__version__)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)
    except (OSError, RuntimeError):  # RuntimeError: a user that has no home
        folder = Path(tempfile.mkdtemp(prefix="market-monitor-"))
    numba.config.CACHE_DIR = str(folder)
    return folder


def _fingerprint(numba_version: str) -> str:
    digest = hashlib.sha256(f"{numba_version} {platform.python_version()}".encode())
    root = Path(__file__).resolve().parent.parent
    for room in _ROOMS:
        for path in sorted((root / room).glob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
