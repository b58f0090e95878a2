"""Run an embedded exchange on a loopback port."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .core import Exchange, ExchangeConfig
from .server import RateClock, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Running", "serve"]


@dataclass(frozen=True)
class Running:
    """An exchange that is being served."""

    exchange: Exchange
    clock: RateClock
    host: str
    port: int

    @property
    def api_url(self) -> str:
        """The REST base: `/info` is appended."""
        return f"http://{self._authority}"

    @property
    def ws_url(self) -> str:
        """The websocket's address."""
        return f"ws://{self._authority}/ws"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@asynccontextmanager
async def serve(
    config: ExchangeConfig | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Running]:
    """Serve while the block runs; port 0 takes a free one. On asyncio (aiohttp needs it).

    ConfigError for a config of no use, OSError for a port that is taken. At the end every socket
    is dropped.
    """
    config = config or ExchangeConfig()
    clock = RateClock(config.rate, config.start_ms)
    server = Server(Exchange(config, clock.start_ms), clock)
    port = await server.start(host, port)
    try:
        yield Running(server.exchange, clock, host, port)
    finally:
        await server.close()
