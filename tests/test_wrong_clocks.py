"""A real service whose clocks lie, jump and stand still: what it confirms is right all the same.

The wall clock is replaced before anything else is imported. Suspending a machine is stopping the
process and taking what it slept through from its monotonic clock, as the kernel does.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

import e2e_kit as kit
import ringbuf

SPEED = 40.0
LEAP_S = 20.0
"""Thirteen minutes of the exchange's time."""
STATS = ("ATR14", "RSI5")
BUSY, THIN = "btcusd_perp", "celousd_perp"
MARKETS = (BUSY, "ethusd_perp", "hypeusdc", THIN, "fttusd_perp")

MONITOR = """
import runpy
runpy.run_module("monitor", run_name="__main__", alter_sys=True)
"""

WRONG_WALL_CLOCK = f"""
import itertools, time
wall, wrong = time.time, itertools.cycle([-3.2e8, 7_200.0, 0.0, 3.6e5, -50.0, 9e8])
time.time = lambda: wall() + next(wrong)
time.time_ns = lambda: int(time.time() * 1e9)
{MONITOR}
"""

SUSPENDED = f"""
import signal, sys, time
monotonic = time.monotonic
lost = 0.0
seen = monotonic()

def without_sleep():
    global seen
    seen = monotonic()
    return seen - lost

def slept(*_):
    global lost
    lost += monotonic() - seen
    print("slept", round(lost), "s", file=sys.stderr)

time.monotonic = without_sleep
signal.signal(signal.SIGUSR2, slept)
{MONITOR}
"""

LEAPING = f"""
import signal, sys, time
monotonic = time.monotonic
leapt = 0.0

def leap(*_):
    global leapt
    leapt += {LEAP_S}
    print("leapt", file=sys.stderr)

time.monotonic = lambda: monotonic() + leapt
signal.signal(signal.SIGUSR2, leap)
{MONITOR}
"""


@pytest.fixture(scope="module")
def urls() -> Iterator[kit.Urls]:
    with kit.exchange(speed=SPEED) as found:
        yield found


def service(segment: str, urls: kit.Urls, code: str) -> AbstractContextManager[kit.Process]:
    """A service whose clocks `code` replaces."""
    chosen = {"segment": segment, "history": 200, **urls.settings}
    chosen |= {"markets": ",".join(MARKETS), "stats": ",".join(STATS)}
    return kit.serving(segment, kit.process("run", settings=chosen, program=("-c", code)))


def reached(store: ringbuf.Store, bar: int) -> bool:
    closed: int = store[BUSY].state()["closed"]
    return closed >= bar


def abreast(urls: kit.Urls, store: ringbuf.Store) -> bool:
    """Is the newest row of this or the last minute, by the exchange's own clock?"""
    now_ms: int = kit.info(urls.api_url, type="exchangeStatus")["time"]
    newest: int = store[BUSY].state()["newest"]
    return newest >= now_ms // kit.MINUTE_MS - 1


def live(store: ringbuf.Store) -> bool:
    return all(ring.status in {"live", "quiet"} for ring in store.values())


def agree(urls: kit.Urls, store: ringbuf.Store) -> None:
    """Every confirmed row of every market is what REST says, its stats are TA-Lib's."""
    for ring in store.values():
        assert kit.check_market(urls.api_url, ring, STATS, confirmed=True)


def passed(store: ringbuf.Store, minutes: int, urls: kit.Urls, process: kit.Process) -> None:
    """Wait until so many more minutes are closed; what is confirmed is right all along."""
    begun = store[BUSY].state()["closed"]
    for end in range(begun + 1, begun + minutes + 1):
        kit.until(partial(reached, store, end), "a closed minute", process)
        agree(urls, store)


def test_the_wall_clock_may_say_what_it_likes(segment_name: str, urls: kit.Urls) -> None:
    with (
        service(segment_name, urls, WRONG_WALL_CLOCK) as process,
        ringbuf.attach(segment_name) as store,
    ):
        kit.until(lambda: live(store), "all histories", process)
        passed(store, 6, urls, process)
        kit.until(lambda: abreast(urls, store), "the minute that the exchange is in", process)
        assert store.condition == "live"
        assert store.heartbeat_age < ringbuf.reader.HUNG_S
        assert not store.check()
        assert process.stop() == 0


@pytest.mark.parametrize("suspended", [True, False], ids=["machine suspended", "process stopped"])
def test_after_minutes_of_sleep_every_minute_is_there(
    segment_name: str, urls: kit.Urls, suspended: bool
) -> None:
    with (
        service(segment_name, urls, SUSPENDED) as process,
        ringbuf.attach(segment_name) as store,
    ):
        kit.until(lambda: live(store), "all histories", process)
        passed(store, 2, urls, process)
        before = store[BUSY].state()["closed"]
        process.send(signal.SIGSTOP)
        kit.until(lambda: store.condition == "hung", "a missing heartbeat", process)
        assert store[BUSY].last()["close"] > 0
        if suspended:
            process.send(signal.SIGUSR2)
        process.send(signal.SIGCONT)
        slept = int(ringbuf.reader.HUNG_S * SPEED / 60) - 1
        kit.until(
            lambda: reached(store, before + slept) and live(store) and abreast(urls, store),
            "the minutes that it slept through",
            process,
        )
        assert suspended == ("slept 1" in process.stderr)
        agree(urls, store)
        passed(store, 3, urls, process)
        end = store[BUSY].state()["closed"]
        kit.until(
            lambda: all(ring.state()["confirmed"] >= end for ring in (store[BUSY], store["ETH"])),
            "confirmation",
            process,
        )
        assert store.condition == "live"
        assert not store.check()
        assert process.stop() == 0


def test_a_leap_of_the_monotonic_clock_confirms_nothing_that_has_not_been(
    segment_name: str, urls: kit.Urls
) -> None:
    with (
        service(segment_name, urls, LEAPING) as process,
        ringbuf.attach(segment_name) as store,
    ):
        kit.until(lambda: live(store), "all histories", process)
        passed(store, 2, urls, process)
        process.send(signal.SIGUSR2)
        kit.until(lambda: "leapt" in process.stderr, "the leap", process)
        end = kit.info(urls.api_url, type="exchangeStatus")["time"] + LEAP_S * 1.2 * SPEED * 1_000
        now = 0
        while now < end:
            before = {ring.name: ring.state()["confirmed"] for ring in store.values()}
            now = kit.info(urls.api_url, type="exchangeStatus")["time"]
            assert max(before.values()) < now // kit.MINUTE_MS, "a minute that is not over"
            for ring in store.values():
                kit.check_market(urls.api_url, ring, STATS, confirmed=True)
        kit.until(lambda: live(store) and abreast(urls, store), "the present", process)
        passed(store, 3, urls, process)
        assert not store.check()
        assert process.stop() == 0
