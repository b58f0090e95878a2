"""The exchange over real sockets: HTTP, websockets, and the official SDK as a client."""

from __future__ import annotations

import json
import queue
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import pytest
from aiohttp import WSMsgType

from monitor.exchange import ConfigError, ExchangeConfig, Running, serve

START_MS = 1_795_377_833_665
BTC = {"type": "candle", "coin": "BTC", "interval": "1m"}
PATIENCE_S = 60


def served(
    test: Callable[[Running, aiohttp.ClientSession], Awaitable[None]],
    config: ExchangeConfig | None = None,
) -> None:
    """Run the test against an exchange on a free port."""

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(config) as running, aiohttp.ClientSession() as client:
                await test(running, client)

    anyio.run(main)


async def say(socket: aiohttp.ClientWebSocketResponse, subscription: dict[str, Any]) -> None:
    await socket.send_json({"method": "subscribe", "subscription": subscription})


def test_http_errors_are_those_of_the_real_exchange() -> None:
    async def test(running: Running, client: aiohttp.ClientSession) -> None:
        url = running.api_url + "/info"
        kind = {"Content-Type": "application/json"}
        async with client.post(url, json={"type": "exchangeStatus"}) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/json"
            assert (await answer.json())["embedded"]["run"] == running.exchange.run
        async with client.post(url, data=b"{", headers=kind) as answer:
            assert answer.status == 400
        async with client.post(url, data=b"{}", headers={"Content-Type": "text/plain"}) as answer:
            assert answer.status == 415
        async with client.post(url, json={"type": "x"}) as answer:
            assert answer.status == 422
            assert "Failed to deserialize the JSON body" in await answer.text()
        async with client.post(url, json={"type": "meta", "dex": "x"}) as answer:
            assert (answer.status, await answer.text()) == (500, "null")
        async with client.get(url) as answer:
            assert answer.status == 405

    served(test)


def test_a_socket_gets_its_acks_then_frames_as_time_goes_on() -> None:
    async def test(running: Running, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect(running.ws_url) as socket:
            await say(socket, BTC)
            await say(socket, {"type": "bbo", "coin": "BTC"})
            seen = [json.loads((await socket.receive()).data) for _ in range(200)]
        channels = [frame["channel"] for frame in seen]
        assert channels[0] == "subscriptionResponse"
        assert {"candle", "bbo"} <= set(channels)
        times = [frame["data"]["time"] for frame in seen if frame["channel"] == "bbo"]
        assert times == sorted(times)
        assert START_MS <= times[0] < times[-1] <= running.clock.now_ms()

    served(test, ExchangeConfig(rate=60.0, start_ms=START_MS))


def test_an_unknown_coin_ends_the_connection_without_a_close_frame() -> None:
    async def test(running: Running, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect(running.ws_url) as socket:
            await say(socket, {"type": "bbo", "coin": "btc"})
            message = await socket.receive()
            assert message.type in {WSMsgType.CLOSED, WSMsgType.ERROR}
            assert socket.close_code == 1006
        assert not running.exchange.sessions

    served(test)


def test_expiry_is_a_close_frame_with_1000_expired() -> None:
    async def test(running: Running, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect(running.ws_url) as socket:
            await say(socket, BTC)
            message = await socket.receive()
            while message.type == WSMsgType.TEXT:
                message = await socket.receive()
            assert message.type == WSMsgType.CLOSE
            assert (message.data, message.extra) == (1000, "Expired")

    served(test, ExchangeConfig(rate=60.0, faults={"expire": "30"}))


def test_an_eleventh_socket_is_answered_429() -> None:
    async def test(running: Running, client: aiohttp.ClientSession) -> None:
        async with AsyncExitStack() as opened:
            connecting = [client.ws_connect(running.ws_url) for _ in range(10)]
            sockets = [await opened.enter_async_context(each) for each in connecting]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(running.ws_url)
            assert refused.value.status == 429
            assert not any(socket.closed for socket in sockets)

    served(test)


def test_a_socket_that_hears_nothing_for_a_minute_is_dropped() -> None:
    async def test(running: Running, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect(running.ws_url) as socket:
            message = await socket.receive()
            assert message.type in {WSMsgType.CLOSED, WSMsgType.ERROR}
            assert running.clock.now_ms() - START_MS >= 60_000

    served(test, ExchangeConfig(rate=120.0, start_ms=START_MS))


def test_ending_the_block_drops_open_sockets_and_frees_the_port() -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as client:
            async with AsyncExitStack() as serving:
                running = await serving.enter_async_context(serve())
                async with client.ws_connect(running.ws_url) as socket:
                    await say(socket, BTC)
                    await socket.receive()
                    await serving.aclose()
                    while (await socket.receive()).type == WSMsgType.TEXT:
                        pass
                    assert socket.close_code == 1006
            async with serve(port=running.port) as again:
                assert again.port == running.port
                with pytest.raises(OSError, match="in use"):
                    async with serve(port=running.port):
                        pass

    anyio.run(main)


def test_a_failure_in_the_block_comes_out_as_it_is_and_a_wrong_config_before_it() -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            async with serve():
                raise KeyError("mine")
        with pytest.raises(ConfigError, match="did you mean 'drop'"):
            async with serve(ExchangeConfig(faults={"dropp": "1"})):
                pass

    anyio.run(main)


def test_a_defect_of_the_core_drops_the_sockets_and_is_raised_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with (
            aiohttp.ClientSession() as client,
            serve() as running,
            client.ws_connect(running.ws_url) as socket,
        ):
            await say(socket, {"type": "bbo", "coin": "BTC"})
            await socket.receive()

            def broken(now_ms: int) -> None:
                raise ZeroDivisionError(now_ms)

            running.exchange.advance = broken  # type: ignore[method-assign]
            while (await socket.receive()).type == WSMsgType.TEXT:
                pass

    with pytest.raises(ZeroDivisionError):
        anyio.run(main)
    assert "broke down" in caplog.text


def test_the_official_sdk_is_served_by_rest_and_websocket() -> None:
    from hyperliquid.info import Info

    frames: queue.Queue[Any] = queue.Queue()
    wanted = {"candle", "bbo", "trades", "allMids", "activeAssetCtx", "activeSpotAssetCtx"}

    managers: list[Any] = []

    def use(running: Running) -> None:
        info = Info(running.api_url, perp_dexs=["", "xyz"], timeout=30)
        managers.append(info.ws_manager)
        try:
            assert {"BTC", "@107", "HYPE/USDC", "xyz:TSLA"} <= set(info.name_to_coin)
            assert info.meta()["universe"][0]["name"] == "BTC"
            assert info.spot_meta()["universe"]
            assert float(info.all_mids()["BTC"]) > 0
            assert len(info.meta_and_asset_ctxs()) == len(info.spot_meta_and_asset_ctxs()) == 2
            assert len(info.l2_snapshot("ETH")["levels"]) == 2
            now = running.clock.now_ms()
            rows = info.candles_snapshot("HYPE/USDC", "1m", now - 600_000, now)
            assert 9 <= len(rows) <= 11
            assert rows[0]["s"] == "@107"
            for sub in (
                BTC,
                {"type": "bbo", "coin": "BTC"},
                {"type": "trades", "coin": "kPEPE"},
                {"type": "allMids"},
                {"type": "activeAssetCtx", "coin": "xyz:TSLA"},
                {"type": "activeAssetCtx", "coin": "HYPE/USDC"},
            ):
                info.subscribe(dict(sub), frames.put)
            missing = set(wanted)
            while missing:
                missing.discard(frames.get(timeout=PATIENCE_S)["channel"])
        finally:
            info.session.close()

    async def test(running: Running, _: aiohttp.ClientSession) -> None:
        await anyio.to_thread.run_sync(use, running)

    # The SDK's own way to disconnect waits for ten seconds; it ends at once when it is dropped.
    try:
        served(test, ExchangeConfig(rate=10.0))
    finally:
        for manager in managers:
            manager.stop_event.set()
            manager.join(PATIENCE_S)
    assert not any(manager.is_alive() for manager in managers)
