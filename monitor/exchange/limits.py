"""The exchange's limits for one address, counted in the exchange's time.

All requests together may weigh 1,200 in any 60 seconds: that is the documented number taken
literally. The real exchange was seen to allow more for a while; nobody should build on it.
"""

from __future__ import annotations

from collections import deque

from .errors import RefusedConnection

__all__ = [
    "CONNECTIONS",
    "IDLE_MS",
    "MESSAGES_A_MINUTE",
    "NEW_CONNECTIONS_A_MINUTE",
    "REST_WEIGHT_A_MINUTE",
    "SUBSCRIPTIONS",
    "Limits",
    "Window",
    "extra_weight",
    "weight_of",
]

REST_WEIGHT_A_MINUTE = 1_200
CONNECTIONS = 10
NEW_CONNECTIONS_A_MINUTE = 30
SUBSCRIPTIONS = 1_000
MESSAGES_A_MINUTE = 2_000
IDLE_MS = 60_000

_LIGHT = frozenset(
    {
        "l2Book",
        "allMids",
        "clearinghouseState",
        "orderStatus",
        "spotClearinghouseState",
        "exchangeStatus",
    }
)
_ROWS_FOR_ONE = {"candleSnapshot": 60, "recentTrades": 20, "fundingHistory": 20}


def weight_of(kind: str) -> int:
    """Weight of an /info request before its answer is known."""
    if kind == "userRole":
        return 60
    return 2 if kind in _LIGHT else 20


def extra_weight(kind: str, items: int) -> int:
    """What the length of the answer adds, rounded up."""
    per = _ROWS_FOR_ONE.get(kind)
    return -(-items // per) if per else 0


class Window:
    """A sum over the last minute. `peak` is the largest it ever was."""

    def __init__(self, limit: int) -> None:
        """Allow `limit` in any 60 seconds."""
        self.limit = limit
        self.used = 0
        self.total = 0
        self.peak = 0
        self._spent: deque[tuple[int, int]] = deque()

    def fits(self, amount: int, now_ms: int) -> bool:
        """Whether `amount` more is allowed now."""
        while self._spent and self._spent[0][0] <= now_ms - 60_000:
            self.used -= self._spent.popleft()[1]
        return self.used + amount <= self.limit

    def spend(self, amount: int, now_ms: int) -> None:
        """Count `amount`, allowed or not."""
        self.fits(0, now_ms)
        self._spent.append((now_ms, amount))
        self.used += amount
        self.total += amount
        self.peak = max(self.peak, self.used)


class Limits:
    """All budgets of one address."""

    def __init__(self) -> None:
        """Nothing is spent yet."""
        self.weight = Window(REST_WEIGHT_A_MINUTE)
        self.connects = Window(NEW_CONNECTIONS_A_MINUTE)
        self.messages = Window(MESSAGES_A_MINUTE)

    def connect(self, open_now: int, now_ms: int) -> None:
        """Count a new websocket; RefusedConnection when it is one too many."""
        if open_now >= CONNECTIONS:
            raise RefusedConnection("websockets at a time", CONNECTIONS)
        if not self.connects.fits(1, now_ms):
            raise RefusedConnection("new websockets a minute", NEW_CONNECTIONS_A_MINUTE)
        self.connects.spend(1, now_ms)

    def message(self, now_ms: int) -> bool:
        """Count a message of a client; False when it is one too many."""
        allowed = self.messages.fits(1, now_ms)
        self.messages.spend(1, now_ms)
        return allowed
