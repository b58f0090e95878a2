"""Real processes: what memory lost comes back from disk, further than the exchange remembers."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np

import ringbuf
from e2e_kit import CARRIED, CLOSED, CONFIRMED, MINUTE_MS, ROOT, environment, exchange, run, service
from e2e_kit import until as wait_until

SPEED = 300.0
KEPT = 5_000
MARKETS = ("btcusd_perp", "celousd_perp")
COLUMNS = ("open", "high", "low", "close", "volume", "trades")


def settled(store: ringbuf.Store) -> bool:
    return all(ring.status in {"live", "quiet"} for ring in store.values())


def forget(segment: str) -> None:
    """What a reboot does."""
    for path in Path("/dev/shm").glob(f"{segment}*"):
        path.unlink()


def test_a_store_lost_is_filled_again_beyond_what_the_exchange_remembers(
    segment_name: str, tmp_path: Path
) -> None:
    chosen: dict[str, object] = {
        "markets": ",".join(MARKETS),
        "stats": "SMA20",
        "history": 12_000,
        "archive": tmp_path / "kept",
    }
    with exchange(speed=SPEED) as urls:
        with service(segment_name, urls, **chosen) as process:
            store = ringbuf.attach(segment_name)
            wait_until(lambda: settled(store), "all histories", process)
            start = {name: store[name].state()["start"] for name in MARKETS}
            ring = store["btcusd_perp"]
            goal = ring.state()["newest"] + 30
            wait_until(lambda: ring.state()["confirmed"] >= goal, "more minutes", process)
            before = {name: store[name].snapshot(closed=True) for name in MARKETS}
            assert process.stop() == 0
        store.close()
        forget(segment_name)
        with service(segment_name, urls, **chosen) as process:
            store = ringbuf.attach(segment_name)
            wait_until(lambda: settled(store), "all gaps filled", process)
            assert "rows of 2 markets from the archive" in process.stderr
            for name in MARKETS:
                ring = store[name]
                assert ring.state()["start"] == start[name]
                wait_until(lambda ring=ring: len(ring) > KEPT + 60, "depth", process)  # type: ignore[misc]
                rows = ring.snapshot(closed=True)
                bars = rows["time"].astype("datetime64[ms]").astype(np.int64) // MINUTE_MS
                assert (np.diff(bars) == 1).all()
                known = before[name]
                sure = known["flags"] & CONFIRMED != 0
                for column in (*COLUMNS, "SMA20"):
                    here = rows[column][: len(known)][sure]
                    np.testing.assert_array_equal(here, known[column][sure], column)
            assert store.health()["counters"]["lost_histories"] == 0
            assert store.health()["counters"]["archive_errors"] == 0
            # Killed: what is not archived yet is lost with the store, and comes from REST.
            process.send(signal.SIGKILL)
            process.wait()
        store.close()
        forget(segment_name)
        with service(segment_name, urls, **chosen) as process:
            store = ringbuf.attach(segment_name)
            wait_until(lambda: settled(store), "all gaps filled", process)
            assert {name: store[name].state()["start"] for name in MARKETS} == start
            assert process.stop() == 0
        rows = store["btcusd_perp"].snapshot(closed=True)
        store.close()
    with duckdb.connect() as connection:
        files = f"read_parquet('{tmp_path}/kept/v1/**/*.parquet', hive_partitioning = true)"
        found = connection.execute(
            f"SELECT epoch_ms(time) AS ms, close, carried FROM {files} "
            "WHERE market = 'btcusd_perp' ORDER BY time"
        ).fetchnumpy()
    times = rows["time"].astype("datetime64[ms]").astype(np.int64)
    marks = rows["flags"]
    sure = (marks & CONFIRMED != 0) & (marks & CLOSED != 0) & (times <= found["ms"][-1])
    np.testing.assert_array_equal(found["ms"], times[sure])
    np.testing.assert_array_equal(found["close"], rows["close"][sure])
    np.testing.assert_array_equal(found["carried"], marks[sure] & CARRIED != 0)


def test_without_pyarrow_an_archive_is_refused_and_everything_else_works(tmp_path: Path) -> None:
    without = "import sys; sys.modules['pyarrow'] = None; from monitor.cli import main; main()"
    for command in ("run", "check"):
        done = run(
            command,
            settings={
                "archive": tmp_path,
                "api_url": "http://127.0.0.1:9",
                "ws_url": "ws://127.0.0.1:9",
            },
            program=("-c", without),
        )
        assert done.returncode == 2
        assert "but pyarrow is not installed, expected pip install" in done.stderr
    done = run("stats", "RSI", program=("-c", without))
    assert done.returncode == 0, done.stderr


def test_without_an_archive_pyarrow_is_not_even_looked_at() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, monitor.service; print('pyarrow' in sys.modules)"],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_a_second_service_on_one_archive_is_refused(segment_name: str, tmp_path: Path) -> None:
    with exchange(speed=30.0) as urls:
        chosen = {"archive": tmp_path, "markets": "btcusd_perp", "stats": "SMA20"}
        with service(segment_name, urls, **chosen):
            other = {"segment": f"{segment_name}.second", **urls.settings, **chosen}
            done = run("run", settings=other)
            assert done.returncode == 2
            assert "written by another service, expected one writer" in done.stderr
