"""Does the service stay as big as it is? Memory, descriptors and threads over a simulated week.

The embedded exchange runs faster than the clock (168: a week in an hour) and the service follows
its markets. What the service's process has is read from /proc once a second; the last quarter is
compared with the second one, when everything that is filled once is full.

    python benchmarks/stress/endurance.py --minutes 60 --speed 168 --markets 100

All of the markets are watched: perps, those of builders, spot. The exchange lists as many as it
takes for so many to be living ones.

Prints what was found as JSON, the figures of the first and of the last minute among it; exit code 1
if memory grew by more than 5 %, or descriptors or threads by more than one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ringbuf
from monitor.exchange.listing import generated_markets
from ringbuf import ownership

FIRST_FILL_S = 600.0
SEED = 7


def sample(pid: int) -> dict[str, float]:
    """Resident MiB (shared memory left out), open descriptors, threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("RssAnon", "RssFile")}
    threads = re.search(r"Threads:\s+(\d+)", status)
    return {
        "rss_mib": sum(kib.values()) / 1024,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(threads[1]),
    }


def well(name: str) -> bool:
    """Is the store there, and every market of it up to date?"""
    try:
        with ringbuf.attach(name) as store:
            return store.condition == "live"
    except ringbuf.RingbufError:
        return False


def flat(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of the second and of the last quarter."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        what: [round(statistics.median(s[what] for s in part), 1) for part in (early, late)]
        for what in samples[0]
    }


def chosen(markets: int) -> tuple[int, str]:
    """How many markets the exchange has to list for so many living ones, and their selectors."""
    for listed in itertools.count(markets):
        living = [one.coin for one in generated_markets(listed, SEED) if not one.delisted]
        if len(living) == markets:
            dexes = sorted({coin.partition(":")[0] for coin in living if ":" in coin})
            kinds = [*(["spot"] if any(coin[0] == "@" for coin in living) else []), "perps"]
            return listed, ",".join([*kinds, *(f"dex:{dex}" for dex in dexes)])
    raise AssertionError


def minute(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of the first and of the last minute of samples."""
    return {
        which: {what: round(statistics.median(s[what] for s in part), 1) for what in samples[0]}
        for which, part in (("first_minute", samples[:60]), ("last_minute", samples[-60:]))
    }


def run(minutes: float, speed: float, markets: int, name: str) -> dict[str, Any]:
    """Exchange and service, watched for so long; what was found."""
    monitor = [sys.executable, "-m", "monitor"]
    listed, selectors = chosen(markets)
    options = {"speed": speed, "markets": listed, "seed": SEED}
    exchange = subprocess.Popen(
        [*monitor, "exchange", *(f"--{key}={value}" for key, value in options.items())],
        stdout=subprocess.PIPE,
        text=True,
    )
    service: subprocess.Popen[bytes] | None = None
    try:
        assert exchange.stdout is not None
        urls = dict(pair.split("=", 1) for pair in exchange.stdout.readline().split())
        settings = {
            "MONITOR_SEGMENT": name,
            "MONITOR_MARKETS": selectors,
            "MONITOR_WS_URL": urls["ws_url"],
            "MONITOR_API_URL": urls["api_url"],
            "MONITOR_LOG_LEVEL": "ERROR",
        }
        service = subprocess.Popen([*monitor, "run"], env={**os.environ, **settings})
        end = time.monotonic() + FIRST_FILL_S
        while not well(name) and time.monotonic() < end and service.poll() is None:
            time.sleep(0.5)
        samples, conditions = [], dict.fromkeys(("live", "degraded"), 0)
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end and service.poll() is None:
            samples.append(sample(service.pid))
            with ringbuf.attach(name) as store:
                condition = store.condition
                conditions[condition] = conditions.get(condition, 0) + 1
            time.sleep(1)
        with ringbuf.attach(name) as store:
            health, problems = store.health(), [str(problem) for problem in store.check()]
        service.send_signal(signal.SIGTERM)
        code = service.wait(60)
    finally:
        for process in (service, exchange):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        ownership.remove(name)
    return {
        "minutes": minutes,
        "simulated_hours": round(minutes * speed / 60, 1),
        "markets": len(health["markets"]),
        "samples": len(samples),
        **flat(samples),
        **minute(samples),
        "conditions": conditions,
        "frames": health["counters"]["frames"],
        "problems": problems,
        "exit_code": code,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--speed", type=float, default=168.0)
    parser.add_argument("--markets", type=int, default=100)
    parser.add_argument("--name", default=f"stress_endurance_{os.getpid()}")
    asked = parser.parse_args()
    report = run(asked.minutes, asked.speed, asked.markets, asked.name)
    print(json.dumps(report))
    before, after = report["rss_mib"]
    more = [report[what][1] - report[what][0] for what in ("descriptors", "threads")]
    grown = after > before * 1.05 or max(more) > 1
    return bool(grown or report["problems"] or report["exit_code"])


if __name__ == "__main__":
    sys.exit(main())
