"""The service from its start to a signal.

Ask the exchange for its clock and its markets, describe the store, go on with the one that is there
or make it (`opening`); then serve it (`serving`). A store whose names are all gone is begun again.
"""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from indicators import Plan

from .archive.available import require
from .backoff import delays
from .budget import ConnectionBudget, WeightBudget
from .checking import within_subscriptions
from .clock import ExchangeClock
from .errors import ProtocolError, RestError
from .markets import Market, resolve
from .metrics import Exporter, ready
from .opening import Interim, kept_names, last_spending, leave, name_is_free, open_for
from .rest import InfoClient
from .serving import BEACON, Service, greet
from .settings import Settings
from .store import plan_of, source_of, spec_of
from .warming import warm
from .wire import Embedded

if TYPE_CHECKING:
    from .archive.task import Archiving

__all__ = ["run"]

log = logging.getLogger(__name__)

RETRY_BASE_S, RETRY_CAP_S = 0.5, 10.0


async def _meet(
    settings: Settings,
    client: InfoClient,
    clock: ExchangeClock,
    learnt: Callable[[dict[str, Any]], None],
    absent: Callable[[], None],
) -> tuple[Embedded | None, tuple[Market, ...], str]:
    """The exchange's clock, the markets asked for, the beacon; tries until the exchange answers.

    `learnt` is called with what the rows' source is, before more than that is asked; `absent` each
    time that it does not answer.
    """
    pauses = delays(RETRY_BASE_S, RETRY_CAP_S, random.Random())
    known = False
    while True:
        try:
            embedded = await greet(client, clock)
            if not known:
                learnt(source_of(settings, embedded))
                known = True
            universe = await client.universe()
        except (RestError, ProtocolError) as error:
            log.warning("the exchange does not answer, trying again: %s", error)
            absent()
            await anyio.sleep(next(pauses))
            continue
        kept = kept_names(settings.segment, source_of(settings, embedded))
        resolution = resolve(settings.markets, universe, kept)
        for warning in resolution.warnings:
            log.warning("%s", warning)
        busiest = universe.find(BEACON)
        busy = busiest is not None and not busiest.delisted
        return embedded, resolution.markets, BEACON if busy else resolution.markets[0].coin


async def _until(
    signals: Iterable[signal.Signals],
    scope: anyio.CancelScope,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(*signals) as received:
        task_status.started()
        async for number in received:
            log.info("stopping on %s", signal.Signals(number).name)
            scope.cancel()
            return


def _archiving(settings: Settings, source: dict[str, Any]) -> Archiving | None:
    if settings.archive is None:
        return None
    from .archive.task import Archiving

    return Archiving(settings.archive, source)


async def run(settings: Settings) -> None:
    """The service from its start to a signal.

    Raises what a person has to mend: MonitorError, IndicatorError, RingbufError.
    """
    for warning in settings.warnings:
        log.warning("%s", warning)
    if settings.archive is not None:
        require(settings.archive)
    ready(settings.metrics_file)
    stats = plan_of(settings)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_until, (signal.SIGINT, signal.SIGTERM), tasks.cancel_scope)
        while await _serve(settings, stats):
            log.warning("starting again, on what is left of store %s", settings.segment)
        tasks.cancel_scope.cancel()
    log.info("stopped")


async def _serve(settings: Settings, stats: Plan) -> bool:
    """Serve until cancelled; True if the store was lost on the way, and there is to be another."""
    clock = ExchangeClock()
    weights = WeightBudget(settings.rest_weight, settings.rest_burst)
    connections = ConnectionBudget()

    def remember(source: dict[str, Any]) -> None:
        spent, now_ms = last_spending(settings.segment, source), clock.now_ms()
        weights.remember(spent.weight, spent.at_ms, now_ms)
        connections.remember(spent.sockets, spent.at_ms, now_ms)

    async with anyio.create_task_group() as tasks:
        with ExitStack() as stack:
            if settings.metrics_file is not None:
                exporter = Exporter(settings.metrics_file, settings.segment)
                tasks.start_soon(exporter.run)
                stack.callback(exporter.close)  # entered first: the store is closed before
            interim = Interim(settings, tasks)
            stack.callback(interim.close)
            await name_is_free(settings.segment)
            # Few attempts: what does not answer is told at once, and tried again all the same.
            async with InfoClient(settings.api_url, weights, clock, attempts=2) as client:
                embedded, markets, beacon = await _meet(
                    settings, client, clock, remember, interim.begin
                )
            within_subscriptions(settings, markets)
            # Only now: what is wrong with the settings is told before anybody waits for a compiler.
            source = source_of(settings, embedded)
            archiving = _archiving(settings, source)
            if archiving is not None:
                stack.callback(archiving.close)
            # In a thread: the heartbeat of what is served in the meantime goes on.
            await anyio.to_thread.run_sync(warm, stats)
            spec = spec_of(settings, markets, stats, source)
            await name_is_free(settings.segment)
            held = interim.end()
            if held is not None:
                stack.callback(held.close)
            writer, opening = open_for(settings, spec, stats, held)
            stack.enter_context(writer)
            stack.callback(leave, writer)
            if archiving is not None:
                await archiving.fill(writer, stats, clock)
            async with InfoClient(settings.api_url, weights, clock) as client:
                service = Service(
                    settings,
                    markets,
                    stats,
                    writer,
                    client,
                    clock,
                    weights,
                    connections,
                    beacon,
                    # With an archive, the store itself says which markets are to be asked for.
                    deeper=opening.deeper and archiving is None,
                    archiving=archiving,
                )
                await service.run()
        tasks.cancel_scope.cancel()
    return service.nameless
