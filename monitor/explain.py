"""``python -m monitor stats``: which stats there are, and what one of them is.

Everything is read off the declarations, so it is true of a user's stats as well. Nothing is
compiled.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from textwrap import wrap

import click

from indicators import Definition, Parameter, Stat, default_registry, plan
from indicators.names import format_number

__all__ = ["explain", "overview", "terminal_width"]

_WIDTH = 100
_LABEL = 12
_MEANING = 40
"""Narrower than this, a column of meanings is none."""
_INDENT = 4
_EXAMPLE_INPUT = "hlc3"
_AFTERWARDS = (
    "Warm-up: rows without a value, with the usual parameters."
    " `python -m monitor stats RSI` explains one."
)


def terminal_width() -> int | None:
    """Columns of the terminal that is written to; None where it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def overview(width: int | None = None) -> None:
    """Print for each stat its name, parameters, columns, rows of warm-up and meaning.

    A line each, for `grep`; with a width, meanings are wrapped beside the rest or below it.
    """
    stats = [_usual(definition) for definition in default_registry()]
    rows = [("stat", "parameters", "columns", "warm-up", "meaning")]
    rows += [
        (
            stat.definition.name,
            ", ".join(_with_default(p) for p in stat.definition.parameters) or "-",
            " ".join(f"{stat.definition.name}{letter}" for letter in stat.definition.outputs),
            str(stat.warmup),
            stat.definition.meaning,
        )
        for stat in stats
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        line = "  ".join((*cells, ""))
        if width is None:
            click.echo(line + row[4])
            continue
        beside = len(line) + _MEANING <= width
        indent = len(line) if beside else _INDENT
        meaning = wrap(row[4], width - indent, break_on_hyphens=False)
        if not beside:
            click.echo(line.rstrip())
        for number, part in enumerate(meaning):
            click.echo((line if beside and not number else " " * indent) + part)
    click.echo()
    for part in wrap(_AFTERWARDS, width or 2 * _WIDTH):
        click.echo(part)


def explain(names: Sequence[str], width: int | None = None) -> None:
    """Print all about each of these stats, wrapped to a width. Raises `StatNameError`."""
    for number, stat in enumerate([default_registry().resolve(name) for name in names]):
        if number:
            click.echo()
        _explain(stat, min(width or _WIDTH, _WIDTH))


def _explain(stat: Stat, width: int) -> None:
    definition = stat.definition
    name = str(stat.name)
    planned = plan([name], history=None)
    public = [column for column in planned.columns if not column.private]
    private = [column.name for column in planned.columns if column.private]
    low, high = definition.bounds or (None, None)
    lines = [
        (definition.name, definition.meaning),
        ("source", definition.source),
        *(("parameter", _described(parameter)) for parameter in definition.parameters),
        ("inputs", _inputs(definition)),
        *(("column", f"{column.name}, {column.unit}") for column in public),
        ("bounds", f"{low:g} to {high:g}" if low is not None and high is not None else "none"),
        ("warm-up", f"{stat.warmup} rows are NaN"),
        ("settling", _settling(stat)),
        ("reads", f"{stat.lookback} rows back"),
        ("keeps", ", ".join(private) or "nothing besides its columns"),
        ("definition", public[0].definition),
        ("examples", ", ".join(_examples(stat))),
    ]
    for label, text in lines:
        first, *others = wrap(text, width - _LABEL, break_on_hyphens=False) or [""]
        click.echo(f"{label:{_LABEL}}{first}")
        for other in others:
            click.echo(f"{'':{_LABEL}}{other}")


def _usual(definition: Definition) -> Stat:
    return default_registry().resolve(definition.name)


def _with_default(parameter: Parameter) -> str:
    if parameter.default is None:
        return f"[{parameter.name}]"
    return f"{parameter.name}={format_number(parameter.default).replace('p', '.')}"


def _described(parameter: Parameter) -> str:
    kind = "whole number" if parameter.whole else "number"
    usual = (
        "may be left out" if parameter.default is None else f"usually {_with_default(parameter)}"
    )
    return f"{parameter.name}: {kind} from {parameter.low:g} to {parameter.high:g}, {usual}"


def _inputs(definition: Definition) -> str:
    inputs = ", ".join(definition.inputs)
    if not definition.selectable:
        return inputs
    return (
        f"{inputs}; another one in place of {definition.inputs[0]} by a suffix: _{_EXAMPLE_INPUT}"
    )


def _settling(stat: Stat) -> str:
    if not stat.settling:
        return "none"
    return f"{stat.settling} rows more until where the history begins makes no difference"


def _examples(stat: Stat) -> list[str]:
    """The usual name, the name without parameters, each output, another input."""
    definition, usual = stat.definition, str(_usual(stat.definition).name)
    examples = [str(stat.name), usual, definition.name]
    examples += [c.name for c in plan([usual], history=None).columns if not c.private]
    if definition.selectable:
        examples.append(f"{usual}_{_EXAMPLE_INPUT}")
    return list(dict.fromkeys(examples))
