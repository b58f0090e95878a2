"""The demo: embedded exchange, service and live table, each a real process of its own.

So what it shows is what a user gets: the table knows of the rest only by the shared memory. Its
store has a name of its own and is removed at the end. The prices are invented; the table says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import click

import ringbuf
from ringbuf import ownership

__all__ = ["SEGMENT", "run"]

SEGMENT = "market_monitor_demo"
MARKETS = "btcusd_perp,ethusd_perp"
START_S = 60.0
STOP_S = 10.0
_PR_SET_PDEATHSIG = 1


def run(*, seconds: float | None, speed: float, markets: str | None) -> int:
    """Run until Ctrl-C, or for `seconds` of the table; returns the exit code."""
    import reading

    ownership.refuse_if_held(SEGMENT)
    children: list[subprocess.Popen[str]] = []
    _interrupted_by(_interrupt)
    try:
        exchange = _start(["exchange", "--speed", str(speed)], stdout=subprocess.PIPE)
        children.append(exchange)
        assert exchange.stdout is not None
        with exchange.stdout:
            announced = exchange.stdout.readline()
        if not announced:
            return exchange.wait() or 1
        urls = dict(part.split("=", 1) for part in announced.split())
        service = _start(["run"], **_settings(urls, markets))
        children.append(service)
        code = _await_store(service)
        if code is not None:
            return code
        reading.watch(SEGMENT, seconds=seconds, stop=lambda: _ended(children) is not None)
        ended = _ended(children)
        if ended is not None:
            what = "exchange" if ended is exchange else "service"
            click.echo(f"market-monitor: the demo's {what} ended: {ended.returncode}", err=True)
            return 1
    except KeyboardInterrupt:
        pass
    finally:
        # Whoever is impatient now would leave children and a store behind.
        _interrupted_by(signal.SIG_IGN)
        for child in reversed(children):
            _stop(child)
        _remove()
    return 0


def _interrupted_by(handler: Callable[[int, object], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _settings(urls: dict[str, str], markets: str | None) -> dict[str, object]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")
    }
    kept = ("MONITOR_STATS", "MONITOR_HISTORY", "MONITOR_MARKETS")
    environment |= {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {
        "MONITOR_SEGMENT": SEGMENT,
        "MONITOR_WS_URL": urls["ws_url"],
        "MONITOR_API_URL": urls["api_url"],
        # Invented prices do not belong beside real ones, whatever a .env here says.
        "MONITOR_ARCHIVE": "off",
        "MONITOR_LOG_LEVEL": os.environ.get("MONITOR_LOG_LEVEL", "ERROR"),
    }
    if markets:
        environment["MONITOR_MARKETS"] = markets
    # Said, because the markets of a .env here are of the real exchange.
    environment.setdefault("MONITOR_MARKETS", MARKETS)
    return {"env": environment}


def _start(arguments: list[str], **options: object) -> subprocess.Popen[str]:
    """One of our own commands as a child that ends with us, whatever ends us."""
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "monitor", *arguments],
        text=True,
        stdin=subprocess.DEVNULL,
        # Ctrl-C is for us; we stop the children in order.
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - the demo has no threads
        **options,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _await_store(service: subprocess.Popen[str]) -> int | None:
    """Wait for the first market's stats; the exit code where the service gave up instead."""
    if not _until(lambda: service.poll() is not None or _has_stats(service.pid), START_S):
        click.echo("market-monitor: the demo's service did not start in time", err=True)
        return 1
    return service.poll()


def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _ended(children: Sequence[subprocess.Popen[str]]) -> subprocess.Popen[str] | None:
    return next((child for child in children if child.poll() is not None), None)


def _has_stats(writer: int) -> bool:
    try:
        with ringbuf.attach(SEGMENT) as store:
            ours = store.alive and store.header.writer_pid == writer
            return ours and any(ring.status != "syncing" for ring in store.values())
    except ringbuf.RingbufError:
        return False


def _stop(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _remove() -> None:
    """The demo's own store; another demo's, still running, is left alone."""
    with contextlib.suppress(ringbuf.StoreBusy):
        ownership.remove(SEGMENT)
