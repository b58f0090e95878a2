"""The sockets, against a websocket server that misbehaves on demand."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from monitor.budget import ConnectionBudget, MessageBudget, SubscriptionBudget
from monitor.clock import ExchangeClock
from monitor.feed import Connection
from monitor.ledger import Stream
from monitor.protocol import Candle
from monitor.sharing import Share
from monitor.sockets import Timing

PATIENCE_S = 30
NOW_MS = 1_791_278_880_000.0
QUICK = Timing(
    open=0.3, ping=0.05, silence=0.5, ack=0.1, steady=60.0, base=0.01, cap=0.05, look=0.01
)
CALM = Timing(open=10.0, ping=60.0, silence=120.0, ack=60.0, base=0.01, cap=0.05, look=0.01)

Behaviour = Callable[[ServerConnection, "Exchange"], Awaitable[None]]


def candle_frame(coin: str = "ETH", trades: int = 1) -> str:
    row = {"t": int(NOW_MS), "T": int(NOW_MS) + 59_999, "s": coin, "i": "1m", "n": trades}
    prices = {"o": "1.0", "c": "1.0", "h": "1.0", "l": "1.0", "v": "2.0"}
    return json.dumps({"channel": "candle", "data": row | prices})


def bbo_frame(time_ms: float) -> str:
    data = {"coin": "BTC", "time": int(time_ms), "bbo": [None, None]}
    return json.dumps({"channel": "bbo", "data": data})


def ack(subscription: Any, method: str = "subscribe") -> str:
    data = {"method": method, "subscription": subscription}
    return json.dumps({"channel": "subscriptionResponse", "data": data})


class Exchange:
    """A server: the n-th socket gets the n-th behaviour, later ones the last."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = behaviours
        self.sockets: list[ServerConnection] = []
        self.asked: list[list[dict[str, Any]]] = []
        self.left: list[dict[str, Any]] = []
        self.pings = 0

    async def handle(self, connection: ServerConnection) -> None:
        number = len(self.sockets)
        self.sockets.append(connection)
        self.asked.append([])
        await self.behaviours[min(number, len(self.behaviours) - 1)](connection, self)

    def take(self, connection: ServerConnection, message: str | bytes) -> dict[str, Any] | None:
        """The subscription in a message, None for a ping."""
        document = json.loads(message)
        if document == {"method": "ping"}:
            self.pings += 1
            return None
        subscription: dict[str, Any] = document["subscription"]
        if document["method"] == "unsubscribe":
            self.left.append(subscription)
            return subscription
        assert document["method"] == "subscribe"
        self.asked[self.sockets.index(connection)].append(subscription)
        return subscription


async def polite(connection: ServerConnection, exchange: Exchange) -> None:
    """Acknowledge everything and answer pings."""
    async for message in connection:
        subscription = exchange.take(connection, message)
        await connection.send('{"channel":"pong"}' if subscription is None else ack(subscription))


async def silent(connection: ServerConnection, exchange: Exchange) -> None:
    """Take everything, say nothing: a half-open connection."""
    async for message in connection:
        exchange.take(connection, message)


async def dropping(connection: ServerConnection, exchange: Exchange) -> None:
    """Acknowledge, then let the TCP connection go without a word."""
    subscription = exchange.take(connection, await connection.recv())
    await connection.send(ack(subscription))
    connection.transport.abort()


async def expiring(connection: ServerConnection, exchange: Exchange) -> None:
    exchange.take(connection, await connection.recv())
    await connection.close(1000, "Expired")


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.candles: list[Candle] = []
        self.told: list[Stream] = []
        self.lags: list[float] = []
        self.order: list[tuple[str, str, Stream]] = []
        self.unwatches: list[tuple[str, Stream]] = []
        self.watched: list[tuple[str, Stream]] = []
        self.gone: list[Stream] = []
        self.unread: list[Stream] = []
        self.counts: Counter[str] = Counter()

    def candle(self, candle: Candle, stream: Stream) -> None:
        self.candles.append(candle)
        self.told.append(stream)

    def unreadable(self, stream: Stream) -> None:
        self.unread.append(stream)

    def watching(self, coin: str, stream: Stream) -> None:
        self.watched.append((coin, stream))
        self.order.append(("watching", coin, stream))

    def unwatched(self, coin: str, stream: Stream) -> None:
        self.unwatches.append((coin, stream))

    def lost(self, stream: Stream) -> None:
        self.gone.append(stream)
        self.order.append(("lost", "", stream))

    def lagged(self, ms: float) -> None:
        self.lags.append(ms)

    def count(self, counter: str) -> None:
        self.counts[counter] += 1


class Bounds(random.Random):
    """Keeps the upper bounds that it was asked for, and always draws nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        assert a == 0.0
        self.asked.append(b)
        return 0.0


class Bench:
    """A connection to an exchange, and everything around it."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.exchange = Exchange(*behaviours)
        self.heard = Heard()
        self.clock = ExchangeClock()
        self.clock.observe(NOW_MS, trusted=True)
        self.connections = ConnectionBudget(per_minute=1_000)
        self.messages = MessageBudget()
        self.subscriptions = SubscriptionBudget()
        self.rng: random.Random = random.Random(1)
        self.server: Server | None = None
        self.before: Callable[[], Awaitable[None]] | None = None
        self.pongs_prove = True

    @property
    def attempts(self) -> int:
        return self.connections.spent(self.clock.now_ms())

    def connection(self, url: str, coins: tuple[str, ...], timing: Timing) -> Connection:
        return Connection(
            "1",
            url,
            Share(coins),
            "BTC",
            self.heard,
            self.clock,
            connections=self.connections,
            messages=self.messages,
            subscriptions=self.subscriptions,
            before=self.before,
            pongs_prove=self.pongs_prove,
            timing=timing,
            rng=self.rng,
        )

    @asynccontextmanager
    async def running(
        self, coins: tuple[str, ...] = ("BTC", "ETH"), timing: Timing = CALM, url: str = ""
    ) -> Any:
        async with serve(self.exchange.handle, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = self.connection(url or f"ws://127.0.0.1:{port}/ws", coins, timing)
            self.connected = connection
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(connection.run)
                with anyio.fail_after(PATIENCE_S):
                    yield port
                tasks.cancel_scope.cancel()
        assert self.connections.open == 0
        assert self.subscriptions.used == 0


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another program's code
        await anyio.sleep(0.005)


def reached(things: Sequence[object], count: int) -> bool:
    return len(things) >= count


async def refused(bench: Bench, attempts: int) -> None:
    """Wait for so many more attempts to connect."""
    before = bench.attempts
    await until(lambda: bench.attempts > before + attempts)


def test_what_is_acknowledged_is_watched_on_the_socket_that_tells_it() -> None:
    async def main() -> None:
        bench = Bench(polite)
        async with bench.running():
            await until(lambda: len(bench.heard.watched) == 2)
            assert {coin for coin, _ in bench.heard.watched} == {"BTC", "ETH"}
            assert len({id(stream) for _, stream in bench.heard.watched}) == 1
            assert bench.subscriptions.used == 3
            assert bench.exchange.asked[0][0] == {"type": "bbo", "coin": "BTC"}
            await bench.exchange.sockets[0].send(candle_frame("ETH", 7))
            await until(lambda: bench.heard.candles)
            assert (bench.heard.candles[0].coin, bench.heard.candles[0].trades) == ("ETH", 7)
        assert bench.heard.gone == [bench.heard.watched[0][1]]
        assert bench.heard.counts == {"connects": 1, "disconnects": 1}

    anyio.run(main)


@pytest.mark.parametrize("ending", [dropping, expiring])
def test_a_socket_that_ends_is_replaced_and_everything_subscribed_anew(ending: Behaviour) -> None:
    async def main() -> None:
        bench = Bench(ending, ending, polite)
        async with bench.running():
            await until(lambda: len(bench.exchange.sockets) >= 3)
            await until(lambda: len(bench.exchange.asked[2]) == 3)
            await until(
                lambda: len({c for c, s in bench.heard.watched if s not in bench.heard.gone}) == 2
            )
            assert len(bench.heard.gone) == len(set(map(id, bench.heard.gone))) == 2

    anyio.run(main)


def test_a_server_that_is_away_for_a_while_is_found_again() -> None:
    async def main() -> None:
        bench = Bench(polite)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        connection = bench.connection(f"ws://127.0.0.1:{port}/ws", ("ETH",), CALM)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.run)
            with anyio.fail_after(PATIENCE_S):
                for number in (1, 2):
                    await refused(bench, 2)
                    async with serve(bench.exchange.handle, "127.0.0.1", port):
                        await until(partial(reached, bench.heard.watched, number))
                    await until(partial(reached, bench.heard.gone, number))
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_nothing_is_subscribed_on_a_socket_that_was_not_admitted() -> None:
    async def main() -> None:
        bench = Bench(polite)
        asked = 0

        async def before() -> None:
            nonlocal asked
            asked += 1
            if asked < 4:
                raise OSError("not yet")

        bench.before = before
        async with bench.running():
            await until(lambda: len(bench.heard.watched) == 2)
            assert [len(asked) for asked in bench.exchange.asked] == [0, 0, 0, 3]
        assert bench.heard.counts == {"connects": 1, "disconnects": 1}

    anyio.run(main)


def test_a_half_open_socket_is_found_by_its_silence() -> None:
    async def main() -> None:
        bench = Bench(silent, polite)
        async with bench.running(timing=QUICK):
            await until(lambda: len(bench.heard.watched) == 2)
            assert len(bench.exchange.sockets) == 2
            assert bench.exchange.pings >= 1
            assert len(bench.heard.gone) == 1

    anyio.run(main)


async def belated(connection: ServerConnection, exchange: Exchange) -> None:
    """Acknowledge everything; then tell what was a minute ago, without a pause."""
    for _ in range(3):
        subscription = exchange.take(connection, await connection.recv())
        await connection.send(ack(subscription))
    with suppress(ConnectionClosed):
        while True:
            await connection.send(bbo_frame(NOW_MS - 60_000.0))
            await connection.send(candle_frame())
            await anyio.sleep(0.01)


def test_a_socket_that_tells_old_news_only_is_replaced_however_much_it_tells() -> None:
    async def main() -> None:
        bench = Bench(belated, polite)
        async with bench.running(timing=QUICK):
            await until(lambda: len(bench.heard.watched) == 4)
            assert len(bench.exchange.sockets) == 2
            assert len(bench.heard.candles) > 5
            stream = bench.heard.watched[-1][1]
            # News of the next socket is fresh: it stays.
            pings = bench.exchange.pings
            await until(lambda: bench.exchange.pings > pings + 30)
            assert stream not in bench.heard.gone

    anyio.run(main)


def test_a_handshake_without_an_answer_is_given_up_and_tried_again() -> None:
    async def main() -> None:
        bench = Bench(polite)
        tried = 0

        async def accept(stream: anyio.abc.SocketStream) -> None:
            nonlocal tried
            tried += 1
            async with stream:
                while await stream.receive():
                    pass

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        connection = bench.connection(f"ws://127.0.0.1:{port}/ws", ("ETH",), QUICK)

        async def serve_silence() -> None:
            async def handle(stream: anyio.abc.SocketStream) -> None:
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await accept(stream)

            await listener.serve(handle)

        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(serve_silence)
            tasks.start_soon(connection.run)
            with anyio.fail_after(PATIENCE_S):
                await until(lambda: tried >= 3)
            tasks.cancel_scope.cancel()
        assert bench.heard.counts == {}
        assert bench.subscriptions.used == 0

    anyio.run(main)


def test_a_lost_acknowledgement_is_asked_for_again_and_already_subscribed_is_one() -> None:
    async def forgetful(connection: ServerConnection, exchange: Exchange) -> None:
        seen: Counter[str] = Counter()
        async for message in connection:
            subscription = exchange.take(connection, message)
            if subscription is None:
                await connection.send('{"channel":"pong"}')
                continue
            echo = json.dumps(subscription)
            seen[echo] += 1
            if seen[echo] > 1:
                text = f"Already subscribed: {echo}"
                await connection.send(json.dumps({"channel": "error", "data": text}))

    async def main() -> None:
        bench = Bench(forgetful)
        async with bench.running(timing=QUICK):
            await until(lambda: len(bench.heard.watched) == 2)
            await until(lambda: len(bench.exchange.asked[0]) == 6)
            pings = bench.exchange.pings
            # Long enough for many more questions, had there been any to ask.
            await until(lambda: bench.exchange.pings > pings + 8)
            assert len(bench.exchange.asked[0]) == 6
            assert len(bench.heard.watched) == 2
            assert len(bench.exchange.sockets) == 1

    anyio.run(main)


def test_an_acknowledgement_of_an_unsubscription_watches_nothing() -> None:
    async def main() -> None:
        bench = Bench(silent)
        async with bench.running():
            await until(lambda: bench.exchange.asked and len(bench.exchange.asked[0]) == 3)
            wanted = {"type": "candle", "coin": "ETH", "interval": "1m"}
            data = {"method": "unsubscribe", "subscription": wanted}
            frame = json.dumps({"channel": "subscriptionResponse", "data": data})
            await bench.exchange.sockets[0].send(frame)
            await bench.exchange.sockets[0].send(candle_frame())
            await until(lambda: bench.heard.candles)
            assert bench.heard.watched == []

    anyio.run(main)


def test_frames_that_cannot_be_read_are_counted_and_cost_nothing_else() -> None:
    rubbish: list[str | bytes] = [
        "{",
        "",
        "[]",
        "null",
        '{"channel":7}',
        b"\xff\xfe",
        '{"channel":"candle"}',
    ]

    async def main() -> None:
        bench = Bench(polite)
        async with bench.running():
            await until(lambda: len(bench.heard.watched) == 2)
            for frame in rubbish:
                await bench.exchange.sockets[0].send(frame)
            await bench.exchange.sockets[0].send(json.dumps({"channel": "error", "data": "Oh."}))
            await bench.exchange.sockets[0].send('{"channel":"something new","data":[]}')
            await bench.exchange.sockets[0].send('{"channel":"bbo","data":{"time":"soon"}}')
            await bench.exchange.sockets[0].send(candle_frame("SOL"))
            await bench.exchange.sockets[0].send(candle_frame())
            await until(lambda: bench.heard.candles)
            malformed = len(rubbish) + 1
            assert bench.heard.counts == {
                "connects": 1,
                "malformed": malformed,
                "unknown_coin": 1,
            }
            # Each may have been somebody's trade, but for the bbo: no market of it can be silent.
            assert len(bench.heard.unread) == malformed
            assert len(bench.exchange.sockets) == 1

    anyio.run(main)


def test_a_block_time_proves_what_came_before_it_and_never_the_future() -> None:
    async def main() -> None:
        bench = Bench(polite)
        async with bench.running():
            await until(lambda: len(bench.heard.watched) == 2)
            stream = bench.heard.watched[0][1]
            said = bench.clock.now_ms() - 50.0
            await bench.exchange.sockets[0].send(bbo_frame(said))
            await until(lambda: stream.alive_ms)
            assert stream.alive_ms == int(said)
            await bench.exchange.sockets[0].send(bbo_frame(said + 3_600_000.0))
            await bench.exchange.sockets[0].send(candle_frame())
            await until(lambda: bench.heard.candles)
            assert stream.alive_ms <= bench.clock.now_ms()

    anyio.run(main)


def test_a_pong_proves_what_came_before_its_ping() -> None:
    async def main() -> None:
        bench = Bench(polite)
        async with bench.running(timing=QUICK):
            await until(lambda: bench.heard.watched and bench.heard.watched[0][1].alive_ms)
            stream = bench.heard.watched[0][1]
            assert NOW_MS <= stream.alive_ms <= bench.clock.now_ms()
            before = stream.alive_ms
            await until(lambda: stream.alive_ms > before)

    anyio.run(main)


def test_where_the_beacon_is_busy_pongs_prove_nothing_and_its_silence_ends_the_socket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The streams have stopped, the pongs go on: that is known of the exchange."""

    async def main() -> None:
        bench = Bench(polite)
        bench.pongs_prove = False
        async with bench.running(timing=QUICK):
            await until(lambda: bench.heard.watched)
            stream = bench.heard.watched[0][1]
            await until(lambda: stream in bench.heard.gone)
            assert stream.alive_ms == 0.0
            assert bench.exchange.pings

    anyio.run(main)
    assert "what it tells is older than" in caplog.text


def test_pauses_double_up_to_the_cap_and_are_drawn_by_chance() -> None:
    async def main() -> None:
        bench = Bench(dropping)
        bench.rng = bounds = Bounds()
        async with bench.running(timing=Timing(base=0.25, cap=2.0, look=0.01)):
            await until(lambda: len(bounds.asked) >= 6)
        assert bounds.asked[:6] == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]

    anyio.run(main)


def test_a_socket_that_lived_long_makes_the_next_pause_small_again() -> None:
    async def main() -> None:
        bench = Bench(dropping)
        bench.rng = bounds = Bounds()
        async with bench.running(timing=Timing(base=0.25, cap=2.0, steady=-1.0, look=0.01)):
            await until(lambda: len(bounds.asked) >= 4)
        assert bounds.asked[:4] == [0.25, 0.25, 0.25, 0.25]

    anyio.run(main)


def test_without_subscriptions_left_no_socket_is_opened_until_there_are() -> None:
    async def main() -> None:
        bench = Bench(polite)
        bench.subscriptions = SubscriptionBudget(4)
        bench.subscriptions.take(2)
        async with bench.running():
            await refused(bench, 3)
            assert bench.exchange.sockets == []
            bench.subscriptions.release(2)
            await until(lambda: len(bench.heard.watched) == 2)
            assert bench.subscriptions.free == 1

    anyio.run(main)


def test_without_a_socket_left_in_the_budget_none_is_opened_until_there_is() -> None:
    async def main() -> None:
        bench = Bench(polite)
        bench.connections = ConnectionBudget(at_once=1)
        bench.connections.reserve(bench.clock.now_ms())
        async with bench.running():
            await anyio.lowlevel.checkpoint()
            assert bench.exchange.sockets == []
            bench.connections.release()
            await until(lambda: len(bench.heard.watched) == 2)

    anyio.run(main)


def test_messages_are_counted_in_their_budget() -> None:
    async def main() -> None:
        bench = Bench(polite)
        async with bench.running(coins=tuple(f"C{k}" for k in range(40))):
            await until(lambda: len(bench.heard.watched) == 40)
            assert bench.messages.spent(bench.clock.now_ms()) == 41

    anyio.run(main)


async def knowing(connection: ServerConnection, exchange: Exchange) -> None:
    """Polite, but a subscription to NOPE costs the socket: at once, without a word."""
    async for message in connection:
        subscription = exchange.take(connection, message)
        if subscription is None:
            await connection.send('{"channel":"pong"}')
        elif subscription["coin"] == "NOPE":
            connection.transport.abort()
            return
        else:
            method = json.loads(message)["method"]
            await connection.send(ack(subscription, method))


def test_a_name_that_costs_the_socket_is_left_out_said_once_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    coins = ("A", "B", "C", "NOPE", "D", "E")

    async def main() -> None:
        bench = Bench(knowing)
        async with bench.running(coins=coins, timing=QUICK):
            await until(lambda: bench.heard.counts["quarantined"])
            await until(lambda: told(bench) == set(coins) - {"NOPE"})
            died = len(bench.exchange.sockets)
            pings = bench.exchange.pings
            await until(lambda: bench.exchange.pings > pings + 8)
            assert len(bench.exchange.sockets) == died <= 8
        assert bench.heard.counts["quarantined"] == 1

    anyio.run(main)
    said = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(said) == 1
    assert said[0].startswith("market NOPE: the exchange ends the socket that asks for it")


async def refusing(connection: ServerConnection, exchange: Exchange) -> None:
    """Polite, but no to NOPE, which costs nothing else."""
    async for message in connection:
        subscription = exchange.take(connection, message)
        if subscription is None:
            await connection.send('{"channel":"pong"}')
        elif subscription["coin"] == "NOPE":
            complaint = "Invalid subscription " + json.dumps(subscription)
            await connection.send(json.dumps({"channel": "error", "data": complaint}))
        else:
            await connection.send(ack(subscription))


def test_a_name_that_is_refused_is_not_asked_for_again_and_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        bench = Bench(refusing)
        async with bench.running(coins=("A", "NOPE", "B"), timing=QUICK):
            await until(lambda: told(bench) == {"A", "B"})
            await until(lambda: bench.heard.counts["quarantined"])
            pings = bench.exchange.pings
            await until(lambda: bench.exchange.pings > pings + 8)
            assert len(bench.exchange.sockets) == 1
            assert [each["coin"] for each in bench.exchange.asked[0]].count("NOPE") == 1
        assert bench.heard.counts["quarantined"] == 1

    anyio.run(main)
    (said,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert "Invalid subscription" in said
    assert "NOPE" in said


def told(bench: Bench) -> set[str]:
    """The coins that some socket tells now."""
    heard = bench.heard
    left = Counter((coin, id(stream)) for coin, stream in heard.unwatches)
    counted = Counter((coin, id(stream)) for coin, stream in heard.watched)
    gone = {id(stream) for stream in heard.gone}
    return {coin for (coin, stream) in counted - left if stream not in gone}


def test_a_socket_that_gets_old_is_replaced_before_it_ends() -> None:
    async def main() -> None:
        bench = Bench(knowing)
        bench.clock.observe(NOW_MS + 15_000.0, trusted=True)  # the middle of a minute
        timing = replace(QUICK, renew=0.2)
        async with bench.running(timing=timing):
            await until(lambda: bench.heard.counts["renewals"] >= 3)
            first = bench.heard.watched[0][1]
            assert bench.exchange.sockets[0].close_code == 1000
        streams = list(dict.fromkeys(stream for _, stream in bench.heard.watched))
        assert streams[0] is first
        # Each new one told everything before the old one was gone.
        order = bench.heard.order
        for old, new in pairwise(streams[:4]):
            for coin in ("BTC", "ETH"):
                assert order.index(("watching", coin, new)) < order.index(("lost", "", old))

    anyio.run(main)


def test_without_room_for_both_sockets_the_rest_is_asked_for_when_the_old_one_is_closed() -> None:
    async def main() -> None:
        bench = Bench(knowing)
        bench.clock.observe(NOW_MS + 15_000.0, trusted=True)
        bench.subscriptions = SubscriptionBudget(5)
        async with bench.running(timing=replace(QUICK, renew=0.2)):
            await until(lambda: bench.heard.counts["renewals"] >= 2)
            await until(lambda: told(bench) == {"BTC", "ETH"})
            assert bench.subscriptions.used <= 5
        order = bench.heard.order
        streams = list(dict.fromkeys(stream for _, stream in bench.heard.watched))
        first, second = streams[:2]
        assert order.index(("watching", "BTC", second)) < order.index(("lost", "", first))
        assert order.index(("watching", "ETH", second)) > order.index(("lost", "", first))

    anyio.run(main)


def test_room_that_somebody_else_takes_meanwhile_is_waited_for() -> None:
    class Snatched(SubscriptionBudget):
        """Whatever a socket gives back, another connection's successor has taken at once."""

        snatched = 0
        refused = 0

        def take(self, count: int = 1) -> bool:
            taken = super().take(count)
            self.refused += self.snatched > 0 and not taken
            return taken

        def release(self, count: int = 1) -> None:
            super().release(count)
            if not self.snatched and self.take(count):
                self.snatched = count

    async def main() -> None:
        bench = Bench(knowing)
        bench.clock.observe(NOW_MS + 15_000.0, trusted=True)
        bench.subscriptions = budget = Snatched(5)
        async with bench.running(timing=replace(QUICK, renew=0.3)):
            await until(lambda: budget.refused > 3)
            asked = bench.exchange.asked[1]
            assert len(asked) == 2
            assert bench.exchange.sockets[1].state is State.OPEN
            SubscriptionBudget.release(budget, budget.snatched)
            await until(lambda: len(asked) == 3)
            await until(lambda: told(bench) == {"BTC", "ETH"})

    anyio.run(main)


def test_a_successor_that_does_not_answer_replaces_nobody() -> None:
    async def main() -> None:
        bench = Bench(knowing, silent, knowing)
        bench.clock.observe(NOW_MS + 15_000.0, trusted=True)
        timing = replace(QUICK, renew=0.2, settle=0.3, silence=5.0, steady=0.1)
        async with bench.running(timing=timing):
            await until(lambda: bench.heard.counts["renewals"])
            await until(lambda: told(bench) == {"BTC", "ETH"})
        streams = list(dict.fromkeys(stream for _, stream in bench.heard.watched))
        order = bench.heard.order
        assert order.index(("watching", "ETH", streams[1])) < order.index(("lost", "", streams[0]))

    anyio.run(main)


def test_sockets_are_replaced_in_the_middle_of_a_minute_only() -> None:
    async def main() -> None:
        bench = Bench(knowing)
        bench.clock.observe(NOW_MS + 55_000.0, trusted=True)
        async with bench.running(timing=replace(QUICK, renew=0.05)):
            pings = bench.exchange.pings
            await until(lambda: bench.exchange.pings > pings + 8)
            assert len(bench.exchange.sockets) == 1
            bench.clock.observe(NOW_MS + 60_000.0 + 12_000.0, trusted=True)

    anyio.run(main)


def test_a_market_that_is_asked_for_again_is_unsubscribed_first() -> None:
    async def main() -> None:
        bench = Bench(knowing)
        async with bench.running(timing=QUICK):
            await until(lambda: len(bench.heard.watched) == 2)
            stream = bench.heard.watched[0][1]
            assert not bench.connected.again("SOL", stream)
            assert not bench.connected.again("ETH", Stream())
            assert bench.connected.again("ETH", stream)
            assert bench.heard.unwatches == [("ETH", stream)]
            await until(lambda: len(bench.heard.watched) == 3)
            assert bench.heard.watched[2] == ("ETH", stream)
            assert [each["coin"] for each in bench.exchange.left] == ["ETH"]
            assert len(bench.exchange.sockets) == 1

    anyio.run(main)


def test_a_market_that_comes_back_is_asked_for_on_a_socket_that_began_without_it() -> None:
    async def main() -> None:
        bench = Bench(knowing)
        async with bench.running(timing=QUICK):
            await until(lambda: len(bench.heard.watched) == 2)
            bench.connected.forget("ETH")
            await bench.exchange.sockets[0].close()
            await until(lambda: len(bench.exchange.sockets) == 2 and len(bench.heard.watched) == 3)
            assert bench.heard.watched[2][0] == "BTC"
            bench.connected.renew("SOL")  # another share's
            bench.connected.renew("ETH")
            bench.connected.renew("ETH")
            await until(lambda: len(bench.heard.watched) == 4)
            assert bench.heard.watched[3][0] == "ETH"
            assert len(bench.exchange.sockets) == 2

    anyio.run(main)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def main() -> None:
        bench = Bench(polite)
        async with bench.running():
            await until(lambda: len(bench.heard.watched) == 2)

    anyio.run(main)


def test_a_connection_that_is_cancelled_says_goodbye() -> None:
    async def main() -> None:
        bench = Bench(polite)
        async with serve(bench.exchange.handle, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = bench.connection(f"ws://127.0.0.1:{port}/ws", ("ETH",), CALM)
            with anyio.fail_after(PATIENCE_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(connection.run)
                    await until(lambda: bench.heard.watched)
                    tasks.cancel_scope.cancel()
                await bench.exchange.sockets[0].wait_closed()
        assert bench.exchange.sockets[0].close_code == 1000
        assert len(bench.heard.gone) == 1

    anyio.run(main)
