"""The service in this process, on embedded exchanges that run in the same event loop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import numpy as np
import pytest

import ringbuf
from indicators import UnknownStat, plan
from monitor import service, serving
from monitor.budget import ConnectionBudget, WeightBudget
from monitor.clock import ExchangeClock
from monitor.errors import DelistedMarket, SettingsError, SourceChanged, UnknownMarket
from monitor.exchange import Closing, ExchangeConfig, Market, Running, Session, World, serve
from monitor.exchange.sessions import Subscription
from monitor.ledger import Stream
from monitor.markets import Market as Listed
from monitor.protocol import Candle
from monitor.rest import InfoClient
from monitor.serving import Service, greet
from monitor.settings import Settings
from monitor.store import source_of, spec_of
from ringbuf import segment
from ringbuf.errors import NameHeld, NoSpace, StoreBusy
from ringbuf.writer import in_memory

PATIENCE_S = 120
MINUTE_MS = 60_000
BUSY = ExchangeConfig(
    markets=(
        Market("BTC", "perp", 90.0, 85_800.0, 5),
        Market("GONE", "perp", 1.0, 3.0, 1, delisted=True),
    ),
    rate=20.0,
)


CANDLES = Subscription("candle", "1m", "BTC")


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def settings_of(segment: str, running: Running | None, **more: Any) -> Settings:
    urls: dict[str, Any] = {"ws_url": "ws://127.0.0.1:1/ws", "api_url": "http://127.0.0.1:1"}
    if running is not None:
        urls = {"ws_url": running.ws_url, "api_url": running.api_url}
    chosen: dict[str, Any] = {"segment": segment, "markets": ("BTC",), "history": 30}
    return Settings(**(chosen | urls | more))


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for comes through shared memory
        await anyio.sleep(0.01)


def readable(segment: str) -> bool:
    """Whether the store's first market is there, with its history and its stats."""
    try:
        with ringbuf.attach(segment) as store:
            ring = next(iter(store.values()))
            return store.alive and ring.status == "live" and len(ring) > 20
    except ringbuf.RingbufError:
        return False


def following(
    segment: str,
    body: Callable[[Running, ringbuf.Store], Awaitable[None]],
    config: ExchangeConfig = BUSY,
    number: int | None = None,
    **settings: Any,
) -> None:
    """Run a service and `body` beside it; then end the service by the signal `number`, or so."""

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(config) as running, anyio.create_task_group() as tasks:
                tasks.start_soon(service.run, settings_of(segment, running, **settings))
                await until(lambda: readable(segment))
                with ringbuf.attach(segment) as store:
                    await body(running, store)
                if number is None:
                    tasks.cancel_scope.cancel()
                else:
                    os.kill(os.getpid(), number)

    anyio.run(main)


def innermost(error: BaseException) -> BaseException:
    """The one error inside of task groups' wrappers."""
    while inner := getattr(error, "exceptions", ()):
        assert len({str(innermost(each)) for each in inner}) == 1, "the same, said by two sockets"
        error = inner[0]
    return error


def refused(config: ExchangeConfig = BUSY, **settings: Any) -> BaseException:
    """What `service.run` gives up with."""

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(config) as running:
                chosen = {"segment": "mmtest_never_made", **settings}
                await service.run(settings_of(running=running, **chosen))

    with pytest.raises(Exception) as caught:  # noqa: PT011 - told apart by the caller
        anyio.run(main)
    return innermost(caught.value)


# -- the life of a service -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_the_store_readable_and_marked_stopped(
    segment_name: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def body(running: Running, store: ringbuf.Store) -> None:
        assert store.life == "running"

    following(segment_name, body, number=number)
    with ringbuf.attach(segment_name) as store:
        assert store.life == "stopped"
        assert not store.alive
        assert store["btcusd_perp"].status == "stopped"
        assert len(store["btcusd_perp"]) == 30
        assert np.isfinite(store["btcusd_perp"]["ATR14"]).all()
    said = [record.getMessage() for record in caplog.records]
    assert f"stopping on {signal.Signals(number).name}" in said
    assert said[-1] == "stopped"


def test_an_exchange_that_is_not_there_yet_is_waited_for(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    urls = {"ws_url": f"ws://127.0.0.1:{port}/ws", "api_url": f"http://127.0.0.1:{port}"}
    settings = settings_of(segment_name, None, **urls)

    def complaints() -> int:
        return sum("trying again" in record.getMessage() for record in caplog.records)

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(service.run, settings)
                await until(lambda: complaints() >= 2)
                async with serve(BUSY, port=port):
                    await until(lambda: readable(segment_name))
                    tasks.cancel_scope.cancel()

    anyio.run(main)


def test_a_signal_ends_it_also_while_it_waits_for_the_exchange() -> None:
    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(service.run, settings_of("mmtest_never_made", None))
                await until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGTERM)

    anyio.run(main)


def test_the_store_of_a_live_service_is_refused_to_a_second_one_naming_the_first(
    segment_name: str,
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - it is inside of a group
            await service.run(settings_of(segment_name, running))
        error = innermost(caught.value)
        assert isinstance(error, StoreBusy)
        assert f"process {os.getpid()}" in str(error)
        assert store.life == "running"

    following(segment_name, body)


def test_rows_of_one_run_of_the_embedded_exchange_are_never_readable_in_the_next(
    segment_name: str,
) -> None:
    sources, closes = [], []

    async def body(running: Running, store: ringbuf.Store) -> None:
        rows = store["btcusd_perp"].snapshot(closed=True)
        sources.append(store.source)
        closes.append(rows["close"])
        assert store.source["run"] == running.exchange.run
        first, last = rows["time"][[0, -1]].astype("M8[ms]").astype(int).tolist()
        truth = {row.open_ms: row.close for row in running.exchange.truth("BTC", first, last)}
        ours = zip(rows["time"].astype(int).tolist(), rows["close"].tolist(), strict=True)
        assert all(truth[moment] == close for moment, close in ours)

    for seed in (1, 2):
        config = ExchangeConfig(markets=BUSY.markets, rate=20.0, seed=seed)
        following(segment_name, body, config, grace_ms=5_000)
    assert sources[0] != sources[1]
    assert not set(closes[0].tolist()) & set(closes[1].tolist())


def test_an_embedded_exchange_that_was_started_anew_ends_the_service(segment_name: str) -> None:
    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                async with serve(BUSY) as running:
                    tasks.start_soon(service.run, settings_of(segment_name, running))
                    await until(lambda: readable(segment_name))
                async with serve(BUSY, port=running.port):
                    await anyio.sleep_forever()

    with pytest.raises(Exception) as caught:  # noqa: PT011 - it is inside of a group
        anyio.run(main)
    error = innermost(caught.value)
    assert isinstance(error, SourceChanged)
    assert "start the service again" in str(error)
    with ringbuf.attach(segment_name) as store:
        assert store.life == "down"  # it did not end because somebody wished it


def test_a_name_that_a_careless_reader_unlinked_is_put_back(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        (Path("/dev/shm") / segment_name).unlink()
        await until((Path("/dev/shm") / segment_name).exists)
        await until(lambda: store.health()["counters"]["names_restored"] == 1)

    following(segment_name, body)
    assert any("was unlinked and has been put back" in r.getMessage() for r in caplog.records)


def test_a_name_that_something_else_has_taken_is_put_back_once_that_is_gone(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        public = Path("/dev/shm") / segment_name
        public.unlink()
        public.mkdir()
        newest = store["btcusd_perp"].state()["newest"]
        await until(lambda: any("taken by something" in r.getMessage() for r in caplog.records))
        await until(lambda: store["btcusd_perp"].state()["newest"] > newest)
        assert (store.condition, store.retired) == ("live", False)
        public.rmdir()
        await until(lambda: store.health()["counters"]["names_restored"] == 1)
        assert readable(segment_name)

    following(segment_name, body)


def test_a_store_that_loses_all_of_its_names_goes_on_in_a_new_one(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        before = store["btcusd_perp"].snapshot(closed=True)
        for name in (segment_name, f"{segment_name}.keep"):
            (Path("/dev/shm") / name).unlink()
        await until(lambda: store.retired)
        await until(lambda: readable(segment_name))
        with store.refresh() as renewed:
            after = renewed["btcusd_perp"].snapshot(closed=True)
            common = np.isin(after["time"], before["time"])
            assert common.sum() > 20
            assert np.isin(before["time"][-5:], after["time"]).all()
            assert not renewed.check()
            assert renewed.alive

    following(segment_name, body)
    assert any("RemoveIPC" in record.getMessage() for record in caplog.records)


def test_a_signal_ends_it_also_while_another_process_holds_the_name(segment_name: str) -> None:
    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(BUSY) as running:
                with segment.name_lock(segment_name):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(service.run, settings_of(segment_name, running))
                        await anyio.lowlevel.checkpoint()
                        await anyio.lowlevel.checkpoint()
                        os.kill(os.getpid(), signal.SIGTERM)
                assert not (Path("/dev/shm") / segment_name).exists()

    anyio.run(main)


def test_a_name_that_is_held_for_too_long_ends_it_naming_the_holder(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "PATIENCE_S", 0.2)
    with segment.name_lock(segment_name):
        error = refused(segment=segment_name)
    assert isinstance(error, NameHeld)
    assert f"process {os.getpid()} has been making" in str(error)


def test_the_heartbeat_goes_on_while_kernels_are_compiled(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []

    def slow(stats: object) -> None:
        with ringbuf.attach(segment_name) as store:
            first = store.live()["heartbeat_ms"]
            while store.live()["heartbeat_ms"] == first:
                time.sleep(0.01)
            beats.append(store.live()["heartbeat_ms"] - first)

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(BUSY) as running:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(service.run, settings_of(segment_name, running))
                    await until(lambda: readable(segment_name))
                    tasks.cancel_scope.cancel()
                monkeypatch.setattr(service, "warm", slow)
                running.exchange.faults.set("http_500", 1.0)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(service.run, settings_of(segment_name, running))
                    with ringbuf.attach(segment_name) as store:
                        await until(lambda: store.alive)
                    running.exchange.faults.set("http_500", None)
                    await until(lambda: beats)
                    tasks.cancel_scope.cancel()

    anyio.run(main)
    assert beats[0] > 0


# -- what it refuses -------------------------------------------------------------------------------


def test_an_unknown_market_is_refused_with_the_nearest_known() -> None:
    error = refused(markets=("BTC", "btcusd_prep"))
    assert isinstance(error, UnknownMarket)
    assert "nearest: btcusd_perp" in str(error)


def test_a_delisted_market_asked_for_by_name_is_refused() -> None:
    assert isinstance(refused(markets=("GONE",)), DelistedMarket)


def test_an_unknown_stat_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(UnknownStat, match="ATR14"):
        anyio.run(service.run, settings_of("x", None, stats=("ATRR14",)))


def test_more_markets_than_subscriptions_are_refused() -> None:
    config = ExchangeConfig(markets=30)
    assert isinstance(refused(config, markets=("perps",), subscriptions=3), SettingsError)


def test_too_little_shared_memory_is_refused_saying_how_much_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ringbuf.segment.free_space", lambda: (2**20, 64 * 2**20))
    error = refused(history=100_000)
    assert isinstance(error, NoSpace)
    assert "--shm-size=" in str(error)


# -- what it does meanwhile ------------------------------------------------------------------------


def test_minutes_roll_and_close_at_the_exchange_s_time(segment_name: str) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        ring = store["btcusd_perp"]
        rolled: set[int] = set()
        while len(rolled) < 5:
            await anyio.sleep(0.005)
            state = ring.state()
            now = running.clock.now_ms()
            # A minute is open by its end, and closed only after its end and grace.
            assert state["newest"] <= now // MINUTE_MS
            assert (state["closed"] + 1) * MINUTE_MS + 2_500 <= now
            if state["newest"] == now // MINUTE_MS and state["closed"] == state["newest"] - 1:
                rolled.add(state["newest"])
            assert abs(int(store._live["clock_ms"][0]) - now) < 600_000

    following(segment_name, body, ExchangeConfig(markets=BUSY.markets, rate=60.0))


def test_heartbeat_and_counters_go_on(segment_name: str) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        before = store.health()["counters"]
        beat = int(store._live["heartbeat_ns"][0])
        await until(lambda: int(store._live["heartbeat_ns"][0]) > beat)
        await until(lambda: store.health()["counters"]["frames"] > before["frames"])
        counters = store.health()["counters"]
        assert counters["connects"] == 2
        assert counters["rest_requests"] >= 1
        assert counters["rest_weight"] > 20
        assert counters["rejected"] == counters["malformed"] == counters["unknown_coin"] == 0

    following(segment_name, body)


def test_markets_are_stale_while_the_exchange_is_away_and_live_again_after(
    segment_name: str,
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        ring = store["btcusd_perp"]
        for session in running.exchange.sessions.values():
            session.doom(running.exchange.now_ms, Closing())
        await until(lambda: ring.status == "stale")
        await until(lambda: ring.status == "live")
        await until(lambda: store.health()["counters"]["connects"] == 4)
        assert store.health()["counters"]["disconnects"] == 2

    following(segment_name, body)


def test_with_one_socket_of_a_pair_lost_rows_go_on_as_if_nothing_had_happened(
    segment_name: str,
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        ring = store["btcusd_perp"]
        await until(lambda: both(running))
        running.exchange.limits.connects.limit = 0  # it does not come back
        first = next(iter(running.exchange.sessions.values()))
        first.doom(running.exchange.now_ms, Closing())
        await until(lambda: store.health()["counters"]["disconnects"] == 1)
        newest, frames = ring.state()["newest"], ring.state()["frames"]
        while ring.state()["closed"] < newest + 2 or ring.state()["frames"] < frames + 20:
            assert ring.status == "live"
            await anyio.sleep(0.005)

    following(segment_name, body)


def both(running: Running) -> bool:
    """Do two sockets have BTC's candles?"""
    return sum(CANDLES in each.subscriptions for each in running.exchange.sessions.values()) == 2


def test_a_stream_that_falls_silent_is_found_by_the_other_and_subscribed_anew(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        await until(lambda: both(running))
        for session in list(running.exchange.sessions.values()):
            before = store.health()["counters"]["stalls"]
            session.muted.add(CANDLES)
            await until(partial(heard_again, session))
            await until(lambda: store.health()["counters"]["stalls"] > before)  # noqa: B023
        assert store.health()["counters"]["disconnects"] == 0

    following(segment_name, body)
    assert any("silent about BTC" in record.getMessage() for record in caplog.records)


def heard_again(session: Session) -> bool:
    return CANDLES in session.subscriptions and CANDLES not in session.muted


def test_a_lone_stream_that_falls_silent_is_found_by_the_day_s_volume_and_rows_are_put_right(
    segment_name: str,
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        ring = store["btcusd_perp"]
        (session,) = running.exchange.sessions.values()
        await anyio.lowlevel.checkpoint()
        session.muted.add(CANDLES)
        await until(lambda: store.health()["counters"]["stalls"] >= 1)
        found = ring.state()["newest"]
        confirmed = -1
        while confirmed <= found:
            confirmed = ring.state()["confirmed"]
            rows = ring.snapshot(closed=True)
            times = rows["time"].astype("M8[ms]").astype(int)
            truth = running.exchange.truth("BTC", int(times[0]), int(times[-1]))
            traded = {row.open_ms: row.trades for row in truth}
            ours = zip(times.tolist(), rows["trades"].tolist(), strict=True)
            for moment, trades in ours:
                assert trades or not traded[moment], "a guess"
                assert trades == traded[moment] or moment > confirmed * MINUTE_MS
            await anyio.sleep(0.01)

    following(segment_name, body, redundant=False)


def test_markets_come_and_go_without_a_restart(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    btc, eth = (Market(coin, "perp", 90.0, 85_800.0, 5) for coin in ("BTC", "ETH"))

    async def body(running: Running, store: ringbuf.Store) -> None:
        ring, exchange = store["ethusd_perp"], running.exchange
        await until(lambda: ring.status == "live")
        sol = Market("SOL", "perp", 60.0, 186.0, 2)
        exchange.world = World.of((btc, replace(eth, delisted=True), sol))
        await until(lambda: ring.status == "delisted")
        kept = ring.snapshot(closed=True)
        assert store.condition == "live", "nobody has to look after it"
        newest = store["btcusd_perp"].state()["newest"]
        await until(lambda: store["btcusd_perp"].state()["closed"] > newest)
        rows = ring.snapshot(closed=True)  # the row that was open then may be closed by now
        same = rows[np.isin(rows["time"], kept["time"])]["close"]
        assert np.isin(kept["time"][-5:], rows["time"]).all()
        assert np.array_equal(same, kept["close"][-len(same) :])
        counters = store.health()["counters"]
        assert (counters["delisted"], counters["offered"], counters["renamed"]) == (1, 1, 0)
        exchange.world = World.of((btc, eth, sol))
        await until(lambda: ring.status == "live")

    config = ExchangeConfig(markets=(btc, eth), rate=100.0)
    following(segment_name, body, config, markets=("perps",))
    said = [record.getMessage() for record in caplog.records]
    assert said.count("market ethusd_perp is delisted; its history is kept as it is") == 1
    assert said.count("market ethusd_perp is traded again") == 1
    offers = [text for text in said if "new markets that MONITOR_MARKETS asks for" in text]
    assert len(offers) == 1
    assert "solusd_perp" in offers[0]


def test_a_name_that_the_exchange_does_not_know_any_more_costs_the_others_nothing_for_long(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    btc, eth = (Market(coin, "perp", 90.0, 85_800.0, 5) for coin in ("BTC", "ETH"))

    async def body(running: Running, store: ringbuf.Store) -> None:
        exchange = running.exchange
        await until(lambda: both(running))
        exchange.world = World.of((btc,))
        for session in exchange.sessions.values():
            session.doom(exchange.now_ms, Closing())
        await until(lambda: store.health()["counters"]["quarantined"] == 2)
        await until(lambda: both(running))
        await until(lambda: store["btcusd_perp"].status == "live")
        assert store["ethusd_perp"].status == "stale"
        assert exchange.counts["unknown_coins"] == 4

    following(segment_name, body, ExchangeConfig(markets=(btc, eth), rate=5.0), markets=("perps",))
    said = [record.getMessage() for record in caplog.records]
    assert sum("market ETH: the exchange ends the socket" in text for text in said) == 2


def test_where_not_all_markets_can_have_two_sockets_the_busiest_have(segment_name: str) -> None:
    coins = ("AAA", "BTC", "CCC", "DDD")
    listed = tuple(Market(coin, "perp", 90.0, 100.0, 2, notional=400.0) for coin in coins)
    busy = replace(listed[3], trades_per_minute=900.0)

    async def body(running: Running, store: ringbuf.Store) -> None:
        def subscribed() -> list[str]:
            sessions = running.exchange.sessions.values()
            return sorted(s.coin or "" for each in sessions for s in each.subscriptions)

        # Four candles, two beacons, one more candle; the rest is room for replacing a socket.
        await until(lambda: subscribed() == ["AAA", "BTC", "BTC", "BTC", "CCC", "DDD", "DDD"])
        await until(lambda: store.health()["counters"]["on_two_sockets"] == 1)

    config = ExchangeConfig(markets=(*listed[:3], busy), rate=5.0)
    following(segment_name, body, config, markets=("perps",), subscriptions=12)


def test_readers_are_woken_as_soon_as_something_is_published(segment_name: str) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        for _ in range(20):
            assert await anyio.to_thread.run_sync(store.wait, PATIENCE_S)

    following(segment_name, body)


class Bench:
    """A service over private memory whose exchange is never asked."""

    def __init__(self) -> None:
        settings = settings_of("x", None)
        stats = plan(settings.stats, history=settings.history)
        markets = (Listed("btcusd_perp", "BTC", "perp", "", False, 5, 0),)
        self.clock = ExchangeClock()
        self.clock.observe(1_791_278_900_000.0, trusted=True)
        weights = WeightBudget()
        self.writer = in_memory(spec_of(settings, markets, stats, source_of(settings, None)))
        client = InfoClient(settings.api_url, weights, self.clock)
        self.service = Service(
            settings,
            markets,
            stats,
            self.writer,
            client,
            self.clock,
            weights,
            ConnectionBudget(),
            "BTC",
        )

    @property
    def published(self) -> int:
        return int(self.writer.header["published"][0])


def test_a_burst_of_frames_wakes_readers_once() -> None:
    open_ms = 1_791_278_880_000

    def frame(trades: int) -> Candle:
        return Candle(open_ms, open_ms + 59_999, "BTC", "1m", 1.0, 1.0, 1.0, 1.0, 1.0, trades)

    async def main() -> None:
        bench = Bench()
        bench.service._loop = asyncio.get_running_loop()
        before, stream = bench.published, Stream()
        for trades in range(1, 50):
            bench.service.candle(frame(trades), stream)
        assert bench.published == before
        await anyio.lowlevel.checkpoint()
        assert bench.published == before + 1
        bench.service.candle(frame(3), stream)
        await anyio.lowlevel.checkpoint()
        assert bench.published == before + 1, "an older state is nothing new"

    anyio.run(main)


def test_a_new_socket_does_not_wait_for_a_rest_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "BEFORE_SOCKET_S", 0.01)
    monkeypatch.setattr(serving.Service, "_ask_time", lambda _self: anyio.sleep_forever())

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            await object.__new__(serving.Service)._before_socket()

    anyio.run(main)


def test_only_an_embedded_exchange_changes_the_clock_s_rate() -> None:
    async def main() -> None:
        clock = ExchangeClock()
        async with (
            serve(ExchangeConfig(rate=50.0)) as running,
            InfoClient(running.api_url, WeightBudget(), clock) as client,
        ):
            embedded = await greet(client, clock)
            assert embedded is not None
            assert embedded.run == running.exchange.run
            assert clock.rate == 50.0
            assert abs(clock.now_ms() - running.clock.now_ms()) < 60_000

    anyio.run(main)


def test_an_exchange_that_does_not_call_itself_embedded_is_taken_at_the_clock_s_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def post(*_: object, **__: object) -> bytes:
        return json.dumps({"specialStatuses": None, "time": 1_791_278_900_000}).encode()

    monkeypatch.setattr(InfoClient, "post", post)

    async def main() -> None:
        clock = ExchangeClock()
        async with InfoClient("http://127.0.0.1:1", WeightBudget(), clock) as client:
            assert await greet(client, clock) is None
        assert clock.rate == 1.0
        assert clock.now_ms() == pytest.approx(1_791_278_900_000, abs=60_000)

    anyio.run(main)


def test_without_the_usual_beacon_the_first_market_sets_the_clock(segment_name: str) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        for session in running.exchange.sessions.values():
            assert [s.coin for s in session.subscriptions if s.type == "bbo"] == ["SOL"]

    config = ExchangeConfig(markets=(Market("SOL", "perp", 60.0, 186.0, 2),), rate=20.0)
    following(segment_name, body, config, markets=("SOL",))
