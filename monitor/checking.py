"""``python -m monitor check``: what would run, before it runs."""

from __future__ import annotations

import logging

import click

from ringbuf import segment
from ringbuf.spec import Geometry

from .budget import WeightBudget, weight_of
from .clock import ExchangeClock
from .errors import Problem, SettingsError
from .markets import resolve
from .rest import InfoClient
from .rows import RETENTION
from .settings import Settings
from .store import plan_of, source_of, spec_of

__all__ = ["run"]

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Print the report; raise what is wrong, all problems that can be found at once."""
    stats = plan_of(settings)
    clock = ExchangeClock()
    weights = WeightBudget(settings.rest_weight, settings.rest_burst)
    async with InfoClient(settings.api_url, weights, clock, attempts=2) as client:
        status = await client.exchange_status()
        resolution = resolve(settings.markets, await client.universe())
    source = source_of(settings, status.embedded)
    spec = spec_of(settings, resolution.markets, stats, source)
    needed = Geometry.of(spec).size
    free, total = segment.free_space()
    rows = min(settings.history + stats.runup, RETENTION)
    fill_ms = weights.duration_ms(
        [weight_of("candleSnapshot", rows)] * len(resolution.markets), urgent=True
    )
    names = [market.name for market in resolution.markets]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    lines = [
        ("exchange", f"{source['network']}, {settings.ws_url}, {settings.api_url}"),
        ("markets", f"{len(names)}: {shown}"),
        ("stats", ", ".join(stats.stats)),
        ("history", f"{settings.history} candles, {rows} asked for in the first fill"),
        ("segment", f"{settings.segment}, mode {settings.segment_mode:04o}"),
        ("memory", f"{_mib(needed)} of /dev/shm, which has {_mib(free)} free of {_mib(total)}"),
        ("", f"a change of markets, stats or history needs {_mib(2 * needed)} for a moment"),
        ("first fill", f"about {fill_ms / 1000:.0f} s of waiting for the REST budget"),
    ]
    for label, text in lines:
        click.echo(f"{label:11} {text}")
    for warning in (*settings.warnings, *resolution.warnings):
        click.echo(f"{'warning':11} {warning}")
    if needed > free:
        advised = (total - free + 2 * needed) // 2**20 + 1
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


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
