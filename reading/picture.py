"""A chart as a picture file, drawn by matplotlib (the extra `plot`)."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from .panes import Chart

__all__ = ["save"]


_RISE, _FALL, _FAINT = "#0a9981", "#e13443", "#8a8f98"
_COLORS = ("#1f6feb", "#d4880f", "#8250df", "#57606a", "#bf3989")
_MINUTE = 1 / 1440


def save(chart: Chart, path: Path, *, source: str) -> None:
    """Candles with what has their scale, volume, and a pane for each other scale, into `path`.

    `source` is a line under the title. Raises click.ClickException where matplotlib is not
    installed or the file cannot be written, UsageError for a market without candles.
    """
    try:
        from matplotlib import dates, ticker
        from matplotlib.collections import LineCollection, PolyCollection
        from matplotlib.figure import Figure
    except ImportError as error:
        raise click.UsageError(
            f"pictures need matplotlib ({error}); install it with pip install "
            f"'market-monitor[plot]', or draw in the terminal with --plot {chart.market}"
        ) from error
    candles = chart.candles
    if not len(candles):
        raise click.UsageError(f"{chart.market} has no candle yet; there is nothing to draw")
    ratios = [4.0, 1.0, *([1.2] * len(chart.panes))]
    figure = Figure(figsize=(12, 2 + 1.15 * sum(ratios)), layout="constrained")
    axes = figure.subplots(len(ratios), sharex=True, height_ratios=ratios, squeeze=False)[:, 0]
    x = candles["time"].astype("datetime64[s]").astype(np.int64) / 86_400
    rises = candles["close"] >= candles["open"]
    colors = np.where(rises, _RISE, _FALL).tolist()

    main = axes[0]
    wicks = [[(t, l), (t, h)] for t, l, h in zip(x, candles["low"], candles["high"], strict=True)]
    main.add_collection(LineCollection(wicks, colors=colors, linewidths=0.8))
    half = 0.36 * _MINUTE
    bodies = [
        [(t - half, o), (t - half, c), (t + half, c), (t + half, o)]
        for t, o, c in zip(x, candles["open"], candles["close"], strict=True)
    ]
    main.add_collection(
        PolyCollection(bodies, facecolors=colors, edgecolors=colors, linewidths=0.8)
    )
    for k, name in enumerate(chart.over):
        main.plot(x, candles[name], color=_COLORS[k % len(_COLORS)], linewidth=1.1, label=name)
    close = float(candles["close"][-1])
    main.axhline(close, color=_FAINT, linewidth=0.6, linestyle=":")
    main.annotate(
        f"{close:,.6g}",
        (1.0, close),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color="white",
        bbox={"boxstyle": "round,pad=0.25", "fc": colors[-1], "ec": "none"},
    )
    main.autoscale_view()
    main.set_title(chart.market, loc="left", fontweight="bold")
    main.set_title(source, loc="right", fontsize=8, color=_FAINT)

    axes[1].bar(x, candles["volume"], width=2 * half, color=colors)
    axes[1].set_ylabel("volume")
    axes[1].set_ylim(bottom=0)
    for axis, names in zip(axes[2:], chart.panes, strict=True):
        for k, name in enumerate(names):
            axis.plot(x, candles[name], color=_COLORS[k % len(_COLORS)], linewidth=1.1, label=name)
        if names[0].startswith("RSI"):
            for level in (30, 70):
                axis.axhline(level, color=_FAINT, linewidth=0.6, linestyle="--")
            axis.set_ylim(0, 100)
    for axis in axes:
        axis.grid(color="#d8dee4", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="upper left", fontsize=8, ncols=6, framealpha=0.8, edgecolor="none")
    for axis in (axes[0], axes[1]):
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:,.6g}"))
    axes[-1].set_xlim(x[0] - _MINUTE, x[-1] + _MINUTE)
    locator = dates.AutoDateLocator(maxticks=12)  # type: ignore[no-untyped-call]
    axes[-1].xaxis.set_major_locator(locator)
    shape = dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes[-1].xaxis.set_major_formatter(shape)
    axes[-1].set_xlabel("UTC", fontsize=8)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror or error}") from error
