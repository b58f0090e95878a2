"""``python -m monitor check``: what would run, before it runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import click

from indicators import Plan, plan
from indicators.errors import IndicatorError, ModuleFailed
from ringbuf import RingbufError, segment
from ringbuf.spec import Geometry

from . import sharing
from .archive.available import require
from .budget import WeightBudget, weight_of
from .clock import ExchangeClock
from .errors import (
    MarketError,
    Problem,
    ProtocolError,
    RestError,
    SettingsError,
    SeveralProblems,
)
from .markets import Market, Resolution, resolve
from .metrics import ready
from .opening import kept_names
from .rest import InfoClient
from .rows import RETENTION
from .settings import Settings
from .store import plan_of, source_of, spec_of
from .wire import Embedded

__all__ = ["run", "within_subscriptions"]

log = logging.getLogger(__name__)


def within_subscriptions(settings: Settings, markets: Sequence[Market]) -> None:
    """Raise SettingsError where following the markets takes more subscriptions than are allowed."""
    wanted = sharing.needed(sum(not market.delisted for market in markets))
    if wanted > settings.subscriptions:
        expected = f"at least {wanted} for {len(markets)} markets, or fewer markets"
        raise SettingsError(
            [Problem("MONITOR_SUBSCRIPTIONS", str(settings.subscriptions), expected)]
        )


def _fault(stat: str, history: int) -> IndicatorError | None:
    try:
        plan([stat], history=history)
    except IndicatorError as error:
        return error
    return None


def _stats(settings: Settings, problems: list[Exception]) -> Plan | None:
    """The plan of the stats; where there is none, every stat that is wrong is a problem."""
    try:
        return plan_of(settings)
    except ModuleFailed as error:
        problems.append(error)
    except IndicatorError as error:
        wrong = [fault for name in settings.stats if (fault := _fault(name, settings.history))]
        problems += wrong or [error]
    return None


async def run(settings: Settings) -> None:
    """Print the report; raise what is wrong, all problems that can be found at once."""
    resolution: Resolution | None = None
    problems: list[Exception] = []
    stats = _stats(settings, problems)
    if settings.archive is not None:
        try:
            require(settings.archive)
        except SettingsError as error:
            problems.append(error)
    try:
        ready(settings.metrics_file)
    except SettingsError as error:
        problems.append(error)
    clock = ExchangeClock()
    weights = WeightBudget(settings.rest_weight, settings.rest_burst)
    embedded: Embedded | None = None
    try:
        async with InfoClient(settings.api_url, weights, clock, attempts=2) as client:
            embedded = (await client.exchange_status()).embedded
            universe = await client.universe()
        kept = kept_names(settings.segment, source_of(settings, embedded))
        resolution = resolve(settings.markets, universe, kept)
        within_subscriptions(settings, resolution.markets)
    except (RestError, ProtocolError, MarketError, SettingsError, RingbufError) as error:
        problems.append(error)
    if problems or stats is None or resolution is None:
        raise problems[0] if len(problems) == 1 else SeveralProblems(*problems)
    source = source_of(settings, embedded)
    spec = spec_of(settings, resolution.markets, stats, source)
    needed = Geometry.of(spec).size
    free, total = segment.free_space()
    rows = min(settings.history + stats.runup, RETENTION)
    fill_ms = weights.duration_ms(
        [weight_of("candleSnapshot", rows)] * len(resolution.markets), urgent=True
    )
    names = [market.name for market in resolution.markets]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    followed = [market.coin for market in resolution.markets if not market.delisted]
    shares = sharing.plan(
        followed, subscriptions=settings.subscriptions, redundant=settings.redundant
    )
    pairs = sum(len(share.paired) for share in shares) // 2
    lines = [
        ("exchange", f"{source['network']}, {settings.ws_url}, {settings.api_url}"),
        ("markets", f"{len(names)}: {shown}"),
        ("sockets", f"{len(shares)}, {pairs} of {len(followed)} markets on two of them"),
        ("stats", ", ".join(stats.stats)),
        ("history", f"{settings.history} candles, {rows} asked for in the first fill"),
        ("segment", f"{settings.segment}, mode {settings.segment_mode:04o}"),
        ("memory", f"{_mib(needed)} of /dev/shm, which has {_mib(free)} free of {_mib(total)}"),
        ("", f"a change of markets, stats or history needs {_mib(2 * needed)} for a moment"),
        ("", f"in Docker: SHM_SIZE={_advised(needed)}m in .env, or --shm-size={_advised(needed)}m"),
        ("first fill", f"about {fill_ms / 1000:.0f} s of waiting for the REST budget"),
        ("archive", str(settings.archive or "off")),
        ("metrics", str(settings.metrics_file or "off")),
    ]
    for label, text in lines:
        click.echo(f"{label:11} {text}")
    for warning in (*settings.warnings, *resolution.warnings):
        click.echo(f"{'warning':11} {warning}")
    if needed > free:
        advised = _advised(needed, total - free)
        raise SettingsError(
            [
                Problem(
                    "shared memory",
                    f"{_mib(free)} free",
                    f"{_mib(needed)}: fewer markets, less history, or in Docker "
                    f"--shm-size={advised}m",
                )
            ]
        )


def _advised(needed: int, taken: int = 0) -> int:
    """MiB of /dev/shm for a store of `needed` bytes beside what is `taken`.

    Twice the store: while a change of settings is carried over, the old and the new one exist.
    """
    return (taken + 2 * needed) // 2**20 + 1


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
