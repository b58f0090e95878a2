"""REST over real loopback sockets: paid for, tried again where it helps, clear when it does not."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from aiohttp import web

from monitor.budget import WINDOW_MS, WeightBudget
from monitor.clock import ManualClock
from monitor.errors import ProtocolError, RestError
from monitor.rest import ATTEMPTS, InfoClient

NOW = 1_791_278_880_000
ROW = {
    "t": NOW,
    "T": NOW + 59_999,
    "s": "BTC",
    "i": "1m",
    "o": "1.0",
    "c": "2.0",
    "h": "2.0",
    "l": "1.0",
    "v": "3.0",
    "n": 4,
}

Reply = tuple[int, bytes] | str


class Exchange:
    """Answers with the replies given, in order, the last one for ever.

    A reply is (status, body), or "drop" (close without an answer), "cut" (close in mid-body), or
    "hang" (never answer).
    """

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.seen: list[dict[str, Any]] = []
        self.connections: set[object] = set()
        self.leave = anyio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Content-Type"] == "application/json"
        self.seen.append(json.loads(await request.read()))
        transport = request.transport
        assert transport is not None
        self.connections.add(transport.get_extra_info("peername"))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, tuple):
            return web.Response(status=reply[0], body=reply[1])
        if reply == "hang":
            await self.leave.wait()
        if reply == "cut":
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"[")
        transport.close()
        return web.Response()


@asynccontextmanager
async def serving(exchange: Exchange) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/info", exchange.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        exchange.leave.set()
        await runner.cleanup()


class Bench:
    """A client of an exchange that answers as told, with time that only passes when slept."""

    def __init__(self, *replies: Reply, total_s: float = 20.0, budget: int = 600) -> None:
        self.exchange = Exchange(*replies)
        self.clock = ManualClock(float(NOW), auto=True)
        self.budget = WeightBudget(budget, max(budget, 1_000))
        self.slept: list[float] = []
        self.total_s = total_s
        self.client: InfoClient

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds * 1_000)
        await anyio.lowlevel.checkpoint()

    def run(self, use: Callable[[InfoClient], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with serving(self.exchange) as url:
                self.client = InfoClient(
                    url,
                    self.budget,
                    self.clock,
                    sleep=self.sleep,
                    rng=random.Random(1),
                    total_s=self.total_s,
                )
                with anyio.fail_after(60):
                    async with self.client:
                        return await use(self.client)

        return anyio.run(main)


async def _status(client: InfoClient) -> bytes:
    return await client.post({"type": "exchangeStatus"})


def test_a_request_is_posted_as_json_and_paid_for() -> None:
    bench = Bench((200, b"{}"))
    assert bench.run(_status) == b"{}"
    assert bench.exchange.seen == [{"type": "exchangeStatus"}]
    assert bench.budget.total == 2
    assert bench.slept == []


def test_candles_are_asked_for_with_both_ends_and_decoded() -> None:
    bench = Bench((200, json.dumps([ROW]).encode()))
    rows = bench.run(lambda client: client.candles("BTC", -5, NOW))
    assert [row.close for row in rows] == [2.0]
    assert bench.exchange.seen == [
        {
            "type": "candleSnapshot",
            "req": {"coin": "BTC", "interval": "1m", "startTime": 0, "endTime": NOW},
        }
    ]
    assert bench.budget.total == 104


def test_a_short_range_is_cheap_and_more_rows_than_asked_are_charged() -> None:
    bench = Bench((200, json.dumps([ROW]).encode()))
    bench.run(lambda client: client.candles("BTC", NOW, NOW + 59_999))
    assert bench.budget.total == 21
    bench = Bench((200, json.dumps([ROW] * 130).encode()))
    bench.run(lambda client: client.candles("BTC", NOW, NOW + 59_999))
    assert bench.budget.total == 23


def test_a_coarser_interval_costs_by_its_own_rows() -> None:
    bench = Bench((200, b"[]"))
    bench.run(lambda client: client.candles("BTC", 0, 86_400_000 * 100, "1d"))
    assert bench.budget.total == 22


@pytest.mark.parametrize("reply", [(429, b""), (500, b"oops"), (502, b""), (503, b""), "cut"])
def test_passing_troubles_are_tried_again_with_a_wait(reply: Reply) -> None:
    bench = Bench(reply, reply, (200, b"{}"))
    assert bench.run(_status) == b"{}"
    assert len(bench.exchange.seen) == 3
    assert len(bench.slept) == 2
    assert all(wait <= 20.0 for wait in bench.slept)
    assert bench.client.retries == 2
    assert bench.budget.total == 6


def test_a_time_out_is_tried_again() -> None:
    bench = Bench("hang", (200, b"{}"), total_s=0.2)
    assert bench.run(_status) == b"{}"
    assert len(bench.slept) == 1


def test_429_pauses_everybody_who_shares_the_budget() -> None:
    bench = Bench((429, b""), (200, b"{}"))
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(bench.budget.reserve(2, bench.clock.now_ms(), urgent=True))
        bench.clock.advance(seconds * 1_000)

    bench.sleep = sleep  # type: ignore[method-assign]
    bench.run(_status)
    assert paused[0] >= NOW + 500


def test_a_dead_kept_connection_costs_no_wait() -> None:
    bench = Bench((200, b"{}"), "drop", (200, b'{"second":1}'))

    async def twice(client: InfoClient) -> bytes:
        await _status(client)
        return await _status(client)

    assert bench.run(twice) == b'{"second":1}'
    assert bench.slept == []
    assert len(bench.exchange.connections) == 2


def test_a_server_that_always_hangs_up_is_given_up_after_waiting() -> None:
    bench = Bench("drop")
    with pytest.raises(RestError) as caught:
        bench.run(_status)
    assert caught.value.status is None
    assert caught.value.attempts == ATTEMPTS
    assert "ServerDisconnectedError" in caught.value.reason
    assert not caught.value.refused
    assert len(bench.slept) == ATTEMPTS - 1


@pytest.mark.parametrize(
    "reply",
    [
        (422, b"Failed to deserialize the JSON body into the target type"),
        (400, b"bad"),
        (404, b""),
        (405, b""),
        (415, b""),
        (500, b"null"),
    ],
)
def test_refusals_are_not_tried_again_and_say_what_the_exchange_said(
    reply: tuple[int, bytes],
) -> None:
    bench = Bench(reply)
    with pytest.raises(RestError) as caught:
        bench.run(_status)
    assert caught.value.status == reply[0]
    assert caught.value.reason == reply[1].decode()
    assert caught.value.refused
    assert str(caught.value).startswith("exchangeStatus at http://127.0.0.1:")
    assert len(bench.exchange.seen) == 1


def test_a_long_answer_is_shown_by_its_beginning() -> None:
    bench = Bench((404, b"x \n" * 5_000))
    with pytest.raises(RestError) as caught:
        bench.run(_status)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_nobody_listening_is_an_error_after_as_many_attempts() -> None:
    bench = Bench((200, b"{}"))

    async def elsewhere(_: InfoClient) -> None:
        async with serving(Exchange((200, b""))) as url:
            pass
        client = InfoClient(url, bench.budget, bench.clock, sleep=bench.sleep, attempts=3)
        async with client:
            await client.exchange_status()

    with pytest.raises(RestError, match=r"no answer .* after 3 attempts"):
        bench.run(elsewhere)
    assert len(bench.slept) == 2


def test_who_is_over_the_budget_waits_on_the_exchange_s_clock() -> None:
    bench = Bench((200, b"[]"), budget=60)

    async def three(client: InfoClient) -> None:
        for _ in range(3):
            await client.candles("BTC", NOW, NOW)

    bench.run(three)
    assert bench.clock.now_ms() == NOW + WINDOW_MS
    assert bench.slept == []


def test_the_urgent_do_not_stand_in_line_behind_the_background() -> None:
    bench = Bench((200, b"[]"), budget=60)
    bench.clock = ManualClock(float(NOW))
    done: list[str] = []

    async def ask(client: InfoClient, name: str, urgent: bool) -> None:
        await client.candles(name, NOW, NOW, urgent=urgent)
        done.append(name)

    async def main(client: InfoClient) -> None:
        for name in ("a", "b"):
            await ask(client, name, False)
        async with anyio.create_task_group() as group:
            group.start_soon(ask, client, "later", False)
            await anyio.wait_all_tasks_blocked()
            assert list(bench.clock.sleepers) == [NOW + WINDOW_MS]
            await ask(client, "now", True)
            bench.clock.advance(2 * WINDOW_MS)

    bench.run(main)
    assert done == ["a", "b", "now", "later"]


def test_the_clock_of_the_exchange_is_read() -> None:
    bench = Bench((200, b'{"specialStatuses":null,"time":1791278880123}'))
    status = bench.run(lambda client: client.exchange_status())
    assert (status.time_ms, status.embedded) == (1791278880123, None)


def test_the_universe_is_two_requests() -> None:
    perps = b'[{"universe":[{"name":"BTC","szDecimals":5}]}]'
    spot = (
        b'{"universe":[{"name":"@107","index":107,"tokens":[150,0]}],'
        b'"tokens":[{"name":"HYPE","index":150},{"name":"USDC","index":0}]}'
    )
    bench = Bench((200, perps), (200, spot))
    universe = bench.run(lambda client: client.universe())
    assert [market.name for market in universe] == ["btcusd_perp", "hypeusdc"]
    assert bench.exchange.seen == [{"type": "allPerpMetas"}, {"type": "spotMeta"}]
    assert bench.budget.total == 40


def test_a_wrong_body_behind_a_200_is_a_protocol_error() -> None:
    bench = Bench((200, b"null"))
    with pytest.raises(ProtocolError, match="candleSnapshot"):
        bench.run(lambda client: client.candles("BTC", NOW, NOW))


def test_a_client_that_was_not_opened_says_so() -> None:
    client = InfoClient("http://127.0.0.1:9/", WeightBudget(), ManualClock())
    assert client.url == "http://127.0.0.1:9/info"
    with pytest.raises(RuntimeError, match="async with"):
        anyio.run(client.exchange_status)


def test_the_day_s_volumes_of_a_dex_are_matched_by_their_order_and_of_spot_by_their_coin() -> None:
    perps = (
        b'[{"universe":[{"name":"BTC","szDecimals":5},{"name":"ETH"}]},'
        b'[{"dayNtlVlm":"12.5","dayBaseVlm":"0.5","midPx":null},{"dayNtlVlm":"3.0"}]]'
    )
    spot = (
        b'[{"universe":[{"name":"@1","index":1,"tokens":[1,0]}],"tokens":[]},'
        b'[{"coin":"@107","dayNtlVlm":"8.0","dayBaseVlm":"2.0"}]]'
    )
    bench = Bench((200, perps), (200, spot))
    found = bench.run(lambda client: client.day_volumes("xyz"))
    assert {coin: (each.day_base_vlm, each.day_ntl_vlm) for coin, each in found.items()} == {
        "BTC": (0.5, 12.5),
        "ETH": (None, 3.0),
    }
    assert bench.exchange.seen[-1] == {"type": "metaAndAssetCtxs", "dex": "xyz"}
    found = bench.run(lambda client: client.day_volumes(None))
    assert list(found) == ["@107"]
    assert bench.exchange.seen[-1] == {"type": "spotMetaAndAssetCtxs"}


def test_volumes_that_cannot_be_matched_are_refused() -> None:
    body = b'[{"universe":[{"name":"BTC"}]},[{"dayNtlVlm":"1.0"},{"dayNtlVlm":"2.0"}]]'
    with pytest.raises(ProtocolError, match="1 markets and 2 contexts"):
        Bench((200, body)).run(lambda client: client.day_volumes(""))
