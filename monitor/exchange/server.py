"""The thin shell: sockets and HTTP around the core. Nothing is decided here."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from .errors import ConfigError, RefusedConnection

if TYPE_CHECKING:
    from random import Random

    from .core import Exchange
    from .sessions import Session

__all__ = ["RateClock", "Server"]

_LOG = logging.getLogger(__name__)
_LARGEST_BODY = 1 << 20
_TICK_S = 0.02
_SHORTEST_TICK_S = 0.001
_LOOK_S = 0.05
_LONGEST_PAUSE_S = 0.1


class RateClock:
    """The exchange's time: `start_ms` now, `rate` times as fast as the monotonic clock."""

    def __init__(self, rate: float, start_ms: int | None) -> None:
        """Start now; `start_ms` None: at the wall clock's time."""
        self.rate = rate
        self.start_ms = round(time() * 1000) if start_ms is None else start_ms
        self._zero = monotonic()

    def now_ms(self) -> int:
        """The exchange's time."""
        return self.start_ms + int((monotonic() - self._zero) * 1000 * self.rate)

    def seconds_until(self, ms: int) -> float:
        """Real seconds until the exchange's time is `ms`."""
        return (ms - self.start_ms) / 1000 / self.rate - (monotonic() - self._zero)


class Server:
    """Serves one exchange. Made, started and closed on one event loop."""

    def __init__(self, exchange: Exchange, clock: RateClock) -> None:
        """Nothing runs before `start`."""
        self.exchange = exchange
        self.clock = clock
        self._wake = asyncio.Event()
        self._ready: dict[int, tuple[asyncio.Event, asyncio.Transport]] = {}
        self._pacer: asyncio.Task[None] | None = None
        # Many events of one moment are sent in one go; a quicker clock needs a finer grid.
        self._tick_s = max(_SHORTEST_TICK_S, _TICK_S / clock.rate)
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_post("/info", self._info)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/faults", self._faults)
        app.router.add_post("/faults", self._faults)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port. OSError when it is taken."""
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, host, port)
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._pacer = asyncio.create_task(self._pace(), name="embedded exchange")
        listening = self._runner.addresses[0]
        return int(listening[1])

    async def close(self) -> None:
        """End every socket at once, then the server; raises what the pacer failed with."""
        pacer = self._pacer
        if pacer is not None:
            pacer.cancel()
        self._drop_all()
        await self._runner.cleanup()
        if pacer is not None:
            with suppress(asyncio.CancelledError):
                await pacer

    def _advance(self) -> None:
        self.exchange.advance(self.clock.now_ms())

    def _drop_all(self) -> None:
        for _, transport in self._ready.values():
            transport.abort()

    def _flush(self) -> None:
        """Wake the senders that have something to do; drop the sockets that are to be dropped.

        A sender may wait for a client that does not read: dropping does not wait for the sender.
        """
        for number, session in self.exchange.sessions.items():
            if number not in self._ready:
                continue
            ready, transport = self._ready[number]
            if session.half_open and isinstance(transport, asyncio.ReadTransport):
                # Not even the pings of the websocket protocol are answered any more.
                transport.pause_reading()
            if session.waiting:
                ready.set()
                if session.closing is not None and session.closing.code is None:
                    transport.abort()

    async def _pace(self) -> None:
        """Advance the exchange whenever something is due."""
        try:
            while True:
                self._advance()
                self._flush()
                self._wake.clear()
                due = self.exchange.next_due_ms()
                pause = None if due is None else self.clock.seconds_until(due)
                if pause is not None and pause < self._tick_s:
                    await asyncio.sleep(self._tick_s)
                    continue
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)
        except Exception:
            _LOG.exception("the embedded exchange broke down; its sockets are dropped")
            self._drop_all()
            raise

    async def _info(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._advance()
        content_type = request.headers.get("Content-Type", "")
        status, text, fault = self.exchange.info(body, content_type)
        self._flush()
        if fault:
            await self._fail(request, text, fault)
        # The real exchange says its refusals in plain text.
        kind = "text/plain" if status in {400, 415, 422} else "application/json"
        return web.Response(status=status, text=text, content_type=kind)

    @staticmethod
    async def _fail(request: web.Request, text: str, fault: str) -> None:
        """Do not answer until the client gives up, or break off in the middle."""
        transport = request.transport
        if fault == "http_truncated":
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.content_length = len(text.encode()) + 1
            await response.prepare(request)
            await response.write(text.encode())
        else:
            # aiohttp tells nobody that a client has gone.
            while transport is not None and not transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
        if transport is not None:
            transport.abort()

    async def _faults(self, request: web.Request) -> web.Response:
        """Say which faults are on and how often each struck; switch those of a POST's object."""
        faults = self.exchange.faults
        try:
            if request.method == "POST":
                document = await request.json()
                if not isinstance(document, dict):
                    raise ConfigError("faults", document, 'an object such as {"drop": 30}')
                faults.update(document)
                self._advance()
                self._flush()
                self._wake.set()
        except (ValueError, ConfigError) as error:
            return web.Response(status=422, text=str(error))
        counts = {name: count for name, count in faults.counts.items() if count}
        return web.json_response({"faults": faults.values, "counts": counts})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self._advance()
        try:
            session = self.exchange.connect()
        except RefusedConnection:
            return web.Response(status=429, text="null", content_type="application/json")
        socket = web.WebSocketResponse(compress=False, timeout=1.0)
        sender: asyncio.Task[None] | None = None
        transport = request.transport
        try:
            await socket.prepare(request)
            if transport is None:
                return socket
            ready = asyncio.Event()
            self._ready[session.number] = (ready, transport)
            self._wake.set()
            sender = asyncio.create_task(self._send(session, socket, ready, transport))
            async for message in socket:
                if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    self._advance()
                    self.exchange.receive(session, message.data)
                    self._flush()
                    self._wake.set()
        finally:
            self.exchange.disconnect(session)
            self._ready.pop(session.number, None)
            if sender is not None:
                sender.cancel()
                with suppress(asyncio.CancelledError):
                    await sender
        return socket

    async def _send(
        self,
        session: Session,
        socket: web.WebSocketResponse,
        ready: asyncio.Event,
        transport: asyncio.Transport,
    ) -> None:
        """Write the session's frames; say goodbye if the session ends so."""
        faults, dice = self.exchange.faults, self.exchange.faults.dice("pieces", session.number)
        with suppress(ConnectionError):
            while session.closing is None:
                await ready.wait()
                ready.clear()
                for frame in session.take():
                    if faults.hits("fragment", dice):
                        await _in_pieces(transport, frame, dice)
                    else:
                        await socket.send_str(frame)
            code, reason = session.closing.code, session.closing.reason
            if code is not None:
                await socket.close(code=code, message=reason.encode())


async def _in_pieces(transport: asyncio.Transport, frame: str, dice: Random) -> None:
    """Send one message as three websocket fragments, with pauses between them."""
    data = frame.encode()
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    fragments = (data[: cuts[0]], data[cuts[0] : cuts[1]], data[cuts[1] :])
    # Text, then two continuations, the last one final; a pong may come between them.
    for head, part in zip((b"\x01", b"\x00", b"\x80"), fragments, strict=True):
        if transport.is_closing():
            return
        transport.write(head + _length(len(part)) + part)
        await asyncio.sleep(dice.random() * _LONGEST_PAUSE_S)


def _length(size: int) -> bytes:
    if size < 126:
        return bytes([size])
    return (
        b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")
    )
