"""`python -m monitor stats` says what is declared, of our stats and of a user's; compiles none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from indicators import Registry, default_registry
from monitor import explain
from monitor.cli import main

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of this machine; what is registered is gone after the test."""
    for name in [name for name in os.environ if name.upper().startswith("MONITOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    mine = Registry(default_registry())
    for module in ("indicators.registry", "indicators.loading", "indicators.planning"):
        monkeypatch.setattr(sys.modules[module], "default_registry", lambda: mine)
    monkeypatch.setattr(explain, "default_registry", lambda: mine)
    yield
    for name, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["stats", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("width", [80, 100, 160])
def test_on_a_terminal_nothing_is_wider_than_it(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [definition.name for definition in default_registry()]
    explain.overview(width)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    for definition in default_registry():
        words = definition.meaning.split()
        at = text.index(f"\n{definition.name} ")
        assert all(word in text[at:] for word in words)
    explain.explain(names, width)
    lines = [line for line in capsys.readouterr().out.splitlines() if len(line) > width]
    assert not [line for line in lines if len(line.split()) > 2], lines


def test_every_stat_has_its_line() -> None:
    lines = said().splitlines()
    assert lines[0].split() == ["stat", "parameters", "columns", "warm-up", "meaning"]
    listed = {line.split()[0]: line for line in lines[1:-2]}
    assert list(listed) == [definition.name for definition in default_registry()]
    for definition in default_registry():
        assert listed[definition.name].endswith(definition.meaning)
    assert "n=14" in listed["RSI"]
    assert " ADX ADXp ADXm " in listed["ADX"]


def test_one_stat_is_explained_with_its_own_parameters() -> None:
    facts = dict(line.split(maxsplit=1) for line in said("RSI5").splitlines())
    assert facts == {
        "RSI": "relative strength index: share of rises in the average change, 0 to 100",
        "source": "TA-Lib RSI (Wilder 1978); a window without change is 50, not TA-Lib's 0",
        "parameter": "n: whole number from 1 to 100000, usually n=14",
        "inputs": "close; another one in place of close by a suffix: _hlc3",
        "column": "RSI5, 0..100",
        "bounds": "0 to 100",
        "warm-up": "5 rows are NaN",
        "settling": "93 rows more until where the history begins makes no difference",
        "reads": "5 rows back",
        "keeps": "_RSI5_gain, _RSI5_loss",
        "definition": "RSI/3 n=5 input=close",
        "examples": "RSI5, RSI14, RSI, RSI14_hlc3",
    }


def test_several_are_explained_one_after_the_other() -> None:
    text = said("STOCH", "OBV")
    assert "column      STOCHk14_3_3, 0..100\ncolumn      STOCHd14_3_3, 0..100\n" in text
    assert "\n\nOBV         on-balance volume" in text


def test_every_stat_can_be_explained_and_every_example_asked_for() -> None:
    for definition in default_registry():
        examples = said(definition.name).splitlines()[-1].removeprefix("examples").split(", ")
        for example in examples:
            assert default_registry().resolve(example.strip()).definition is definition


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    result = CliRunner().invoke(main, ["stats", "ADXX"])
    assert result.exit_code == 2
    assert result.output.startswith(
        "market-monitor: Stat 'ADXX': there is no ADXX; did you mean ADX14"
    )


def test_a_users_stat_is_listed_and_explained_like_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from indicators import register, stat\n"
        "def step(F, I, i, age, cols, par):\n"
        "    F[cols[1], i] = F[cols[0], i]\n"
        "register(stat('MINE', version=1, meaning='my own', source='me')(step))\n"
    )
    monkeypatch.setenv("MONITOR_STATS_MODULES", "mine.py")
    assert "\nMINE " in said()
    assert said("MINE").startswith("MINE        my own\nsource      me\n")


def test_a_module_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_STATS_MODULES", "nowhere.py")
    result = CliRunner().invoke(main, ["stats"])
    assert result.exit_code == 2
    assert result.output.startswith("market-monitor: Stats module 'nowhere.py': there is no file ")
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("arguments", [(), ("RSI",)])
def test_nothing_heavy_is_loaded(arguments: tuple[str, ...]) -> None:
    code = "import sys; from monitor.cli import main; main(sys.argv[1:], standalone_mode=False);"
    code += "sys.exit(bool({'numba', 'aiohttp', 'anyio', 'websockets'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, "stats", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
