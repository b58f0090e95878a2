"""Follows Hyperliquid's one-minute candles and keeps them, with their statistics, in shared memory.

The parts, from the wire inwards: `protocol` (bytes to events), `clock`, `budget`, `backoff` and
`markets` decide without doing any input or output; `rest` and the feed touch sockets; the engine
places rows; the service ties them together. Importing this package loads none of them.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    # Asked for rarely, and reading it loads half of the standard library, sockets included.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    try:
        return metadata.version("market-monitor")
    except metadata.PackageNotFoundError:
        # A checkout that was never installed still runs; it only cannot name its release.
        return "0+unknown"
