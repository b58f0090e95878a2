"""The plot of RESULTS.md: delay against markets, and how many times slower each peer is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

__all__ = ["draw"]

# Ours, the figure, and what is said in front of each peer of the same group; none is left out.
SPEED = (
    ("bench_burst[ours]", "CPU µs a frame", "frame: "),
    ("bench_wait", "p50 µs", "tick: "),
    ("bench_last", "", "newest row: "),
    ("bench_matrix_newest", "", "200 markets: "),
    ("bench_view_of_a_column", "", "column: "),
    ("bench_tick_ours", "", "16 stats: "),
)


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Write the SVG; the same results give the same file."""
    plt.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), width_ratios=(2, 3))
    _delays(left, results)
    _speed(right, results)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", "utf-8")


def _delays(axes: Any, results: Mapping[str, Any]) -> None:
    found = [one for one in results.values() if one.name.startswith("bench_markets[")]
    if not found:
        axes.set_axis_off()
        return
    found.sort(key=lambda one: one.scale["markets"])
    markets = [one.scale["markets"] for one in found]
    for name, mark in (("p50 ms", "o-"), ("p99 ms", "s--")):
        axes.plot(markets, [one.figures[name].median for one in found], mark, label=name[:3])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="markets",
        ylabel="ms",
        title="frame on the socket to a reader's hands,\n1,200 frames a second",
        xticks=markets,
        xticklabels=markets,
    )
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()


def _speed(axes: Any, results: Mapping[str, Any]) -> None:
    bars = []
    for ours, figure, what in SPEED:
        base = results.get(ours)
        for one in results.values():
            if base is not None and one.group == base.group and one.role == "peer":
                ratio = one.figures[figure].median / base.figures[figure].median
                bars.append((what + one.contender, ratio))
    if not bars:
        axes.set_axis_off()
        return
    bars.reverse()
    drawn = axes.barh([name for name, _ in bars], [ratio for _, ratio in bars])
    axes.bar_label(drawn, [f"{ratio:,.3g} ×" for _, ratio in bars], padding=3)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set(xscale="log", title="how many times more a peer takes")
    axes.margins(x=0.2)
