"""What does the whole exchange cost? 630 markets with 8 stats, at 200 and at 1,200 frames a second.

A server in a process of its own acknowledges subscriptions and sends candle frames, evenly over
time and markets; each carries the moment at which it was sent. The service's sockets, engine and
store run in this process, as in a service, with their histories filled beforehand (REST's budget is
another matter: `python -m monitor check` says how long a first fill takes). The delay is from the
sending of a frame until readers have been told of its row.

    python benchmarks/scale.py --markets 630 --rates 200 1200 --seconds 130

Prints JSON: the process's share of one CPU, resident memory without and with the store, frames a
second that arrived, and percentiles of the delay in milliseconds. Give it two minutes or more: the
turn of a minute, when every market gets a new row, is the hardest moment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from indicators import plan
from monitor.book import INTERVAL_MS
from monitor.budget import ConnectionBudget, MessageBudget, SubscriptionBudget, WeightBudget
from monitor.clock import ExchangeClock
from monitor.feed import Connection
from monitor.ledger import Stream
from monitor.markets import Market
from monitor.protocol import Candle
from monitor.rest import InfoClient
from monitor.serving import Service
from monitor.settings import Settings
from monitor.sharing import plan as share_out
from monitor.store import source_of, spec_of
from monitor.warming import warm
from ringbuf.writer import create

STATS = ("ATR14", "RSI5", "EMA20", "SMA50", "MACD12_26_9", "BB20_2", "ADX14", "OBV")
SLICE_S = 0.005


class Pump:
    """The server: `rate` candle frames a second over all sockets that subscribe."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._listeners: list[tuple[ServerConnection, str]] = []
        self._trades = 0

    async def handle(self, socket: ServerConnection) -> None:
        """Acknowledge, answer pings."""
        with suppress(ConnectionClosed):
            async for message in socket:
                document = json.loads(message)
                if document["method"] == "ping":
                    await socket.send('{"channel":"pong"}')
                    continue
                data = {"method": "subscribe", "subscription": document["subscription"]}
                await socket.send(json.dumps({"channel": "subscriptionResponse", "data": data}))
                if document["subscription"]["type"] == "candle":
                    self._listeners.append((socket, document["subscription"]["coin"]))
                else:
                    self._listeners.append((socket, ""))

    async def run(self) -> None:
        """Send frames in time."""
        began, sent = time.monotonic(), 0
        while True:
            await asyncio.sleep(SLICE_S)
            due = int((time.monotonic() - began) * self._rate)
            for _ in range(due - sent if self._listeners else 0):
                socket, coin = self._listeners[sent % len(self._listeners)]
                sent += 1
                with suppress(ConnectionClosed):
                    await socket.send(self._frame(coin))
            sent = due

    def _frame(self, coin: str) -> str:
        now_ms = time.time_ns() // 1_000_000
        if not coin:
            data: dict[str, Any] = {"coin": "M0", "time": now_ms, "bbo": [None, None]}
            return json.dumps({"channel": "bbo", "data": data})
        self._trades += 1
        open_ms = now_ms // INTERVAL_MS * INTERVAL_MS
        price = f"{100 + self._trades % 97 / 100}"
        data = {"t": open_ms, "T": open_ms + INTERVAL_MS - 1, "s": coin, "i": "1m"}
        data |= {"o": "100.0", "c": price, "h": "101.0", "l": "99.0"}
        data |= {"v": f"{time.monotonic():.6f}", "n": self._trades}
        return json.dumps({"channel": "candle", "data": data})


def pump(rate: float, port: Any) -> None:
    """Run the server; its port goes into `port`."""

    async def main() -> None:
        one = Pump(rate)
        async with serve(one.handle, "127.0.0.1", 0, compression=None) as server:
            port.put(next(iter(server.sockets)).getsockname()[1])
            await one.run()

    asyncio.run(main())


class Measured(Service):
    """A service that notes how long after its sending each frame is published."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.delays: list[float] = []
        self._pending: list[float] = []

    def candle(self, candle: Candle, stream: Stream) -> None:
        """As the service; the frame's volume is when it was sent."""
        self._pending.append(candle.volume)
        super().candle(candle, stream)

    def _publish(self) -> None:
        super()._publish()
        now = time.monotonic()
        self.delays += [now - sent for sent in self._pending]
        self._pending.clear()


def fill(service: Service, now_ms: float) -> None:
    """A first history for every market, as REST would have it."""
    for ask in service.engine.history.wanted(now_ms):
        coin = service.engine.book.coins[ask.market]
        rows = []
        for bar in range(ask.first, ask.last + 1):
            price = 100.0 + bar * 7 % 13 / 10
            begin = bar * INTERVAL_MS
            end = begin + INTERVAL_MS - 1
            rows.append(Candle(begin, end, coin, "1m", price, price + 1, price - 1, price, 5.0, 9))
        service.engine.history.sent(ask)
        service.engine.history.answer(ask, rows, now_ms, time.monotonic_ns())


def resident_mib() -> dict[str, float]:
    """Resident memory of this process: its own, and the store's pages."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"RssAnon", "RssFile", "RssShmem"}:
            found[name] = int(value.split()[0]) / 1024
    return {
        "own": round(found["RssAnon"] + found["RssFile"], 1),
        "store": round(found["RssShmem"], 1),
    }


async def measure(markets: int, rate: float, seconds: float, url: str, name: str) -> dict[str, Any]:
    """One run."""
    listed = tuple(
        Market(f"m{k}usd_perp", f"M{k}", "perp", "", False, 2, k) for k in range(markets)
    )
    settings = Settings(
        segment=name, stats=STATS, ws_url=url, api_url="http://127.0.0.1:1", subscriptions=1_000
    )
    stats = plan(settings.stats, history=settings.history)
    warm(stats)
    clock = ExchangeClock()
    clock.observe(time.time_ns() / 1e6, trusted=True)
    weights = WeightBudget()
    with create(spec_of(settings, listed, stats, source_of(settings, None))) as writer:
        async with InfoClient(settings.api_url, weights, clock) as client:
            service = Measured(settings, listed, stats, writer, client, clock, weights, "M0")
            service._loop = asyncio.get_running_loop()
            budgets: dict[str, Any] = {
                "connections": ConnectionBudget(),
                "messages": MessageBudget(),
                "subscriptions": SubscriptionBudget(1_000),
            }
            shares = share_out([market.coin for market in listed], subscriptions=1_000)
            async with anyio.create_task_group() as tasks:
                for number, share in enumerate(shares):
                    connection = Connection(
                        str(number), url, share, "M0", service, clock, **budgets
                    )
                    tasks.start_soon(connection.run)
                tasks.start_soon(service._tick)
                tasks.start_soon(service._beat)
                tasks.start_soon(service._stalls.look)
                ledgers = service.engine.book.ledgers
                while not all(ledger.streams for ledger in ledgers):  # noqa: ASYNC110
                    await anyio.sleep(0.05)
                fill(service, clock.now_ms())
                await anyio.sleep(2.0)
                service.delays.clear()
                frames, began = service.engine.book.counters["frames"], time.monotonic()
                used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
                await anyio.sleep(seconds)
                took = time.monotonic() - began
                used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - used
                frames = service.engine.book.counters["frames"] - frames
                tasks.cancel_scope.cancel()
            live = sum(ledger.filled for ledger in ledgers)
        delays = np.percentile(np.array(service.delays) * 1_000, [50, 99, 99.9, 100])
        return {
            "markets": markets,
            "filled": live,
            "sockets": len(shares),
            "on_two_sockets": len(shares and set().union(*(share.paired for share in shares))),
            "seconds": round(took, 1),
            "frames_s": round(frames / took, 1),
            "cpu": round(used / took, 4),
            "rss_mib": resident_mib(),
            "delay_ms": dict(
                zip(("p50", "p99", "p99.9", "max"), np.round(delays, 2).tolist(), strict=True)
            ),
        }


def main() -> None:
    """Measure at each rate, print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--markets", type=int, default=630)
    parser.add_argument("--rates", type=float, nargs="+", default=[200.0, 1_200.0])
    parser.add_argument("--seconds", type=float, default=130.0)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for number, rate in enumerate(given.rates):
        port = context.Queue()
        server = context.Process(target=pump, args=(rate, port), daemon=True)
        server.start()
        try:
            url = f"ws://127.0.0.1:{port.get(timeout=30)}/ws"
            name = f"scale_{os.getpid()}_{number}"
            try:
                found = anyio.run(measure, given.markets, rate, given.seconds, url, name)
            finally:
                for left in (name, f"{name}.keep", f"{name}.lock"):
                    (Path("/dev/shm") / left).unlink(missing_ok=True)
            print(json.dumps({"rate": rate, **found}), flush=True)
        finally:
            server.kill()
            server.join()


if __name__ == "__main__":
    main()
