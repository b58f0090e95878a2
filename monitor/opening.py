"""How a service comes by its store: it goes on with what is there, as far as that is still valid.

`ringbuf.adoption` decides about segments; what makes rows worth keeping is known here: which
columns a row cannot do without, and how the values of a stat that is new are computed over rows
that are old.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import anyio
import numpy as np
from anyio.abc import TaskGroup

import ringbuf
from indicators import Plan, plan
from ringbuf import layout, segment
from ringbuf.adoption import Opening, found_document, open_store, take_over
from ringbuf.errors import NameHeld, RingbufError
from ringbuf.layout import WORD
from ringbuf.rescue import is_kept, rescue
from ringbuf.spec import StoreSpec
from ringbuf.writer import Writer

from . import kernels
from .book import INTERVAL_MS, STALE, STATUSES
from .mending import Mender
from .rows import RETENTION
from .settings import Settings

__all__ = [
    "HEARTBEAT_S",
    "Interim",
    "Spending",
    "compute_fresh",
    "give_up",
    "hold",
    "kept_names",
    "last_spending",
    "leave",
    "name_is_free",
    "open_for",
]

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
_PAUSE_S = 0.05

_TIME, _NEWEST, _ORIGIN, _CONFIRMED = 0, WORD["newest"], WORD["origin"], WORD["confirmed"]


async def name_is_free(name: str) -> None:
    """Wait until no other process changes the store's names, without holding up the loop.

    So that a signal is obeyed meanwhile. Raises NameHeld after `segment.PATIENCE_S`.
    """
    end = time.monotonic() + segment.PATIENCE_S
    while (pid := segment.name_holder(name)) is not None:
        if time.monotonic() > end:
            raise NameHeld(name, pid, segment.PATIENCE_S)
        await anyio.sleep(_PAUSE_S)


def give_up(writer: Writer) -> None:
    """Leave a store that has lost its names, and say so; whoever opens it next goes on with it."""
    try:
        saved = rescue(writer)
        outcome = (
            "its rows go on in a new segment, readers learn of it" if saved else "its rows are lost"
        )
    except (RingbufError, OSError) as error:
        rows = "kept for the next start" if is_kept(writer) else "lost"
        outcome = f"its rows are {rows}: {error}"
    log.error(
        "store %s has lost its names (removed by hand, or by systemd's RemoveIPC at a logout): %s",
        writer.spec.name,
        outcome,
    )


def leave(writer: Writer) -> bool:
    """The last step with a store, whatever ends it: one that has lost its names is given up.

    systemd's RemoveIPC takes them at about the moment at which it ends the service. False if that
    was so.
    """
    lost = not writer.restore_name() and writer.nameless
    if lost:
        give_up(writer)
    return not lost


def kept_names(name: str, source: Mapping[str, Any]) -> frozenset[str]:
    """Both names of every market whose rows the store of this source has; none without a store.

    Raises NotReplaced for a segment that is not a store.
    """
    document = found_document(name)
    if document is None or document["source"] != source:
        return frozenset()
    return frozenset(series[name] for series in document["series"] for name in ("name", "alias"))


class Spending(NamedTuple):
    """What a service asked of the exchange within the minute up to `at_ms`, by its clock."""

    weight: int = 0
    sockets: int = 0
    at_ms: float = 0.0


def last_spending(name: str, source: Mapping[str, Any]) -> Spending:
    """What the last service on this store of `source` spent; nothing without one.

    The exchange counts by address, and does not know that it is another process by now.
    """
    try:
        with ringbuf.attach(name) as store:
            if store.source == source:
                counters = store.health()["counters"]
                return Spending(
                    counters.get("rest_weight_minute", 0),
                    counters.get("connects_minute", 0),
                    float(store.live()["clock_ms"]),
                )
    except RingbufError:
        pass
    return Spending()


def hold(settings: Settings) -> Writer | None:
    """Take over the store as it is, while nobody can say what should be in it; None without one.

    For a start without the exchange: its rows stay readable, marked stale. It must be of these
    settings' network and URLs. Raises StoreBusy, NotReplaced.
    """

    def ours(found: StoreSpec) -> bool:
        source = found.source
        return (
            source.get("network") in {settings.network, "embedded"}
            and source.get("ws_url") == settings.ws_url
            and source.get("api_url") == settings.api_url
            and found.statuses == STATUSES
        )

    return take_over(
        settings.segment, ours, mode=settings.segment_mode, status=STALE, mender=Mender()
    )


class Interim:
    """The store that was there, while the exchange does not answer: readable, marked stale."""

    def __init__(self, settings: Settings, tasks: TaskGroup) -> None:
        self._settings = settings
        self._tasks = tasks
        self._scope = anyio.CancelScope()
        self._writer: Writer | None = None

    def begin(self) -> None:
        """Take the store over, if there is one of these settings' exchange.

        Called again and again: one that lost its names is given up, and gone on with next time.
        """
        if self._writer is None:
            self._writer = hold(self._settings)
            if self._writer is not None:
                log.warning("store %s is served as stale until then", self._settings.segment)
                self._writer.set_state(layout.RUNNING)
                self._scope = anyio.CancelScope()
                self._tasks.start_soon(self._beat, self._writer, self._scope)

    def end(self) -> Writer | None:
        """The writer, for whoever goes on with the store; None where nothing was taken over."""
        self._scope.cancel()
        writer, self._writer = self._writer, None
        return writer if writer is not None and leave(writer) else None

    def close(self) -> None:
        """Where nobody goes on with it, the store is stopped."""
        if self._writer is not None:
            leave(self._writer)
            self._writer.close()

    async def _beat(self, writer: Writer, scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                writer.heartbeat()
                lost = not writer.restore_name() and writer.nameless
                if lost and segment.name_holder(writer.spec.name) is None:
                    self._writer = None
                    give_up(writer)
                    return
                await anyio.sleep(HEARTBEAT_S)


def open_for(
    settings: Settings, spec: StoreSpec, stats: Plan, held: Writer | None = None
) -> tuple[Writer, Opening]:
    """The store that `spec` asks for, with every row of the one there was that is still valid.

    Raises StoreBusy, NotReplaced, NoSpace.
    """
    writer, opening = open_store(
        spec,
        mode=settings.segment_mode,
        status=STALE,
        essential=kernels.CANDLE_COLUMNS,
        prepare=lambda new, found: _prepare(new, stats, found),
        held=held,
        mender=Mender(),
    )
    log.info(
        "store %s %s: %d markets, %d of them with history, %d stats, %.1f MiB, from %s",
        spec.name,
        opening.how,
        len(spec.series),
        opening.kept,
        len(stats.stats),
        writer.geometry.size / 2**20,
        spec.source["network"],
    )
    if opening.repaired:
        log.warning(
            "the last service died while it was writing: rows of %d markets were put right",
            opening.repaired,
        )
    return writer, opening


def _prepare(writer: Writer, stats: Plan, opening: Opening) -> None:
    """Make a rebuilt store's rows right before it has its names."""
    compute_fresh(writer, stats, opening.fresh)
    if opening.deeper:
        _forget_fill(writer, stats)


def _forget_fill(writer: Writer, stats: Plan) -> None:
    """Of markets that are to get rows in front of theirs, say so in the store itself.

    `Opening.deeper` dies with this process; whoever adopts the store before REST has answered must
    ask as well. Until then the oldest rows have not settled: there are no stats.
    """
    depth = min(writer.spec.history + stats.runup, RETENTION)
    for market, control in enumerate(writer.controls):
        origin, newest = int(control[_ORIGIN]), int(control[_NEWEST])
        if 0 <= newest < origin + depth - 1:
            control[_CONFIRMED] = origin - 2
            writer.floats[market, len(kernels.CANDLE_COLUMNS) : len(writer.spec.columns)] = np.nan


def compute_fresh(writer: Writer, stats: Plan, fresh: tuple[str, ...]) -> None:
    """Compute the columns `fresh` over the rows that were carried over, up to the first hole."""
    new = [
        stat
        for stat in stats.stats
        if any(column.stat == stat and column.name in fresh for column in stats.columns)
    ]
    if not new:
        return
    table = plan(new, history=None).bind(writer.column)
    held = writer.grid + 2 - writer.geometry.capacity
    for market, control in enumerate(writer.controls):
        low, newest = max(int(control[_ORIGIN]), held), int(control[_NEWEST])
        if newest < low:
            continue
        bars = np.arange(low, newest + 1)
        times = writer.integers[market, _TIME, bars % writer.geometry.capacity]
        known = times == bars * INTERVAL_MS
        first = int(known.argmax())
        count = int(np.append(known[first:], False).argmin())
        kernels.compute(
            writer.floats[market],
            writer.integers[market],
            table.ops,
            table.pars,
            low + first,
            low + first + count - 1,
        )
