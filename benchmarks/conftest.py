"""One store, full of rows, for all benchmarks; kernels are compiled before anything is timed."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import STATS
from benchmarks.peers import Redis, redis_server, redis_version
from indicators import plan
from monitor import compiled
from monitor.book import COUNTERS, INTERVAL_MS, STATUSES
from monitor.engine import Engine
from monitor.ledger import Stream
from monitor.protocol import Candle
from monitor.store import columns_of
from ringbuf import Store, attach, layout, ownership
from ringbuf.spec import Series, StoreSpec
from ringbuf.writer import Writer, create

HISTORY = 1_440
MARKETS = 200
NOW_BAR = 29_000_000
NOW_MS = NOW_BAR * INTERVAL_MS + 30_000.0


def candle(coin: str, bar: int, close: float, trades: int) -> Candle:
    """A plausible candle that closes at `close`."""
    open_ms = bar * INTERVAL_MS
    return Candle(
        open_ms, open_ms + INTERVAL_MS - 1, coin, "1m", 100.0, close + 1, 99.0, close, 5.0, trades
    )


@dataclass
class Filled:
    """A store of `MARKETS` markets with a whole history, its engine, and a reader."""

    writer: Writer
    engine: Engine
    store: Store
    coins: tuple[str, ...]


@pytest.fixture(scope="session")
def filled() -> Iterator[Filled]:
    """The store that all benchmarks use."""
    compiled.keep_cache()
    stats = plan(STATS, history=HISTORY)
    coins = tuple(f"C{number}" for number in range(MARKETS))
    spec = StoreSpec(
        name=f"bench_{os.getpid()}",
        series=tuple(Series(coin.lower(), coin) for coin in coins),
        columns=columns_of(stats),
        history=HISTORY,
        interval_ms=INTERVAL_MS,
        lookback=stats.lookback + stats.runup,
        counters=COUNTERS,
        statuses=STATUSES,
    )
    with create(spec) as writer:
        writer.set_state(layout.RUNNING)
        engine = Engine(writer, stats, coins)
        stream = Stream("bench")
        for market in range(MARKETS):
            engine.watch(market, stream, NOW_MS)
        for ask in engine.history.wanted(NOW_MS):
            engine.history.sent(ask)
            rows = [
                candle(coins[ask.market], bar, 100.0 + bar % 17, 9)
                for bar in range(ask.first, ask.last + 1)
            ]
            engine.history.answer(ask, rows, NOW_MS, 1)
        engine.tick(NOW_MS)
        with attach(spec.name) as store:
            yield Filled(writer, engine, store, coins)
    ownership.remove(spec.name)


@pytest.fixture(scope="session")
def redis(filled: Filled) -> Iterator[Redis]:
    """Redis with the same rows: a hash for each market, and histories packed."""
    pytest.importorskip("redis")
    if redis_version() is None:
        pytest.skip("redis-server is not installed")
    store = filled.store
    with redis_server(store.columns) as made:
        client = made.client()
        for name, ring in store.items():
            row = {column: float(ring[column][-1]) for column in store.columns if column != "time"}
            client.hset(name, mapping={"time": int(ring["time"][-1].astype(np.int64)), **row})
        for name in store.markets:
            client.set(f"{name}:close", store[name]["close"].tobytes())
        for column in store.columns:
            client.set(f"c7:{column}", store["C7"][column].tobytes())
        yield made
        client.close()


# -- what the raw files say ------------------------------------------------------------------------

LIBRARIES = (
    *(
        "numpy",
        "numba",
        "websockets",
        "msgspec",
        "ccxt",
        "hyperliquid-python-sdk",
        "redis",
        "hiredis",
    ),
    *("TA-Lib", "talipp", "pandas", "polars", "pyarrow", "click", "rich"),
)
PEERS = {
    "talipp": "talipp",
    "talib_recompute": "TA-Lib, all rows again",
    "talib_peek": "TA-Lib's handles, peek",
    "talib": "TA-Lib",
}


@pytest.fixture(autouse=True)
def _told(request: pytest.FixtureRequest) -> None:
    """Each result has its question, and who was measured even where the benchmark says nothing."""
    if "benchmark" not in request.fixturenames:
        return
    benchmark: Any = request.getfixturevalue("benchmark")
    name = request.node.originalname
    peer = next((label for part, label in PEERS.items() if part in name), None)
    benchmark.extra_info |= {
        "question": " ".join((inspect.getdoc(request.function) or "").split()),
        "role": "peer" if peer else "ours",
        "contender": peer or name.removeprefix("bench_").replace("_", " "),
    }


def pytest_benchmark_update_machine_info(config: object, machine_info: dict[str, Any]) -> None:
    """Which machine, libraries and servers; nothing that tells whose machine it is."""
    machine_info.pop("node", None)
    versions = {"Python": platform.python_version()}
    versions |= {library: _version(library) for library in LIBRARIES}
    versions["redis-server"] = redis_version() or "absent"
    machine_info |= {"versions": versions, "load": os.getloadavg()[0]}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def pytest_benchmark_update_json(
    config: object, benchmarks: object, output_json: dict[str, Any]
) -> None:
    """Which code it was; single calls' raw times are many, and no use beside their quartiles."""
    commit = output_json["commit_info"]
    output_json["commit_info"] = {name: commit[name] for name in ("id", "dirty") if name in commit}
    for one in output_json["benchmarks"]:
        one["stats"].pop("data", None)
        one["stats"] = {name: _short(value) for name, value in one["stats"].items()}
        one.pop("params", None)


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
