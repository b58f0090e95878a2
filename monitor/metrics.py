"""The store's health as a file for the Prometheus node exporter's textfile collector.

No port is opened and nobody can ask: every `EVERY_S` seconds the file is written anew, beside its
place and then renamed, so that whoever reads it sees a whole one. What it says is what
``store.health()`` says, in Prometheus' text exposition format (0.0.4), times in seconds.

A file cannot say that nobody writes it any more. So ages are told as the moments that they began
at: ``time() - market_monitor_heartbeat_timestamp_seconds`` grows also when the service was killed.
A service that ends by itself writes once more, ``market_monitor_up 0``.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import anyio.to_thread
import numpy as np

import ringbuf
from ringbuf import segment

from .book import COUNTERS, STATUSES, TROUBLED
from .errors import Problem, SettingsError
from .logs import RateLimited

__all__ = ["EVERY_S", "FAMILIES", "Exporter", "Family", "exposition", "ready", "table"]

log = logging.getLogger(__name__)

EVERY_S = 10.0
_UNTIL_THERE_S = 0.5
_SETTING = "MONITOR_METRICS_FILE"
_MODE = 0o644
_PREFIX = "market_monitor_"

CONDITIONS: Final = ("live", "degraded", "starting", "hung", "stopped", "down")
_UP: Final = ("live", "degraded", "starting")
_GONE: Final = ("stopped", "down")


class Family(NamedTuple):
    """One metric: its name, its type, the labels beside ``store``, what it says."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


_GAUGES: Final = frozenset(
    {
        "rest_weight_minute",
        "connects_minute",
        "delisted",
        "sockets",
        "on_two_sockets",
        "lag_p50_ms",
        "lag_p99_ms",
    }
)
"""The counters that say how it is now; all others only grow while a service lives."""

_COUNTED: Final = {
    "frames": "candle frames received",
    "placed": "frames that changed a row",
    "older": "frames of a state that the minute had already passed",
    "late": "frames of a minute that was already over",
    "rejected": "frames and rows that cannot be, whatever the reason",
    "rejected_coin": "rejected: of another market than was asked for",
    "rejected_future": "rejected: of a minute that has not begun",
    "rejected_interval": "rejected: not of one minute",
    "rejected_no_trades": "rejected: a frame without a trade, which the exchange does not send",
    "rejected_price": "rejected: prices that contradict each other, or are none",
    "rejected_time": "rejected: times that are not those of a minute",
    "rejected_trades": "rejected: a number of trades that cannot be",
    "rejected_volume": "rejected: a volume that cannot be",
    "unknown_coin": "frames of markets that nobody asked for",
    "malformed": "frames that could not be read",
    "opened": "minutes opened",
    "closed": "minutes closed",
    "corrected": "closed rows put right by REST",
    "repaired": "rows filled in behind a hole",
    "carried": "rows of minutes that are known to have had no trade",
    "omitted": "rows that REST did not list where it should have",
    "lost_histories": "histories that were given up, and started anew",
    "rest_requests": "REST requests sent",
    "rest_weight": "REST weight spent",
    "rest_weight_minute": "REST weight spent within the last minute; the exchange allows 1200",
    "rest_errors": "REST requests given up",
    "connects": "sockets opened",
    "connects_minute": "sockets opened within the last minute, or tried to; the exchange allows 30",
    "disconnects": "sockets ended, for whatever reason",
    "renewals": "sockets replaced before the exchange would have ended them",
    "stalls": "streams that fell silent against evidence and were subscribed anew",
    "quarantined": "times that a market was left out because the exchange refuses it",
    "delisted": "markets that are not traded any more",
    "offered": "new markets that the selectors find, followed from the next start on",
    "renamed": "followed markets that the exchange calls by another name now",
    "sockets": "sockets that are open",
    "on_two_sockets": "markets that two sockets tell about",
    "lag_p50_ms": "how much later than the quickest the last thousand block times came, median",
    "lag_p99_ms": "the same, 99th percentile",
    "archived": "rows written to the archive",
    "archive_errors": "times that the archive could not be written or read",
    "archive_damaged": "files of the archive that were found damaged",
    "names_restored": "times that the store's name was unlinked and put back",
}


def _name_of(counter: str) -> str:
    name = _PREFIX + counter
    if counter not in _GAUGES:
        return f"{name}_total"
    return f"{name.removesuffix('_ms')}_seconds" if counter.endswith("_ms") else name


def _family_of(counter: str) -> Family:
    kind = "gauge" if counter in _GAUGES else "counter"
    return Family(_name_of(counter), kind, (), _COUNTED[counter])


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(_PREFIX + name, "gauge", labels, text)


_INFO = _gauge(
    "info", "always 1; which writer of which exchange's data", "software", "network", "pid"
)
_ALIVE = _gauge("up", "1: the service runs; 0: it has stopped or hangs")
_CONDITION = _gauge("condition", "1 for the store's condition, 0 for the others", "condition")
_STARTED = _gauge("start_timestamp_seconds", "when the service began to write the store")
_HEARTBEAT = _gauge(
    "heartbeat_timestamp_seconds",
    "the service's last heartbeat, also in a file that nobody writes any more",
)
_STORE_BYTES = _gauge("store_bytes", "shared memory that the store takes")
_SHM_FREE = _gauge("shm_free_bytes", "what is free of /dev/shm")
_SHM_SIZE = _gauge("shm_size_bytes", "all of /dev/shm")
_MARKETS = _gauge("markets", "markets of each status", "status")
_UP_TO_DATE = _gauge(
    "market_up_to_date", "1: live, quiet or delisted; 0: syncing, stale or gone", "market"
)
_STATUS = _gauge("market_status", "1, with the status that the market has", "market", "status")
_HEARD = _gauge(
    "market_heard_timestamp_seconds", "when the exchange last said anything about it", "market"
)
_NEWEST = _gauge("market_newest_timestamp_seconds", "open time of its newest row", "market")
_CONFIRMED = _gauge(
    "market_confirmed_timestamp_seconds", "open time of the last row that REST confirmed", "market"
)

FAMILIES: Final = (
    _ALIVE,
    _CONDITION,
    _INFO,
    _STARTED,
    _HEARTBEAT,
    _STORE_BYTES,
    _SHM_FREE,
    _SHM_SIZE,
    _MARKETS,
    _UP_TO_DATE,
    _STATUS,
    _HEARD,
    _NEWEST,
    _CONFIRMED,
    *map(_family_of, COUNTERS),
)
"""Every metric, in the order of the file. The last five before the counters are for each market."""


def table() -> str:
    """All metrics as the Markdown table of the operator's page."""
    lines = ["| metric | type | labels | |", "|---|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines)


def exposition(health: Mapping[str, Any], size: int, room: tuple[int, int], now_s: float) -> str:
    """The text of the file.

    `health` is ``store.health()``; `size` the store's bytes; `room` bytes free and in all of
    /dev/shm; `now_s` Unix time. Markets that nothing is known of lack the metric in question.
    """
    return "".join(_lines(health, size, room, now_s))


def _lines(
    health: Mapping[str, Any], size: int, room: tuple[int, int], now_s: float
) -> Iterator[str]:
    condition, markets, counters = health["status"], health["markets"], health["counters"]
    writer, network = health["writer"], health["source"].get("network", "")
    by_status = Counter(market["status"] for market in markets.values())
    values: dict[Family, Iterable[tuple[tuple[str, ...], float]]] = {
        _ALIVE: [((), condition in _UP)],
        _CONDITION: [((each,), each == condition) for each in CONDITIONS],
        _INFO: [((writer["software"], network, str(writer["pid"])), 1)],
        _STARTED: [((), _moment(writer["started"]))],
        _HEARTBEAT: [((), now_s - health["heartbeat_age_s"])],
        _STORE_BYTES: [((), size)],
        _SHM_FREE: [((), room[0])],
        _SHM_SIZE: [((), room[1])],
        _MARKETS: [((each,), by_status[each]) for each in (*STATUSES, *_GONE)],
        _UP_TO_DATE: [
            ((name,), market["status"] not in (*TROUBLED, *_GONE))
            for name, market in markets.items()
        ],
        _STATUS: [((name, market["status"]), 1) for name, market in markets.items()],
        _HEARD: [((name,), now_s - market["age_s"]) for name, market in markets.items()],
        _NEWEST: [((name,), _moment(market["newest"])) for name, market in markets.items()],
        _CONFIRMED: [((name,), _moment(market["confirmed"])) for name, market in markets.items()],
    }
    for counter in COUNTERS:
        if counter in counters:
            unit = 1_000 if counter.endswith("_ms") else 1
            values[_family_of(counter)] = [((), counters[counter] / unit)]
    for family in FAMILIES:
        yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
        for labelled, value in values.get(family, ()):
            if not math.isnan(value):
                labels = zip(("store", *family.labels), (health["name"], *labelled), strict=True)
                told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
                yield f"{family.name}{{{told}}} {_number(value)}\n"


def _moment(text: str | None) -> float:
    """Unix time of what `health` writes as a time; NaN where there is none."""
    if text is None:
        return float("nan")
    return float(np.datetime64(text.removesuffix("Z"), "ms").astype(np.int64)) / 1_000


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def ready(path: Path | None) -> None:
    """Raise SettingsError where a file cannot be written beside `path`; None: nothing is wanted."""
    if path is None:
        return
    if path.suffix != ".prom":
        expected = "a file that ends in .prom: the node exporter reads no others"
        raise SettingsError([Problem(_SETTING, repr(str(path)), expected)])
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "is a folder", str(path))
        beside = _beside(path)
        beside.unlink(missing_ok=True)
        beside.touch(_MODE, exist_ok=False)
        beside.unlink()
    except OSError as error:
        expected = f"a file in a folder that exists and that we may write ({error.strerror})"
        raise SettingsError([Problem(_SETTING, repr(str(path)), expected)]) from None


def _beside(path: Path) -> Path:
    """In the same folder, or it could not be renamed; a name that the node exporter passes over."""
    return path.with_name(f".{path.name}.tmp")


def _replace(path: Path, text: str) -> None:
    """Write `text` to `path`: readers see the old file or the new one. Raises OSError."""
    beside = _beside(path)
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, _MODE)  # whatever the umask: the node exporter is another user
            file.write(text)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


class Exporter:
    """Writes the metrics of this process' store to `path` until cancelled, and once at the end.

    A store that another process writes is none of ours: its own service tells about it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._told = False
        self._writing = threading.Lock()
        self._notes = RateLimited(log, every_s=600.0)

    async def run(self) -> None:
        """Write again and again. Raises nothing: a full disk must not stop the candles."""
        while True:
            # In a thread: a slow disk, or hundreds of markets, must not hold up the sockets.
            await anyio.to_thread.run_sync(self.write)
            await anyio.sleep(EVERY_S if self._told else _UNTIL_THERE_S)

    def close(self) -> None:
        """Say how it ended, if anything was ever said; the store has to be closed by now."""
        if self._told:
            self.write()

    def write(self) -> None:
        """Write the file, if the store is there and ours."""
        # Two at once at the end only: what the thread read before must not be written last.
        with self._writing:
            self._write()

    def _write(self) -> None:
        try:
            with ringbuf.attach(self._name) as store:
                health = store.health()
                if health["writer"]["pid"] != os.getpid():
                    return
                size = store.header.size
            self._told = True
            _replace(self._path, exposition(health, size, segment.free_space(), time.time()))
        except ringbuf.RingbufError as error:
            if self._told:  # before that, it is yet to be made
                self._notes.log("store", logging.WARNING, "no metrics: %s", error)
        except OSError as error:
            self._notes.log("file", logging.WARNING, "the metrics cannot be written: %s", error)
