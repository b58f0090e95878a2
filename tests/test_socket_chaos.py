"""Every kind of fault at once, over real sockets: what is confirmed is what the exchange says.

The long runs of many markets are on a virtual clock without sockets (test_chaos.py, and
benchmarks/stress/chaos.py for days of it). Here the service's own sockets, clock and REST client
meet the faults for some of the exchange's minutes. Where the truth is asked for it is asked of the
exchange itself, not by way of the REST that the faults damage.
"""

from __future__ import annotations

import random
from typing import Any

import anyio
import numpy as np
import pytest
import talib
from test_service import MINUTE_MS, PATIENCE_S, readable, settings_of, until

import ringbuf
from monitor import service
from monitor.exchange import FAULTS, ExchangeConfig, Market, Running, serve

CARRIED, CONFIRMED = 1, 2
RATE = 40.0
MINUTES = 12
MARKETS = tuple(
    Market(coin, "perp", pace, price, 5)
    for coin, pace, price in (
        ("BTC", 90.0, 85_800.0),
        ("ETH", 60.0, 2_900.0),
        ("SOL", 20.0, 186.0),
        ("HYPE", 5.0, 33.0),
        ("CELO", 1.0, 0.5),
        ("FTT", 0.2, 0.8),
    )
)
SECONDS = {"drop": 240.0, "close": 300.0, "expire": 400.0, "stall": 100.0, "hush": 500.0}
STRONG = {**SECONDS, "half_open": 500.0, "lag": 0.4, "skew": -0.3, "tail": 0.05}
LEFT_OUT = {"chaos", "delist"}
"""`chaos` is the others; a market that is delisted in a quarter of an hour proves nothing here."""
CERTAIN = {"late", "duplicate", "reorder", "missing", "nan", "negative", "wrong_type", "corrupt"}
"""Of thousands of frames, some."""


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)


def unlike_the_truth(running: Running, store: ringbuf.Store) -> list[str]:
    """What is confirmed in the store, and not so at the exchange; what lacks in between."""
    found = []
    for ring in store.values():
        rows = ring.snapshot(closed=True)
        rows = rows[rows["time"].astype("M8[ms]").astype(int) // MINUTE_MS <= confirmed(ring)]
        if not len(rows):
            continue
        times = rows["time"].astype("M8[ms]").astype(int)
        if (np.diff(times) != MINUTE_MS).any():
            found.append(f"{ring.alias}: not every minute is there")
        truth = running.exchange.truth(ring.alias, int(times[0]), int(times[-1]))
        said = {row.open_ms: (row.open, row.high, row.low, row.close, row.trades) for row in truth}
        names = ["open", "high", "low", "close", "trades"]
        for row, moment in zip(rows, times.tolist(), strict=True):
            ours = tuple(row[name].item() for name in names)
            # The exchange has no row where nothing was traded; the store has a flat one there.
            flat = (*[ours[3]] * 4, 0)
            if ours != said.get(moment, flat):
                found.append(f"{ring.alias} {row['time']}: {ours}, in truth {said.get(moment)}")
    return found


def unlike_talib(running: Running, ring: ringbuf.Ring) -> list[str]:
    """ATR14 of the rows that are confirmed beside TA-Lib's over the truth, from long before on."""
    rows = ring.snapshot(closed=True)
    times = rows["time"].astype("M8[ms]").astype(int)
    sure = times // MINUTE_MS <= confirmed(ring)
    rows, times = rows[sure], times[sure]
    before = int(times[0]) - 600 * MINUTE_MS
    truth = running.exchange.truth(ring.alias, before, int(times[-1]))
    assert len(truth) == len(rows) + 600, "it trades in every minute"
    sides = [np.array([getattr(row, name) for row in truth]) for name in ("high", "low", "close")]
    expected = talib.ATR(sides[0], sides[1], sides[2], 14)[-len(rows) :]
    wrong = ~np.isclose(rows["ATR14"], expected, rtol=1e-9, atol=0.0)
    return [f"{row['time']}: {row['ATR14']}" for row in rows[wrong]]


def confirmed(ring: ringbuf.Ring) -> int:
    return int(ring.state()["confirmed"])


def test_what_is_confirmed_under_every_fault_at_once_is_what_the_exchange_says(
    segment_name: str,
) -> None:
    async def body(running: Running, store: ringbuf.Store) -> None:
        faults, busy = running.exchange.faults, store["btcusd_perp"]
        dice = random.Random(5)
        for name in sorted(set(FAULTS) - LEFT_OUT):
            faults.set(name, STRONG.get(name, dice.uniform(0.02, 0.04)))
        begun = busy.state()["newest"]
        await until(lambda: busy.state()["newest"] >= begun + MINUTES)
        struck = {name for name, count in faults.counts.items() if count}
        assert struck >= CERTAIN, struck
        assert struck & {"drop", "close", "stall", "hush", "half_open"}
        for name in set(FAULTS) - LEFT_OUT:
            faults.set(name, None)
        calm = busy.state()["newest"]
        await until(lambda: all(confirmed(ring) > calm for ring in (busy, store["ethusd_perp"])))
        await until(lambda: not unlike_the_truth(running, store))
        await until(lambda: not unlike_talib(running, busy))
        assert store.health()["counters"]["rejected"] > 0
        assert not store.check()

    async def main() -> None:
        with anyio.fail_after(2 * PATIENCE_S):
            config = ExchangeConfig(markets=MARKETS, rate=RATE, seed=3)
            async with serve(config) as running, anyio.create_task_group() as tasks:
                chosen = settings_of(segment_name, running, markets=("perps",), history=60)
                tasks.start_soon(service.run, chosen)
                await until(lambda: readable(segment_name))
                with ringbuf.attach(segment_name) as store:
                    await body(running, store)
                tasks.cancel_scope.cancel()

    anyio.run(main)
