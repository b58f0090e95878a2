"""The house rules that no linter knows: packaging, rooms, and what importing costs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("indicators", "monitor", "reading", "ringbuf")
MODULES = sorted(
    [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")] + [ROOT / "read.py"]
)

# What is not on a reader's machine, or is not worth its start-up time.
HEAVY = {
    "aiohttp",
    "anyio",
    "llvmlite",
    "msgspec",
    "numba",
    "pandas",
    "polars",
    "pyarrow",
    "pydantic",
}

# tomllib is in the standard library from 3.11 on; what imports it must not depend on who checks.
STANDARD = sys.stdlib_module_names | {"tomllib"}

# Not declared, because a declared dependency is made of them: pydantic and pydantic-settings.
COMPANIONS = {"dotenv", "pydantic_core"}

# The outside libraries of each room; the longest prefix of a module's name counts.
ROOMS: dict[str, set[str]] = {
    "ringbuf": {"numpy"},
    "ringbuf.frames": {"numpy", "pandas", "polars", "pyarrow"},
    "ringbuf.kernels": {"numpy", "numba", "llvmlite"},
    "ringbuf.writer": {"numpy", "numba", "ringbuf"},
    "indicators": {"numpy", "numba", "llvmlite"},
    "monitor.archive": {"anyio", "indicators", "monitor", "numpy", "pyarrow", "ringbuf"},
    "monitor.exchange": {"aiohttp", "anyio", "msgspec", "numpy"},
    "read": {"click", "reading", "ringbuf"},
    "reading": {"click", "numpy", "ringbuf"},
    "reading.picture": {"click", "matplotlib", "numpy", "ringbuf"},
}


def dotted(path: Path) -> str:
    """The module's name: ringbuf/reader.py is ringbuf.reader, ringbuf/__init__.py is ringbuf."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Absolute names of all that a module imports, wherever in its text."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            yield ".".join((*base, node.module) if node.module else base)


def room_of(module: str) -> str | None:
    """The entry of ROOMS that holds for `module`."""
    fitting = [room for room in ROOMS if module == room or module.startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def declared() -> set[str]:
    """Import names of what pyproject.toml declares (their names, with _ for -) and of our rooms."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w.-]", line)[0] for line in project["dependencies"]}
    return {name.replace("-", "_") for name in names} | set(PACKAGES)


def loaded_by(*arguments: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = re.findall(r"^import time:.*\| *([\w.]+)$", done.stderr, flags=re.MULTILINE)
    return {name.partition(".")[0] for name in names}


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_packages_that_ship_are_those_on_disk(pyproject: dict[str, Any]) -> None:
    on_disk = {
        dotted(path)
        for top in ROOT.glob("*/__init__.py")
        if top.parent.name not in {"benchmarks", "build", "tests"}
        for path in top.parent.rglob("__init__.py")
    }
    assert sorted(on_disk) == pyproject["tool"]["setuptools"]["packages"]


def test_the_image_is_made_of_all_that_ships(pyproject: dict[str, Any]) -> None:
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    shipped = pyproject["tool"]["setuptools"]
    folders = {package.partition(".")[0] for package in shipped["packages"]}
    files = {f"{module}.py" for module in shipped["py-modules"]}
    assert {f"!{name}" for name in folders | files} <= set(let_through)


def test_the_modules_that_ship_are_those_on_disk(pyproject: dict[str, Any]) -> None:
    on_disk = sorted(path.stem for path in ROOT.glob("*.py"))
    assert on_disk == pyproject["tool"]["setuptools"]["py-modules"]


def test_every_package_says_that_it_is_typed(pyproject: dict[str, Any]) -> None:
    packages = pyproject["tool"]["setuptools"]["packages"]
    folders = [ROOT.joinpath(*package.split(".")) for package in packages]
    assert [folder.name for folder in folders if not (folder / "py.typed").is_file()] == []


def test_every_script_has_its_function(pyproject: dict[str, Any]) -> None:
    for target in pyproject["project"]["scripts"].values():
        module, _, function = target.partition(":")
        tree = ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_changelog_opens_with_the_version_that_ships(pyproject: dict[str, Any]) -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == pyproject["project"]["version"]


def test_the_image_has_the_version_that_ships(pyproject: dict[str, Any]) -> None:
    compose = (ROOT / "compose.yaml").read_text("utf-8")
    assert f"image: market-monitor:{pyproject['project']['version']}\n" in compose
    assert "container_name: market-monitoring\n" in compose


def test_every_setting_named_for_the_container_exists() -> None:
    from monitor.settings import Settings

    known = {f"MONITOR_{name.upper()}" for name in Settings.model_fields}
    named = re.findall(r"MONITOR_[A-Z_]+", (ROOT / "compose.yaml").read_text("utf-8"))
    assert set(named) - known == set()


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_says_what_it_offers(path: Path) -> None:
    assigned = {
        target.id
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert path.name == "__main__.py" or "__all__" in assigned


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_imports_only_what_its_room_allows(path: Path) -> None:
    module = dotted(path)
    room = room_of(module)
    if room is None:
        allowed = {"monitor", *COMPANIONS, *declared()}
    else:
        # A file sees its own room, of monitor only the part that the room is.
        allowed = ROOMS[room] | {room if room.startswith("monitor.") else room.partition(".")[0]}
    strange = {
        name
        for name in imports(path)
        if name.partition(".")[0] not in STANDARD
        and not any(name == one or name.startswith(f"{one}.") for one in allowed)
    }
    assert strange == set()


def test_importing_the_store_loads_numpy_and_the_standard_library_only() -> None:
    loaded = loaded_by("-c", "import ringbuf")
    assert {"numpy", "ringbuf"} <= loaded
    assert loaded & (HEAVY | {"click", "rich", "indicators", "monitor"}) == set()


def test_the_help_of_read_py_loads_nothing_heavy() -> None:
    loaded = loaded_by("read.py", "--help")
    assert {"click", "ringbuf"} <= loaded
    assert loaded & (HEAVY | {"indicators", "monitor"}) == set()


def test_make_alone_lists_every_verb() -> None:
    # The make that may be running us hands its own flags on.
    inherited = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    done = subprocess.run(
        ["make", "--silent"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in inherited},
        capture_output=True,
        text=True,
        check=True,
    )
    verbs = re.findall(r"^make (\w+)", done.stdout, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    assert sorted(verbs) == sorted(phony[1].split())
    assert {"bench", "clean", "demo", "lint", "run", "test"} <= set(verbs)
