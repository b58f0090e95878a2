"""Tables from raw results: RESULTS.md, the README's table, the plot. No figure is typed by hand.

    python benchmarks/report.py

reads benchmarks/results/*.json (pytest-benchmark's own files, without host names), and writes
benchmarks/RESULTS.md, benchmarks/results/plot.svg where matplotlib is there, and what stands in
README.md between the two markers. Standard library only, so that a test can run it anywhere.

Of each benchmark the *figure* is a metric of ours where it has some (the first one in front), else
the time of one call. Figures are medians over rounds; the spread is the interquartile range.
"""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "BEGIN",
    "END",
    "GOALS",
    "PAGE",
    "README",
    "RESULTS",
    "headline",
    "load",
    "page",
    "spliced",
]

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE / "RESULTS.md"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"

_ABOUT = """\
Written by `python benchmarks/report.py` from the raw files in `benchmarks/results`; `make bench`
measures on your machine. Every contender of a table ran in the same run, one after the other.
Figures are medians over rounds; the spread is the interquartile range in per cent of the first
figure's median. *Beside ours* and *beside the limit* are ratios of the first figure: above 1 it takes
longer, or costs more, than that. A limit does less than any of them can: it is not a competitor."""

_READ = (
    "Beside each figure stands how many times ours it is: below 1 × it takes less than ours. "
    "Nobody who was measured for a row is left out of it."
)

CPU, DELAY = "CPU µs a frame", "p50 µs"


@dataclass(frozen=True)
class Figure:
    """A median, its quartiles and its unit; times of one call are in seconds."""

    median: float
    low: float
    high: float
    unit: str

    def __str__(self) -> str:
        scale, unit = 1.0, self.unit
        if unit == "s/call":
            steps = ((1e9, "ns"), (1e6, "µs"), (1e3, "ms"))
            fitting = (step for step in steps if self.median * step[0] < 1_000)
            scale, unit = next(fitting, (1.0, "s"))
        return f"{number(self.median * scale)} {unit}"

    @property
    def spread(self) -> str:
        """The interquartile range in per cent of the median."""
        wide = (self.high - self.low) / self.median if self.median else 0.0
        return f"{100 * wide:.0f} %"


@dataclass(frozen=True)
class Result:
    """One benchmark: who was measured as what, and its figures by name ("" is a call's time)."""

    name: str
    group: str
    question: str
    role: str
    contender: str
    figures: Mapping[str, Figure]
    rounds: int
    scale: Mapping[str, float]

    @property
    def first(self) -> str:
        """The name of the figure that stands in front."""
        return next(iter(self.figures))


@dataclass(frozen=True)
class Goal:
    """`figure` of `ours`, over that of `other` where there is one, is at most (least) `bound`."""

    text: str
    ours: str
    figure: str
    bound: float
    other: str = ""
    least: bool = False
    unit: str = ""
    per: str = ""

    def value(self, results: Mapping[str, Result]) -> float | None:
        """What was measured; None where it was not."""
        try:
            value = self._of(results[self.ours])
            return value / self._of(results[self.other]) if self.other else value
        except KeyError:
            return None

    def missed(self, results: Mapping[str, Result]) -> bool:
        """Was it measured, and beyond its bound?"""
        value = self.value(results)
        return value is not None and (value < self.bound if self.least else value > self.bound)

    @property
    def cause(self) -> str:
        """The title of its paragraph in missed.md."""
        return CAUSES[self.ours.partition("[")[0]]

    def _of(self, result: Result) -> float:
        found = result.figures[self.figure].median
        return found / result.scale[self.per] if self.per else found


def _call(text: str, name: str, microseconds: float) -> Goal:
    return Goal(text, name, "", microseconds * 1e-6, unit="µs")


GOALS = (
    Goal("burst, CPU of a frame beside the bare receive loop", "bench_burst[ours]", CPU, 1.6, "bench_burst[bare]"),
    Goal("burst, CPU of ccxt.pro (no stats) beside ours", "bench_burst[ccxt]", CPU, 3.0, "bench_burst[ours]", least=True),
    Goal("burst, CPU of the official SDK (no stats) beside ours", "bench_burst[sdk]", CPU, 5.0, "bench_burst[ours]", least=True),
    Goal("200 frames/s, CPU beside the bare loop, a woken reader included", "bench_pace[ours]", "% of a core", 1.2, "bench_pace[bare]"),
    Goal("frame on the socket to stat in another process, p50", "bench_socket_to_stat", "p50 ms", 0.2, unit="ms"),
    Goal("frame on the socket to stat in another process, p99", "bench_socket_to_stat", "p99 ms", 2.0, unit="ms"),
    _call("newest row, consistent, as a mapping", "bench_last", 3.5),
    _call("one column's history as a view", "bench_view_of_a_column", 1.0),
    Goal("the same with 50,000 rows beside 1,440", "bench_view[50000]", "", 1.2, "bench_view[1440]"),
    _call("one stat over 200 markets", "bench_matrix_newest", 1.5),
    Goal("consistent copy of 1,440 rows beside bare numpy copies", "bench_snapshot", "", 2.0, "bench_bare_copies"),
    Goal("publish to a sleeping reader beside a bare futex wake, p50", "bench_wait_alone", DELAY, 2.0, "bench_futex"),
    _call("publish with nobody waiting", "bench_publish_nobody", 1.0),
    Goal("read.py to the printed table beside importing numpy, click and rich.table", "bench_read_table", "ms", 1.3, "bench_import_all_three"),
    Goal("read.py --format json beside importing numpy and click", "bench_read_json", "ms", 1.2, "bench_import_two"),
    Goal("630 markets, 1,200 frames/s: delay to a reader, p99", "bench_markets[630]", "p99 ms", 5.0, unit="ms"),
    Goal("630 markets: memory beside the segment", "bench_markets[630]", "MiB beside the segment", 200.0, unit="MiB"),
    Goal("CPU of a frame at 2,400 frames/s beside 600", "bench_rate[2400]", "% of a core", 1.0, "bench_rate[600]", per="rate"),
    Goal("CPU with 50,000 rows of history beside 1,440", "bench_history[50000]", "% of a core", 1.2, "bench_history[1440]"),
    Goal("start: empty store, warm compile cache, first stat", "bench_start_warm", "s", 2.0, unit="s"),
    Goal("start: adopted store fresh again", "bench_start_adopted", "s", 1.5, unit="s"),
    Goal("start: reads of the adopted store that fail meanwhile", "bench_start_adopted", "% of reads that failed", 0.0, unit="%"),
)  # fmt: skip

# What in missed.md says where the time of a goal goes, by the benchmark that it is about.
CAUSES = {
    "bench_burst": "Frames in a burst",
    "bench_history": "More frames, more rows",
    "bench_last": "The newest row",
    "bench_markets": "630 markets",
    "bench_matrix_newest": "The newest row",
    "bench_pace": "200 frames a second",
    "bench_publish_nobody": "Publishing",
    "bench_rate": "More frames, more rows",
    "bench_read_json": "read.py",
    "bench_read_table": "read.py",
    "bench_snapshot": "A consistent copy",
    "bench_socket_to_stat": "A frame to another process",
    "bench_start_adopted": "Start",
    "bench_start_warm": "Start",
    "bench_view": "A view",
    "bench_view_of_a_column": "A view",
    "bench_wait_alone": "A sleeping reader",
}

# The README's rows: a question, ours, and the figure. Who stands beside it is not chosen: every peer
# of the same group does, the cheapest first, and the lowest limit.
HEADLINE = (
    ("a candle frame from socket to published row, 8 stats (CPU)", "bench_burst[ours]", CPU),
    ("200 candle frames a second, 8 stats, a woken reader included", "bench_pace[ours]", "% of a core"),
    ("a tick, its 8 stats stepped, in a sleeping reader's hands (p50)", "bench_wait", DELAY),
    ("the same (p99)", "bench_wait", "p99 µs"),
    ("newest row of one market", "bench_last", ""),
    ("one stat's newest value in 200 markets", "bench_matrix_newest", ""),
    ("1,440 closes of one market", "bench_view_of_a_column", ""),
    ("ten columns of 1,440 rows", "bench_views_of_ten", ""),
    ("1,440 closes of 200 markets", "bench_matrix", ""),
    ("1,440 rows of a market, every column, as a pandas DataFrame", "bench_table[ring-pandas]", ""),
    ("1,440 closes of 200 markets as a pandas DataFrame", "bench_table[store-pandas]", ""),
    ("a tick of 16 stats", "bench_tick_ours", ""),
    ("RSI14 over a million rows of a plain array", "bench_million_rsi_compute", ""),
    ("`python read.py`, start to printed table", "bench_read_table", "ms"),
)  # fmt: skip

# What has to be known to read a group's table, by the beginning of its benchmarks' names. It stands
# under that table, and under the README's.
NOTES = {
    "bench_burst": (
        "ccxt.pro's `watch_ohlcv` hands its caller the newest of all frames that came since the "
        "call before: in a burst that is few of them, and TA-Lib recomputes for those alone. "
        "The official SDK calls back for every frame, and ours steps its stats for every frame."
    ),
    "bench_wait": (
        "Only ours has stats stepped on the way; Redis and the Unix socket are handed a row that is "
        "there. The Unix socket serves one reader, which has that row and no history."
    ),
}


def number(value: float) -> str:
    """Three significant digits, as people write them."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third of any number of values."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def load(folder: Path = RESULTS) -> tuple[dict[str, Result], dict[str, Any]]:
    """All results by the benchmark's name, and the machine with its versions."""
    results: dict[str, Result] = {}
    machine: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        machine = {**document["machine_info"], "datetime": document["datetime"]}
        machine["commit"] = document["commit_info"]
        for one in document["benchmarks"]:
            results[one["name"]] = _result(one)
    return results, machine


def _result(one: Mapping[str, Any]) -> Result:
    extra, stats = one["extra_info"], one["stats"]
    figures = {}
    for name, values in extra.get("metrics", {}).items():
        low, middle, high = quartiles(values)
        figures[name] = Figure(middle, low, high, name)
    if not figures:
        figures[""] = Figure(stats["median"], stats["q1"], stats["q3"], "s/call")
    return Result(
        one["name"],
        one["group"],
        extra.get("question", ""),
        extra["role"],
        extra["contender"],
        figures,
        stats["rounds"],
        extra.get("scale", {}),
    )


# -- tables --------------------------------------------------------------------------------------


def times(value: float) -> str:
    """A ratio."""
    return f"{number(value)} ×"


def groups(results: Mapping[str, Result]) -> dict[str, list[Result]]:
    """Results by group: ours first, then peers, then limits."""
    order = {"ours": 0, "peer": 1, "limit": 2}
    found: dict[str, list[Result]] = {}
    for result in results.values():
        found.setdefault(result.group, []).append(result)
    return {name: sorted(some, key=lambda one: order[one.role]) for name, some in found.items()}


def lowest(some: Sequence[Result], figure: str) -> Result | None:
    """The limit that does it for least; None where the group has no limit."""
    limits = [one for one in some if one.role == "limit" and figure in one.figures]
    return min(limits, key=lambda one: one.figures[figure].median, default=None)


def noted(some: Sequence[Result]) -> str:
    """What has to be known to read this group's table; nothing for most."""
    notes = (NOTES.get(one.name.partition("[")[0]) for one in some)
    return next((note for note in notes if note), "")


def _group(name: str, some: Sequence[Result]) -> Iterator[str]:
    figures = list(dict.fromkeys(figure for one in some for figure in one.figures))
    ours = next((one for one in some if one.role == "ours"), some[0])
    first = ours.first
    limit = lowest(some, first)
    heads = ["", "", *(figure or "time of one call" for figure in figures), "spread"]
    heads += ["beside ours"] + (["beside the limit"] if limit else [])
    yield f"### {name[0].upper()}{name[1:]}"
    yield ""
    for question in dict.fromkeys(one.question for one in some if one.question):
        yield f"- {question}"
    yield ""
    yield "| " + " | ".join(heads) + " |"
    yield "|---|---|" + "---:|" * (len(heads) - 2)
    for one in some:
        cells = [one.role, one.contender]
        for figure in figures:
            there = one.figures.get(figure)
            cells.append(
                "–" if there is None else str(there) if not figure else number(there.median)
            )
        cells.append(one.figures[one.first].spread if one.rounds > 1 else "one round")
        for base in (ours, limit) if limit else (ours,):
            assert base is not None
            there, below = one.figures.get(first), base.figures.get(first)
            known = there is not None and below is not None and below.median
            cells.append(times(there.median / below.median) if known else "–")
        yield "| " + " | ".join(cells) + " |"
    yield ""
    if note := noted(some):
        yield note
        yield ""


def _goals(results: Mapping[str, Result]) -> Iterator[str]:
    yield "| goal | bound | measured | |"
    yield "|---|---:|---:|---|"
    for goal in GOALS:
        scale = 1e6 if goal.unit == "µs" else 1.0
        unit = f" {goal.unit}" if goal.unit else " ×"
        bound = f"{'≥' if goal.least else '≤'} {number(goal.bound * scale)}{unit}"
        value = goal.value(results)
        if value is None:
            yield f"| {goal.text} | {bound} | – | not measured |"
            continue
        verdict = "**missed**" if goal.missed(results) else "met"
        yield f"| {goal.text} | {bound} | {number(value * scale)}{unit} | {verdict} |"


def page(results: Mapping[str, Result], machine: Mapping[str, Any]) -> str:
    """RESULTS.md."""
    cpu = machine["cpu"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = (
        f"{machine['datetime'][:10]}. {cpu.get('brand_raw', 'unknown processor')}, "
        f"{cpu.get('count', '?')} cores, {machine['system']} {machine['release'].split('-')[0]}, "
        f"load of other work at the start {machine['load']:.1f}. {versions}."
        f"{_code(machine['commit'])}"
    )
    lines = [
        "# Benchmark results",
        "",
        _ABOUT,
        "",
        where,
        "",
        "## Goals",
        "",
        *_goals(results),
        "",
        *_causes(results),
        "## Tables",
        "",
    ]
    if (RESULTS / "plot.svg").exists():
        lines += ["![delay against markets, and speed beside peers](results/plot.svg)", ""]
    for name, some in groups(results).items():
        lines += _group(name, some)
    return "\n".join(lines).rstrip() + "\n"


def _code(commit: Mapping[str, Any]) -> str:
    """Which code was measured, where git could tell."""
    if not commit.get("id"):
        return ""
    changed = ", and changes that are in none" if commit.get("dirty") else ""
    return f" Commit {commit['id'][:12]}{changed}."


def causes(text: str | None = None) -> dict[str, str]:
    """What profiles say of goals that may be missed: the paragraphs of missed.md by their titles."""
    text = (HERE / "missed.md").read_text(encoding="utf-8") if text is None else text
    found = {}
    for paragraph in re.split(r"\n(?=- \*\*)", text.strip()):
        if title := re.match(r"- \*\*(.+?)\.\*\*", paragraph):
            found[title[1]] = paragraph
    return found


def _causes(results: Mapping[str, Result]) -> Iterator[str]:
    paragraphs = causes()
    titles = dict.fromkeys(goal.cause for goal in GOALS if goal.missed(results))
    if titles:
        yield "## Where the time goes"
        yield ""
        yield "Of the goals that were missed:"
        yield ""
        yield from (paragraphs[title] for title in titles)
        yield ""


def headline(results: Mapping[str, Result]) -> str:
    """The README's table: all peers of a row's group, the cheapest first, and the lowest limit.

    A row whose benchmark the run has not is left out.
    """
    lines = ["| | market-monitor | beside it | limit |", "|---|---:|---:|---:|"]
    notes = [_READ]
    grouped = groups(results)
    for question, name, figure in HEADLINE:
        if name not in results:
            continue
        ours, some = results[name], grouped[results[name].group]
        base = ours.figures[figure].median
        peers = [one for one in some if one.role == "peer" and figure in one.figures]
        peers.sort(key=lambda one: one.figures[figure].median)
        limit = lowest(some, figure)
        beside = [_beside(one, figure, base) for one in peers]
        edge = _beside(limit, figure, base) if limit else "–"
        cells = (question, _short(ours.figures[figure]), "<br>".join(beside) or "–", edge)
        lines.append(f"| {' | '.join(cells)} |")
        notes.append(noted(some))
    return "\n".join([*lines, "", " ".join(filter(None, dict.fromkeys(notes)))])


def _beside(one: Result, figure: str, base: float) -> str:
    there = one.figures[figure]
    return f"{one.contender} {_short(there)} ({times(there.median / base)})"


def _short(figure: Figure) -> str:
    """Without what the question has said already."""
    text = str(figure)
    for said in ("CPU ", " a frame", "p50 ", "p99 "):
        text = text.replace(said, "")
    return text


def spliced(readme: str, table: str) -> str:
    """`readme` with `table` between its two markers. ValueError where they are not there."""
    start, end = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    return f"{readme[:start]}\n{table}\n{readme[end:]}"


def main() -> None:
    """Write all of it."""
    results, machine = load()
    if not results:
        sys.exit(f"no results in {RESULTS.name}: run `make bench` first")
    if importlib.util.find_spec("matplotlib") is not None:
        sys.path.insert(0, str(HERE))
        from plot import draw

        draw(results, RESULTS / "plot.svg")
    PAGE.write_text(page(results, machine), encoding="utf-8")
    README.write_text(spliced(README.read_text("utf-8"), headline(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
