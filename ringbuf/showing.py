"""How stores and series look in a notebook: small HTML tables.

No scripts, no style sheet and no colours of their own but for the status: they follow the page's,
be it light or dark. Whatever the store says is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .reader import Store
    from .ring import Ring

__all__ = ["ring_html", "store_html"]

ROWS = 8
"""Newest rows of a series that are shown."""

MARKETS = 30
"""Series of a store that are shown."""

_HIDDEN = {"time", "flags"}  # the one has a place of its own, the other is bits

_WELL, _TROUBLED, _GONE = "#2e9e5b", "#c98a1b", "#d0453e"
_COLOURS = {"live": _WELL, "quiet": _WELL, "stopped": _GONE, "down": _GONE, "closed": _GONE}
_CELL = "padding:2px 10px;white-space:nowrap;font-variant-numeric:tabular-nums;text-align:"


def store_html(store: Store) -> str:
    """See `Store._repr_html_`."""
    shown = list(store.values())[:MARKETS]
    columns = [name for name in store.columns if name not in _HIDDEN]
    body = []
    for ring in shown:
        row = ring.last()
        numbers = [_number(row[name]) for name in columns]
        body.append(
            _row(
                [
                    _cell(f"<b>{escape(ring.name)}</b>", "left"),
                    _cell(_status(ring.status), "left"),
                    _cell(_age(ring.age)),
                    _cell(_time(row["time"]), "left"),
                    *(_cell(number) for number in numbers),
                ]
            )
        )
    left = len(store) - len(shown)
    told = {name: str(value) for name, value in store.source.items()}
    source = ", ".join(f"{name} {value}" for name, value in told.items() if "://" not in value)
    facts = [
        f"{len(store)} markets",
        f"{len(store.columns)} columns",
        f"up to {store.header.history:,} rows",
        *([source] if source else []),
    ]
    return _block(
        f"<b>{escape(store.name)}</b> · {_status(store.condition)}",
        facts,
        ["market", "status", "age", "UTC", *columns],
        body,
        f"… and {left} more markets" if left else "",
    )


def ring_html(ring: Ring) -> str:
    """See `Ring._repr_html_`."""
    rows = ring.snapshot(ROWS)
    columns = [name for name in ring._attachment.columns if name not in _HIDDEN]
    body = [
        _row(
            [
                _cell(_time(row["time"]), "left"),
                *(_cell(_number(row[name].item())) for name in columns),
            ]
        )
        for row in rows
    ]
    alias = f" ({escape(ring.alias)})" if ring.alias and ring.alias != ring.name else ""
    return _block(
        f"<b>{escape(ring.name)}</b>{alias} · {_status(ring.status)}",
        [f"{len(ring):,} rows", *([f"the newest {len(rows)}"] if len(ring) > len(rows) else [])],
        ["UTC", *columns],
        body,
        "" if len(rows) else "no rows yet",
    )


def _block(title: str, facts: Iterable[str], heads: list[str], body: list[str], foot: str) -> str:
    """`title` and `body` are HTML already, everything else is text."""
    left = {"market", "UTC", "status"}
    head = "".join(
        f'<th style="{_CELL}{"left" if name in left else "right"}">{escape(name)}</th>'
        for name in heads
    )
    return (
        '<div style="overflow-x:auto">'
        f'<div style="margin:4px 0">{title} · {escape(" · ".join(facts))}</div>'
        '<table style="border-collapse:collapse;font:inherit;color:inherit">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f'<div style="opacity:.6">{escape(foot)}</div></div>'
    )


def _row(cells: list[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(html: str, side: str = "right") -> str:
    return f'<td style="{_CELL}{side}">{html}</td>'


def _status(status: str) -> str:
    return f'<span style="color:{_COLOURS.get(status, _TROUBLED)}">● </span>{escape(status)}'


def _time(moment: np.datetime64) -> str:
    if np.isnat(moment):
        return "–"
    return escape(str(moment.astype("M8[s]"))[:16].replace("T", " "))


def _age(seconds: float) -> str:
    if math.isnan(seconds):
        return "–"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:,.0f} min"


def _number(value: Any) -> str:
    """Six digits, and no exponent as long as people read it as a price."""
    if isinstance(value, np.datetime64):
        return _time(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{value}"
    size = abs(value)
    if size and not 1e-9 <= size < 1e15:
        return f"{value:.5g}"
    decimals = 5 - math.floor(math.log10(size)) if size else 0
    text = f"{value:,.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
