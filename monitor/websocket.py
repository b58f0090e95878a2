"""One websocket: what comes in whole, what goes out, and how it ends; nothing of what it says.

aiohttp's client, because a frame is parsed in compiled code there: most of what the service does
in a burst is to receive (``benchmarks/bench_frames.py`` measures it beside the peers).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import anyio
from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    TCPConnector,
    WSMsgType,
)

from .urls import is_loopback

__all__ = ["TROUBLES", "WebSocket", "connect"]

TROUBLES = (ClientError, OSError, EOFError, TimeoutError)
"""What `connect` and `WebSocket.send` raise where the other side, or the way to it, is at fault."""

_MAX_FRAME = 2**22
_ABNORMAL = 1006


class WebSocket:
    """An open websocket; `connect` makes it, and closes it when its block is left.

    close_code, close_reason: what the other side said at the end; 1006 and "" if it said nothing,
    or before the end.
    """

    def __init__(self, response: ClientWebSocketResponse[bool]) -> None:
        self.close_code = _ABNORMAL
        self.close_reason = ""
        self._response = response

    async def listen(self, hear: Callable[[bytes], None]) -> None:
        """Call `hear` with each frame, until the websocket ends, for whatever reason.

        While frames are waiting there is no turn of the event loop between them: a burst is taken
        in whole before anything that `hear` scheduled runs.
        """
        receive = self._response.receive
        text, binary = WSMsgType.TEXT, WSMsgType.BINARY
        while True:
            message = await receive()
            if message.type is not text and message.type is not binary:
                break
            hear(message.data)
        if message.type is WSMsgType.CLOSE:
            self.close_code = message.data or self.close_code
            self.close_reason = message.extra or ""

    async def send(self, message: bytes) -> None:
        """Send one text frame, UTF-8; one of `TROUBLES` if it is over."""
        await self._response.send_frame(message, WSMsgType.TEXT)

    async def close(self) -> None:
        """Say goodbye, and wait a second at most for the answer; `listen` returns."""
        await self._response.close()

    def abort(self) -> None:
        """End it without a word, for somebody who does not answer; `listen` returns."""
        transport = self._response.get_extra_info("socket")
        if transport is not None:
            with contextlib.suppress(OSError):
                transport.shutdown(socket.SHUT_RDWR)


@contextlib.asynccontextmanager
async def connect(url: str, *, seconds: float) -> AsyncIterator[WebSocket]:
    """Open `url` (``ws`` or ``wss``) within so many seconds; one of `TROUBLES` if that fails.

    The environment's proxy is used, but not for this machine.
    """
    async with ClientSession(
        connector=TCPConnector(limit=1, force_close=True),
        timeout=ClientTimeout(total=None),
        trust_env=not is_loopback(url),
    ) as session:
        with anyio.fail_after(seconds):
            response = await session.ws_connect(
                # As HTTP, under whose name the environment's variables name a proxy.
                url.replace("ws", "http", 1),
                timeout=ClientWSTimeout(ws_close=1.0),
                max_msg_size=_MAX_FRAME,
                decode_text=False,
            )
        try:
            yield WebSocket(response)
        finally:
            # Also when cancelled: what is left open is complained about at exit.
            with anyio.CancelScope(shield=True):
                await response.close()
