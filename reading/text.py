"""Texts for people: numbers with the digits that they need, colours, lines that fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = [
    "NONE",
    "Painted",
    "age",
    "compact",
    "digits_for",
    "fixed",
    "flow",
    "magnitude",
    "paint",
]

NONE = "–"

_STYLES: dict[str, dict[str, Any]] = {
    "live": {"fg": "green"},
    "quiet": {"fg": "cyan"},
    "syncing": {"fg": "yellow"},
    "stale": {"fg": "yellow", "bold": True},
    "delisted": {"dim": True},
    "stopped": {"fg": "red"},
    "down": {"fg": "red", "bold": True},
    "rise": {"fg": "green"},
    "fall": {"fg": "red"},
    "rose": {"fg": "bright_green", "bold": True},
    "fell": {"fg": "bright_red", "bold": True},
    "bar": {"reverse": True},
    "alarm": {"fg": "red", "bold": True, "reverse": True},
    "spark": {"fg": "cyan"},
    "first": {"fg": "cyan"},
    "second": {"fg": "yellow"},
    "third": {"fg": "magenta"},
    "fourth": {"fg": "blue"},
    "strong": {"bold": True},
    "faint": {"dim": True},
    "head": {"underline": True},
    "high": {"fg": "magenta", "bold": True},
    "low": {"fg": "bright_blue", "bold": True},
    "demo": {"fg": "yellow", "bold": True, "reverse": True},
}

Painted = tuple[str, str]
"""A text and its style: a key of `_STYLES`, or anything else for none."""


def paint(text: str, style: str, color: bool) -> str:
    """The text in its style, where there is colour."""
    if text.strip() == NONE:
        style = "faint"
    return click.style(text, **_STYLES[style]) if color and style in _STYLES else text


def flow(parts: Iterable[Painted], separator: str, width: int | None, color: bool) -> list[str]:
    """The parts one after the other, in lines of at most `width` characters where they allow it."""
    lines: list[str] = []
    used = 0
    for text, style in parts:
        if lines and (width is None or used + len(separator) + len(text) <= width):
            lines[-1] += separator + paint(text, style, color)
            used += len(separator) + len(text)
        else:
            lines.append(paint(text, style, color))
            used = len(text)
    return lines


def magnitude(value: float | None) -> int:
    """The decimal exponent: 4 for 85,827."""
    return math.floor(math.log10(abs(value))) if value else 0


def digits_for(prices: Sequence[float]) -> int:
    """Decimals for the prices of one market: five significant digits, or six where five lose."""
    if not prices:
        return 2
    exponent = magnitude(prices[-1])
    five, six = max(0, 4 - exponent), max(0, 5 - exponent)
    exact = all(abs(round(price, five) - price) <= 1e-9 * abs(price) for price in prices)
    return five if exact else six


def fixed(value: float | None, digits: int) -> str:
    """With so many decimals and thousands apart: 85,827.0."""
    if value is None:
        return NONE
    return f"{value:,.{digits}f}" if digits <= 14 and abs(value) < 1e12 else f"{value:.5e}"


def compact(value: float | None) -> str:
    """At most four significant digits and a letter: 3.496M."""
    if value is None:
        return NONE
    if abs(value) < 1:
        return f"{value:.3g}"
    scaled = value
    for letter in ("", "k", "M", "B", "T"):
        if abs(scaled) < 999.95:
            return f"{scaled:.4g}{letter}"
        scaled /= 1000
    return f"{value:.3e}"


def age(seconds: float | None) -> str:
    """In the unit that fits: 0.4 s, 31 s, 12 min."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    for limit, unit, size in ((99.5, "s", 1), (5970, "min", 60), (171_000, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
