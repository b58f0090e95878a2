"""Modules of one's own register stats that are then like any other; what is wrong is told."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from indicators import (
    DefinitionError,
    ModuleFailed,
    Registry,
    UnknownStat,
    compute,
    default_registry,
    load,
    plan,
    registry,
)

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "adding-a-stat.md"

TWICE = """
from indicators import register, stat

def twice(F, I, i, age, cols, par):
    F[cols[1], i] = FACTOR * F[cols[0], i]

register(stat("TWICE", version=1, meaning="twice the close", source="a test")(twice))
"""


@pytest.fixture(autouse=True)
def _own_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stats registered here are gone after the test, and so are its modules, but no library's."""
    mine = Registry(default_registry())
    for module in ("registry", "loading", "planning"):
        monkeypatch.setattr(sys.modules[f"indicators.{module}"], "default_registry", lambda: mine)
    yield
    for name, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def written(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_the_worked_example_runs_and_is_under_30_lines(tmp_path: Path) -> None:
    block = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[0]
    assert len(block.splitlines()) < 30
    assert load([written(tmp_path, block)]) == ("RSHARE",)
    high = np.array([3.0, 5.0, 9.0, 4.0])
    values = compute(["RSHARE2"], {"high": high, "low": np.array([1.0, 1.0, 1.0, 4.0])})["RSHARE2"]
    np.testing.assert_array_equal(values, [np.nan, 4 / 3, 8 / 6, 0.0])


def test_a_module_is_found_by_its_import_path_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, TWICE.replace("FACTOR", "2.0"), "my_stats_of_a_test.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert load(["my_stats_of_a_test"]) == ("TWICE",)
    assert compute(["TWICE"], {"close": [1.0, 2.0]})["TWICE"].tolist() == [2.0, 4.0]


def test_a_module_is_loaded_once(tmp_path: Path) -> None:
    reference = written(tmp_path, TWICE.replace("FACTOR", "2.0"))
    assert load([reference, reference]) == ("TWICE",)
    assert load([reference]) == ()


def test_an_edited_file_is_another_definition(tmp_path: Path) -> None:
    seen = set()
    for factor in ("2.0", "3.0"):
        folder = tmp_path / factor
        folder.mkdir()
        load([written(folder, TWICE.replace("FACTOR", factor))])
        seen.add(plan(["TWICE"], history=None).columns[0].definition)
        registry.default_registry().keep({definition.name for definition in Registry()})
    assert len(seen) == 2
    assert all(re.fullmatch(r"TWICE/1 source=[0-9a-f]{12} input=close", one) for one in seen)


def test_our_own_stats_are_told_by_their_version_alone() -> None:
    assert "source" not in plan(["ATR14"], history=None).columns[0].definition


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\n", "it registers no stat; call indicators.register in it"),
        ("x = 1\ny = x / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("def broken(:\n", "line 1: invalid syntax"),
        ("x = '\0'\n", "null bytes"),
        ("import sys\nsys.exit(0)\n", "line 2: SystemExit: 0"),
        ("import no_such_module_at_all\n", "line 1: ModuleNotFoundError: No module named"),
        (TWICE.replace("TWICE", "RSI"), "there is a stat of this name already"),
        (TWICE.replace("TWICE", "Twice"), "its name must be upper-case letters"),
    ],
)
def test_what_is_wrong_with_a_module_is_told_and_nothing_is_registered(
    tmp_path: Path, text: str, reason: str
) -> None:
    before = [definition.name for definition in registry.default_registry()]
    reference = written(tmp_path, text)
    for _ in range(2):
        with pytest.raises(ModuleFailed) as caught:
            load([reference])
        assert str(caught.value).startswith(f"Stats module {reference!r}: ")
        assert reason in str(caught.value)
        if "registers no stat" in reason:
            break
    assert [definition.name for definition in registry.default_registry()] == before


def test_a_module_that_fails_half_way_registers_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModuleFailed, match="line 9: NameError"):
        load([written(tmp_path, TWICE.replace("FACTOR", "2.0") + "\nmore\n")])
    with pytest.raises(UnknownStat):
        plan(["TWICE"], history=None)


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModuleFailed, match="there is no file"):
        load([str(tmp_path / "nowhere.py")])
    with pytest.raises(ModuleFailed, match="there is no module 'nowhere_at_all' on Python's path"):
        load(["nowhere_at_all.stats"])


def test_a_step_that_does_not_compile_is_told_with_its_file(tmp_path: Path) -> None:
    reference = written(tmp_path, TWICE.replace("FACTOR", "'two'"))
    load([reference])
    with pytest.raises(DefinitionError, match=r"its kernel \(.*mine\.py\) does not compile: .*"):
        compute(["TWICE"], {"close": [1.0]})


def test_a_helper_of_the_same_file_is_compiled_in(tmp_path: Path) -> None:
    text = """
from indicators import helper, register, stat

@helper
def half(x):
    return x / 2.0

@helper
def quarter(x):
    return half(half(x))

def step(F, I, i, age, cols, par):
    F[cols[1], i] = quarter(F[cols[0], i])

register(stat("QUARTER", version=1, meaning="a quarter", source="a test")(step))
"""
    load([written(tmp_path, text)])
    assert compute(["QUARTER"], {"close": [4.0]})["QUARTER"].tolist() == [1.0]
