"""REST, asked: what the engine wants to know, sent as fast as the budget lets it.

What to ask, and what an answer proves, is `history`'s; what may be spent is `budget`'s.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from .book import INTERVAL_MS
from .clock import JUMP_MS, ExchangeClock
from .engine import Engine
from .errors import ProtocolError, RestError
from .ledger import Ask
from .logs import RateLimited
from .progress import FillProgress
from .rest import InfoClient

__all__ = ["Asking", "range_of"]

log = logging.getLogger(__name__)

ASK_S = 0.25
LEAP_MS = 10_000.0
URGENT_AT_ONCE, BACKGROUND_AT_ONCE = 4, 2
"""Requests under way in each lane: who waits for the background's budget holds up no repair."""
_OPENED_MS = 1_672_531_200_000
"""2023: the exchange had no trades before. Daily rows may be older, of an index; and sixty that an
answer could have cost as much as sixty that it has."""


def range_of(ask: Ask) -> tuple[int, int, str]:
    """What an `ask` is to REST: times of the first and the last row in ms, and their interval."""
    start_ms, end_ms = ask.first * INTERVAL_MS, (ask.until + 1) * INTERVAL_MS - 1
    if ask.kind == "last_close":
        # An embedded exchange may live before.
        return _OPENED_MS if start_ms > _OPENED_MS else 0, end_ms, "1d"
    return start_ms, end_ms, "1m"


class Asking:
    """Sends what `engine.history` wants to know, the most urgent first, a few at a time.

    `news` is called when readers can see something new. `ask_time` asks the exchange what time it
    is, False where it does not say. `same_source` is awaited after each answer of an embedded
    exchange; OSError there, and the answer does not count.
    """

    def __init__(
        self,
        engine: Engine,
        client: InfoClient,
        clock: ExchangeClock,
        news: Callable[[], None],
        ask_time: Callable[[], Awaitable[bool]],
        same_source: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._engine = engine
        self._client = client
        self._clock = clock
        self._news = news
        self._ask_time = ask_time
        self._same_source = same_source
        self._notes = RateLimited(log)
        self._progress = FillProgress(len(engine.book.coins))
        self._under_way = {True: 0, False: 0}

    def close(self) -> None:
        """Take the progress off the terminal. Idempotent."""
        self._progress.close()

    async def run(self, tasks: TaskGroup) -> None:
        """Ask until cancelled; the requests are tasks of `tasks`."""
        history, under_way = self._engine.history, self._under_way
        before_ms = self._clock.now_ms()
        while True:
            if not await self._is_sure_of(before_ms):
                await anyio.sleep(ASK_S)
                continue
            before_ms = self._clock.now_ms()
            free = {
                True: URGENT_AT_ONCE - under_way[True],
                False: BACKGROUND_AT_ONCE - under_way[False],
            }
            for ask in history.wanted(self._clock.now_ms()) if any(free.values()) else ():
                if free[ask.urgent] > 0:
                    free[ask.urgent] -= 1
                    under_way[ask.urgent] += 1
                    history.sent(ask)
                    tasks.start_soon(self._settle, ask)
            await anyio.sleep(ASK_S / min(self._clock.rate, 10.0))

    async def _is_sure_of(self, before_ms: float) -> bool:
        """Is it as late as it seems? Of minutes that have not been, REST would say: silent.

        `before_ms`: what time it was a moment ago. A clock that has leapt since is asked about.
        """
        clock, scale = self._clock, max(1.0, self._clock.rate)
        if clock.now_ms() - before_ms > LEAP_MS * scale and not await self._ask_time():
            return False
        return clock.ahead_ms <= JUMP_MS * scale

    async def _settle(self, ask: Ask) -> None:
        book, history = self._engine.book, self._engine.history
        coin = book.coins[ask.market]
        start_ms, end_ms, interval = range_of(ask)
        try:
            rows = await self._client.candles(coin, start_ms, end_ms, interval, urgent=ask.urgent)
            if self._same_source is not None:
                # A run never comes back: if it is still the same, it was when it answered.
                await self._same_source()
        except (RestError, ProtocolError, OSError) as error:
            book.counters["rest_errors"] += 1
            self._notes.log(f"rest {coin}", logging.WARNING, "history of %s: %s", coin, error)
            refused = isinstance(error, RestError) and error.refused
            history.failed(ask, self._clock.now_ms(), refused=refused)
            return
        finally:
            self._under_way[ask.urgent] -= 1
        if history.answer(ask, rows, self._clock.now_ms(), time.monotonic_ns()):
            self._news()
        self._progress.update(sum(ledger.filled for ledger in book.ledgers))
