"""What may be asked of the exchange, and how often: every limit and every default in one place.

The exchange counts per IP address, and a user's bots spend from the same account; so the defaults
stay well below its limits. All times are exchange milliseconds. Nothing here waits: `reserve`
answers *when*, its caller sleeps and asks again.

The limits are kept as sliding windows, not token buckets: a bucket of size b refilled at r a
minute lets b + r through within one minute, so that "600 a minute, bursts to 1,000" would come to
1,600, over the exchange's 1,200. A window holds in every minute, however it is cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = [
    "CANDLES_KEPT",
    "CONNECTIONS_AT_ONCE",
    "CONNECTIONS_AT_ONCE_LIMIT",
    "CONNECTIONS_PER_MINUTE",
    "CONNECTIONS_PER_MINUTE_LIMIT",
    "MESSAGES_PER_MINUTE",
    "MESSAGES_PER_MINUTE_LIMIT",
    "REST_BURST",
    "REST_WEIGHT",
    "REST_WEIGHT_LIMIT",
    "SUBSCRIPTIONS",
    "SUBSCRIPTIONS_LIMIT",
    "WINDOW_MS",
    "ConnectionBudget",
    "MessageBudget",
    "SubscriptionBudget",
    "WeightBudget",
    "weight_of",
]

WINDOW_MS = 60_000

REST_WEIGHT_LIMIT = 1_200
REST_WEIGHT = 600
REST_BURST = 1_000

SUBSCRIPTIONS_LIMIT = 1_000
SUBSCRIPTIONS = 800

MESSAGES_PER_MINUTE_LIMIT = 2_000
MESSAGES_PER_MINUTE = 1_500

CONNECTIONS_AT_ONCE_LIMIT = 10
CONNECTIONS_AT_ONCE = 6

CONNECTIONS_PER_MINUTE_LIMIT = 30
CONNECTIONS_PER_MINUTE = 20

CANDLES_KEPT = 5_000
"""Rows of a market that the exchange keeps, counted from its last one."""

_WEIGHT = 20
_LIGHT = 2
_LIGHT_TYPES = frozenset(
    {
        "allMids",
        "clearinghouseState",
        "exchangeStatus",
        "l2Book",
        "orderStatus",
        "spotClearinghouseState",
    }
)
_HEAVY = {"userRole": 60}
_ROWS_PER_WEIGHT = {"candleSnapshot": 60, "recentTrades": 20, "fundingHistory": 20}


def weight_of(request: str, rows: int = 0) -> int:
    """Weight of one ``/info`` request of that type whose answer has `rows` rows."""
    if request in _LIGHT_TYPES:
        return _LIGHT
    per = _ROWS_PER_WEIGHT.get(request)
    return _HEAVY.get(request, _WEIGHT) + (-(-max(rows, 0) // per) if per else 0)


class _Window:
    """Amounts spent within the last minute. Invariant: `spent` is the sum of `entries`."""

    def __init__(self) -> None:
        self.entries: deque[tuple[float, int]] = deque()
        self.spent = 0

    def forget(self, now_ms: float) -> None:
        entries = self.entries
        ahead = 0
        while entries and entries[-1][0] > now_ms:
            # Entered by a clock that has been set back since: it counts from now.
            ahead += entries.pop()[1]
        if ahead:
            entries.append((now_ms, ahead))
        # The same sum as in `ready_ms`: rounded differently, an entry would outlive its own end.
        while entries and entries[0][0] + WINDOW_MS <= now_ms:
            self.spent -= entries.popleft()[1]

    def add(self, amount: int, now_ms: float) -> None:
        self.entries.append((now_ms, amount))
        self.spent += amount

    def remember(self, amount: int, at_ms: float, now_ms: float) -> None:
        """Count what another service of this address had spent within the minute up to `at_ms`.

        Not what is of another time: the exchange may be another one by now.
        """
        if amount > 0 and now_ms - WINDOW_MS < at_ms <= now_ms:
            self.entries.appendleft((at_ms, amount))
            self.spent += amount

    def ready_ms(self, amount: int, limit: int, now_ms: float) -> float:
        """Earliest time at which `amount` fits under `limit`, if nothing else is spent."""
        excess = self.spent + amount - limit
        ready = now_ms
        for at, spent in self.entries:
            if excess <= 0:
                break
            excess -= spent
            ready = at + WINDOW_MS
        return max(ready, now_ms)


class WeightBudget:
    """REST weight within any minute: `per_minute` in the background, `burst` for what is urgent.

    Both share one account, so background work never delays an urgent request by more than the
    burst leaves room for. An amount larger than a limit is let through when nothing else is
    spent, rather than never.
    """

    def __init__(self, per_minute: int = REST_WEIGHT, burst: int = REST_BURST) -> None:
        if not 0 < per_minute <= burst:
            raise ValueError(
                f"found {per_minute} weight a minute and bursts of {burst}, "
                f"expected 0 < weight <= burst"
            )
        self.per_minute = per_minute
        self.burst = burst
        self.total = 0
        self._window = _Window()
        self._paused_until_ms = 0.0

    def reserve(self, weight: int, now_ms: float, *, urgent: bool = False) -> float:
        """Spend `weight` if it fits now; return when it was spent, or when to ask again.

        A return value not later than `now_ms` means: spent, send the request. A later one means:
        nothing was spent, ask again then.
        """
        window = self._window
        window.forget(now_ms)
        if self._paused_until_ms > now_ms:
            return self._paused_until_ms
        limit = self.burst if urgent else self.per_minute
        ready = window.ready_ms(min(weight, limit), limit, now_ms)
        if ready <= now_ms:
            self._spend(weight, now_ms)
        return ready

    def debit_rows(self, request: str, expected: int, received: int, now_ms: float) -> int:
        """Charge what an answer with more rows than expected costs beside what was reserved.

        Fewer rows give nothing back: the reservation stays on the safe side.
        """
        extra = weight_of(request, received) - weight_of(request, expected)
        if extra <= 0:
            return 0
        self._window.forget(now_ms)
        self._spend(extra, now_ms)
        return extra

    def remember(self, weight: int, at_ms: float, now_ms: float) -> None:
        """Count what another service of this address had spent within the minute up to `at_ms`."""
        self._window.remember(weight, at_ms, now_ms)

    def pause(self, until_ms: float) -> None:
        """Let nothing through before `until_ms`: the exchange has said that it is too much."""
        self._paused_until_ms = max(self._paused_until_ms, until_ms)

    def spent(self, now_ms: float) -> int:
        """Weight spent within the last minute."""
        self._window.forget(now_ms)
        return self._window.spent

    def duration_ms(self, weights: Iterable[int], *, urgent: bool = False) -> float:
        """How long requests of these weights take to send, one after the other, from a full budget.

        For telling people beforehand; spends nothing.
        """
        trial = WeightBudget(self.per_minute, self.burst)
        now = 0.0
        for weight in weights:
            while (ready := trial.reserve(weight, now, urgent=urgent)) > now:
                now = ready
        return now

    def _spend(self, weight: int, now_ms: float) -> None:
        self._window.add(weight, now_ms)
        self.total += weight


class MessageBudget:
    """Messages to the server within any minute, over all sockets; pings and subscribes count."""

    def __init__(self, per_minute: int = MESSAGES_PER_MINUTE) -> None:
        self.per_minute = per_minute
        self._window = _Window()

    def reserve(self, now_ms: float, messages: int = 1) -> float:
        """Spend `messages` if they fit now; as `WeightBudget.reserve`."""
        self._window.forget(now_ms)
        ready = self._window.ready_ms(min(messages, self.per_minute), self.per_minute, now_ms)
        if ready <= now_ms:
            self._window.add(messages, now_ms)
        return ready

    def spent(self, now_ms: float) -> int:
        """Messages sent within the last minute."""
        self._window.forget(now_ms)
        return self._window.spent


class ConnectionBudget:
    """Sockets open at once, and opened within any minute."""

    def __init__(
        self, at_once: int = CONNECTIONS_AT_ONCE, per_minute: int = CONNECTIONS_PER_MINUTE
    ) -> None:
        self.at_once = at_once
        self.per_minute = per_minute
        self.open = 0
        self._window = _Window()

    def reserve(self, now_ms: float) -> float | None:
        """Count a new socket if it fits now; as `WeightBudget.reserve`.

        None if as many as allowed are open: then ask again after a `release`.
        """
        if self.open >= self.at_once:
            return None
        self._window.forget(now_ms)
        ready = self._window.ready_ms(1, self.per_minute, now_ms)
        if ready <= now_ms:
            self._window.add(1, now_ms)
            self.open += 1
        return ready

    def remember(self, sockets: int, at_ms: float, now_ms: float) -> None:
        """Count what another service of this address had opened within the minute up to `at_ms`."""
        self._window.remember(sockets, at_ms, now_ms)

    def spent(self, now_ms: float) -> int:
        """Sockets opened within the last minute, or tried to."""
        self._window.forget(now_ms)
        return self._window.spent

    def release(self) -> None:
        """A socket that was reserved is closed, or was never opened."""
        if self.open == 0:
            raise ValueError("found no open socket to release, expected one reserve a release")
        self.open -= 1


class SubscriptionBudget:
    """Subscriptions at once, over all sockets."""

    def __init__(self, limit: int = SUBSCRIPTIONS) -> None:
        self.limit = limit
        self.used = 0

    @property
    def free(self) -> int:
        """How many more may be made."""
        return self.limit - self.used

    def take(self, count: int = 1) -> bool:
        """Count `count` more, all or none; False if they do not fit."""
        if self.used + count > self.limit:
            return False
        self.used += count
        return True

    def release(self, count: int = 1) -> None:
        """`count` subscriptions ended, with their socket or by request."""
        if count > self.used:
            raise ValueError(f"found {self.used} subscriptions in use, expected at least {count}")
        self.used -= count
