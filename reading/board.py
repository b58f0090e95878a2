"""The live view's frame: which rows and columns, in which order, with what has changed and how the
service is. Keys go in, lines come out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

import ringbuf

from .changes import Changes
from .counting import counted
from .drawing import Column, blocks_of, columns_of, hints, lines_of, origin_of, total_width
from .selection import FIRST_STAT, Choice, Row, rows
from .sparkline import WIDTHS, sparkline
from .text import Painted, age, flow, paint

__all__ = ["Board"]

SPARK = "last hour"

# What gives way first where it is narrow. The minute is the same for all markets, as a rule.
_RANKS = {"volume": 1, SPARK: 2, "UTC": 3, "trades": 4, "open": 6, "high": 6, "low": 6}
_DERIVED_RANK = 5

_TEXTS = ("market", "status", "UTC")


class Board:
    """The state of a live view: order, place, and what was there before. One for a view.

    `sort` as in `rows`; `sparks` is whether the terminal can show them; `keys` whether it is told
    which keys there are.
    """

    def __init__(self, sort: str | None, *, sparks: bool = True, keys: bool = True) -> None:
        self.sort = sort
        self.sparks = sparks
        self.keys = keys
        self.offset = 0
        """Rows above the first one that is shown."""
        self._page = self._total = 1
        self._names: list[str] = []
        self._least: dict[str, int] = {}
        self._size = (0, 0)
        self._changes = Changes()

    def press(self, key: str) -> bool:
        """Do what the key stands for; is it to end the view?"""
        if key in {"left", "<", ",", "h"}:
            self._choose(-1)
        elif key in {"right", ">", ".", "l"}:
            self._choose(1)
        elif key == "r":
            if self.sort:
                self.sort = self.sort[1:] if self.sort.startswith("-") else f"-{self.sort}"
        elif key == "o":
            self.sort = None
        else:
            steps = {
                "up": -1,
                "k": -1,
                "down": 1,
                "j": 1,
                "page up": -self._page,
                "b": -self._page,
                "page down": self._page,
                " ": self._page,
                "home": -self.offset,
                "g": -self.offset,
                "end": self._total,
                "G": self._total,
            }
            self.offset += steps.get(key, 0)
            self._keep_in_place()
        return key in {"q", "Q"}

    def lines(
        self,
        store: ringbuf.Store,
        chosen: Choice,
        *,
        width: int,
        height: int,
        color: bool = False,
        note: str = "",
        final: bool = False,
    ) -> list[str]:
        """A frame of at most `height` lines. The `final` one stays: it needs no keys, no filling.

        Raises UnknownName.
        """
        if self._size != (width, height):
            self._size, self._least = (width, height), {}
        now = time.monotonic()
        found = rows(
            store,
            markets=chosen["markets"],
            stats=chosen["stats"],
            last=chosen["last"],
            closed=chosen["closed"],
            sort=self.sort,
        )
        stats = list(found[0])[FIRST_STAT:-2]
        newest = list({row["market"]: row for row in found}.values())
        self._changes.note(newest, ["close", *stats], now)

        roomy = height >= 16
        top = flow([*origin_of(store), (_clock(), "faint")], " · ", width, color)[:1]
        top += [paint(note, "stale", color)] if note else []
        top += [""] if roomy else []
        bottom = [self._bar(store, newest, width, color)]
        room = max(1, height - len(top) - len(bottom) - (not final) - roomy - 1)
        # Markets of several rows have a gap between them.
        last = chosen["last"] or 1
        page = room if last == 1 else max(1, room - room // (last + 1) - 1)
        self._page, self._total = page, len(found)
        self._keep_in_place()
        shown = found[self.offset : self.offset + page]
        columns = self._columns(store, shown, newest, now)
        if last > 1:
            columns[1].rank = 0
        closes = [_last_hour(store[row["market"]]) for row in shown]
        fixed = 1 if last == 1 else 2
        blocks, hidden = self._blocks(columns, fixed, closes, width, room, len(found))
        body: list[str] = []
        for block in blocks:
            body += [*([""] if body else []), *lines_of(block, color)]
        body = body[: room + 1]
        if final:
            return [*top, *body, *bottom]
        body += [""] * (room + 1 - len(body))
        told = flow(hints(shown), "   ", width, color)[:1] or [""]
        keys = self._keys(hidden, len(shown), width, color)
        return [*top, *body, *(told if roomy else []), *bottom, keys]

    def _choose(self, step: int) -> None:
        """Sort by the next or the previous column: numbers from the most down, texts from A on."""
        if not self._names:
            return
        name = (self.sort or "").removeprefix("-")
        name = {"time": "UTC", "age_s": "age"}.get(name, name)
        if name in self._names:
            place = (self._names.index(name) + step) % len(self._names)
        else:
            place = 0 if step > 0 else len(self._names) - 1
        name = self._names[place]
        self.sort = name if name in _TEXTS else f"-{name}"
        self.offset = 0

    def _keep_in_place(self) -> None:
        self.offset = max(0, min(self.offset, self._total - self._page))

    def _columns(
        self, store: ringbuf.Store, shown: list[Row], newest: list[Row], now: float
    ) -> list[Column]:
        """The columns of the rows, with changes, order and the last hour."""
        units = {column["name"]: column["unit"] for column in store.document["columns"]}
        columns = columns_of(shown, units)
        self._names = [column.name for column in columns]
        newest_rows = {id(row) for row in newest}
        # Rows that are not the newest do not change.
        changing = [row["market"] if id(row) in newest_rows else None for row in shown]
        down, name = (self.sort or "").startswith("-"), (self.sort or "").removeprefix("-")
        name = {"time": "UTC", "age_s": "age"}.get(name, name)
        for column in columns:
            derived = column.name.endswith("%")
            column.rank = _DERIVED_RANK if derived else _RANKS.get(column.name, 0)
            if column.name == "close" or column.name in shown[0]:
                column.cells = self._changed(column, changing, now)
            if column.name == name:
                column.name, column.rank = f"{name}{'↓' if down else '↑'}", 0
        if self.sparks and len(shown) == len({row["market"] for row in shown}):
            place = next(k for k, one in enumerate(columns) if one.name.startswith("volume"))
            columns.insert(place + 1, Column(SPARK, rank=_RANKS[SPARK], left=True))
        for column in columns:
            if column.name == SPARK:
                continue
            column.least = max(self._least.get(column.name.rstrip("↓↑"), 0), column.width)
            self._least[column.name.rstrip("↓↑")] = column.least
        return columns

    def _changed(self, column: Column, changing: Sequence[str | None], now: float) -> list[Painted]:
        """The cells in the colour of their last change; a close also has it as a sign."""
        cells: list[Painted] = []
        for (text, style), market in zip(column.cells, changing, strict=True):
            change = self._changes.style(market, column.name, now) if market else ""
            if column.name == "close":
                sign = {"rose": "↑", "rise": "↑", "fell": "↓", "fall": "↓"}.get(change, " ")
                cells.append((text + sign, change or ("" if style != "faint" else style)))
            else:
                cells.append((text, change if change and style in {"", "faint"} else style))
        return cells

    def _blocks(
        self,
        columns: list[Column],
        fixed: int,
        closes: Sequence[npt.NDArray[np.float64]],
        width: int,
        room: int,
        total: int,
    ) -> tuple[list[list[Column]], int]:
        """The columns that are shown, and how many are not though nothing else has their place.

        All stats in several blocks where there is the room for that; else those around the column
        of the order.
        """
        spark = next((column for column in columns if column.name == SPARK), None)
        chosen = columns
        for rank in range(max(column.rank for column in columns), -1, -1):
            chosen = [column for column in columns if column.rank <= rank]
            if spark in chosen:
                spark.cells = [(" " * WIDTHS[-1], "")]
            if total_width(chosen) <= width:
                break
        if spark is not None and spark in chosen:
            left = width - total_width(chosen) + spark.width
            fitting = next(size for size in WIDTHS if size <= max(left, WIDTHS[-1]))
            spark.cells = [(sparkline(one, fitting), "spark") for one in closes]
        if total_width(chosen) <= width:
            return [chosen], 0
        blocks = blocks_of(chosen, width)
        if len(blocks) * (total + 2) - 2 <= room:
            return blocks, 0
        first, rest = chosen[:fixed], chosen[fixed:]
        sought = next((k for k, one in enumerate(rest) if one.name[-1] in "↓↑"), 0)
        start = 0
        while start < sought and total_width([*first, *rest[start : sought + 1]]) > width:
            start += 1
        end = start + 1
        while end < len(rest) and total_width([*first, *rest[start : end + 1]]) <= width:
            end += 1
        return [[*first, *rest[start:end]]], len(rest) - (end - start)

    @staticmethod
    def _bar(store: ringbuf.Store, newest: Sequence[Row], width: int, color: bool) -> str:
        """How the service is: its writer, its markets, its delay, what it has counted."""
        writer, beat = f"writer {store.header.writer_pid}", age(store.heartbeat_age)
        life, style = store.life, "alarm"
        if life == "stopped":
            parts = [f"STOPPED, not live: {writer} ended {beat} ago"]
        elif life == "down":
            parts = [f"DOWN, not live: {writer} died {beat} ago"]
        elif store.hung:
            parts = [f"{writer} is not responding: heartbeat {beat} ago"]
        else:
            parts, style = [f"{writer} · heartbeat {beat} ago"], "bar"
        statuses = Counter(row["status"] for row in newest)
        parts.append(", ".join(f"{number} {status}" for status, number in statuses.most_common()))
        if life == "running":
            parts += counted(store.health()["counters"])
        text = flow(
            [(f" {parts[0]}", ""), *((part, "") for part in parts[1:])], " · ", width, False
        )
        return paint(text[0][:width].ljust(width), style, color)

    def _keys(self, hidden: int, shown: int, width: int, color: bool) -> str:
        """Which part is shown, and what can be pressed."""
        place = f"{self.offset + 1}–{self.offset + shown} of {self._total}"
        parts = [place] if shown < self._total else []
        parts += [f"{hidden} more column{'s' * (hidden > 1)}"] if hidden else []
        if self.keys:
            parts += ["q quit", "←→ sort", "r reverse"] if self.sort else ["q quit", "←→ sort"]
            parts += ["↑↓ PgUp PgDn scroll"] if shown < self._total else []
            parts += ["o store's order"] if self.sort else []
        else:
            parts.append("Ctrl-C ends")
        return flow(
            [(f" {parts[0]}", "faint"), *((one, "faint") for one in parts[1:])], " · ", width, color
        )[0]


def _last_hour(ring: ringbuf.Ring) -> npt.NDArray[np.float64]:
    """Its closes of the last 60 rows, NaN where there are none yet."""
    closes = np.full(60, np.nan)
    known = ring.view("close", last=60)
    closes[60 - len(known) :] = known
    return closes


def _clock() -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime())
