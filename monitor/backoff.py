"""When to try again: how long to wait, and whether it makes sense at all.

Both questions are answered without a clock or a socket, for REST and websocket alike. Waiting is
"full jitter": a uniformly random share of a delay that doubles up to a cap. Clients that lost the
exchange together then do not come back together, and the cap bounds how late anybody is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["RETRYABLE_STATUSES", "delays", "retryable"]

RETRYABLE_STATUSES = frozenset({408, 425, 429})
"""HTTP statuses below 500 that may go away by waiting; every 5xx may as well."""

_MAX_DOUBLINGS = 64

# Named, not imported: this module stays free of the network libraries, and asyncio's time-out is
# a class of its own on 3.10. Subclasses count.
_TRANSIENT = frozenset(
    {
        ("asyncio", "TimeoutError"),
        ("asyncio", "IncompleteReadError"),
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
        ("aiohttp", "ServerDisconnectedError"),
    }
)


def delays(base: float, cap: float, rng: random.Random) -> Iterator[float]:
    """Yield for ever the waits before attempt 2, 3, ...: uniform in [0, min(cap, base * 2**n)].

    `base`, `cap` and the waits share one unit, whichever the caller sleeps in.
    """
    if not 0 < base <= cap:
        raise ValueError(f"found base {base!r} and cap {cap!r}, expected 0 < base <= cap")
    doublings = 0
    while True:
        yield rng.uniform(0.0, min(cap, base * 2.0**doublings))
        doublings = min(doublings + 1, _MAX_DOUBLINGS)


def retryable(problem: BaseException | int) -> bool:
    """Tell whether trying again may help: True for a passing trouble, False for a fatal one.

    `problem` is an exception or an HTTP status. An exception that carries a status (a refused
    websocket handshake, aiohttp's response errors) is judged by it. Connections that could not be
    made or broke off are worth another try; a wrong URL, a refused request or a bug is not.
    """
    if isinstance(problem, int):
        return problem in RETRYABLE_STATUSES or 500 <= problem <= 599
    status = _status(problem)
    if status is not None:
        return retryable(status)
    if isinstance(problem, (OSError, EOFError)):
        return True
    return any(
        (kind.__module__.partition(".")[0], kind.__name__) in _TRANSIENT
        for kind in type(problem).__mro__
    )


def _status(problem: BaseException) -> int | None:
    status = getattr(problem, "status", None)
    return status if isinstance(status, int) and status > 0 else None
