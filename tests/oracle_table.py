"""Write docs/stats.md: every stat, and how far it is from its oracle.

    python tests/oracle_table.py            writes the file
    python tests/oracle_table.py -          prints it

Compared are all rows of all of `oracles.markets`, for all parameters in the oracle's line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indicators import Definition, compute, default_registry
from indicators.names import format_number
from oracles import ORACLES, columns, names, oracle, tolerances
from oracles.markets import MARKETS, Floats

__all__ = ["Compared", "compared", "page"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "stats.md"

_HEAD = """\
# The stats

Written by `python tests/oracle_table.py`; not to be edited. `python -m monitor stats RSI` explains
one, [adding-a-stat.md](adding-a-stat.md) tells how to add one of your own.

A column is named like its stat with the parameters behind it: `STOCHk14_3_3`. Inputs with an arrow
can be chosen: `EMA20_hlc3`. Warm-up counts the rows without a value, for the usual parameters.

| stat | usual | columns | inputs | warm-up | meaning | formula |
|---|---|---|---|---|---|---|
"""

_MIDDLE = """
## Beside their oracles

Each stat was computed over {markets} markets (walks from 1e-8 to 1e8, flat ones, gaps, silence, no
volume, few digits, real candles) from the first row on, with several parameters, and by another
library as well. NaN are in the same rows. The difference is the largest one in any row, relative to
the oracle's value; where that is a small difference of large numbers, relative to what can be told
apart there, at most to the column's largest value (`tests/oracles/` says for which, and why).

| stat | oracle | parameters | rows compared | largest relative difference |
|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """How many rows of a stat had a value in both, and how far apart they were at most."""

    rows: int
    difference: float


def compared(letters: str) -> Compared:
    """Compare a stat with its oracle, over every market and with every parameter in its line."""
    rows, difference = 0, 0.0
    for text in names(letters):
        for market in MARKETS.values():
            candles = market()
            found = compute([text], candles)
            outputs = zip(
                columns(text), oracle(text, candles), tolerances(text, candles), strict=True
            )
            for name, expected, (relative, absolute) in outputs:
                assert np.array_equal(np.isnan(found[name]), np.isnan(expected)), (name, text)
                rows += int(np.count_nonzero(~np.isnan(expected)))
                apart = _apart(found[name], expected, relative, absolute)
                difference = max(difference, apart)
    return Compared(rows, difference)


def _apart(found: Floats, expected: Floats, relative: float, absolute: Floats) -> float:
    """Largest difference relative to the value, or to what `absolute` is the `relative` part of.

    However generous that is: no more than the column's largest value, unless all of the column is
    within the absolute difference of nothing.
    """
    rows = ~np.isnan(expected)
    sizes, allowed = np.abs(expected[rows]), absolute[rows]
    largest = np.maximum(np.max(sizes, initial=0.0), 1e9 * allowed)
    scale = np.maximum(sizes, np.minimum(allowed / relative, largest))
    return float(np.max(np.abs(found[rows] - expected[rows]) / scale, initial=0.0))


def page() -> str:
    """Return the whole page."""
    definitions = list(default_registry())
    lines = [_described(definition) for definition in definitions]
    beside = [_beside(definition.name) for definition in definitions]
    middle = _MIDDLE.format(markets=len(MARKETS))
    return _HEAD + "".join(lines) + middle + "".join(beside)


def _described(definition: Definition) -> str:
    usual = default_registry().resolve(definition.name)
    first, *others = definition.inputs
    cells = (
        f"`{definition.name}`",
        f"`{usual.name}`",
        " ".join(f"`{definition.name}{letter}`" for letter in definition.outputs),
        ", ".join((f"→ {first}" if definition.selectable else first, *others)),
        str(usual.warmup),
        definition.meaning,
        definition.source,
    )
    return f"| {' | '.join(cells)} |\n"


def _beside(letters: str) -> str:
    result = compared(letters)
    one = ORACLES[letters]
    parameters = ", ".join("_".join(map(format_number, each)) or "-" for each in one.parameters)
    difference = f"{result.difference:.1e}" if result.difference else "0"
    cells = (f"`{letters}`", one.source, parameters, f"{result.rows:,}", difference)
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    text = page()
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(text)
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
