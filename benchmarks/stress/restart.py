"""How long is a service away that is killed? From SIGKILL to the first fresh row of a warm store.

The embedded exchange goes on, a service follows its markets until all have their history, and is
killed and started again many times. ``first_row`` is when a frame of the new life has written one,
``half_up_to_date`` when half of the markets say ``live`` or ``quiet`` again. What the kernels
compile to is in the cache, as on every machine that has run the service once.

    python benchmarks/stress/restart.py --runs 20 --markets 200

Prints median and worst as JSON; exit code 1 if a start was later than `--limit` seconds, or if a
store was not adopted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

import ringbuf
from ringbuf import ownership
from ringbuf.layout import RUNNING, WORD

LIMIT_S = 1_200.0
MONITOR = [sys.executable, "-m", "monitor"]
UP_TO_DATE = ("live", "quiet")


def words(store: ringbuf.Store, name: str) -> Any:
    """One control word of every series."""
    header = store.header
    step = header.control_stride // 8
    begin = header.control_offset // 8 + WORD[name]
    return np.array(store.words[begin : begin + step * header.series : step].tolist())


def until(condition: Any, process: subprocess.Popen[bytes]) -> None:
    """Wait for `condition()`, looking every few milliseconds."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end or process.poll() is not None:
            raise SystemExit("the service did not come that far")
        time.sleep(0.002)


def start(settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """A service with these settings, its bytecode kept, as an installed one's is."""
    kept = {"PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.Popen([*MONITOR, "run"], env={**os.environ, **kept, **settings})


def once(
    store: ringbuf.Store, process: subprocess.Popen[bytes], settings: dict[str, str]
) -> tuple[subprocess.Popen[bytes], dict[str, float]]:
    """Kill it, start it again: seconds to each stage, from the signal on."""
    begun = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.wait()
    frames = words(store, "frames")
    pid = store.live()["writer_pid"]
    process = start(settings)
    rings, took = list(store.values()), {}

    def live() -> bool:
        return sum(ring.status in UP_TO_DATE for ring in rings) > len(rings) / 2

    def fresh() -> bool:
        return bool((words(store, "frames") > frames).any())

    for stage, reached in (
        ("adopted", lambda: store.live()["writer_pid"] != pid),
        ("serving", lambda: store.live()["state"] == RUNNING),
        ("first_row", fresh),
        ("half_up_to_date", live),
    ):
        until(reached, process)
        took[stage] = time.monotonic() - begun
    return process, took


def mostly_up_to_date(store: ringbuf.Store) -> bool:
    """All but one in twenty: of hundreds, some are always being asked about."""
    return sum(ring.status in UP_TO_DATE for ring in store.values()) > 0.95 * len(store)


def run(runs: int, markets: int, name: str, speed: float, pause: float) -> dict[str, Any]:
    """Everything; what there is to report."""
    exchange = subprocess.Popen(
        [*MONITOR, "exchange", "--markets", str(markets), "--speed", str(speed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    process: subprocess.Popen[bytes] | None = None
    taken = []
    try:
        assert exchange.stdout is not None
        urls = dict(pair.split("=", 1) for pair in exchange.stdout.readline().split())
        settings = {
            "MONITOR_SEGMENT": name,
            "MONITOR_MARKETS": "perps,spot",
            "MONITOR_STATS": "ATR14,RSI5",
            "MONITOR_WS_URL": urls["ws_url"],
            "MONITOR_API_URL": urls["api_url"],
            "MONITOR_REST_BURST": "1200",
            "MONITOR_LOG_LEVEL": "ERROR",
        }
        process = start(settings)
        until(lambda: is_there(name), process)
        with ringbuf.attach(name) as store:
            for _ in range(runs):
                until(lambda: mostly_up_to_date(store), process)
                time.sleep(pause)
                process, took = once(store, process, settings)
                taken.append(took)
            report = {"markets": len(store), "rows": store.header.history, "runs": runs}
            report |= {"adopted": not store.retired, "problems": len(store.check())}
    finally:
        for each in (process, exchange):
            if each is not None and each.poll() is None:
                each.kill()
                each.wait()
        ownership.remove(name)
    return report | {
        stage: {
            "median_s": round(statistics.median(took[stage] for took in taken), 3),
            "worst_s": round(max(took[stage] for took in taken), 3),
        }
        for stage in taken[0]
    }


def is_there(name: str) -> bool:
    """Is the store there?"""
    try:
        ringbuf.attach(name).close()
    except ringbuf.RingbufError:
        return False
    return True


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds")
    parser.add_argument(
        "--pause",
        type=float,
        default=20.0,
        help="seconds of calm before a kill: a minute's REST budget is to be free again",
    )
    parser.add_argument("--name", default=f"stress_restart_{os.getpid()}")
    asked = parser.parse_args()
    report = run(asked.runs, asked.markets, asked.name, asked.speed, asked.pause)
    print(json.dumps(report))
    return bool(
        report["first_row"]["worst_s"] > asked.limit or report["problems"] or not report["adopted"]
    )


if __name__ == "__main__":
    sys.exit(main())
