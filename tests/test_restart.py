"""Real processes: a service is killed and started again while a reader looks on."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import numpy as np

import ringbuf
from e2e_kit import MINUTE_MS, PATIENCE_S, Process, Urls, check_market, exchange, service, until

SPEED = 60.0
STATS = ("ATR14", "RSI5")
MARKETS = ("btcusd_perp", "ethusd_perp", "celousd_perp")
CHOSEN: dict[str, object] = {"markets": ",".join(MARKETS), "stats": ",".join(STATS)}


def settled(store: ringbuf.Store) -> bool:
    return all(ring.status in {"live", "quiet"} for ring in store.values())


def inode(segment: str) -> int:
    return (Path("/dev/shm") / segment).stat().st_ino


def _reached(ring: ringbuf.Ring, word: str, bar: int) -> bool:
    return bool(ring.state()[word] >= bar)


def confirmed_on(store: ringbuf.Store, urls: Urls, process: Process, minutes: int) -> None:
    """Wait for so many more confirmed minutes; every confirmed row is the truth."""
    for ring in (store[market] for market in MARKETS[:2]):
        goal = ring.state()["newest"] + minutes
        until(partial(_reached, ring, "confirmed", goal), "rows", process)
        assert check_market(urls.api_url, ring, STATS, confirmed=True) > 100


def test_a_reader_sees_the_rows_go_on_in_the_same_memory_through_any_number_of_deaths(
    segment_name: str,
) -> None:
    with exchange(speed=SPEED) as urls:
        with service(segment_name, urls, **CHOSEN) as process:
            store = ringbuf.attach(segment_name)
            until(lambda: settled(store), "all histories", process)
            rows = int(store.health()["counters"]["rest_weight"])
            process.send(signal.SIGKILL)
            process.wait()
        before, ring = inode(segment_name), store["btcusd_perp"]
        for _ in range(2):
            assert store.life == "down"
            assert {each.status for each in store.values()} == {"down"}
            last = ring.snapshot(closed=True)
            newest = ring.state()["newest"]
            with service(segment_name, urls, **CHOSEN) as process:
                until(lambda: settled(store), "all gaps filled", process)
                assert "adopted: 3 markets, 3 of them with history" in process.stderr
                until(partial(_reached, ring, "newest", newest + 1), "rows", process)
                # The rows that readers knew are what they were, the gap alone was asked for.
                now = ring.snapshot()
                known, here = (np.isin(a["time"], b["time"]) for a, b in ((last, now), (now, last)))
                assert here.sum() > 150
                confirmed = last["flags"] & 2 != 0
                for column in ("open", "high", "low", "close", "trades", *STATS):
                    ours, theirs = last[known & confirmed], now[here][confirmed[known]]
                    assert (ours[column] == theirs[column]).all(), column
                gap = now["time"][-1].astype(int) // MINUTE_MS - newest
                counters = store.health()["counters"]
                assert counters["repaired"] <= 3 * (gap + 3)
                assert counters["lost_histories"] == 0
                assert counters["rest_weight"] < 2 * rows + 100 * gap
                confirmed_on(store, urls, process, 1)
                process.send(signal.SIGKILL)
                process.wait()
            assert inode(segment_name) == before
            assert not store.retired
        store.close()


def test_with_other_stats_the_next_life_has_them_over_the_whole_history(
    segment_name: str,
) -> None:
    with exchange(speed=SPEED) as urls:
        with service(segment_name, urls, **CHOSEN) as process:
            old = ringbuf.attach(segment_name)
            until(lambda: settled(old), "all histories", process)
            process.send(signal.SIGKILL)
            process.wait()
        last = old["btcusd_perp"].snapshot()
        view = old["btcusd_perp"]["close"]
        with service(segment_name, urls, **CHOSEN | {"stats": "SMA20,ATR14,RSI5"}) as process:
            assert old.retired
            assert old.wait(PATIENCE_S)
            with old.refresh() as store:
                process.says("rebuilt: 3 markets, 3 of them with history")
                assert store.columns[-3:] == ("SMA20", "ATR14", "RSI5")
                until(lambda: settled(store), "all gaps filled", process)
                assert np.isfinite(store["btcusd_perp"]["SMA20"]).all()
                confirmed_on(store, urls, process, 1)
                for ring in store.values():
                    check_market(urls.api_url, ring, ("SMA20",), confirmed=True)
            assert view.tolist() == last["close"].tolist()
        old.close()
