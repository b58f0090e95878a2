"""Compile what a service will call, before the first candle waits for it.

numba compiles a function when it is first called, which takes seconds on a machine that has never
done it, and a moment where the cache has it. `warm` calls everything once, on a store of one market
in private memory, with the stats that are configured.
"""

from __future__ import annotations

from indicators import Plan
from ringbuf.spec import Series, StoreSpec
from ringbuf.writer import in_memory

from .book import COUNTERS, INTERVAL_MS, STATUSES
from .engine import Engine
from .ledger import Stream
from .protocol import Candle
from .store import columns_of

__all__ = ["warm"]

_COIN = "COIN"
_START_MS = 1_700_000_040_000.0
_PRICE = 100.0


def warm(stats: Plan) -> None:
    """Run one market through its first minutes: fill, frame, new minute, close."""
    spec = StoreSpec(
        name="warm",
        series=(Series("market", _COIN),),
        columns=columns_of(stats),
        history=4,
        interval_ms=INTERVAL_MS,
        lookback=stats.lookback + stats.runup,
        counters=COUNTERS,
        statuses=STATUSES,
    )
    writer = in_memory(spec)
    engine = Engine(writer, stats, [_COIN])
    stream = Stream("warm")
    now = _START_MS
    engine.watch(0, stream, now)
    for ask in engine.history.wanted(now):
        engine.history.sent(ask)
        engine.history.answer(ask, [_candle(ask.last)], now, 1)
    engine.candle(_candle(int(now // INTERVAL_MS)), now, 1)
    for _ in range(2):
        now += INTERVAL_MS
        stream.alive_ms = now
        engine.tick(now)
    writer.publish()


def _candle(bar: int) -> Candle:
    open_ms = bar * INTERVAL_MS
    prices = (_PRICE, _PRICE, _PRICE, _PRICE)
    return Candle(open_ms, open_ms + INTERVAL_MS - 1, _COIN, "1m", *prices, 1.0, 1)
