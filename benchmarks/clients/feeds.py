"""Receivers of candle frames: a bare loop, ccxt.pro, the official SDK, with TA-Lib or without.

    python benchmarks/clients/feeds.py KIND PORT

KIND is ``bare``, ``aiohttp``, ``ccxt``, ``sdk``, ``ccxt+talib`` or ``sdk+talib``. Each prints
``ready`` when it is subscribed; then, for each line ``N`` on stdin, ``done K`` once it has seen
frame N: so many times since it was asked something was handed to the code that uses it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

import numpy as np

__all__: list[str] = []

COIN, SYMBOL, HISTORY = "BTC", "BTC/USDC:USDC", 1_440


def recompute() -> Any:
    """A function that takes a candle into a history of 1,440 rows and has TA-Lib do eight stats."""
    import talib

    rows = np.full((4, HISTORY), 100.0) + np.random.default_rng(1).random((4, HISTORY))

    def on_candle(o: float, h: float, l: float, c: float) -> None:
        rows[:, -1] = o, h, l, c
        _, high, low, close = rows
        talib.ATR(high, low, close, 14)
        talib.RSI(close, 5)
        talib.RSI(close, 14)
        talib.EMA(close, 12)
        talib.EMA(close, 26)
        talib.EMA(close, 50)
        talib.SMA(close, 20)
        talib.SMA(close, 50)

    return on_candle


class Errands:
    """What was asked for on stdin, seen from the receiving side."""

    def __init__(self) -> None:
        self.wanted = 2**62
        self.handed = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self.handed = 0
            self.wanted = int(line)
        os._exit(0)

    def seen(self, number: int) -> None:
        """Say so when it is the one; numbers only grow. Called for whatever is handed over."""
        self.handed += 1
        if number >= self.wanted:
            self.wanted = 2**62
            print(f"done {self.handed}", flush=True)


async def bare(port: int, errands: Errands) -> None:
    """The limit in pure Python: websockets receives, and nothing looks at what."""
    from websockets.asyncio.client import connect

    subscribe = (
        '{"method":"subscribe","subscription":{"type":"candle","coin":"%s","interval":"1m"}}'
    )
    async with connect(
        f"ws://127.0.0.1:{port}/ws", compression=None, ping_interval=None, proxy=None
    ) as socket:
        await socket.send(subscribe % COIN)
        await socket.recv()
        print("ready", flush=True)
        while True:
            frame = await socket.recv(decode=False)
            if errands.wanted < 2**62:
                # The number stands at the end of each frame.
                errands.seen(int(frame[frame.rindex(b":") + 1 : -2]))


async def bare_aiohttp(port: int, errands: Errands) -> None:
    """The limit of what the service receives with: aiohttp, whose parser is compiled."""
    from aiohttp import ClientSession

    async with (
        ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{port}/ws", decode_text=False) as socket,
    ):
        candles = {"type": "candle", "coin": COIN, "interval": "1m"}
        await socket.send_json({"method": "subscribe", "subscription": candles})
        await socket.receive()
        print("ready", flush=True)
        while True:
            frame = (await socket.receive()).data
            if errands.wanted < 2**62:
                errands.seen(int(frame[frame.rindex(b":") + 1 : -2]))


async def ccxt_pro(port: int, errands: Errands, on_candle: Any) -> None:
    """ccxt.pro's `watch_ohlcv`, called again and again."""
    from ccxt import pro

    exchange = pro.hyperliquid({"enableRateLimit": False, "newUpdates": True})
    exchange.urls["api"]["ws"]["public"] = f"ws://127.0.0.1:{port}/ws"
    market = exchange.safe_market_structure(
        {
            "id": "0", "symbol": SYMBOL, "base": COIN, "quote": "USDC", "settle": "USDC",
            "baseId": "0", "baseName": COIN, "quoteId": "USDC", "settleId": "USDC", "type": "swap",
            "swap": True, "contract": True, "linear": True, "active": True, "info": {"name": COIN},
            "precision": {"amount": 0.001, "price": 0.1},
        }
    )  # fmt: skip
    exchange.set_markets([market])
    exchange.markets_by_id[COIN] = [market]
    print("ready", flush=True)
    while True:
        rows = await exchange.watch_ohlcv(SYMBOL, "1m")
        *_, o, h, l, c, volume = rows[-1]
        if on_candle is not None:
            on_candle(o, h, l, c)
        errands.seen(round(volume * 1_000))


def sdk(port: int, errands: Errands, on_candle: Any) -> None:
    """The official SDK's websocket manager with a callback."""
    from hyperliquid.websocket_manager import WebsocketManager

    manager = WebsocketManager(f"http://127.0.0.1:{port}")

    def callback(message: Any) -> None:
        data = message["data"]
        if on_candle is not None:
            on_candle(float(data["o"]), float(data["h"]), float(data["l"]), float(data["c"]))
        errands.seen(data["n"])

    manager.start()
    manager.subscribe({"type": "candle", "coin": COIN, "interval": "1m"}, callback)
    print("ready", flush=True)
    manager.join()


def main(kind: str, port: int) -> None:
    """Receive until stdin ends."""
    errands = Errands()
    name, _, extra = kind.partition("+")
    on_candle = recompute() if extra else None
    if name == "bare":
        asyncio.run(bare(port, errands))
    elif name == "aiohttp":
        asyncio.run(bare_aiohttp(port, errands))
    elif name == "ccxt":
        asyncio.run(ccxt_pro(port, errands, on_candle))
    else:
        sdk(port, errands, on_candle)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
