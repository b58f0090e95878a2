"""What the benchmarks say is what was measured: tables are cut from the committed raw results."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def report() -> ModuleType:
    """The generator, which is no part of what is installed."""
    spec = importlib.util.spec_from_file_location("bench_report", FOLDER / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_report"] = module
    spec.loader.exec_module(module)
    return module


def measured() -> set[str]:
    """The names of all benchmarks there are, without their parameters."""
    return {
        node.name
        for path in FOLDER.glob("bench_*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("bench_")
    }


def test_the_readme_has_the_table_that_is_cut_from_the_raw_results(report: ModuleType) -> None:
    results, _ = report.load()
    readme = report.README.read_text("utf-8")
    assert results
    assert report.spliced(readme, report.headline(results)) == readme


def test_the_results_page_is_what_its_command_writes(report: ModuleType) -> None:
    assert report.PAGE.read_text("utf-8") == report.page(*report.load())


def test_every_goal_is_of_a_benchmark_that_was_run(report: ModuleType) -> None:
    results, _ = report.load()
    named = {name for goal in report.GOALS for name in (goal.ours, goal.other) if name}
    assert named <= set(results)
    assert all(goal.value(results) is not None for goal in report.GOALS)


def test_what_is_named_anywhere_is_a_benchmark_that_there_is(report: ModuleType) -> None:
    results, _ = report.load()
    named = {name for _, name, _ in report.HEADLINE} | set(report.NOTES) | set(results)
    assert {name.partition("[")[0] for name in named} <= measured()


def test_raw_results_name_no_host_and_no_path() -> None:
    for path in (FOLDER / "results").glob("*.json"):
        text = path.read_text("utf-8")
        machine: dict[str, Any] = json.loads(text)["machine_info"]
        assert "node" not in machine
        assert re.search(r"/(home|root|tmp|work|Users)/", text) is None


@pytest.mark.parametrize(
    ("commit", "says"),
    [
        ({}, "6.1.0."),
        ({"id": "0123456789abcdef", "dirty": False}, " Commit 0123456789ab."),
        ({"id": "0123456789abcdef", "dirty": True}, " and changes that are in none."),
    ],
)
def test_the_page_says_which_code_was_measured(
    report: ModuleType, commit: dict[str, Any], says: str
) -> None:
    machine = {
        "cpu": {},
        "versions": {"numpy": "6.1.0"},
        "load": 0.0,
        "commit": commit,
        "datetime": "2026-11-23T12:00",
        "system": "Linux",
        "release": "6",
    }
    line = next(line for line in report.page({}, machine).splitlines() if "numpy 6.1.0" in line)
    assert line.endswith(says)


def one(name: str, role: str, median: float, **metrics: list[float]) -> dict[str, Any]:
    """A raw result as pytest-benchmark writes it."""
    return {
        "name": name,
        "group": "a group",
        "stats": {"median": median, "q1": median, "q3": median, "rounds": 3},
        "extra_info": {
            "role": role,
            "contender": name,
            "question": "How long?",
            "metrics": metrics,
        },
    }


def test_figures_are_medians_with_quartiles(report: ModuleType) -> None:
    result = report._result(one("bench_a", "ours", 1.0, ms=[4.0, 1.0, 2.0, 3.0, 100.0]))
    figure = result.figures["ms"]
    assert (figure.low, figure.median, figure.high) == (2.0, 3.0, 4.0)
    assert figure.spread == "67 %"


@pytest.mark.parametrize(
    ("seconds", "says"), [(2.5e-7, "250 ns"), (1.5e-6, "1.5 µs"), (0.02, "20 ms"), (3.0, "3 s")]
)
def test_a_time_has_the_unit_that_people_use(report: ModuleType, seconds: float, says: str) -> None:
    assert str(report._result(one("bench_a", "ours", seconds)).figures[""]) == says


def test_a_group_shows_ours_first_and_ratios_to_ours_and_to_the_limit(report: ModuleType) -> None:
    raw = [one("limit", "limit", 1e-6), one("peer", "peer", 8e-6), one("ours", "ours", 2e-6)]
    results = {entry["name"]: report._result(entry) for entry in raw}
    groups = report.groups(results)
    rows = [line for line in report._group("a group", groups["a group"]) if "µs" in line]
    assert [row.split("|")[1].strip() for row in rows] == ["ours", "peer", "limit"]
    assert rows[1].endswith("| 4 × | 8 × |")


def test_the_lowest_of_several_limits_is_the_limit(report: ModuleType) -> None:
    raw = [one("slow", "limit", 9e-6), one("quick", "limit", 1e-6), one("ours", "ours", 2e-6)]
    some = report.groups({entry["name"]: report._result(entry) for entry in raw})["a group"]
    assert report.lowest(some, "").name == "quick"
    assert next(line for line in report._group("a group", some) if "| ours" in line).endswith(
        "| 1 × | 2 × |"
    )


def test_a_headline_has_all_peers_the_cheapest_first_and_the_lowest_limit(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = [
        one("dear", "peer", 8e-6),
        one("slow", "limit", 9e-6),
        one("quick", "limit", 1e-6),
        one("ours", "ours", 2e-6),
        one("cheap", "peer", 1.5e-6),
    ]
    results = {entry["name"]: report._result(entry) for entry in raw}
    rows = (("how long", "ours", ""), ("not measured yet", "theirs", ""))
    monkeypatch.setattr(report, "HEADLINE", rows)
    monkeypatch.setattr(report, "NOTES", {"dear": "It is dear."})
    _, _, row, *_, note = report.headline(results).splitlines()
    assert row == (
        "| how long | 2 µs | cheap 1.5 µs (0.75 ×)<br>dear 8 µs (4 ×) | quick 1 µs (0.5 ×) |"
    )
    assert "not measured yet" not in report.headline(results)
    assert note.endswith("It is dear.")


@pytest.mark.parametrize(("median", "verdict"), [(2e-6, "met"), (9e-6, "**missed**")])
def test_a_goal_is_met_or_missed_by_what_was_measured(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch, median: float, verdict: str
) -> None:
    monkeypatch.setattr(report, "GOALS", [report._call("newest row", "bench_last", 3.5)])
    results = {"bench_last": report._result(one("bench_last", "ours", median))}
    assert list(report._goals(results))[-1].endswith(f"| {verdict} |")
    assert list(report._goals({}))[-1].endswith("| not measured |")


def test_every_goal_has_a_paragraph_that_says_where_its_time_goes(report: ModuleType) -> None:
    titles = report.causes()
    assert {goal.cause for goal in report.GOALS} == set(titles)
    assert all(text.startswith(f"- **{title}.** ") for title, text in titles.items())


@pytest.mark.parametrize(("median", "missed"), [(2e-6, False), (9e-6, True)])
def test_the_page_explains_the_goals_that_were_missed_and_no_others(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch, median: float, missed: bool
) -> None:
    monkeypatch.setattr(report, "GOALS", [report._call("newest row", "bench_last", 3.5)])
    results = {"bench_last": report._result(one("bench_last", "ours", median))}
    text = "\n".join(report._causes(results))
    assert text.count("- **") == missed
    assert ("**The newest row.**" in text) == missed


def test_a_readme_without_markers_is_refused(report: ModuleType) -> None:
    with pytest.raises(ValueError, match="substring not found"):
        report.spliced("# A readme", "| a table |")
