"""What does a reader pay, beside Redis, files and requests, and beside bare numpy, the limit?

All contenders have the same rows: 200 markets of 1,440, in this process's memory, in a redis-server
on a Unix socket, in a Feather file, behind a REST call, behind a Unix socket. What comes out is the
same: numbers that numpy can work with.
"""

from __future__ import annotations

import http.client
import json
import pickle
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import HISTORY, MARKETS, NOW_BAR, NOW_MS, Filled, candle
from benchmarks.harness import HERE, QUICK, child, tell
from benchmarks.peers import Redis

COIN = "C7"
TEN = ("time", "open", "high", "low", "close", "volume", "trades", "flags", "ATR14", "RSI5")

ROW = "the newest row of one market"
STAT = "one stat's newest value in 200 markets"
COLUMN = "one column's history, 1,440 rows"
COLUMNS = "ten columns' history, 1,440 rows"
MATRIX = "one column's history in 200 markets"


# -- the newest row ----------------------------------------------------------------------------


@pytest.mark.benchmark(group=ROW)
def bench_last(benchmark: Any, filled: Filled) -> None:
    """How long for the newest row of a market, consistent, as a mapping?"""
    tell(benchmark, "ours", "last()")
    ring = filled.store[COIN]
    assert benchmark(ring.last)["closed"] is False


@pytest.mark.benchmark(group=ROW)
def bench_last_redis(benchmark: Any, redis: Redis) -> None:
    """How long with HGETALL, its texts made numbers?"""
    tell(benchmark, "peer", "Redis HGETALL")
    client = redis.client()

    def row() -> dict[bytes, float]:
        return {name: float(value) for name, value in client.hgetall("c7").items()}

    assert len(benchmark(row)) == len(redis.columns)
    client.close()


@pytest.mark.benchmark(group=ROW)
def bench_bare_index(benchmark: Any) -> None:
    """The limit: one element of a numpy array."""
    tell(benchmark, "limit", "one element of a numpy array")
    column = np.zeros(4 * HISTORY)
    benchmark(lambda: column[-1])


@pytest.mark.benchmark(group=STAT)
def bench_matrix_newest(benchmark: Any, filled: Filled) -> None:
    """How long for the newest RSI of every market?"""
    tell(benchmark, "ours", "matrix(last=1)")
    assert benchmark(lambda: filled.store.matrix("RSI5", last=1)).shape == (MARKETS, 1)


@pytest.mark.benchmark(group=STAT)
def bench_matrix_newest_redis(benchmark: Any, redis: Redis, filled: Filled) -> None:
    """How long with one pipeline of 200 HGET?"""
    tell(benchmark, "peer", "Redis pipeline of HGET")
    client, markets = redis.client(), filled.store.markets

    def values() -> Any:
        pipe = client.pipeline(transaction=False)
        for market in markets:
            pipe.hget(market, "RSI5")
        return np.array(pipe.execute(), float)

    assert benchmark(values).shape == (MARKETS,)
    client.close()


@pytest.mark.benchmark(group=STAT)
def bench_matrix_newest_limit(benchmark: Any) -> None:
    """The limit: a slice of a matrix."""
    tell(benchmark, "limit", "a slice of a numpy matrix")
    matrix = np.zeros((MARKETS, 4 * HISTORY))
    benchmark(lambda: matrix[:, -1:])


# -- history -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def feather(filled: Filled) -> Iterator[str]:
    """A market's snapshot as a Feather file without compression."""
    pytest.importorskip("pyarrow")
    from pyarrow import feather, table

    rows = filled.store[COIN].snapshot()
    assert rows.dtype.names is not None
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.feather")
        columns = {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names}
        feather.write_feather(table(columns), path, compression="uncompressed")
        yield path


@pytest.fixture(scope="session")
def closes(filled: Filled) -> Iterator[str]:
    """The closes of all markets as a Feather file without compression, a column each."""
    pytest.importorskip("pyarrow")
    from pyarrow import feather, table

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "closes.feather")
        columns = {name: ring["close"].copy() for name, ring in filled.store.items()}
        feather.write_feather(table(columns), path, compression="uncompressed")
        yield path


@pytest.fixture(scope="session")
def answering(filled: Filled) -> Iterator[dict[str, Any]]:
    """A process that answers with histories: pickled frames, and JSON over HTTP."""
    pd = pytest.importorskip("pandas")
    rows = filled.store[COIN].snapshot()
    frames = {
        "one": pd.DataFrame({"close": rows["close"]}),
        "ten": pd.DataFrame({name: rows[name] for name in TEN}),
        "matrix": pd.DataFrame(filled.store.matrix("close").T.copy(), columns=filled.store.markets),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.pickle"
        path.write_bytes(pickle.dumps(frames))
        unix = str(Path(folder) / "socket")
        with child([str(HERE / "clients" / "answering.py"), str(path), unix]) as process:
            yield {"unix": unix, "port": int(process.hear())}


@contextmanager
def pickled(answering: dict[str, Any], name: str) -> Iterator[Callable[[], Any]]:
    """What asks for the frame of that name over the Unix socket, and unpickles it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(answering["unix"])
        with client.makefile("rb") as file:
            asked = f"{name}\n".encode()

            def frame() -> Any:
                client.sendall(asked)
                return pickle.load(file)

            yield frame


@contextmanager
def requested(answering: dict[str, Any], path: str) -> Iterator[Callable[[], Any]]:
    """What asks for that path over HTTP, on a connection that is kept, and parses its JSON."""
    client = http.client.HTTPConnection("127.0.0.1", answering["port"])

    def parsed() -> Any:
        client.request("GET", path)
        return json.loads(client.getresponse().read())

    yield parsed
    client.close()


@pytest.mark.benchmark(group=COLUMN)
def bench_view_of_a_column(benchmark: Any, filled: Filled) -> None:
    """How long until 1,440 closes of a market are at hand?"""
    tell(benchmark, "ours", "a view")
    ring = filled.store[COIN]
    assert len(benchmark(lambda: ring["close"])) == HISTORY


@pytest.mark.benchmark(group=COLUMN)
def bench_view_after_a_tick(benchmark: Any, filled: Filled) -> None:
    """How long for the first look after a tick, when the rows' place must be found again?"""
    tell(benchmark, "ours", "a view, first after a tick")
    ring, trades = filled.store[COIN], count(1_000)

    def tick() -> None:
        filled.engine.candle(candle(COIN, NOW_BAR, 100.0, next(trades)), NOW_MS, 1)

    rows = benchmark.pedantic(lambda: ring["close"], setup=tick, rounds=20 if QUICK else 5_000)
    assert len(rows) == HISTORY


@pytest.mark.benchmark(group=COLUMN)
def bench_column_redis(benchmark: Any, redis: Redis) -> None:
    """How long with GET of the packed column and frombuffer?"""
    tell(benchmark, "peer", "Redis GET + frombuffer")
    client = redis.client()
    assert len(benchmark(lambda: np.frombuffer(client.get("c7:close")))) == HISTORY
    client.close()


@pytest.mark.benchmark(group=COLUMN)
def bench_column_feather(benchmark: Any, feather: str) -> None:
    """How long from a memory-mapped Feather file?"""
    tell(benchmark, "peer", "Feather file, memory-mapped")
    from pyarrow import feather as file

    def column() -> Any:
        return file.read_table(feather, columns=["close"], memory_map=True)["close"].to_numpy()

    assert len(benchmark(column)) == HISTORY


@pytest.mark.benchmark(group=COLUMN)
def bench_column_rest(benchmark: Any, answering: dict[str, Any]) -> None:
    """How long with a REST call on loopback, kept alive, its answer the exchange's JSON?"""
    tell(benchmark, "peer", "REST call, JSON")
    with requested(answering, "/") as rows:
        column = benchmark(lambda: np.array([float(row["c"]) for row in rows()]))
    assert len(column) == HISTORY


@pytest.mark.benchmark(group=COLUMN)
def bench_column_pickled(benchmark: Any, answering: dict[str, Any]) -> None:
    """How long with a pickled DataFrame of that column over a Unix socket?"""
    tell(benchmark, "peer", "pickled DataFrame over a Unix socket")
    with pickled(answering, "one") as frame:
        assert len(benchmark(lambda: np.asarray(frame()["close"]))) == HISTORY


@pytest.mark.benchmark(group=COLUMN)
def bench_bare_slice(benchmark: Any) -> None:
    """The limit: making one slice."""
    tell(benchmark, "limit", "one slice of a numpy array")
    column = np.zeros(4 * HISTORY)
    benchmark(lambda: column[HISTORY : 2 * HISTORY])


@pytest.mark.benchmark(group=COLUMNS)
def bench_views_of_ten(benchmark: Any, filled: Filled) -> None:
    """How long until ten columns are at hand, without a copy?"""
    tell(benchmark, "ours", "ten views")
    ring = filled.store[COIN]
    assert len(benchmark(lambda: [ring[name] for name in TEN])) == len(TEN)


@pytest.mark.benchmark(group=COLUMNS)
def bench_ten_pickled(benchmark: Any, answering: dict[str, Any]) -> None:
    """How long with a pickled DataFrame over a Unix socket?"""
    tell(benchmark, "peer", "pickled DataFrame over a Unix socket")
    with pickled(answering, "ten") as frame:
        assert benchmark(frame).shape == (HISTORY, len(TEN))


@pytest.mark.benchmark(group=COLUMNS)
def bench_ten_redis(benchmark: Any, redis: Redis, filled: Filled) -> None:
    """How long with MGET of ten packed columns and frombuffer?"""
    tell(benchmark, "peer", "Redis MGET + frombuffer")
    client = redis.client()
    keys = [f"c7:{name}" for name in TEN]
    kinds = [filled.store.row_dtype[name] for name in TEN]

    def columns() -> Any:
        answers = zip(client.mget(keys), kinds, strict=True)
        return [np.frombuffer(packed, kind) for packed, kind in answers]

    assert [len(column) for column in benchmark(columns)] == [HISTORY] * len(TEN)
    client.close()


@pytest.mark.benchmark(group=COLUMNS)
def bench_ten_rest(benchmark: Any, answering: dict[str, Any]) -> None:
    """How long with a REST call on loopback, its answer ten lists of numbers in JSON?"""
    tell(benchmark, "peer", "REST call, JSON")
    with requested(answering, "/ten") as lists:
        columns = benchmark(lambda: [np.array(column) for column in lists().values()])
    assert [len(column) for column in columns] == [HISTORY] * len(TEN)


@pytest.mark.benchmark(group=COLUMNS)
def bench_ten_feather(benchmark: Any, feather: str) -> None:
    """How long from a memory-mapped Feather file?"""
    tell(benchmark, "peer", "Feather file, memory-mapped")
    from pyarrow import feather as file

    def columns() -> Any:
        table = file.read_table(feather, columns=list(TEN), memory_map=True)
        return [table[name].to_numpy() for name in TEN]

    assert len(benchmark(columns)) == len(TEN)


@pytest.mark.benchmark(group=COLUMNS)
def bench_ten_slices(benchmark: Any) -> None:
    """The limit: making ten slices."""
    tell(benchmark, "limit", "ten slices of numpy arrays")
    columns = [np.zeros(4 * HISTORY) for _ in TEN]
    benchmark(lambda: [column[HISTORY : 2 * HISTORY] for column in columns])


@pytest.mark.benchmark(group=MATRIX)
def bench_matrix(benchmark: Any, filled: Filled) -> None:
    """How long until every market's closes are one matrix?"""
    tell(benchmark, "ours", "matrix()")
    assert benchmark(lambda: filled.store.matrix("close")).shape == (MARKETS, HISTORY)


@pytest.mark.benchmark(group=MATRIX)
def bench_matrix_copy(benchmark: Any, filled: Filled) -> None:
    """And as a consistent copy?"""
    tell(benchmark, "ours", "matrix(copy=True), consistent")
    matrix = benchmark(lambda: filled.store.matrix("close", copy=True))
    assert matrix.shape == (MARKETS, HISTORY)


@pytest.mark.benchmark(group=MATRIX)
def bench_matrix_redis(benchmark: Any, redis: Redis, filled: Filled) -> None:
    """How long with MGET of 200 packed columns?"""
    tell(benchmark, "peer", "Redis MGET + frombuffer")
    client = redis.client()
    keys = [f"{market}:close" for market in filled.store.markets]

    def matrix() -> Any:
        return np.array([np.frombuffer(one) for one in client.mget(keys)])

    assert benchmark(matrix).shape == (MARKETS, HISTORY)
    client.close()


@pytest.mark.benchmark(group=MATRIX)
def bench_matrix_rest(benchmark: Any, answering: dict[str, Any]) -> None:
    """How long with one REST call on loopback, its answer 200 lists of numbers in JSON?"""
    tell(benchmark, "peer", "REST call, JSON")
    with requested(answering, "/matrix") as lists:
        matrix = benchmark(lambda: np.array(list(lists().values())))
    assert matrix.shape == (MARKETS, HISTORY)


@pytest.mark.benchmark(group=MATRIX)
def bench_matrix_pickled(benchmark: Any, answering: dict[str, Any]) -> None:
    """How long with one pickled DataFrame of 200 columns over a Unix socket?"""
    tell(benchmark, "peer", "pickled DataFrame over a Unix socket")
    with pickled(answering, "matrix") as frame:
        assert benchmark(lambda: frame().to_numpy().T).shape == (MARKETS, HISTORY)


@pytest.mark.benchmark(group=MATRIX)
def bench_matrix_feather(benchmark: Any, closes: str) -> None:
    """How long from a memory-mapped Feather file of 200 columns?"""
    tell(benchmark, "peer", "Feather file, memory-mapped")
    from pyarrow import feather as file

    def matrix() -> Any:
        table = file.read_table(closes, memory_map=True)
        return np.stack([column.to_numpy() for column in table.columns])

    assert benchmark(matrix).shape == (MARKETS, HISTORY)


@pytest.mark.benchmark(group=MATRIX)
def bench_matrix_slice(benchmark: Any) -> None:
    """The limit: a slice of a matrix."""
    tell(benchmark, "limit", "a slice of a numpy matrix")
    matrix = np.zeros((MARKETS, 4 * HISTORY))
    benchmark(lambda: matrix[:, HISTORY : 2 * HISTORY])


@pytest.mark.benchmark(group="a consistent copy of 1,440 rows, every column")
def bench_snapshot(benchmark: Any, filled: Filled) -> None:
    """How long for a consistent copy of a market's whole history, every column?"""
    tell(benchmark, "ours", "snapshot()")
    ring = filled.store[COIN]
    assert len(benchmark(ring.snapshot)) == HISTORY


@pytest.mark.benchmark(group="a consistent copy of 1,440 rows, every column")
def bench_bare_copies(benchmark: Any, filled: Filled) -> None:
    """The limit: as many columns copied by numpy, with no question of consistency."""
    tell(benchmark, "limit", "as many numpy copies")
    columns = [np.zeros(HISTORY) for _ in filled.store.columns]
    benchmark(lambda: [column.copy() for column in columns])
