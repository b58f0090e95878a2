"""Real processes: an exchange, a service, and this one, which reads what they made.

One exchange and one service serve most of the tests, at many times the clock's speed; the order of
the tests is the story of that service, up to its end.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import e2e_kit as kit
import ringbuf

SPEED = 40.0
STATS = ("ATR14", "RSI5", "EMA20")
LIQUID, THIN, SILENT, NEVER = "btcusd_perp", "celousd_perp", "tiltusdc", "lorausdc"
MARKETS = (LIQUID, "ethusd_perp", "hypeusdc", THIN, "fttusd_perp", SILENT, NEVER)
MINUTES = 12
"""Closed while the service ran, besides the history."""


@dataclass
class World:
    """An exchange, and a service on it whose store is `segment`."""

    segment: str
    urls: kit.Urls
    service: kit.Process
    begun: int = 0
    settings: dict[str, object] = field(default_factory=dict)

    def status(self) -> tuple[int, str]:
        done = kit.run("status", settings=self.settings)
        assert done.stderr == ""
        return done.returncode, done.stdout


def _forget(segment: str) -> None:
    for path in Path("/dev/shm").glob(f"{segment}*"):
        path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    segment = f"mmtest_{os.getpid()}_world"
    chosen = {"markets": ",".join(MARKETS), "stats": ",".join(STATS)}
    with (
        kit.exchange(speed=SPEED) as urls,
        kit.service(segment, urls, **chosen) as process,
        ringbuf.attach(segment) as store,
    ):
        begun = max(0, ring_state(store, LIQUID)["newest"])
        yield World(segment, urls, process, begun, {"segment": segment, **urls.settings, **chosen})
    _forget(segment)


def ring_state(store: ringbuf.Store, market: str) -> dict[str, int]:
    return store[market].state()


def reached(store: ringbuf.Store, market: str, bar: int) -> bool:
    return ring_state(store, market)["confirmed"] >= bar


def counted(store: ringbuf.Store, counter: str) -> bool:
    return bool(store.health()["counters"][counter])


def settled(store: ringbuf.Store) -> bool:
    return all(ring.status in {"live", "quiet"} for ring in store.values())


def disagreement(urls: kit.Urls, store: ringbuf.Store) -> str:
    """What is wrong with any closed row of any market; empty where nothing is."""
    try:
        for ring in store.values():
            kit.check_market(urls.api_url, ring, STATS)
    except AssertionError as error:
        return str(error)
    return ""


# -- one service, from its start to its end --------------------------------------------------------


def test_status_is_0_once_all_histories_are_there(world: World) -> None:
    with ringbuf.attach(world.segment) as store:
        kit.until(lambda: settled(store), "all histories", world.service)
    code, said = world.status()
    assert code == 0, said
    assert said.startswith(f"live: store {world.segment}, writer {world.service.pid}, ")


def test_read_py_shows_what_the_service_wrote(world: World) -> None:
    reader = ("--segment", world.segment, "--format", "json")
    done = kit.run(*reader, program=(str(kit.ROOT / "read.py"),))
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["market"]: row for row in json.loads(done.stdout)}
    assert tuple(rows) == MARKETS
    assert list(rows[LIQUID])[-5:] == [*STATS, "status", "age_s"]
    assert all(isinstance(rows[LIQUID][stat], float) for stat in STATS)
    never = rows[NEVER]
    assert (never["time"], never["close"], never["ATR14"]) == (None, None, None)
    assert never["status"] == "quiet"
    assert isinstance(rows[SILENT]["carried"], bool)


def test_a_second_service_exits_with_2_and_names_the_first(world: World) -> None:
    done = kit.run("run", settings=world.settings)
    assert done.returncode == 2
    complaints = [line for line in done.stderr.splitlines() if line.startswith("market-monitor: ")]
    assert len(complaints) == 1
    assert f"process {world.service.pid}" in complaints[0]
    assert not world.service.ended


def test_a_reader_is_woken_by_what_is_published(world: World) -> None:
    with ringbuf.attach(world.segment) as store:
        for _ in range(10):
            assert store.wait(kit.PATIENCE_S)


def test_minutes_are_those_of_the_exchange(world: World) -> None:
    seen: set[int] = set()

    def sampled() -> bool:
        before = kit.info(world.urls.api_url, type="exchangeStatus")["time"]
        state = ring_state(store, LIQUID)
        after = kit.info(world.urls.api_url, type="exchangeStatus")["time"]
        assert state["newest"] <= after // kit.MINUTE_MS, "a minute that has not begun"
        assert (state["closed"] + 1) * kit.MINUTE_MS <= after, "closed before its end"
        if state["newest"] == before // kit.MINUTE_MS:
            seen.add(state["newest"])
        return len(seen) >= 4

    with ringbuf.attach(world.segment) as store:
        kit.until(sampled, "four minutes seen while they ran", world.service)


def test_every_closed_row_is_the_exchange_s_and_every_stat_is_ta_lib_s(world: World) -> None:
    with ringbuf.attach(world.segment) as store:
        kit.until(
            lambda: reached(store, LIQUID, world.begun + MINUTES),
            f"{MINUTES} confirmed minutes",
            world.service,
        )
        # What REST has confirmed is right at any time.
        for ring in store.values():
            kit.check_market(world.urls.api_url, ring, STATS, confirmed=True)
        # The rest may lack a trade of its last instant, until REST has corrected it.
        kit.until(lambda: not disagreement(world.urls, store), "agreement", world.service)
        assert len(store[LIQUID].snapshot(closed=True)) == 199
        assert len(store[SILENT].snapshot(closed=True)) == 199
        # About one trade in eight hours.
        assert np.count_nonzero(store[SILENT].view("trades")) < 20
        assert len(store[NEVER]) == 0
        assert store[NEVER].status == "quiet"
        counters = store.health()["counters"]
        assert counters["rejected"] == counters["malformed"] == counters["unknown_coin"] == 0


def test_sigterm_ends_it_with_0_and_leaves_a_store_marked_stopped(world: World) -> None:
    assert world.service.stop(signal.SIGTERM) == 0
    assert "stopping on SIGTERM" in world.service.stderr
    assert "Traceback" not in world.service.stderr
    assert "Warning:" not in world.service.stderr
    code, said = world.status()
    assert code == 3
    assert said.startswith("stopped: ")
    with ringbuf.attach(world.segment) as store:
        assert len(store[LIQUID].snapshot(closed=True)) == 199


def test_after_the_exchange_it_is_degraded_and_after_sigkill_down_at_once(world: World) -> None:
    # The store of the service that was stopped is taken over by name.
    with (
        kit.service(world.segment, world.urls, markets=LIQUID, history=20) as process,
        ringbuf.attach(world.segment) as store,
    ):
        kit.until(lambda: settled(store), "the history", process)
        world.urls.process.send(signal.SIGKILL)
        kit.until(lambda: store[LIQUID].status == "stale", "a stale market", process)
        code, said = world.status()
        assert (code, said.split(":")[0]) == (1, "degraded")
        assert not process.ended
        process.send(signal.SIGKILL)
        process.wait()
        assert store.life == "down"
        code, said = world.status()
        assert (code, said.split(":")[0]) == (3, "down")
        assert len(store[LIQUID]) == 20


# -- others ----------------------------------------------------------------------------------------


def test_with_drops_lost_frames_and_http_errors_the_result_is_the_same(segment_name: str) -> None:
    faults = {
        "drop": 600,
        "expire": 240,
        "http_500": 0.2,
        "missing": 0.3,
        "duplicate": 0.1,
        "late": 0.1,
    }
    markets = (LIQUID, THIN)
    with ExitStack() as stack:
        urls = stack.enter_context(kit.exchange(speed=60.0, faults=faults))
        settings = {"markets": ",".join(markets), "stats": ",".join(STATS)}
        process = stack.enter_context(kit.service(segment_name, urls, **settings))
        store = stack.enter_context(ringbuf.attach(segment_name))
        kit.until(lambda: store[LIQUID].status == "live", "the history", process)
        begun = ring_state(store, LIQUID)["newest"]
        for market in markets:
            confirmed = partial(reached, store, market, begun + 6)
            kit.until(confirmed, f"confirmed minutes of {market}", process)
            count = kit.check_market(urls.api_url, store[market], STATS, confirmed=True)
            assert count > 100
        for counter in ("disconnects", "rest_errors", "corrected"):
            kit.until(partial(counted, store, counter), counter, process)
        assert process.stop(signal.SIGINT) == 0
        assert "stopping on SIGINT" in process.stderr
        assert "Traceback" not in process.stderr


def test_a_delisted_market_and_an_unknown_stat_exit_with_2_and_a_line_each() -> None:
    with kit.exchange() as urls:
        done = kit.run("run", settings=urls.settings | {"markets": "MATIC,btcusd_prep"})
        lines = done.stderr.splitlines()
        assert done.returncode == 2
        assert len(lines) == 2
        assert lines[0].startswith("market-monitor: market 'MATIC'")
        assert "nearest: btcusd_perp" in lines[1]
        done = kit.run("check", settings=urls.settings | {"markets": "MATIC", "stats": "ATRR14"})
        assert done.returncode == 2
        assert done.stderr.count("\n") == done.stderr.count("market-monitor: ") == 2
        # Ctrl-C ends the exchange as cleanly.
        assert urls.process.stop(signal.SIGINT) == 0
        assert urls.process.stderr == ""
