"""REST: ``POST /info``, within the weight budget, tried again where that may help.

`InfoClient` sends; what it sends and what the answers mean is `protocol`'s, what it may spend
`budget`'s, how long it waits between attempts `backoff`'s. Every attempt is paid for: the exchange
counts the failed ones too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType

import aiohttp
import anyio
import msgspec

from monitor import protocol
from monitor.backoff import delays, retryable
from monitor.budget import CANDLES_KEPT, WeightBudget, weight_of
from monitor.clock import Clock
from monitor.errors import RestError
from monitor.markets import Universe
from monitor.protocol import INTERVAL_MS, Candle, ExchangeStatus
from monitor.urls import is_loopback
from monitor.wire import DayVolume

__all__ = ["ATTEMPTS", "InfoClient"]

ATTEMPTS = 6
"""Requests sent at most for one answer: with the delays below, about half a minute of trying."""

_BASE_DELAY_S = 0.5
_CAP_DELAY_S = 20.0
_CONNECT_S = 5.0
_TOTAL_S = 20.0
# The exchange drops connections that were silent for about three minutes; drop them before.
_KEEP_ALIVE_S = 60.0
_CONNECTIONS = 8
_EXCERPT = 200
_encode = msgspec.json.encode


class InfoClient:
    """Client of one exchange's ``/info``; use it with ``async with``.

    `api_url` goes without ``/info``. `budget` may be shared with others; its times are `clock`'s.
    Delays between attempts are seconds of this machine, whatever the clock's rate: they protect a
    network. `sleep`, `rng` and the time-outs can be replaced for tests. One instance belongs to
    one event loop; any number of its tasks may ask at once.
    """

    def __init__(
        self,
        api_url: str,
        budget: WeightBudget,
        clock: Clock,
        *,
        attempts: int = ATTEMPTS,
        total_s: float = _TOTAL_S,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.url = f"{api_url.rstrip('/')}/info"
        self.requests = 0
        self.retries = 0
        self._budget = budget
        self._clock = clock
        self._attempts = attempts
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=_CONNECT_S)
        self._sleep = sleep
        self._rng = rng if rng is not None else random.Random()
        self._session: aiohttp.ClientSession | None = None
        # One waiting line for each lane: who waits first goes first, and the urgent do not stand
        # behind the others.
        self._lines = (anyio.Lock(), anyio.Lock())

    async def __aenter__(self) -> InfoClient:
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, trust_env=not is_loopback(self.url)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(
        self, document: dict[str, object], *, rows: int = 0, urgent: bool = False
    ) -> bytes:
        """Send one request and return the body of its 200.

        `rows` is how many rows the answer is expected to have, for its weight; `urgent` may use
        the burst of the budget. Raises `RestError` once trying again makes no sense.
        """
        name = str(document.get("type", "?"))
        weight = weight_of(name, rows)
        waits = delays(_BASE_DELAY_S, _CAP_DELAY_S, self._rng)
        stale_allowed = True
        attempt = 0
        while True:
            await self._pay(weight, urgent)
            attempt += 1
            status: int | None = None
            try:
                status, body = await self._send(_encode(document))
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError, EOFError) as error:
                again, reason = retryable(error), _describe(error)
                if stale_allowed and _broke_off(error):
                    # A kept connection that had died already: the next one is fresh, at once.
                    stale_allowed = False
                    attempt -= 1
                    self.retries += 1
                    continue
            else:
                if status == 200:
                    return body
                # 500 with null is the exchange's way of saying that it knows no such name.
                again = retryable(status) and not (status == 500 and body.strip() == b"null")
                reason = _beginning(body)
            if not again or attempt >= self._attempts:
                raise RestError(
                    name,
                    self.url,
                    status,
                    reason,
                    attempt,
                    refused=status is not None and not again,
                )
            self.retries += 1
            await self._wait(waits, status)

    async def _wait(self, waits: Iterator[float], status: int | None) -> None:
        delay = next(waits)
        if status == 429:
            # Too much, says the exchange, whoever of this address spent it: everybody waits.
            delay = max(delay, _BASE_DELAY_S)
            self._budget.pause(self._clock.now_ms() + delay * 1_000.0 * self._clock.rate)
        await self._sleep(delay)

    async def _pay(self, weight: int, urgent: bool) -> None:
        async with self._lines[urgent]:
            while (now := self._clock.now_ms()) < (
                ready := self._budget.reserve(weight, now, urgent=urgent)
            ):
                await self._clock.sleep_until(ready)

    async def _send(self, body: bytes) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("InfoClient is not open: use it with 'async with'")
        self.requests += 1
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self.url, data=body, headers=headers) as response:
            return response.status, await response.read()

    async def candles(
        self,
        coin: str,
        start_ms: int,
        end_ms: int,
        interval: str = "1m",
        *,
        urgent: bool = False,
    ) -> list[Candle]:
        """Candles of `coin` that overlap [start_ms, end_ms], ascending; the newest may be open.

        The exchange knows the last 5,000 of each market only, and none after its last trade.
        """
        start = max(0, start_ms)
        length = INTERVAL_MS.get(interval, INTERVAL_MS["1w"])
        expected = min(max(0, end_ms - start) // length + 1, CANDLES_KEPT)
        request = {"coin": coin, "interval": interval, "startTime": start, "endTime": end_ms}
        document: dict[str, object] = {"type": "candleSnapshot", "req": request}
        body = await self.post(document, rows=expected, urgent=urgent)
        rows = protocol.decode_candles(body)
        self._budget.debit_rows("candleSnapshot", expected, len(rows), self._clock.now_ms())
        return rows

    async def exchange_status(self) -> ExchangeStatus:
        """The exchange's own clock, and whether it is an embedded one."""
        body = await self.post({"type": "exchangeStatus"}, urgent=True)
        return protocol.decode_exchange_status(body)

    async def universe(self, *, urgent: bool = True) -> Universe:
        """Every listed market, freshly read (weight 40)."""
        perps = await self.post({"type": "allPerpMetas"}, urgent=urgent)
        spot = await self.post({"type": "spotMeta"}, urgent=urgent)
        return Universe.from_documents(
            protocol.decode_all_perp_metas(perps), protocol.decode_spot_meta(spot)
        )

    async def day_volumes(self, dex: str | None, *, urgent: bool = False) -> dict[str, DayVolume]:
        """Contexts of every market of a dex ("" the first; None: spot), by coin; weight 20."""
        document: dict[str, object] = {"type": "spotMetaAndAssetCtxs"}
        if dex is not None:
            document["type"] = "metaAndAssetCtxs"
        if dex:
            document["dex"] = dex
        return protocol.decode_day_volumes(await self.post(document, urgent=urgent))


def _broke_off(error: BaseException) -> bool:
    """Tell a connection that ended from one that could not be made."""
    return isinstance(
        error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
    ) and not isinstance(error, aiohttp.ClientConnectorError)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _beginning(body: bytes) -> str:
    text = " ".join(body[:_EXCERPT].decode("utf-8", "replace").split())
    return text + ("..." if len(body) > _EXCERPT else "")
