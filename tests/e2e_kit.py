"""What tests of whole processes share: starting and ending them, waiting, and the truth.

The truth about candles is what the exchange's REST says, asked here with the standard library; the
truth about stats is TA-Lib's, run over those candles from the market's first row.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import talib

import ringbuf

__all__ = [
    "CARRIED",
    "CLOSED",
    "CONFIRMED",
    "MINUTE_MS",
    "PATIENCE_S",
    "ROOT",
    "Process",
    "Urls",
    "check_market",
    "environment",
    "exchange",
    "expected_candles",
    "info",
    "process",
    "run",
    "service",
    "serving",
    "until",
]

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 120.0
"""How long a condition may take on a machine that is busy with others."""
MINUTE_MS = 60_000
CARRIED, CONFIRMED, CLOSED = 1, 2, 4
PRICES = ("open", "high", "low", "close", "volume")
_KEPT = 5_000


def environment(settings: Mapping[str, object] | None = None) -> dict[str, str]:
    """Ours without anybody's settings, and with these: ``{"segment": …}`` is MONITOR_SEGMENT."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
    kept |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return kept | {f"MONITOR_{name.upper()}": str(v) for name, v in (settings or {}).items()}


@dataclass
class Process:
    """A command of ours under test, its output in files: a full pipe could stop it."""

    popen: subprocess.Popen[bytes]
    folder: Path
    arguments: Sequence[str]

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def stdout(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "err").read_text()

    @property
    def ended(self) -> bool:
        return self.popen.poll() is not None

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        return self.popen.wait(PATIENCE_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; the exit code."""
        self.send(number)
        return self.wait()

    def says(self, text: str) -> None:
        """Wait until its standard error contains `text`."""
        until(lambda: text in self.stderr or self.ended, f"{text!r} on stderr", self)
        assert text in self.stderr, (text, self.stderr)


def until(condition: Callable[[], object], what: str, *processes: Process) -> None:
    """Wait until `condition()` is true; after PATIENCE_S fail with what the processes said."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            said = "\n".join(f"{p.arguments}: {p.popen.poll()}\n{p.stderr}" for p in processes)
            raise AssertionError(f"waited in vain for {what}\n{said}")
        time.sleep(0.02)


@contextlib.contextmanager
def process(
    *arguments: str,
    settings: Mapping[str, object] | None = None,
    cwd: Path | None = None,
    program: Sequence[str] = ("-m", "monitor"),
) -> Iterator[Process]:
    """``python -m monitor ARGUMENTS`` while the block runs; warnings are errors in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            popen = subprocess.Popen(
                [sys.executable, "-W", "error", *program, *arguments],
                env=environment(settings),
                cwd=cwd or folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        found = Process(popen, folder, arguments)
        try:
            yield found
        finally:
            if not found.ended:
                with contextlib.suppress(ProcessLookupError):
                    popen.send_signal(signal.SIGCONT)
                popen.terminate()
                try:
                    popen.wait(20)
                except subprocess.TimeoutExpired:
                    popen.kill()
                    popen.wait()


def run(
    *arguments: str, settings: Mapping[str, object] | None = None, program: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end: ``python -m monitor …``, or `program` (arguments of python)."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-W", "error", *(program or ("-m", "monitor")), *arguments],
            env=environment(settings),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


@dataclass(frozen=True)
class Urls:
    """Where an embedded exchange listens, and its process."""

    ws_url: str
    api_url: str
    process: Process = field(repr=False)

    @property
    def settings(self) -> dict[str, object]:
        return {"ws_url": self.ws_url, "api_url": self.api_url}

    @property
    def port(self) -> int:
        return int(self.api_url.rsplit(":", 1)[1])


@contextlib.contextmanager
def exchange(
    *arguments: str, speed: float = 30.0, faults: Mapping[str, float] | None = None
) -> Iterator[Urls]:
    """An embedded exchange in a process of its own."""
    options = ["--speed", str(speed), *arguments]
    for name, value in (faults or {}).items():
        options += ["--fault", f"{name}={value}"]
    with process("exchange", *options) as found:
        until(lambda: "\n" in found.stdout or found.ended, "the exchange's URLs", found)
        assert not found.ended, found.stderr
        yield Urls(**dict(part.split("=", 1) for part in found.stdout.split()), process=found)


@contextlib.contextmanager
def service(segment: str, urls: Urls, **settings: object) -> Iterator[Process]:
    """A service on `urls`; the block begins when its store can be attached."""
    chosen = {"segment": segment, "history": 200, **urls.settings, **settings}
    with serving(segment, process("run", settings=chosen)) as found:
        yield found


@contextlib.contextmanager
def serving(segment: str, started: contextlib.AbstractContextManager[Process]) -> Iterator[Process]:
    """The same with a service that is started in a way of its own."""
    with started as found:
        until(lambda: _written_by(segment, found.pid) or found.ended, "the store", found)
        assert not found.ended, found.stderr
        yield found


def _written_by(segment: str, pid: int) -> bool:
    try:
        with ringbuf.attach(segment) as store:
            return store.header.writer_pid == pid
    except ringbuf.RingbufError:
        return False


# -- the truth -------------------------------------------------------------------------------------


def info(api_url: str, **document: object) -> Any:
    """Ask the exchange's REST, again where it is told to answer with an error."""
    request = urllib.request.Request(
        f"{api_url}/info", json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    for _ in range(200):
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
        time.sleep(0.02)
    raise AssertionError(f"no answer to {document}")


def _rows(api_url: str, coin: str, interval: str, first: int, last: int) -> list[dict[str, Any]]:
    request = {
        "coin": coin,
        "interval": interval,
        "startTime": max(first, 0) * MINUTE_MS,
        "endTime": (last + 1) * MINUTE_MS - 1,
    }
    rows: list[dict[str, Any]] = info(api_url, type="candleSnapshot", req=request)
    return rows


def expected_candles(
    api_url: str, coin: str, first: int, last: int
) -> dict[str, npt.NDArray[np.float64]]:
    """The minutes first..last as columns, `listed` by REST or flat where it knows no trade."""
    listed = {row["t"] // MINUTE_MS: row for row in _rows(api_url, coin, "1m", first, last)}
    if first in listed:
        close = float("nan")
    else:
        # Dormant: before its minutes are remembered, its days are.
        days = _rows(api_url, coin, "1d", first - 4_000 * 1_440, first)
        before = _rows(api_url, coin, "1m", first - _KEPT, first - 1)
        close = float((before or days)[-1]["c"])
    columns = {name: np.empty(last - first + 1) for name in (*PRICES, "trades", "listed")}
    for k, bar in enumerate(range(first, last + 1)):
        row = listed.get(bar)
        if row is None:
            values = (close, close, close, close, 0.0, 0)
        else:
            values = (*(float(row[key]) for key in "ohlcv"), row["n"])
            close = values[3]
        for name, value in zip(columns, (*values, row is not None), strict=True):
            columns[name][k] = value
    return columns


def _talib(stat: str, candles: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    name, period = stat.rstrip("0123456789"), int(stat.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    high, low, close = (np.ascontiguousarray(candles[n]) for n in ("high", "low", "close"))
    by_name: dict[str, Callable[[], npt.NDArray[np.float64]]] = {
        "ATR": lambda: talib.ATR(high, low, close, period),
        "RSI": lambda: talib.RSI(close, period),
        "EMA": lambda: talib.EMA(close, period),
        "SMA": lambda: talib.SMA(close, period),
    }
    return by_name[name]()


def check_market(
    api_url: str, ring: ringbuf.Ring, stats: Sequence[str] = (), *, confirmed: bool = False
) -> int:
    """Compare every closed row (with `confirmed`: those that REST has seen) with the truth.

    Candles exactly, stats with TA-Lib from the market's origin row; the number of rows compared.
    """
    while True:
        state = ring.state()
        rows = ring.snapshot(closed=True)
        if state["sequence"] == ring.state()["sequence"]:
            break
    if not len(rows):
        return 0
    bars = rows["time"].astype("datetime64[ms]").astype(np.int64) // MINUTE_MS
    assert (np.diff(bars) == 1).all(), ring
    assert (rows["flags"] & CLOSED != 0).all(), ring
    if confirmed:
        rows = rows[bars <= state["confirmed"]]
        bars = bars[: len(rows)]
        if not len(rows):
            return 0
    origin = int(state["origin"])
    candles = expected_candles(api_url, ring.alias, origin, int(bars[-1]))
    seen = slice(int(bars[0]) - origin, None)
    for name in (*PRICES, "trades"):
        wrong = np.flatnonzero(rows[name] != candles[name][seen])
        assert not len(wrong), (
            f"{ring.name}: {len(wrong)} of {len(rows)} rows, {name} of {rows['time'][wrong[0]]}: "
            f"{rows[wrong[0]]}, expected {[candles[n][seen][wrong[0]] for n in candles]}"
        )
    flat = rows["flags"] & CARRIED != 0
    assert not rows["trades"][flat].any(), ring
    assert candles["listed"][seen][~flat].all(), ring
    for stat in stats:
        wanted = _talib(stat, candles)[seen]
        if stat.startswith("RSI"):
            # A flat window is 0/0: TA-Lib says 0, we the middle of the range.
            wanted = np.where((wanted == 0) & (rows[stat] == 50), 50.0, wanted)
        np.testing.assert_allclose(rows[stat], wanted, rtol=1e-9, atol=1e-12, err_msg=ring.name)
    return len(rows)
