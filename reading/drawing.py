"""The table: which columns, which width, which rows; the first line says where they come from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import ringbuf

from .counting import counted
from .selection import DEMO_SEGMENT, FIRST_STAT, PRICES, Row, rows
from .text import NONE, Painted, age, compact, digits_for, fixed, flow, magnitude, paint

__all__ = [
    "Column",
    "blocks_of",
    "columns_of",
    "headline",
    "hints",
    "lines_of",
    "origin_of",
    "table",
    "total_width",
]

LOW, HIGH = 30.0, 70.0
"""Below and above, an RSI is marked."""

# So wide at least: a live table must not sway, nor its columns come and go, with every tick.
_WIDTHS = {"vol": 7, "ATR": 6, "RSI": 6, "sta": 7, "age": 6}


@dataclass
class Column:
    """A column of the table: `rank` 0 is always there, higher ones while there is room."""

    name: str
    rank: int = 0
    left: bool = False
    cells: Sequence[Painted] = ()
    least: int = 0

    @property
    def width(self) -> int:
        """As wide as its widest text, and its neighbours in time: at least `least`."""
        return max(
            self.least,
            _WIDTHS.get(self.name[:3], 0),
            len(self.name),
            *(len(text) for text, _ in self.cells),
        )


def table(
    store: ringbuf.Store,
    *,
    markets: Sequence[str] = (),
    stats: Sequence[str] = (),
    last: int | None = None,
    closed: bool = False,
    sort: str | None = None,
    width: int | None = None,
    height: int | None = None,
    color: bool = False,
    note: str = "",
    counts: bool = False,
) -> str:
    """`rows` for people. The first line says where they come from; `note` is one more line, with
    `counts` what the service has counted is another.

    In `width` characters (None: as many as it takes) open, high and low give way first, then
    ATR's percentage, trades and volume; stats never do: what does not fit follows in another
    block. In `height` lines (None: any number) the newest rows of the first markets that fit; what
    has been counted, the hints and the last blocks give way before the last row does, and less than
    one block of one row there never is. Raises UnknownName.
    """
    found = rows(store, markets=markets, stats=stats, last=last, closed=closed, sort=sort)
    total = len(found)
    units = {column["name"]: column["unit"] for column in store.document["columns"]}
    top = flow(headline(store), " · ", width, color)
    notes = [(note, "stale")] if note else []
    tallies: list[str] = []
    if counts and store.life == "running":
        told = [(part, "faint") for part in counted(store.health()["counters"])]
        tallies = flow(told, " · ", width, color)
    bottom = flow(hints(found), "   ", width, color)
    blocks = blocks_of(columns_of(found, units), width)
    if height is not None:
        room = height - len(top) - len(notes)
        # A block takes two lines more than its rows: its head and the empty one above it.
        if room < len(tallies) + len(bottom) + len(blocks) * (len(found) + 2):
            every = sum(len(block) - 2 for block in blocks)
            bottom = _more(total, every, width, color)
            if (room - len(tallies) - len(bottom)) // len(blocks) < 3:
                tallies = []
            if room - len(bottom) < 3:
                bottom = []
            room -= len(tallies) + len(bottom)
            several = max(1, min(len(blocks), room // 3))
            found = _fitting(found, max(1, room // several - 2))
            blocks = blocks_of(columns_of(found, units), width)[:several]
            if bottom:
                columns = every - sum(len(block) - 2 for block in blocks)
                bottom = _more(total - len(found), columns, width, color)
    lines = [*top, *tallies, *(paint(text, style, color) for text, style in notes)]
    for block in blocks:
        lines += ["", *lines_of(block, color)]
    return "\n".join([*lines, *bottom])


def _more(lines: int, columns: int, width: int | None, color: bool) -> list[str]:
    """That so many rows and columns are left out, in words that wrap; nothing where none are."""
    parts = [
        f"{number} more {what}{'s' * (number > 1)}"
        for number, what in ((lines, "row"), (columns, "column"))
        if number
    ]
    if not parts:
        return []
    text = f"… {' and '.join(parts)}: a larger window or --market shows them"
    return flow([(word, "faint") for word in text.split()], " ", width, color)


def headline(store: ringbuf.Store) -> list[Painted]:
    """Where the rows come from: store, source, writer, heartbeat; or that they are not live."""
    writer, beat = f"writer {store.header.writer_pid}", f"{age(store.heartbeat_age)} ago"
    parts = origin_of(store)
    if store.life == "stopped":
        return [*parts, (f"STOPPED, not live: {writer} ended {beat}", "stopped")]
    if store.life == "down":
        return [*parts, (f"DOWN, not live: {writer} died {beat}", "down")]
    if store.hung:
        return [*parts, (f"{writer} is not responding: heartbeat {beat}", "down")]
    return [*parts, (writer, ""), (f"heartbeat {beat}", "")]


def origin_of(store: ringbuf.Store) -> list[Painted]:
    """The store's name and where its rows come from; that prices are invented, where they are."""
    source = store.source
    words = [
        str(value) if key == "network" else f"{key} {value}"
        for key, value in source.items()
        if "://" not in str(value)
    ]
    origin = ", ".join(words or map(str, source.values())) or "source unknown"
    parts = [("DEMO", "demo")] if store.name == DEMO_SEGMENT else []
    return [*parts, (store.name, "strong"), (origin, "")]


def columns_of(found: Sequence[Row], units: Mapping[str, str]) -> list[Column]:
    """The rows as columns of texts, in their order."""
    stats = list(found[0])[FIRST_STAT:-2]
    columns = [Column("market", left=True), Column("UTC", left=True)]
    columns += [Column(name, rank=4) for name in PRICES[:3]]
    columns += [Column("close"), Column("volume", rank=1), Column("trades", rank=2)]
    for stat in stats:
        columns.append(Column(stat))
        if stat.startswith("ATR"):
            columns.append(Column(f"{stat}%", rank=3))
    columns += [Column("status", left=True), Column("age")]

    today = time.strftime("%Y-%m-%d", time.gmtime())
    days = {row["time"][:10] for row in found if row["time"]} | {today}
    start = 11 if len(days) == 1 else 5 if len({day[:4] for day in days}) == 1 else 0
    lines = []
    for _, group in groupby(found, _market):
        rows_of_one = list(group)
        digits = digits_for([row[name] for row in rows_of_one for name in PRICES if row[name]])
        lines += [_cells(row, stats, units, digits, start) for row in rows_of_one]
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        column.cells = cells
    return columns


def _cells(
    row: Row, stats: Sequence[str], units: Mapping[str, str], digits: int, start: int
) -> list[Painted]:
    """The texts of one row: prices with `digits` decimals, times from character `start` on."""
    faint = "faint" if row["carried"] else ""
    moment = (row["time"] or NONE)[start if row["time"] else 0 : 16].replace("T", " ")
    cells = [(row["market"], "strong"), (moment + ("…" if row["closed"] is False else ""), faint)]
    cells += [(fixed(row[name], digits), faint) for name in PRICES[:3]]
    cells.append((fixed(row["close"], digits), faint or _direction(row)))
    cells += [(compact(row["volume"]), faint)]
    cells += [(NONE if row["trades"] is None else f"{row['trades']:,}", faint)]
    for stat in stats:
        value, unit = row[stat], units.get(stat, "")
        if stat.startswith("RSI") and value is not None and not LOW <= value <= HIGH:
            high = value > HIGH
            cells.append((f"{'▲' if high else '▼'} {value:.1f}", "high" if high else "low"))
        elif unit == "price":
            cells.append((fixed(value, digits + 1), ""))
        elif unit == "volume":
            cells.append((compact(value), ""))
        elif unit == "0..100":
            cells.append((fixed(value, 1), ""))
        else:
            cells.append((fixed(value, max(0, 4 - magnitude(value))), ""))
        if stat.startswith("ATR"):
            there = value is not None and row["close"]
            cells.append((fixed(100 * value / row["close"] if there else None, 3), "faint"))
    return [*cells, (row["status"], row["status"]), (age(row["age_s"]), "")]


def blocks_of(columns: list[Column], width: int | None) -> list[list[Column]]:
    """The columns for `width` characters: one block where the lowest ranks do, else several."""
    if width is None:
        return [columns]
    chosen = columns
    for rank in (4, 3, 2, 1, 0):
        chosen = [column for column in columns if column.rank <= rank]
        if total_width(chosen) <= width:
            return [chosen]
    keys, rest = chosen[:2], chosen[2:]
    blocks = [[*keys, rest[0]]]
    for column in rest[1:]:
        if total_width([*blocks[-1], column]) <= width:
            blocks[-1].append(column)
        else:
            blocks.append([*keys, column])
    return blocks


def lines_of(block: Sequence[Column], color: bool) -> Iterator[str]:
    """The lines of a block: names, then rows, with a gap between markets of several rows."""

    def line(texts: Iterable[Painted], style: str = "") -> str:
        padded = [
            paint(f"{text:{'<' if column.left else '>'}{column.width}}", style or own, color)
            for column, (text, own) in zip(block, texts, strict=True)
        ]
        return paint("  ", style, color).join(padded).rstrip()

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


def hints(found: Sequence[Row]) -> list[Painted]:
    """What the signs in the table mean, where they occur."""
    reasons, signs = set(), set()
    for row in found:
        stats = list(row.items())[FIRST_STAT:-2]
        if row["time"] is None:
            reasons.add("no candle yet")
        elif None in dict(stats).values():
            reasons.add("history is being fetched" if row["status"] == "syncing" else "warming up")
        for name, value in stats:
            if name.startswith("RSI") and value is not None:
                signs |= {f"▲ RSI above {HIGH:.0f}"} if value > HIGH else set()
                signs |= {f"▼ RSI below {LOW:.0f}"} if value < LOW else set()
    if any(row["closed"] is False for row in found):
        signs.add("… minute still open")
    if reasons:
        signs.add(f"{NONE} {', '.join(sorted(reasons))}")
    return [(sign, "faint") for sign in sorted(signs)]


def _market(row: Row) -> str:
    return str(row["market"])


def total_width(columns: Sequence[Column]) -> int:
    """The width of a block of these columns."""
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _direction(row: Row) -> str:
    if row["close"] is None or row["open"] is None or row["close"] == row["open"]:
        return ""
    return "rise" if row["close"] > row["open"] else "fall"
