"""One websocket, against servers of another implementation, and against none at all."""

from __future__ import annotations

import errno
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha1

import anyio
import anyio.abc
import pytest
from aiohttp import WSServerHandshakeError
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from monitor.websocket import TROUBLES, WebSocket, connect

PATIENCE_S = 30.0


def meeting(
    handle: Callable[[ServerConnection], Awaitable[None]],
    body: Callable[[WebSocket], Awaitable[None]],
) -> None:
    """Run both ends of one websocket."""

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(handle, "127.0.0.1", 0, compression=None) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                async with connect(f"ws://127.0.0.1:{port}/ws", seconds=PATIENCE_S) as opened:
                    await body(opened)

    anyio.run(main)


async def heard(opened: WebSocket) -> list[bytes]:
    frames: list[bytes] = []
    await opened.listen(frames.append)
    return frames


def test_frames_come_whole_and_in_order_until_the_end_that_is_told() -> None:
    async def handle(connection: ServerConnection) -> None:
        await connection.send("one")
        await connection.send(["t", "w", "o"])
        await connection.send(b"three")
        # Not UTF-8, though a text: that is for who reads it to judge, the others are not lost.
        await connection.send(b'{"\xff":4}', text=True)
        await connection.send("x" * 1_000_000)
        await connection.close(1000, "Expired")

    async def body(opened: WebSocket) -> None:
        frames = await heard(opened)
        assert frames[:4] == [b"one", b"two", b"three", b'{"\xff":4}']
        assert frames[4] == b"x" * 1_000_000
        assert (opened.close_code, opened.close_reason) == (1000, "Expired")

    meeting(handle, body)


def test_an_end_without_a_word_is_told_from_a_goodbye() -> None:
    async def handle(connection: ServerConnection) -> None:
        await connection.send("one")
        await connection.recv()
        connection.transport.abort()

    async def body(opened: WebSocket) -> None:
        await opened.send(b"go")
        assert await heard(opened) == [b"one"]
        assert (opened.close_code, opened.close_reason) == (1006, "")
        with pytest.raises(TROUBLES):
            await opened.send(b"anybody?")

    meeting(handle, body)


def test_what_is_sent_arrives_as_text_and_pings_are_answered() -> None:
    got: list[str | bytes] = []

    async def handle(connection: ServerConnection) -> None:
        got.append(await connection.recv())
        await (await connection.ping())
        await connection.send("that is all")
        await connection.close()

    async def body(opened: WebSocket) -> None:
        await opened.send('{"method":"ping","é":1}'.encode())
        assert await heard(opened) == [b"that is all"]

    meeting(handle, body)
    assert got == ['{"method":"ping","é":1}']


@pytest.mark.parametrize("how", ["close", "abort"])
def test_it_can_be_ended_while_somebody_listens(how: str) -> None:
    ended: list[int] = []

    async def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await connection.recv()
        ended.append(connection.close_code or 0)

    async def body(opened: WebSocket) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(heard, opened)
            await anyio.wait_all_tasks_blocked()
            if how == "abort":
                opened.abort()
            else:
                await opened.close()
        while not ended:  # noqa: ASYNC110 - the other side's code
            await anyio.sleep(0.005)

    meeting(handle, body)
    assert ended == [1000 if how == "close" else 1006]


def test_somebody_who_takes_nothing_any_more_cannot_hold_it() -> None:
    """Megabytes that nobody takes are under way; `abort` does not wait for them."""

    async def main() -> None:
        async def deaf(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                request = (await stream.receive()).decode()
                key = next(
                    line.split(": ")[1]
                    for line in request.splitlines()
                    if line.lower().startswith("sec-websocket-key")
                )
                await stream.send(shaken(key))
                await over.wait()

        over = anyio.Event()
        with anyio.fail_after(PATIENCE_S):
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            async with listener, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, deaf)
                port = listener.extra(anyio.abc.SocketAttribute.local_port)
                async with (
                    connect(f"ws://127.0.0.1:{port}/", seconds=PATIENCE_S) as opened,
                    anyio.create_task_group() as ours,
                ):
                    ours.start_soon(heard, opened)
                    with anyio.move_on_after(0.2), suppress(*TROUBLES):
                        while True:
                            await opened.send(b"x" * 1_000_000)
                    opened.abort()
                over.set()
                tasks.cancel_scope.cancel()

    anyio.run(main)


def shaken(key: str) -> bytes:
    """The answer to a handshake, RFC 6455, 4.2.2."""
    proof = b64encode(sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {proof.decode()}", "", ""]).encode()


async def answered(answer: bytes, seconds: float = PATIENCE_S) -> None:
    """Ask somebody for a websocket who says this, and then nothing."""

    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)
            await over.wait()

    over = anyio.Event()
    with anyio.fail_after(PATIENCE_S):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            try:
                async with connect(f"ws://127.0.0.1:{port}/", seconds=seconds):
                    raise AssertionError("it is no websocket")
            finally:
                over.set()
                tasks.cancel_scope.cancel()


def _alone(group: BaseException) -> BaseException:
    while inner := getattr(group, "exceptions", ()):
        (group,) = inner
    return group


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", WSServerHandshakeError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", WSServerHandshakeError),
        (b"SSH-2.0-OpenSSH_9.6\r\n", TROUBLES),
        (shaken("of another"), WSServerHandshakeError),
    ],
)
def test_who_does_not_speak_it_is_refused(answer: bytes, kind: type[BaseException]) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - a group, of which the one is looked at
        anyio.run(answered, answer)
    assert isinstance(_alone(caught.value), kind)


def test_who_says_nothing_is_not_waited_for() -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        anyio.run(answered, b"", 0.1)
    assert isinstance(_alone(caught.value), TimeoutError)


def test_nobody_is_there() -> None:
    async def main(port: int) -> None:
        async with connect(f"ws://127.0.0.1:{port}/ws", seconds=PATIENCE_S):
            raise AssertionError("nobody is there")

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(TROUBLES) as caught:
        anyio.run(main, port)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.ECONNREFUSED


@pytest.mark.parametrize(("host", "by_proxy"), [("exchange.example", True), ("127.0.0.1", False)])
def test_the_environments_proxy_is_for_the_world_and_not_for_this_machine(
    host: str, by_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def main() -> None:
        async def proxy(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                asked.append((await stream.receive()).decode().splitlines()[0])

        with anyio.fail_after(PATIENCE_S):
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            async with listener, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, proxy)
                port = listener.extra(anyio.abc.SocketAttribute.local_port)
                for scheme in ("http", "https"):
                    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
                with suppress(*TROUBLES):
                    async with connect(f"wss://{host}:1/ws", seconds=PATIENCE_S):
                        raise AssertionError("nobody is there")
                tasks.cancel_scope.cancel()

    anyio.run(main)
    assert bool(asked) is by_proxy
    assert not asked or asked[0].startswith("CONNECT exchange.example:1")
