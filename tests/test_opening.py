"""How a service comes by its store: from the last one, from an offline one, from a smaller one."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

import ringbuf
from indicators import plan
from monitor import service
from monitor.book import STATUSES
from monitor.exchange import ExchangeConfig, Market, Running, serve
from monitor.markets import Market as Listed
from monitor.opening import Interim, hold, kept_names, open_for
from monitor.rest import InfoClient
from monitor.settings import Settings
from monitor.store import source_of, spec_of
from ringbuf import NotReplaced, StoreBusy, segment
from ringbuf.writer import create

PATIENCE_S = 120
MINUTE_MS = 60_000
BTC = Market("BTC", "perp", 90.0, 85_800.0, 5)
SOL = Market("SOL", "perp", 60.0, 186.0, 2)
NAMES = {"BTC": "btcusd_perp", "SOL": "solusd_perp"}


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def config(*markets: Market, **more: Any) -> ExchangeConfig:
    """An exchange that is the same one every time it is started."""
    return ExchangeConfig(markets=markets or (BTC, SOL), run="one", **({"rate": 20.0} | more))


def settings_of(segment: str, urls: dict[str, str] | None = None, **more: Any) -> Settings:
    nowhere = {"ws_url": "ws://127.0.0.1:1/ws", "api_url": "http://127.0.0.1:1"}
    chosen: dict[str, Any] = {"segment": segment, "markets": ("BTC", "SOL"), "history": 30}
    return Settings(**(chosen | (urls or nowhere) | more))


def urls_of(running: Running) -> dict[str, str]:
    return {"ws_url": running.ws_url, "api_url": running.api_url}


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for comes through shared memory
        await anyio.sleep(0.01)


def readable(segment: str, *markets: str) -> bool:
    try:
        with ringbuf.attach(segment) as store:
            return store.alive and all(store[market].status == "live" for market in markets)
    except (ringbuf.RingbufError, KeyError):
        return False


async def lived(
    settings: Settings,
    markets: tuple[str, ...] = ("BTC", "SOL"),
    body: Callable[[ringbuf.Store], Awaitable[None]] | None = None,
) -> None:
    """One life of a service, until `markets` are live; then `body`."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run, settings)
        await until(lambda: readable(settings.segment, *markets))
        with ringbuf.attach(settings.segment) as store:
            if body is not None:
                await body(store)
        tasks.cancel_scope.cancel()


def limited(main: Callable[[], Awaitable[None]]) -> None:
    async def patient() -> None:
        with anyio.fail_after(PATIENCE_S):
            await main()

    anyio.run(patient)


# -- restarts --------------------------------------------------------------------------------------


def test_a_second_life_knows_what_the_first_one_spent_within_the_minute(segment_name: str) -> None:
    """The exchange counts by address: restarts in a row would go beyond its limit."""

    async def main() -> None:
        async with serve(config(rate=1.0)) as running:
            settings = settings_of(segment_name, urls_of(running))
            weights, sockets = [0], [0]

            async def body(store: ringbuf.Store) -> None:
                def minute(of: str) -> int:
                    return int(store.health()["counters"][of])

                # Its own greeting and market lists; its own two sockets.
                await until(lambda: minute("rest_weight_minute") > weights[-1] + 60)
                await until(lambda: minute("connects_minute") == sockets[-1] + 2)
                weights.append(minute("rest_weight_minute"))
                sockets.append(minute("connects_minute"))

            for _ in range(2):
                await lived(settings, body=body)
            assert sockets == [0, 2, 4]

    limited(main)


def test_a_second_life_goes_on_in_the_same_memory_and_asks_for_the_gap_alone(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, int]] = []
    original = InfoClient.candles

    async def candles(
        self: InfoClient, coin: str, start: int, end: int, *more: Any, **k: Any
    ) -> Any:
        asked.append((coin, start // MINUTE_MS, end // MINUTE_MS))
        return await original(self, coin, start, end, *more, **k)

    monkeypatch.setattr(InfoClient, "candles", candles)

    async def main() -> None:
        async with serve(config(rate=60.0)) as running:
            settings = settings_of(segment_name, urls_of(running))
            await lived(settings)
            path = Path("/dev/shm") / segment_name
            with ringbuf.attach(segment_name) as store:
                inode, ring = path.stat().st_ino, store["BTC"]
                before = {name: store[name].state() for name in NAMES}
                rows = ring.snapshot(closed=True)
                await until(
                    lambda: running.clock.now_ms() // MINUTE_MS > before["BTC"]["newest"] + 2
                )
                asked.clear()

                async def body(_: ringbuf.Store) -> None:
                    await until(lambda: ring.state()["newest"] > before["BTC"]["newest"] + 3)

                await lived(settings, body=body)
                assert path.stat().st_ino == inode
                assert not store.retired
                after = ring.snapshot()
                shared = np.isin(after["time"], rows["time"])
                assert shared.any()
                known = np.isin(rows["time"], after["time"])
                for column in store.columns:
                    if column != "flags":
                        assert (after[shared][column] == rows[known][column]).all(), column
                assert np.isfinite(after["ATR14"]).all()
            for coin, first, last in asked:
                assert first > before[coin]["confirmed"], (coin, first, last, before[coin])

    limited(main)


def test_another_stat_and_another_market_are_carried_over_into_and_readers_are_told(
    segment_name: str,
) -> None:
    async def main() -> None:
        async with serve(config()) as running:
            urls = urls_of(running)
            await lived(
                settings_of(segment_name, urls, markets=("BTC",), stats=("ATR14",)), ("BTC",)
            )
            with ringbuf.attach(segment_name) as old:
                view = old["BTC"]["close"]
                last = old["BTC"].snapshot(closed=True)
                changed = settings_of(segment_name, urls, stats=("EMA9", "ATR14"))

                async def body(store: ringbuf.Store) -> None:
                    assert old.retired
                    assert old.wait(0)
                    with old.refresh() as new:
                        assert new.columns[-2:] == ("EMA9", "ATR14")
                        rows = new["BTC"].snapshot()
                        both = np.isin(last["time"], rows["time"])
                        here = np.isin(rows["time"], last["time"])
                        assert both.any()
                        for column in ("close", "trades", "ATR14"):
                            assert (rows[column][here] == last[column][both]).all()
                        assert np.isfinite(rows["EMA9"]).all()
                        assert len(new["SOL"]) == 30
                    assert len(view) == 30

                await lived(changed, body=body)

    limited(main)


def test_a_longer_history_is_fetched_in_front_of_the_rows_that_are_there(
    segment_name: str,
) -> None:
    async def main() -> None:
        async with serve(config()) as running:
            urls = urls_of(running)
            await lived(settings_of(segment_name, urls))

            async def body(store: ringbuf.Store) -> None:
                await until(lambda: len(store["BTC"]) == 400)
                assert np.isfinite(store["BTC"]["ATR14"]).all()
                assert store.check() == []

            await lived(settings_of(segment_name, urls, history=400), body=body)

    limited(main)


def test_a_longer_history_that_a_death_cut_short_is_fetched_by_the_next_life(
    segment_name: str,
) -> None:
    """Until then the oldest rows have not settled: there are no stats."""

    async def main() -> None:
        async with serve(config()) as running:
            urls = urls_of(running)
            await lived(settings_of(segment_name, urls))
            longer = settings_of(segment_name, urls, history=400)
            stats = plan(longer.stats, history=longer.history)
            markets = (
                Listed("btcusd_perp", "BTC", "perp", "", False, 5, 0),
                Listed("solusd_perp", "SOL", "perp", "", False, 2, 0),
            )
            with ringbuf.attach(segment_name) as store:
                source = store.source
            spec = spec_of(longer, markets, stats, source)
            writer, opening = open_for(longer, spec, stats)
            assert (opening.how, opening.kept, opening.deeper) == ("rebuilt", 2, True)
            with ringbuf.attach(segment_name) as store:
                assert np.isnan(store["BTC"]["ATR14"]).all()
                assert np.isfinite(store["BTC"]["close"]).all()
            writer.disown()

            async def body(store: ringbuf.Store) -> None:
                await until(lambda: len(store["BTC"]) == 400)
                assert np.isfinite(store["BTC"]["ATR14"]).all()
                assert store.check() == []

            await lived(longer, body=body)

    limited(main)


def test_a_delisted_market_whose_history_is_there_is_kept_and_marked(
    segment_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Market("SOL", "perp", 60.0, 186.0, 2, delisted=True)

    async def main() -> None:
        async with serve(config()) as running:
            port, urls = running.port, urls_of(running)
            await lived(settings_of(segment_name, urls))
        async with serve(config(BTC, gone), port=port):
            with ringbuf.attach(segment_name) as old:
                rows = old["SOL"].snapshot()

                async def body(store: ringbuf.Store) -> None:
                    ring = store["solusd_perp"]
                    assert ring.status == "delisted"
                    assert ring.snapshot(closed=True)["close"].tolist() == (
                        rows[rows["flags"] & 4 != 0]["close"].tolist()
                    )

                await lived(settings_of(segment_name, urls), ("BTC",), body)

    limited(main)
    assert any("is delisted; its history is kept" in r.getMessage() for r in caplog.records)


# -- without the exchange --------------------------------------------------------------------------


def test_without_the_exchange_the_store_is_served_stale_and_gone_on_with_when_it_is_back(
    segment_name: str,
) -> None:
    async def main() -> None:
        async with serve(config()) as running:
            port, urls = running.port, urls_of(running)
            settings = settings_of(segment_name, urls)
            await lived(settings)
        with ringbuf.attach(segment_name) as store:
            ring, before = store["BTC"], store["BTC"].snapshot()
            assert ring.status == "stopped"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(service.run, settings)
                await until(lambda: ring.status == "stale")
                assert store.life == "running"
                beat = int(store._live["heartbeat_ns"][0])
                await until(lambda: int(store._live["heartbeat_ns"][0]) > beat)
                assert ring.snapshot().tobytes() == before.tobytes()
                with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
                    hold(settings)
                (Path("/dev/shm") / segment_name).unlink()
                await until((Path("/dev/shm") / segment_name).exists)
                async with serve(config(), port=port):
                    await until(lambda: ring.status == "live")
                    assert not store.retired
                    tasks.cancel_scope.cancel()
            assert store.life == "stopped"

    limited(main)


def test_it_stops_cleanly_also_before_the_exchange_has_answered(segment_name: str) -> None:
    async def main() -> None:
        settings = settings_of(segment_name)
        with created(settings), ringbuf.attach(segment_name) as store:
            pass
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.run, settings)
            await until(lambda: store_life(segment_name) == "running")
            tasks.cancel_scope.cancel()
        assert store_life(segment_name) == "stopped"
        del store

    limited(main)


def store_life(segment: str) -> str:
    with ringbuf.attach(segment) as store:
        return store.life


def created(settings: Settings, **source: Any) -> ringbuf.writer.Writer:
    stats = plan(settings.stats, history=settings.history)
    markets = (Listed("btcusd_perp", "BTC", "perp", "", False, 5, 0),)
    return create(spec_of(settings, markets, stats, source_of(settings, None) | source))


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ({}, True),
        ({"network": "embedded", "run": "x"}, True),
        ({"network": "testnet"}, False),
        ({"ws_url": "ws://elsewhere/ws"}, False),
        ({"api_url": "http://elsewhere"}, False),
    ],
)
def test_only_a_store_of_these_settings_exchange_is_held(
    segment_name: str, source: dict[str, str], held: bool
) -> None:
    settings = settings_of(segment_name)
    created(settings, **source).close()
    writer = hold(settings)
    assert (writer is not None) == held
    if writer is not None:
        writer.close()


def test_one_that_loses_its_names_while_it_is_held_is_found_again(segment_name: str) -> None:
    settings = settings_of(segment_name)
    created(settings).close()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            interim = Interim(settings, tasks)
            for _ in range(2):
                interim.begin()
                with ringbuf.attach(segment_name) as reader:
                    assert reader.life == "running"
                    segment.unlink(segment_name)
                    await until(partial(getattr, reader, "retired"))
            interim.begin()
            assert store_life(segment_name) == "running"
            held = interim.end()
            assert held is not None
            held.close()
        assert store_life(segment_name) == "stopped"

    limited(main)


def test_names_that_are_gone_when_it_ends_cost_no_rows(segment_name: str) -> None:
    """The names that RemoveIPC takes go at about the time of the signal that ends the service."""

    async def main() -> None:
        async with serve(config(rate=1.0)) as running:
            settings = settings_of(segment_name, urls_of(running))
            rows: list[Any] = []

            async def body(store: ringbuf.Store) -> None:
                rows.append(store["BTC"].snapshot(closed=True)["time"][-50:])
                segment.unlink(segment_name)  # no turn of the loop from here to the end

            await lived(settings, body=body)
            with ringbuf.attach(segment_name) as left:
                assert not left.alive
                assert np.isin(rows[0], left["BTC"]["time"]).all()
            async with anyio.create_task_group() as tasks:
                interim = Interim(settings, tasks)
                interim.begin()
                segment.unlink(segment_name)
                interim.close()
                tasks.cancel_scope.cancel()
            with ringbuf.attach(segment_name) as left:
                assert np.isin(rows[0], left["BTC"]["time"]).all()

    limited(main)


def test_without_a_store_there_is_nothing_to_hold_and_nothing_is_kept(segment_name: str) -> None:
    settings = settings_of(segment_name)
    assert hold(settings) is None
    assert kept_names(segment_name, source_of(settings, None)) == frozenset()


def test_names_are_kept_of_the_same_source_only(segment_name: str) -> None:
    settings = settings_of(segment_name)
    created(settings).close()
    source = source_of(settings, None)
    assert kept_names(segment_name, source) == {"btcusd_perp", "BTC"}
    assert kept_names(segment_name, source | {"run": "another"}) == frozenset()


def test_a_file_that_is_no_store_is_refused_and_left_alone(segment_name: str) -> None:
    path = Path("/dev/shm") / segment_name
    path.write_bytes(b"somebody's own")
    settings = settings_of(segment_name)
    for attempt in (lambda: hold(settings), lambda: kept_names(segment_name, {})):
        with pytest.raises(NotReplaced):
            attempt()
    stats = plan(settings.stats, history=settings.history)
    markets = (Listed("btcusd_perp", "BTC", "perp", "", False, 5, 0),)
    spec = spec_of(settings, markets, stats, source_of(settings, None))
    with pytest.raises(NotReplaced, match="store clean"):
        open_for(settings, spec, stats)
    assert path.read_bytes() == b"somebody's own"


def test_the_status_of_a_store_that_was_adopted_is_the_one_for_stale(segment_name: str) -> None:
    settings = settings_of(segment_name)
    stats = plan(settings.stats, history=settings.history)
    with created(settings) as writer:
        writer.put(0, 29_900_000, {"close": 1.0})
        spec = writer.spec
    writer, opening = open_for(settings, spec, stats)
    with writer, ringbuf.attach(segment_name) as store:
        assert opening.how == "adopted"
        assert STATUSES[store["BTC"].state()["status"]] == "stale"
