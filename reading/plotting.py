"""What --plot means: a market's chart in the terminal, or a picture in a file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import ringbuf

from .candles import candles_in, plotted
from .drawing import origin_of
from .output import colorful, window
from .panes import chart_of
from .selection import Choice

__all__ = ["draw"]

_FORMATS = (".png", ".svg", ".pdf")
"""Endings of a file's name by which a picture is meant."""

_IN_A_PICTURE = 240
"""Candles, where nobody says how many: four hours."""


def draw(store: ringbuf.Store, name: str, chosen: Choice) -> None:
    """Draw market `name` on stdout, or the one chosen market into the file `name`.

    Raises UnknownName, and click.UsageError for what cannot be drawn.
    """
    markets, last = chosen["markets"], chosen["last"]
    path = Path(name)
    if path.suffix.lower() in _FORMATS:
        from .picture import save

        if len(markets) != 1:
            raise click.UsageError(f"name the market of {name} with one --market")
        chart = chart_of(
            store,
            markets[0],
            stats=chosen["stats"],
            last=last or _IN_A_PICTURE,
            closed=chosen["closed"],
        )
        words = [text for text, _ in origin_of(store)]
        save(chart, path, source=" · ".join([*words, *_caution(store)]))
        click.echo(f"{path}: {len(chart.candles)} candles of {chart.market}")
        return
    if markets:
        raise click.UsageError(
            f"--plot names the market itself; --market goes with a picture: --plot {markets[0]}.png"
        )
    if path.suffix and name not in store:
        raise click.UsageError(
            f"{name} is no market here, and a picture's name ends with "
            f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
        )
    width, height = window()
    chart = chart_of(
        store,
        name,
        stats=chosen["stats"],
        last=min(last or 10**6, candles_in(width)),
        closed=chosen["closed"],
    )
    lines = plotted(store, chart, width=width, height=height - 1, color=colorful())
    # A pipe's encoding may have none of these characters.
    click.echo("\n".join(lines), color=sys.stdout.isatty())


def _caution(store: ringbuf.Store) -> list[str]:
    return [] if store.life == "running" else [f"{store.life.upper()}, not live"]
