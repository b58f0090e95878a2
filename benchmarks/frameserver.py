"""A bare exchange for benchmarks: candle frames as quick as a socket takes them, nothing decided.

It says just enough of Hyperliquid's protocol on ``/ws`` and ``/info`` for the service, for ccxt,
for the official SDK and for a bare loop to subscribe alike; the same frames then go to whoever is
connected. A frame's `n` (trades) is its number, counted from 1 over all markets, so that whoever
shows a frame's row tells which frame it was.

    python benchmarks/frameserver.py MARKETS

prints its port, then obeys one line of JSON at a time on stdin and answers each with one line:

    {"burst": 20000}                   as fast as the socket takes them, over all markets in turn
    {"rate": 200.0, "seconds": 5.0}    evenly spaced

The answer is the number of the last frame and, for a paced run, a file of ``int64[frames, 3]``:
number, market, and CLOCK_MONOTONIC in ns just before the frame was given to the socket.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

__all__: list[str] = []

MINUTE_MS = 60_000
SETTLE_MS = 1_500
SLOWEST_MS = 0.15
"""A burst stays clear of a minute's end, so much and so much a frame: it is of one minute."""
CHUNK = 200
"""Frames that a burst hands to the socket at once."""
FIRST_ROWS = 5_000
BLOCK_S = 0.5
"""A busy market's best bid and offer is told this often; a socket that says less is given up."""


def names(markets: int) -> list[str]:
    """Wire names: BTC and ETH, then invented ones."""
    return ["BTC", "ETH", *(f"C{number}" for number in range(2, markets))][:markets]


def framed(text: bytes) -> bytes:
    """A websocket text frame as a server sends it: not masked."""
    if len(text) < 126:
        return bytes((0x81, len(text))) + text
    return bytes((0x81, 126)) + len(text).to_bytes(2, "big") + text


def candle(coin: str, open_ms: int, number: int) -> bytes:
    """The state of a minute at frame `number`: the price moves a little, volume grows."""
    close = 100.0 + number % 17 / 10
    return (
        b'{"channel":"candle","data":{"t":%d,"T":%d,"s":"%b","i":"1m","o":"100.0","c":"%.1f",'
        b'"h":"102.0","l":"99.0","v":"%.3f","n":%d}}'
    ) % (open_ms, open_ms + MINUTE_MS - 1, coin.encode(), close, number / 1_000, number)


def best(coin: str) -> bytes:
    """A block's best bid and offer."""
    text = (
        '{"channel":"bbo","data":{"coin":"%s","time":%d,"bbo":'
        '[{"px":"100.0","sz":"1.0","n":1},{"px":"100.1","sz":"1.0","n":1}]}}'
    )
    return (text % (coin, time.time_ns() // 1_000_000)).encode()


class FrameServer:
    """Its sockets, its markets, and the number of the last frame that was sent."""

    def __init__(self, markets: int) -> None:
        self.coins = names(markets)
        self.number = 0
        self._owners: dict[str, Any] = {}
        self._beacons: dict[Any, str] = {}
        self._bodies: dict[tuple[int, int], str] = {}

    # -- protocol ----------------------------------------------------------------------------

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """One client, from its handshake to its end."""
        socket = web.WebSocketResponse(compress=False, autoping=True)
        await socket.prepare(request)
        transport = request.transport
        async for message in socket:
            if message.type is not WSMsgType.TEXT or transport is None:
                continue
            asked = json.loads(message.data)
            if asked["method"] == "ping":
                transport.write(framed(b'{"channel":"pong"}'))
            elif asked["method"] == "subscribe":
                answer = json.dumps({"channel": "subscriptionResponse", "data": asked})
                transport.write(framed(answer.encode()))
                if asked["subscription"]["type"] == "candle":
                    self._owners[asked["subscription"]["coin"]] = transport
                elif asked["subscription"]["type"] == "bbo":
                    self._beacons[transport] = asked["subscription"]["coin"]
        self._beacons.pop(transport, None)
        for coin in [coin for coin, owner in self._owners.items() if owner is transport]:
            del self._owners[coin]
        return socket

    async def blocks(self) -> None:
        """Tell those who asked for it the time of the newest block, for ever."""
        while True:
            for transport, coin in self._beacons.items():
                transport.write(framed(best(coin)))
            await asyncio.sleep(BLOCK_S)

    async def info(self, request: web.Request) -> web.Response:
        """REST: a clock, perpetuals without end, and flat histories."""
        asked = await request.json()
        now = time.time_ns() // 1_000_000
        universe = [{"name": coin, "szDecimals": 3, "maxLeverage": 5} for coin in self.coins]
        answers: dict[str, Any] = {
            "exchangeStatus": {"time": now, "specialStatuses": None},
            "allPerpMetas": [{"universe": universe, "marginTables": [], "collateralToken": 0}],
            "meta": {"universe": universe, "marginTables": [], "collateralToken": 0},
            "spotMeta": {"universe": [], "tokens": []},
            "perpDexs": [None],
        }
        if asked["type"] == "candleSnapshot":
            wanted = asked["req"]
            start, end = wanted["startTime"], wanted.get("endTime", now)
            text = self._history(wanted["coin"], start, end, now)
            return web.Response(text=text, content_type="application/json")
        return web.json_response(answers[asked["type"]])

    def _history(self, coin: str, start: int, end: int, now: int) -> str:
        first = max(start // MINUTE_MS, now // MINUTE_MS - FIRST_ROWS + 1)
        last = min(end, now) // MINUTE_MS
        if (first, last) not in self._bodies:
            rows = [
                candle("COIN", bar * MINUTE_MS, 0)[len(b'{"channel":"candle","data":') : -1]
                .decode()
                .replace('"n":0', '"n":7')
                for bar in range(first, last + 1)
            ]
            self._bodies = {(first, last): "[" + ",".join(rows) + "]"}
        return self._bodies[first, last].replace("COIN", coin)

    # -- frames ------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Wait until every market is subscribed."""
        while len(self._owners) < len(self.coins):  # noqa: ASYNC110 - seldom, and nothing is timed
            await asyncio.sleep(0.01)

    async def burst(self, frames: int) -> dict[str, Any]:
        """Send `frames`, rendered beforehand, as fast as the sockets take them."""
        await self.ready()
        left = MINUTE_MS - time.time_ns() // 1_000_000 % MINUTE_MS
        if left < SETTLE_MS + frames * SLOWEST_MS:
            await asyncio.sleep(left / 1_000 + 0.5)
        open_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
        coins, first = self.coins, self.number + 1
        self.number += frames
        batches = []
        for start in range(first, first + frames, CHUNK):
            parts: dict[Any, list[bytes]] = {}
            for number in range(start, min(start + CHUNK, first + frames)):
                coin = coins[number % len(coins)]
                frame = framed(candle(coin, open_ms, number))
                parts.setdefault(self._owners[coin], []).append(frame)
            batches += [(owner, b"".join(some)) for owner, some in parts.items()]
        began = time.monotonic_ns()
        for owner, some in batches:
            owner.write(some)
            while owner.get_write_buffer_size() > 2**16:  # noqa: ASYNC110 - the burst's own pace
                await asyncio.sleep(0)
        return {"last": self.number, "began_ns": began}

    async def pace(self, rate: float, seconds: float) -> dict[str, Any]:
        """Send evenly spaced frames; each is rendered when it is due."""
        await self.ready()
        frames = int(rate * seconds)
        sent = np.empty((frames, 3), np.int64)
        coins = self.coins
        began = time.monotonic_ns()
        for k in range(frames):
            due = began + int(k / rate * 1e9)
            wait = due - time.monotonic_ns()
            if wait > 0:
                await asyncio.sleep(wait / 1e9)
            self.number += 1
            market = self.number % len(coins)
            open_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
            frame = framed(candle(coins[market], open_ms, self.number))
            sent[k] = self.number, market, time.monotonic_ns()
            self._owners[coins[market]].write(frame)
        with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
            np.save(file, sent)
        return {"last": self.number, "began_ns": began, "sent": file.name}


async def main(markets: int) -> None:
    """Serve until stdin ends."""
    server = FrameServer(markets)
    app = web.Application()
    app.router.add_post("/info", server.info)
    app.router.add_get("/ws", server.socket)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    loop = asyncio.get_running_loop()
    blocks = loop.create_task(server.blocks())
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        if "burst" in asked:
            answer = await server.burst(asked["burst"])
        else:
            answer = await server.pace(asked["rate"], asked["seconds"])
        print(json.dumps(answer), flush=True)
    blocks.cancel()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
