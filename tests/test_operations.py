"""The operator's page and the code say the same: log lines, metrics, conditions, exit codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor import cli, metrics
from monitor.book import STATUSES

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SERVICE = sorted([*(ROOT / "monitor").glob("*.py"), *(ROOT / "monitor/archive").glob("*.py")])
LEVELS = {"debug": 0, "info": 0, "warning": 0, "error": 0, "exception": 0, "critical": 0}
# How the project logs: a logger's own methods, RateLimited.log and Book.note; where the text is.
TEXT_AT = {**LEVELS, "log": 2, "note": 1}
LOGGERS = {"log", "notes", "complaints", "_notes", "_logger", "book"}


def template(node: ast.expr) -> str | None:
    """The constant part of a message, with … for each value; None if it has none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = re.sub(r"%(\.\d+)?[sdf]", "…", node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = (str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values)
        text = "".join(parts)
    else:
        return None
    return text if re.search(r"\w", text) else None


def logged(source: str) -> Iterator[str]:
    """The templates of all that a module logs."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, at = node.func.attr, node.func.value
        owner = at.id if isinstance(at, ast.Name) else getattr(at, "attr", "")
        place = TEXT_AT.get(name)
        if place is None or owner not in LOGGERS or len(node.args) <= place:
            continue
        if (text := template(node.args[place])) is not None:
            yield text


def section(heading: str) -> str:
    """The page's text from that heading to the next of its rank or higher."""
    rank = heading.split(" ", maxsplit=1)[0]
    rest = PAGE[PAGE.index(f"\n{heading}\n") + len(heading) + 2 :]
    return re.split(rf"^#{{2,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    """What stands in backticks in the first column of the tables of `text`."""
    cells = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_log_line_is_explained_and_none_that_is_not_logged() -> None:
    in_code = {text for path in SERVICE for text in logged(path.read_text(encoding="utf-8"))}
    assert len(in_code) > 25
    assert first_cells(section("## Log lines")) == in_code


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('log.info("a %s of %.1f", x, y)', ["a … of …"]),
        ('self._notes.log("k", logging.WARNING, "b "\n"c %d", x)', ["b c …"]),
        ('self.book.note("k", f"{a}: {b!r} d")', ["…: … d"]),
        ('log.warning("%s", x)', []),
        ('math.log("no", 1, "line")', []),
    ],
)
def test_templates_are_what_a_person_sees(source: str, expected: list[str]) -> None:
    assert list(logged(source)) == expected


def test_the_table_of_the_metrics_is_the_codes_own() -> None:
    assert metrics.table() in section("## Metrics")


def test_every_condition_has_its_remedy() -> None:
    assert first_cells(section("### The store")) == set(metrics.CONDITIONS)


def test_every_status_has_its_remedy() -> None:
    assert first_cells(section("### A market")) == {*STATUSES, "stopped", "down"}


def test_the_exit_codes_are_the_commands_own() -> None:
    table = section("## Exit codes")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {
        cli.LIVE,
        cli.DEGRADED,
        cli.WRONG,
        cli.NO_SERVICE,
    }


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    asked = set(re.findall(r"market_monitor_\w+", section("### Alerts")))
    assert len(asked) > 3
    assert asked <= {family.name for family in metrics.FAMILIES}


def test_the_unit_keeps_its_promises() -> None:
    unit = re.findall(r"^```ini\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(unit) == 1
    lines = [line for line in unit[0].splitlines() if "=" in line and not line.startswith("#")]
    told = dict(line.split("=", 1) for line in lines)
    assert told["RemoveIPC"] == "no"
    assert told["RestartPreventExitStatus"] == str(cli.WRONG)
    assert told["User"] == "market-monitor"
    assert told["ExecStart"].endswith("/market-monitor run")
    assert "ReadWritePaths=/dev/shm" in lines
    # The one would remove the store at every stop, the other would keep numba from compiling.
    assert "DynamicUser" not in told
    assert "MemoryDenyWriteExecute" not in told
