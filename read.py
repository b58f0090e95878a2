"""The reader's command line: what a store holds, as a table, JSON or CSV, once or live.

    python read.py                                   newest row of every market
    python read.py --market btcusd_perp --last 20    its last twenty minutes
    python read.py --watch                           live, until Ctrl-C

Everything shown comes out of the store itself, through `ringbuf`; `table` and `watch` serve other
programs too. Start-up is what one call costs, so tables are drawn here: importing rich and drawing
one with it took half as long again as all the rest together.

Exit codes: 0 printed, 2 wrong use, 3 no store that can be read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypedDict

import click
import numpy as np
import numpy.typing as npt

import ringbuf

__all__ = ["DEMO_SEGMENT", "SEGMENT", "main", "rows", "table", "watch"]

SEGMENT = "market_monitor"
DEMO_SEGMENT = "market_monitor_demo"
HUNG_S = 5.0
"""A writer that lives but has shown nothing for so long is not responding."""

_CARRIED, _CLOSED = 1, 4
_PRICES = ("open", "high", "low", "close")
_CANDLE = ("time", "closed", "carried", *_PRICES, "volume", "trades")
# Position of the first stat in a row: behind market, coin and candle.
_FIRST_STAT = 2 + len(_CANDLE)
_NONE = "–"
_LOW, _HIGH = 30.0, 70.0
# At most so many frames a second; one a second where nothing happens, because ages grow.
_FRAME_S, _IDLE_S, _SLICE_S = 0.25, 1.0, 0.1
# So wide at least: a live table must not sway, nor its columns come and go, with every tick.
_WIDTHS = {"vol": 7, "ATR": 6, "RSI": 6, "sta": 7, "age": 6}
_STYLES: dict[str, dict[str, Any]] = {
    "live": {"fg": "green"},
    "quiet": {"fg": "cyan"},
    "syncing": {"fg": "yellow"},
    "stale": {"fg": "yellow", "bold": True},
    "stopped": {"fg": "red"},
    "down": {"fg": "red", "bold": True},
    "rise": {"fg": "green"},
    "fall": {"fg": "red"},
    "strong": {"bold": True},
    "faint": {"dim": True},
    "head": {"underline": True},
    "high": {"fg": "magenta", "bold": True},
    "low": {"fg": "bright_blue", "bold": True},
    "demo": {"fg": "yellow", "bold": True, "reverse": True},
}

Row = dict[str, Any]
Painted = tuple[str, str]
"""A text and its style: a key of `_STYLES`, or anything else for none."""


# -- rows ------------------------------------------------------------------------------------------


def rows(
    store: ringbuf.Store,
    *,
    markets: Sequence[str] = (),
    stats: Sequence[str] = (),
    last: int | None = None,
    closed: bool = False,
) -> list[Row]:
    """The newest `last` rows (one) of each market, oldest first, with the keys of the JSON output.

    The rows of a market are one consistent copy. Without `markets` or `stats`: all of them. A
    market without rows gives one of None. Raises UnknownName.
    """
    known = store.columns[store.columns.index("flags") + 1 :]
    named = [*store, *(ring.alias for ring in store.values())]
    for what, names, valid in (("market", markets, named), ("stat", stats, known)):
        for name in names:
            if name not in valid:
                raise _unknown(what, name, valid)
    chosen = [stat for stat in known if not stats or stat in stats]
    rings = dict.fromkeys(store[market] for market in markets or store)
    hung = _hung(store)
    found = []
    for ring in rings:
        columns = _values(ring.snapshot(last or 1, closed=closed), chosen)
        status, age = ring.status, ring.age
        # Who does not respond cannot vouch for the status that it left.
        if hung and status in {"live", "quiet"}:
            status = "stale"
        first = {"market": ring.name, "coin": ring.alias}
        final = {"status": status, "age_s": None if math.isnan(age) else round(age, 1)}
        found += [
            {**first, **dict(zip(columns, values, strict=True)), **final}
            for values in zip(*columns.values(), strict=True)
        ]
    return found


def _values(copy: npt.NDArray[np.void], stats: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of a snapshot as plain values, in the order of the output."""
    names = [*_CANDLE, *stats]
    if not len(copy):
        return {name: [None] for name in names}
    times = np.datetime_as_string(copy["time"], unit="s", timezone="UTC").tolist()
    columns = {
        name: [value if math.isfinite(value) else None for value in copy[name].tolist()]
        for name in names
        if name not in {"time", "closed", "carried"}
    }
    columns["time"] = [None if moment == "NaT" else moment for moment in times]
    columns["closed"] = (copy["flags"] & _CLOSED != 0).tolist()
    columns["carried"] = (copy["flags"] & _CARRIED != 0).tolist()
    return {name: columns[name] for name in names}


def _unknown(what: str, name: str, valid: Sequence[str]) -> ringbuf.UnknownName:
    error = ringbuf.UnknownName(what, name, valid)
    # Where nothing is like it, what there is helps more than silence.
    error.nearest = error.nearest or tuple(valid[:3])
    return error


def _hung(store: ringbuf.Store) -> bool:
    return store.life == "running" and store.heartbeat_age > HUNG_S


# -- the table -------------------------------------------------------------------------------------


@dataclass
class _Column:
    """A column of the table: `rank` 0 is always there, higher ones while there is room."""

    name: str
    rank: int = 0
    left: bool = False
    cells: Sequence[Painted] = ()

    @property
    def width(self) -> int:
        least = _WIDTHS.get(self.name[:3], 0)
        return max(least, len(self.name), *(len(text) for text, _ in self.cells))


def table(
    store: ringbuf.Store,
    *,
    markets: Sequence[str] = (),
    stats: Sequence[str] = (),
    last: int | None = None,
    closed: bool = False,
    width: int | None = None,
    height: int | None = None,
    color: bool = False,
    note: str = "",
) -> str:
    """`rows` for people. The first line says where they come from; `note` is one more line.

    In `width` characters (None: as many as it takes) open, high and low give way first, then
    ATR's percentage, trades and volume; stats never do: what does not fit follows in another
    block. In `height` lines (None: any number) the newest rows of the first markets that fit.
    Raises UnknownName.
    """
    found = rows(store, markets=markets, stats=stats, last=last, closed=closed)
    units = {column["name"]: column["unit"] for column in store.document["columns"]}
    lines = _flow(_headline(store), " · ", width, color)
    if note:
        lines.append(_paint(note, "stale", color))
    bottom = _hints(found)
    blocks = _blocks(_columns(found, units), width)
    if height is not None:
        # A block takes two lines more than its rows: its head and the empty one above it.
        foot = len(_flow(bottom, "   ", width, color)) or 1
        shown = _fitting(found, max(1, (height - len(lines) - foot) // len(blocks) - 2))
        if len(shown) < len(found):
            rest = len(found) - len(shown)
            more = f"{rest} more row{'s' * (rest > 1)}"
            bottom = [(f"… {more}: a higher window or --market shows them", "faint")]
            found, blocks = shown, _blocks(_columns(shown, units), width)
    for block in blocks:
        lines += ["", *_drawn(block, color)]
    return "\n".join([*lines, *_flow(bottom, "   ", width, color)])


def _headline(store: ringbuf.Store) -> list[Painted]:
    """Where the rows come from: store, source, writer, heartbeat; or that they are not live."""
    source = store.source
    words = [
        str(value) if key == "network" else f"{key} {value}"
        for key, value in source.items()
        if "://" not in str(value)
    ]
    origin = ", ".join(words or map(str, source.values())) or "source unknown"
    writer, beat = f"writer {store.header.writer_pid}", f"{_age(store.heartbeat_age)} ago"
    parts = [("DEMO", "demo")] if store.name == DEMO_SEGMENT else []
    parts += [(store.name, "strong"), (origin, "")]
    if store.life == "stopped":
        return [*parts, (f"STOPPED, not live: {writer} ended {beat}", "stopped")]
    if store.life == "down":
        return [*parts, (f"DOWN, not live: {writer} died {beat}", "down")]
    if _hung(store):
        return [*parts, (f"{writer} is not responding: heartbeat {beat}", "down")]
    return [*parts, (writer, ""), (f"heartbeat {beat}", "")]


def _columns(found: Sequence[Row], units: Mapping[str, str]) -> list[_Column]:
    """The rows as columns of texts, in their order."""
    stats = list(found[0])[_FIRST_STAT:-2]
    columns = [_Column("market", left=True), _Column("UTC", left=True)]
    columns += [_Column(name, rank=4) for name in _PRICES[:3]]
    columns += [_Column("close"), _Column("volume", rank=1), _Column("trades", rank=2)]
    for stat in stats:
        columns.append(_Column(stat))
        if stat.startswith("ATR"):
            columns.append(_Column(f"{stat}%", rank=3))
    columns += [_Column("status", left=True), _Column("age")]

    today = time.strftime("%Y-%m-%d", time.gmtime())
    days = {row["time"][:10] for row in found if row["time"]} | {today}
    start = 11 if len(days) == 1 else 5 if len({day[:4] for day in days}) == 1 else 0
    lines = []
    for _, group in groupby(found, _market):
        rows_of_one = list(group)
        digits = _digits([row[name] for row in rows_of_one for name in _PRICES if row[name]])
        lines += [_cells(row, stats, units, digits, start) for row in rows_of_one]
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        column.cells = cells
    return columns


def _cells(
    row: Row, stats: Sequence[str], units: Mapping[str, str], digits: int, start: int
) -> list[Painted]:
    """The texts of one row: prices with `digits` decimals, times from character `start` on."""
    faint = "faint" if row["carried"] else ""
    moment = (row["time"] or _NONE)[start if row["time"] else 0 : 16].replace("T", " ")
    cells = [(row["market"], "strong"), (moment + ("…" if row["closed"] is False else ""), faint)]
    cells += [(_fixed(row[name], digits), faint) for name in _PRICES[:3]]
    cells.append((_fixed(row["close"], digits), faint or _direction(row)))
    cells += [(_compact(row["volume"]), faint)]
    cells += [(_NONE if row["trades"] is None else f"{row['trades']:,}", faint)]
    for stat in stats:
        value, unit = row[stat], units.get(stat, "")
        if stat.startswith("RSI") and value is not None and not _LOW <= value <= _HIGH:
            high = value > _HIGH
            cells.append((f"{'▲' if high else '▼'} {value:.1f}", "high" if high else "low"))
        elif unit == "price":
            cells.append((_fixed(value, digits + 1), ""))
        elif unit == "volume":
            cells.append((_compact(value), ""))
        elif unit == "0..100":
            cells.append((_fixed(value, 1), ""))
        else:
            cells.append((_fixed(value, max(0, 4 - _magnitude(value))), ""))
        if stat.startswith("ATR"):
            there = value is not None and row["close"]
            cells.append((_fixed(100 * value / row["close"] if there else None, 3), "faint"))
    return [*cells, (row["status"], row["status"]), (_age(row["age_s"]), "")]


def _blocks(columns: list[_Column], width: int | None) -> list[list[_Column]]:
    """The columns for `width` characters: one block where the lowest ranks do, else several."""
    if width is None:
        return [columns]
    chosen = columns
    for rank in (4, 3, 2, 1, 0):
        chosen = [column for column in columns if column.rank <= rank]
        if _total(chosen) <= width:
            return [chosen]
    keys, rest = chosen[:2], chosen[2:]
    blocks = [[*keys, rest[0]]]
    for column in rest[1:]:
        if _total([*blocks[-1], column]) <= width:
            blocks[-1].append(column)
        else:
            blocks.append([*keys, column])
    return blocks


def _drawn(block: Sequence[_Column], color: bool) -> Iterator[str]:
    """The lines of a block: names, then rows, with a gap between markets of several rows."""

    def line(texts: Iterable[Painted], style: str = "") -> str:
        padded = [
            _paint(f"{text:{'<' if column.left else '>'}{column.width}}", style or own, color)
            for column, (text, own) in zip(block, texts, strict=True)
        ]
        return _paint("  ", style, color).join(padded).rstrip()

    yield line([(column.name, "") for column in block], "head")
    names = [text for text, _ in block[0].cells]
    several = len(set(names)) < len(names)
    for k, texts in enumerate(zip(*(column.cells for column in block), strict=True)):
        if several and k and names[k] != names[k - 1]:
            yield ""
        yield line(texts)


def _fitting(found: list[Row], room: int) -> list[Row]:
    """What of the rows fits in `room` lines: of each market the newest, of markets the first."""
    groups = [list(group) for _, group in groupby(found, _market)]
    each = (room + 1) // len(groups) - 1 if len(groups) > 1 else room
    return [row for group in groups for row in group[-max(1, each) :]][:room]


def _hints(found: Sequence[Row]) -> list[Painted]:
    """What the signs in the table mean, where they occur."""
    reasons, signs = set(), set()
    for row in found:
        stats = list(row.items())[_FIRST_STAT:-2]
        if row["time"] is None:
            reasons.add("no candle yet")
        elif None in dict(stats).values():
            reasons.add("history is being fetched" if row["status"] == "syncing" else "warming up")
        for name, value in stats:
            if name.startswith("RSI") and value is not None:
                signs |= {f"▲ RSI above {_HIGH:.0f}"} if value > _HIGH else set()
                signs |= {f"▼ RSI below {_LOW:.0f}"} if value < _LOW else set()
    if len({row["closed"] for row in found} - {None}) > 1:
        signs.add("… minute still open")
    if reasons:
        signs.add(f"{_NONE} {', '.join(sorted(reasons))}")
    return [(sign, "faint") for sign in sorted(signs)]


def _flow(parts: Iterable[Painted], separator: str, width: int | None, color: bool) -> list[str]:
    """The parts one after the other, in lines of at most `width` characters where they allow it."""
    lines: list[str] = []
    used = 0
    for text, style in parts:
        if lines and (width is None or used + len(separator) + len(text) <= width):
            lines[-1] += separator + _paint(text, style, color)
            used += len(separator) + len(text)
        else:
            lines.append(_paint(text, style, color))
            used = len(text)
    return lines


def _paint(text: str, style: str, color: bool) -> str:
    if text.strip() == _NONE:
        style = "faint"
    return click.style(text, **_STYLES[style]) if color and style in _STYLES else text


def _market(row: Row) -> str:
    return str(row["market"])


def _total(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _direction(row: Row) -> str:
    if row["close"] is None or row["open"] is None or row["close"] == row["open"]:
        return ""
    return "rise" if row["close"] > row["open"] else "fall"


# -- numbers for people ----------------------------------------------------------------------------


def _magnitude(value: float | None) -> int:
    """The decimal exponent: 4 for 85,827."""
    return math.floor(math.log10(abs(value))) if value else 0


def _digits(prices: Sequence[float]) -> int:
    """Decimals for the prices of one market: five significant digits, or six where five lose."""
    if not prices:
        return 2
    magnitude = _magnitude(prices[-1])
    five, six = max(0, 4 - magnitude), max(0, 5 - magnitude)
    exact = all(abs(round(price, five) - price) <= 1e-9 * abs(price) for price in prices)
    return five if exact else six


def _fixed(value: float | None, digits: int) -> str:
    if value is None:
        return _NONE
    return f"{value:,.{digits}f}" if digits <= 14 and abs(value) < 1e12 else f"{value:.5e}"


def _compact(value: float | None) -> str:
    """At most four significant digits and a letter: 3.496M."""
    if value is None:
        return _NONE
    if abs(value) < 1:
        return f"{value:.3g}"
    scaled = value
    for letter in ("", "k", "M", "B", "T"):
        if abs(scaled) < 999.95:
            return f"{scaled:.4g}{letter}"
        scaled /= 1000
    return f"{value:.3e}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return _NONE
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    for limit, unit, size in ((99.5, "s", 1), (5970, "min", 60), (171_000, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


# -- watching --------------------------------------------------------------------------------------


def watch(
    segment: str | None = None,
    *,
    markets: Sequence[str] = (),
    stats: Sequence[str] = (),
    last: int | None = None,
    closed: bool = False,
    form: str = "table",
    seconds: float | None = None,
    stop: Callable[[], bool] | None = None,
    every: float = 5.0,
) -> None:
    """Show the store on stdout as it changes, until `seconds` are over or `stop()` is true.

    On a terminal the table is redrawn in place, at most four times a second, and the last one
    stays when it ends; elsewhere it is printed anew `every` so many seconds. JSON is one array a
    line, CSV goes on without another header. A store that is replaced is followed, one that is
    gone stays on show and is said to be.

    `segment` None means the default, or the demo. KeyboardInterrupt is the caller's to catch; the
    terminal is in order by then. Raises what `ringbuf.attach` does, at the start only, and
    UnknownName.
    """
    chosen: _Choice = {"markets": markets, "stats": stats, "last": last, "closed": closed}
    screen = form == "table" and _on_terminal()
    least = every if form == "table" and not screen else _FRAME_S
    end = math.inf if seconds is None else time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() >= end or (stop is not None and stop())

    store, note, noted, text = _attach(segment), "", 0.0, ""
    try:
        with _alternate_screen(screen):
            while True:
                store, news = _follow(store)
                drawn = time.monotonic()
                if news or drawn > noted:
                    note, noted = news, drawn + 2 * every
                if form != "table":
                    found = rows(store, **chosen)
                    text = _serialized(found, form, stream=True, first=not text)
                    click.echo(text, nl=False)
                elif screen:
                    size = shutil.get_terminal_size()
                    text = _table(store, chosen, height=size.lines - 1, note=note)
                    foot = _paint("Ctrl-C ends", "faint", _colorful())
                    click.echo(_frame([*text.split("\n"), foot]), nl=False, color=True)
                else:
                    gap = "\n" if text else ""
                    text = _table(store, chosen, note=note)
                    click.echo(gap + text)
                if over():
                    break
                _pause(store, drawn + least, drawn + max(least, _IDLE_S), over)
    finally:
        store.close()
        if screen and text:
            click.echo(text, color=True)


def _follow(store: ringbuf.Store) -> tuple[ringbuf.Store, str]:
    """The store that the name leads to now, and what there is to say about it."""
    try:
        fresh = ringbuf.attach(store.name)
    except ringbuf.StoreNotFound:
        # A name alone that is gone comes back: its writer sees to it.
        return store, "" if store.alive else "The store is gone; these were its last rows."
    except (ringbuf.StoreRefused, PermissionError) as error:
        return store, f"{_sentence(error)}; these are the last rows from before"
    if fresh.header == store.header:
        fresh.close()
        return store, ""
    replaced = fresh.header.created_ms != store.header.created_ms
    store.close()
    return fresh, "The store was replaced; attached to the new one." if replaced else ""


def _pause(store: ringbuf.Store, earliest: float, latest: float, over: Callable[[], bool]) -> None:
    """Sleep until `earliest`, then until something is published, at most until `latest`."""
    while (now := time.monotonic()) < latest and not over():
        if now < earliest:
            time.sleep(min(_SLICE_S, earliest - now))
        elif store.wait(min(_SLICE_S, latest - now)):
            return


@contextlib.contextmanager
def _alternate_screen(wanted: bool) -> Iterator[None]:
    """The terminal's other screen, without cursor and line wrap; afterwards all is as before."""
    if not wanted:
        yield
        return
    click.echo("\x1b[?1049h\x1b[?25l\x1b[?7l", nl=False, color=True)
    try:
        yield
    finally:
        click.echo("\x1b[?7h\x1b[?25h\x1b[?1049l", nl=False, color=True)


def _frame(lines: Iterable[str]) -> str:
    """The lines from the top left corner over what is there, shown by the terminal in one go."""
    body = "\n".join(f"\x1b[2K{line}" for line in lines)
    return f"\x1b[?2026h\x1b[H{body}\x1b[J\x1b[?2026l"


# -- the command -----------------------------------------------------------------------------------


class _Choice(TypedDict):
    """Which rows: the arguments that `rows`, `table` and `watch` share."""

    markets: Sequence[str]
    stats: Sequence[str]
    last: int | None
    closed: bool


def _table(
    store: ringbuf.Store, chosen: _Choice, *, height: int | None = None, note: str = ""
) -> str:
    """The table as stdout can show it: in colour and its width on a terminal, whole elsewhere."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return table(store, **chosen, width=width, height=height, color=_colorful(), note=note)


def _serialized(found: list[Row], form: str, *, stream: bool = False, first: bool = True) -> str:
    """The rows as JSON (one a line; in a stream one array a line) or CSV, newline included."""
    if form == "json":
        if stream:
            return json.dumps(found) + "\n"
        return "[\n  " + ",\n  ".join(map(json.dumps, found)) + "\n]\n"
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(found[0]), lineterminator="\n")
    if first:
        writer.writeheader()
    for row in found:
        writer.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()})
    return buffer.getvalue()


def _on_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _colorful() -> bool:
    return _on_terminal() and not os.environ.get("NO_COLOR")


def _attach(segment: str | None) -> ringbuf.Store:
    """The store of that name; without one the service's, or the demo's where there is none."""
    try:
        return ringbuf.attach(segment or SEGMENT)
    except ringbuf.StoreNotFound:
        if segment is None:
            with contextlib.suppress(ringbuf.StoreNotFound):
                return ringbuf.attach(DEMO_SEGMENT)
        raise


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--market",
    "markets",
    multiple=True,
    metavar="NAME",
    help="Only this market, by its canonical or the exchange's name. Repeatable.",
)
@click.option(
    "--stat",
    "stats",
    multiple=True,
    metavar="NAME",
    help="Only this stat, such as ATR14. Repeatable.",
)
@click.option(
    "--last",
    type=click.IntRange(min=1),
    metavar="N",
    help="The newest N rows of each market, oldest first.  [default: 1]",
)
@click.option("--closed", is_flag=True, help="Leave out the minute that is still open.")
@click.option("--watch", "live", is_flag=True, help="Go on as the data changes, until Ctrl-C.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="For people or for machines.",
)
@click.option(
    "--segment",
    envvar="MONITOR_SEGMENT",
    show_envvar=True,
    metavar="NAME",
    help=f"The store's name.  [default: {SEGMENT}, or {DEMO_SEGMENT} where there is none]",
)
def _command(
    markets: Sequence[str],
    stats: Sequence[str],
    last: int | None,
    closed: bool,
    live: bool,
    form: str,
    segment: str | None,
) -> None:
    """Show the newest row of every market in shared memory, with its stats.

    Times are UTC. In the table, "…" marks a minute that is still open, "–" a value that is not
    there yet, "▲" and "▼" an RSI above 70 and below 30, and ATR14% is ATR14 in percent of close.

    Exit codes: 0 printed, 2 wrong use, 3 no store.
    """
    chosen: _Choice = {"markets": markets, "stats": stats, "last": last, "closed": closed}
    store = _attach(segment)
    if form != "table" and store.name == DEMO_SEGMENT and segment is None:
        click.echo("market-read: DEMO: these prices are invented", err=True)
    if live:
        # Without this, the terminal would be left on its other screen.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with contextlib.suppress(KeyboardInterrupt):
            watch(store.name, form=form, **chosen)
    elif form == "table":
        click.echo(_table(store, chosen), color=True)
    else:
        click.echo(_serialized(rows(store, **chosen), form), nl=False)


def _sentence(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return (
            f"not allowed to read {error.filename}: be the user that runs its service, or have it "
            f"set MONITOR_SEGMENT_MODE=0644"
        )
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


def main() -> int:
    """Run the command line and return its exit code; every error is one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a dash shows a question mark, not a traceback.
        sys.stdout.reconfigure(errors="replace")
    problem: Exception
    try:
        return _command.main(prog_name="market-read", standalone_mode=False) or 0
    except click.Abort:
        return 130
    except (click.ClickException, ringbuf.UnknownName, ringbuf.LayoutError) as error:
        problem, code = error, 2
    except (ringbuf.RingbufError, PermissionError) as error:
        problem, code = error, 3
    click.echo(f"market-read: {_sentence(problem)}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
