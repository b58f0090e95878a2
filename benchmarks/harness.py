"""What the benchmarks share: processes beside us, their CPU time, and how a result is told.

A result is pytest-benchmark's own timing, or, where other processes do the work, *metrics*: named
values, one a round, in ``extra_info``. `report` shows either. Every benchmark says who was measured
(`contender`) and as what: ``ours``, ``peer`` or ``limit``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import ringbuf
from ringbuf import ownership

__all__ = [
    "HERE",
    "QUICK",
    "ROOT",
    "STATS",
    "Child",
    "FrameSource",
    "child",
    "cpu_s",
    "environment",
    "frame_source",
    "measured",
    "memory_mib",
    "service",
    "tell",
    "until",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
QUICK = bool(os.environ.get("BENCH_QUICK"))
"""Prove that everything runs; its figures mean nothing."""
STATS = ("ATR14", "RSI5", "RSI14", "EMA12", "EMA26", "EMA50", "SMA20", "SMA50")
PATIENCE_S = 120.0


def tell(benchmark: Any, role: str, contender: str) -> None:
    """Say who is measured: `role` is ``ours``, ``peer`` or ``limit``."""
    benchmark.extra_info["role"] = role
    benchmark.extra_info["contender"] = contender


def measured(
    benchmark: Any, rounds: int, once: Callable[[], Mapping[str, float]]
) -> dict[str, list[float]]:
    """Run `once` so many rounds; what it returns by name are the benchmark's metrics."""
    taken: list[Mapping[str, float]] = []
    benchmark.pedantic(lambda: taken.append(once()), rounds=1 if QUICK else rounds)
    metrics = {name: [float(one[name]) for one in taken] for name in taken[0]}
    benchmark.extra_info["metrics"] = metrics
    return metrics


def environment(settings: Mapping[str, object] | None = None) -> dict[str, str]:
    """Ours without anybody's settings, and with these: ``{"segment": …}`` is MONITOR_SEGMENT.

    Bytecode is kept, as an installed package's is: else a checkout's modules would be compiled
    from their source at each start, their peers' not.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MONITOR_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    kept |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return kept | {f"MONITOR_{name.upper()}": str(v) for name, v in (settings or {}).items()}


def until(condition: Callable[[], object], what: str, pause: float = 0.005) -> None:
    """Wait for `condition`; after a long while it is an error."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(pause)


def cpu_s(pid: int) -> float:
    """CPU seconds that process `pid` has used, all threads, user and system, to the nanosecond."""
    # The kernel's encoding of another process's CPUCLOCK_SCHED.
    return time.clock_gettime((~pid << 3) | 2)


def memory_mib(pid: int) -> float:
    """Resident memory of its own in MiB: without files and without shared memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines["RssAnon"].split()[0]) / 1_024


class Child:
    """A process that is talked to in lines."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.pid = popen.pid

    def say(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def hear(self) -> str:
        """The next line of its stdout."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise ChildProcessError(f"{self.popen.args} ended with {self.popen.wait()}")
        return line.strip()


@contextmanager
def child(
    arguments: Sequence[str], settings: Mapping[str, object] | None = None
) -> Iterator[Child]:
    """A Python process beside us, ended by SIGTERM."""
    popen = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(settings),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Child(popen)
    finally:
        popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(10)
        except subprocess.TimeoutExpired:
            popen.kill()
        popen.communicate()


class FrameSource:
    """A frame server in a process of its own; see `frameserver`."""

    def __init__(self, process: Child, port: int, markets: int) -> None:
        self.process = process
        self.port = port
        self.markets = markets
        self.last = 0

    def burst(self, frames: int) -> dict[str, Any]:
        """Send a burst; returns once all of it has been handed to the sockets."""
        self.start_burst(frames)
        return self.answer()

    def start_burst(self, frames: int) -> int:
        """Begin a burst; the number of its last frame."""
        self.process.say(json.dumps({"burst": frames}))
        self.last += frames
        return self.last

    def start_pace(self, rate: float, seconds: float) -> int:
        """Begin a paced run; the number of its last frame."""
        self.process.say(json.dumps({"rate": rate, "seconds": seconds}))
        self.last += int(rate * seconds)
        return self.last

    def answer(self) -> dict[str, Any]:
        """What the server says when a run is over; ``sent`` are the frames of a paced one."""
        answer: dict[str, Any] = json.loads(self.process.hear())
        if "sent" in answer:
            file = Path(answer["sent"])
            answer["sent"] = np.load(file)
            file.unlink()
        return answer


@contextmanager
def frame_source(markets: int) -> Iterator[FrameSource]:
    """A frame server of so many markets."""
    with child([str(HERE / "frameserver.py"), str(markets)]) as process:
        yield FrameSource(process, int(process.hear()), markets)


@contextmanager
def service(
    source: FrameSource, *, history: int = 1_440, stats: Sequence[str] = STATS
) -> Iterator[tuple[Child, ringbuf.Store]]:
    """The real service on `source`, its history filled; and its store, attached."""
    name = f"bench_{os.getpid()}_service"
    settings = {
        "segment": name,
        "markets": "perps",
        "stats": ",".join(stats),
        "history": history,
        "ws_url": f"ws://127.0.0.1:{source.port}/ws",
        "api_url": f"http://127.0.0.1:{source.port}",
        "log_level": "ERROR",
    }

    def filled() -> bool:
        try:
            with ringbuf.attach(name) as found:
                return all(ring.status in {"live", "quiet"} for ring in found.values())
        except ringbuf.RingbufError:
            return False

    with ExitStack() as stack:
        stack.callback(ownership.remove, name)
        process = stack.enter_context(child([str(HERE / "clients" / "service.py")], settings))
        until(lambda: filled() or process.popen.poll() is not None, "the service's history", 0.1)
        store = stack.enter_context(ringbuf.attach(name))
        yield process, store
