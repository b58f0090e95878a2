"""The exchange's time, as far as anybody on this side of the network can know it.

Candle times, the grace period, limits and budgets run on the exchange's clock; pings and time-outs
on the machine's monotonic one. The machine's wall clock is never asked: it may be wrong and it may
jump.

Theory. Every frame with a block time is a sample ``(block_time_ms, monotonic_s)``. Its *offset*,
``block_time_ms - monotonic_s * 1000 * rate``, is the true offset less the time the frame was under
way. So the largest offset seen is the best, and a lower bound: `now_ms` is never ahead of the
exchange by more than its clock's drift, and behind it by the shortest delay of the window.

* Forwards: a larger offset counts at once. One that is larger by more than `JUMP_MS` (the machine
  was suspended, which stops the monotonic clock; or the frame lies) waits for a second sample that
  agrees, a fraction of a second later on the busy stream that feeds this; a `trusted` sample, the
  answer to a direct question, does not wait.
* Two things know better than any number of samples, and both are asked. A *candle* with a new
  trade: its minute has begun, and is not long over. What a sample says far beyond that, while
  candles come, is not believed; a clock that is far beyond it is put back. And an *answer* to a
  question, which cannot be older than the question: it bounds the offset from above, for the case
  that the machine's monotonic clock has leapt.
* Backwards: a smaller offset counts when every larger one has left the window, or by these two.
* `now_ms` never decreases, once there was a sample (before, it is the machine's word only). After
  a correction backwards it stands still until the time it has already told is reached again;
  `ahead_ms` says how far off that is.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import anyio

__all__ = ["JUMP_MS", "WINDOW_S", "Clock", "ExchangeClock", "ManualClock"]

JUMP_MS = 2_000.0
"""An offset that grows by more than this many exchange ms needs a second witness (times the rate of
an accelerated exchange, where the same delays of this machine are that much longer)."""

WINDOW_S = 600.0
"""How long a sample's offset counts, in monotonic seconds. Long enough that some frame came through
quickly, short enough that a cheap oscillator (50 ppm) drifts by 30 ms only."""

_MINUTE_MS = 60_000.0
_LATEST_MS = 60_000.0
"""How long after its minute a candle's last trades may be told (times the rate of an accelerated
exchange): those that came later than 40 s have not been seen."""
_LATE_S = 5.0
"""For so long all samples must be late by a jump, or all candles of a minute long over, before that
is held against the clock."""
_CANDLES = 3

_WITNESS_S = 30.0
_SLICES = 12
_SLICE_S = WINDOW_S / _SLICES
_LONGEST_NAP_S = 1.0


class Clock(Protocol):
    """What everything that needs the exchange's time is given."""

    @property
    def rate(self) -> float:
        """Exchange seconds that pass in one second of this machine; 1 on a real exchange."""
        ...

    def now_ms(self) -> float:
        """Estimate the exchange's time in Unix ms; never decreases."""
        ...

    def monotonic(self) -> float:
        """Seconds of this machine's monotonic clock."""
        ...

    async def sleep_until(self, ms: float) -> None:
        """Return when `now_ms` has reached `ms`."""
        ...


class ExchangeClock:
    """Estimate of the exchange's time from the block times it sends.

    Fed by `observe`, asked by anybody in the same thread. Before the first sample it runs on
    `start_ms` (default: the machine's wall clock, read once) and `synchronised` is False.
    `monotonic` and `sleep` can be replaced for tests.
    """

    def __init__(
        self,
        *,
        rate: float = 1.0,
        start_ms: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep if sleep is not None else _sleep
        self._told_ms = -math.inf
        self._start(rate, time.time() * 1000.0 if start_ms is None else start_ms)

    def _start(self, rate: float, now_ms: float) -> None:
        if not 0.0 < rate < math.inf:
            raise ValueError(f"found clock rate {rate!r}, expected a positive number")
        self._ms_per_s = 1000.0 * rate
        self._jump_ms = JUMP_MS * max(1.0, rate)
        self._rate = rate
        self._offset_ms = now_ms - self._monotonic() * self._ms_per_s
        self._last_observed: float | None = None
        self._last_offset_ms = -math.inf
        # The largest offset of each slice of the window, oldest first: (slice number, offset).
        self._slices: deque[tuple[int, float]] = deque()
        self._witness: tuple[float, float] | None = None
        self._late_s: float | None = None  # since when every sample is late
        self._minute_ms = self._minute_s = -math.inf  # the newest candle's, and when it was told
        self._bygone = 0  # candles in a row whose minute was long over
        self._bygone_s = 0.0  # since when

    @property
    def rate(self) -> float:
        """Exchange seconds in one second of this machine."""
        return self._rate

    @property
    def synchronised(self) -> bool:
        """True once a sample was taken."""
        return self._last_observed is not None

    @property
    def last_observed(self) -> float | None:
        """Monotonic seconds of the newest sample, None before the first."""
        return self._last_observed

    @property
    def ahead_ms(self) -> float:
        """How far the time already told is ahead of the estimate; 0 in normal operation."""
        return max(0.0, self._told_ms - self._estimate())

    @property
    def doubtful(self) -> bool:
        """Has every sample been late for a while? Either they are under way, or the clock is ahead.

        `answered` decides.
        """
        return self._late_s is not None and self._monotonic() - self._late_s > _LATE_S

    @property
    def lag_ms(self) -> float:
        """How much later than the quickest of the window the newest sample came, exchange ms."""
        if self._last_observed is None:
            return 0.0
        return max(0.0, self._offset_ms - self._last_offset_ms)

    def set_rate(self, rate: float) -> None:
        """Take the rate that an embedded exchange tells of itself; forgets the samples so far."""
        self._start(rate, self._estimate())

    def observe(
        self, block_time_ms: float, monotonic_s: float | None = None, *, trusted: bool = False
    ) -> bool:
        """Take a sample; False if it was put aside until another one agrees with it.

        `monotonic_s` is when the frame arrived (default: now). `trusted` is for an answer asked
        for (``exchangeStatus``), which is believed at once. Times that are not positive and finite
        are put aside too.
        """
        at = self._monotonic() if monotonic_s is None else monotonic_s
        if not 0.0 < block_time_ms < math.inf:
            return False
        offset = block_time_ms - at * self._ms_per_s
        ahead = self.synchronised and offset > self._offset_ms + self._jump_ms
        if ahead and not trusted:
            witness = self._witness
            self._witness = (at, offset)
            if (
                witness is None
                or at - witness[0] > _WITNESS_S
                or abs(offset - witness[1]) > self._jump_ms
            ):
                return False
        if ahead and self._refuted(block_time_ms, at):
            return False
        self._witness = None
        if not self.synchronised:
            # What was told before this was the machine's clock, which nobody vouches for.
            self._told_ms = -math.inf
        self._last_offset_ms = offset
        self._last_observed = at if self._last_observed is None else max(at, self._last_observed)
        self._place(int(at // _SLICE_S), offset)
        self._offset_ms = max(largest for _, largest in self._slices)
        if offset >= self._offset_ms - self._jump_ms:
            self._late_s = None
        elif self._late_s is None:
            self._late_s = at
        return True

    def answered(self, time_ms: float, asked_s: float) -> bool:
        """Take the time that the exchange told when asked at `asked_s`; as `observe` otherwise."""
        latest = time_ms - asked_s * self._ms_per_s
        if self.synchronised and latest < self._offset_ms - self._jump_ms:
            self._put_back(latest)
        return self.observe(time_ms, trusted=True)

    def traded(self, open_ms: float) -> None:
        """A candle had a new trade, in the minute from `open_ms` on."""
        if open_ms < self._minute_ms:
            return
        at = self._minute_s = self._monotonic()
        self._minute_ms = open_ms
        if at * self._ms_per_s + self._offset_ms <= self._until(open_ms):
            self._bygone = 0
            return
        self._bygone += 1
        if self._bygone == 1:
            self._bygone_s = at
        elif self._bygone >= _CANDLES and at - self._bygone_s > _LATE_S:
            self._put_back(open_ms + _MINUTE_MS - at * self._ms_per_s)

    def _until(self, open_ms: float) -> float:
        """Until when candles of that minute may come."""
        return open_ms + _MINUTE_MS + _LATEST_MS * max(1.0, self._rate)

    def _refuted(self, time_ms: float, at: float) -> bool:
        """Is it later than the candles that come?"""
        return at - self._minute_s <= _WITNESS_S and time_ms > self._until(self._minute_ms)

    def _put_back(self, offset: float) -> None:
        self._slices.clear()
        self._bygone = 0
        self._late_s = self._witness = None
        self._offset_ms = offset

    def _place(self, number: int, offset: float) -> None:
        slices = self._slices
        while slices and slices[0][0] < number - _SLICES:
            slices.popleft()
        if slices and slices[-1][0] >= number:
            newest, largest = slices.pop()
            slices.append((newest, max(largest, offset)))
        else:
            slices.append((number, offset))

    def _estimate(self) -> float:
        return self._monotonic() * self._ms_per_s + self._offset_ms

    def now_ms(self) -> float:
        """Estimate the exchange's time in Unix ms; never decreases."""
        self._told_ms = max(self._told_ms, self._estimate())
        return self._told_ms

    def monotonic(self) -> float:
        """Seconds of this machine's monotonic clock."""
        return self._monotonic()

    async def sleep_until(self, ms: float) -> None:
        """Return when `now_ms` has reached `ms`; naps, because a sample may move the clock."""
        while (left := ms - self.now_ms()) > 0.0:
            await self._sleep(min(max(left / self._ms_per_s, 0.0005), _LONGEST_NAP_S))


class ManualClock:
    """A clock that moves only when told: for tests, and for simulations without waiting.

    With `auto`, whoever sleeps moves the clock to its waking time at once (use it with a single
    sleeper); without, sleepers wake when `advance` or `set` has passed their time.
    """

    def __init__(
        self, now_ms: float = 1_700_000_000_000.0, *, rate: float = 1.0, auto: bool = False
    ) -> None:
        self._now_ms = now_ms
        self._rate = rate
        self._auto = auto
        self._waiting: list[tuple[float, anyio.Event]] = []

    @property
    def rate(self) -> float:
        """Exchange seconds in one monotonic second."""
        return self._rate

    @property
    def sleepers(self) -> tuple[float, ...]:
        """The times that somebody is waiting for, earliest first."""
        return tuple(sorted(ms for ms, _ in self._waiting))

    def now_ms(self) -> float:
        """Exchange time in Unix ms, as it was set."""
        return self._now_ms

    def monotonic(self) -> float:
        """Exchange time divided by the rate, in seconds."""
        return self._now_ms / 1000.0 / self._rate

    def set(self, ms: float) -> None:
        """Move to `ms` (never backwards) and wake who waited for it."""
        self._now_ms = max(self._now_ms, ms)
        for due, event in self._waiting:
            if due <= self._now_ms:
                event.set()

    def advance(self, ms: float) -> None:
        """Move forward by `ms` exchange milliseconds."""
        self.set(self._now_ms + ms)

    async def sleep_until(self, ms: float) -> None:
        """Return when the clock has been moved to `ms`; yields to other tasks at least once."""
        import anyio.lowlevel

        if self._auto:
            self.set(ms)
        if ms <= self._now_ms:
            await anyio.lowlevel.checkpoint()
            return
        entry = (ms, anyio.Event())
        self._waiting.append(entry)
        try:
            await entry[1].wait()
        finally:
            self._waiting.remove(entry)


async def _sleep(seconds: float) -> None:
    # Here, so that who only computes with clocks does not load an event loop.
    import anyio

    await anyio.sleep(seconds)
