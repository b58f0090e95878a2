"""A chart of characters: candles, volume and stats of one market, for a terminal.

Candles are drawn with the half-height strokes that every terminal font has, lines with braille
dots. No library is needed for it, so it works wherever read.py does, in a container, too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

import ringbuf

from .drawing import origin_of
from .panes import Chart
from .text import compact, digits_for, fixed, flow, magnitude, paint

__all__ = ["LEAST_HEIGHT", "LEAST_WIDTH", "candles_in", "plotted"]

LEAST_WIDTH, LEAST_HEIGHT = 30, 8
"""Smaller than this is taken for this."""

_AXIS = 12
"""Characters right of the drawing, for its scale."""

_EIGHTHS = " ▁▂▃▄▅▆▇█"
# What a half of a cell is: 0 nothing, 1 wick, 2 body; the upper half, then the lower one.
_RISING = {(0, 0): " ", (0, 1): "╷", (1, 0): "╵", (1, 1): "│", (0, 2): "╻", (2, 0): "╹"}
_RISING |= {(2, 2): "┃", (1, 2): "╽", (2, 1): "╿"}
# Falling ones are solid, so that they are told apart without colour.
_FALLING = {**_RISING, (2, 2): "█", (0, 2): "▄", (2, 0): "▀", (1, 2): "█", (2, 1): "█"}
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_PALETTE = ("first", "second", "third", "fourth")

Cells = list[list[tuple[str, str]]]
"""Lines of characters with their styles."""


def candles_in(width: int) -> int:
    """How many candles there is room for in so many characters."""
    return max(width, LEAST_WIDTH) - _AXIS


def plotted(
    store: ringbuf.Store, chart: Chart, *, width: int, height: int, color: bool = False
) -> list[str]:
    """The chart in `width` × `height` characters; panes for which there is no room are named.

    Every candle is a column; a market that has none gets a line that says so.
    """
    width, height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)
    candles = chart.candles
    parts = [*origin_of(store), (chart.market, "strong"), *_newest(chart)]
    top = flow(parts, " · ", width, color)
    if not len(candles):
        return [*top, "No candle yet."]
    candles = candles[-candles_in(width) :]
    # The volume, then the stats' panes, as long as the candles keep nearly half the height.
    room = height - len(top) - 1
    small = 2 if room < 24 else 3 if room < 30 else 4 if room < 40 else 5
    sizes = [min(small, 3), *(small for _ in chart.panes)]
    while sizes and sum(sizes) + len(sizes) > 0.56 * room:
        sizes.pop()
    shown = chart.panes[: max(0, len(sizes) - 1)]
    missing = [name for names in chart.panes[len(shown) :] for name in names]
    if missing:
        words = ", ".join(missing) if len(missing) < 3 else f"{len(missing)} stats"
        top = flow([*parts, (f"too low for {words}", "faint")], " · ", width, color)
    main = height - len(top) - 1 - sum(sizes) - len(sizes)
    legend = [(name, _PALETTE[k % len(_PALETTE)]) for k, name in enumerate(chart.over)]
    lines = flow(legend, "  ", width, color)[:1]
    lines += _main(chart, candles, main - len(lines), color)
    if sizes:
        lines += _volume(candles, sizes[0], width, color)
    for names, size in zip(shown, sizes[1:], strict=True):
        lines += _pane(candles, names, size, width, color)
    lines.append(_times(candles, color))
    return [*top, *lines]


def _newest(chart: Chart) -> list[tuple[str, str]]:
    """Close, change over the chart, and the stats' newest values."""
    if not len(chart.candles):
        return []
    closes = chart.candles["close"]
    change = 100 * (closes[-1] / closes[0] - 1) if closes[0] else 0.0
    style = "rise" if change > 0 else "fall" if change < 0 else ""
    close = fixed(float(closes[-1]), digits_for(closes[-1:].tolist()))
    return [(f"{close}  {change:+.2f}% in {len(closes)} min", style)]


def _scale(*arrays: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The least and the most of all, a little apart where they are the same."""
    every = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not len(every):
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    if high > low:
        return low, high
    off = abs(high) * 1e-3 or 1.0
    return low - off, high + off


def _main(chart: Chart, candles: npt.NDArray[np.void], rows: int, color: bool) -> list[str]:
    """The candles, and over them what has their scale, with prices at the right."""
    rows = max(rows, 2)
    low, high = _scale(candles["low"], candles["high"], *(candles[name] for name in chart.over))
    cells: Cells = [[(" ", "")] * len(candles) for _ in range(rows)]
    for k, name in enumerate(chart.over):
        _line(cells, candles[name], low, high, _PALETTE[k % len(_PALETTE)])
    halves = 2 * rows

    def half(price: float) -> int:
        return min(halves - 1, int((high - price) / (high - low) * halves))

    for k, (o, h, l, c) in enumerate(
        zip(*(candles[name].tolist() for name in ("open", "high", "low", "close")), strict=True)
    ):
        kinds = [0] * halves
        for place in range(half(h), half(l) + 1):
            kinds[place] = 1
        for place in range(half(max(o, c)), half(min(o, c)) + 1):
            kinds[place] = 2
        signs = _RISING if c >= o else _FALLING
        style = "rise" if c > o else "fall" if c < o else ""
        for row in range(rows):
            pair = (kinds[2 * row], kinds[2 * row + 1])
            if pair != (0, 0):
                cells[row][k] = (signs[pair], style)
    close = float(candles["close"][-1])
    marks = {row: (high - (row + 0.5) / rows * (high - low), "faint") for row in range(0, rows, 4)}
    here = half(close) // 2
    marks = {row: mark for row, mark in marks.items() if abs(row - here) > 1}
    marks[here] = (close, "strong")
    digits = digits_for(candles["close"][-1:].tolist())
    return _drawn(cells, {row: (fixed(v, digits), s) for row, (v, s) in marks.items()}, color)


def _volume(candles: npt.NDArray[np.void], rows: int, width: int, color: bool) -> list[str]:
    """Columns in eighths of a line, in the colour of their candle."""
    volumes = candles["volume"]
    most = float(volumes.max()) or 1.0
    cells: Cells = [[(" ", "")] * len(candles) for _ in range(rows)]
    for k, volume in enumerate(volumes.tolist()):
        rises = candles["close"][k] >= candles["open"][k]
        left = round(volume / most * rows * 8)
        # The least trade is seen.
        left = max(left, 1) if volume else 0
        for row in range(rows - 1, -1, -1):
            cells[row][k] = (_EIGHTHS[min(left, 8)], "rise" if rises else "fall")
            left = max(0, left - 8)
    head = [("volume", ""), (compact(float(volumes[-1])), "faint")]
    return [_rule(head, width, color), *_drawn(cells, {0: (compact(most), "faint")}, color)]


def _pane(
    candles: npt.NDArray[np.void], names: Sequence[str], rows: int, width: int, color: bool
) -> list[str]:
    """Stats of one scale as lines."""
    low, high = _scale(*(candles[name] for name in names))
    cells: Cells = [[(" ", "")] * len(candles) for _ in range(rows)]
    head: list[tuple[str, str]] = []
    for k, name in enumerate(names):
        style = _PALETTE[k % len(_PALETTE)]
        _line(cells, candles[name], low, high, style)
        newest = float(candles[name][-1])
        head.append((f"{name} {_short(newest) if np.isfinite(newest) else '–'}", style))
    marks = {0: (_short(high), "faint"), rows - 1: (_short(low), "faint")}
    return [_rule(head, width, color), *_drawn(cells, marks, color)]


def _short(value: float) -> str:
    return fixed(value, max(0, min(8, 3 - magnitude(value))))


def _line(
    cells: Cells, values: npt.NDArray[np.float64], low: float, high: float, style: str
) -> None:
    """A line of braille dots, two columns and four rows of them in a cell."""
    rows = len(cells)
    heights = np.full(2 * len(values), -1)
    # Between two candles is the middle of them.
    following = np.append(values[1:], np.nan)
    middle = np.where(np.isfinite(following), (values + following) / 2, values)
    both = np.column_stack((values, middle)).ravel()
    known = np.isfinite(both)
    heights[known] = ((high - both[known]) / (high - low) * (4 * rows - 1)).round().astype(int)
    before = -1
    masks: dict[tuple[int, int], int] = {}
    for place, at in enumerate(heights.tolist()):
        if at < 0:
            before = -1
            continue
        start, end = (
            (at, at) if before < 0 else sorted((at, before + (at > before) - (at < before)))
        )
        for dot in range(start, end + 1):
            row, column = dot // 4, place // 2
            if 0 <= row < rows:
                key = (row, column)
                masks[key] = masks.get(key, 0) | _DOTS[dot % 4][place % 2]
        before = at
    for (row, column), mask in masks.items():
        text, own = cells[row][column]
        under = ord(text) - 0x2800 if text >= "\u2800" else 0
        cells[row][column] = (chr(0x2800 + (mask | under)), own if under else style)


def _drawn(cells: Cells, marks: dict[int, tuple[str, str]], color: bool) -> list[str]:
    """The lines, with their marks at the right; neighbours of one style are painted in one go."""
    lines = []
    for row, line in enumerate(cells):
        text, run, style = "", "", ""
        for character, own in [*line, ("", "end")]:
            if own != style and run:
                text += paint(run, style, color)
                run = ""
            run, style = run + character, own
        mark, faint = marks.get(row, ("", ""))
        lines.append((text + (" " + paint(mark, faint, color) if mark else "")).rstrip())
    return lines


def _rule(head: Sequence[tuple[str, str]], width: int, color: bool) -> str:
    """The line above a pane: names and newest values."""
    words = flow([("──", "faint"), *head], " ", width, color)[0]
    used = 2 + sum(1 + len(text) for text, _ in head)
    return words + paint(" " + "─" * max(0, width - _AXIS - used - 1), "faint", color)


def _times(candles: npt.NDArray[np.void], color: bool) -> str:
    """Times under the candles, as far apart as they are wide and some more, and the day."""
    minutes = (candles["time"].astype("datetime64[m]")).astype(np.int64).tolist()
    text = [" "] * max(len(minutes), 5)
    step = 10 if len(minutes) < 60 else 15 if len(minutes) < 120 else 30
    for k, minute in enumerate(minutes):
        if minute % step == 0 and k + 5 <= len(text):
            text[k : k + 5] = time.strftime("%H:%M", time.gmtime(minute * 60))
    day = time.strftime("%Y-%m-%d", time.gmtime(minutes[-1] * 60))
    return paint("".join(text).rstrip().ljust(len(minutes)) + f" {day}", "faint", color)
