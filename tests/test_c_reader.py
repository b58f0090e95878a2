"""A reader in another language, from the specification alone: `c_reader/reader.c`.

Where there is no C compiler, only its text is looked at.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringbuf import kernels, layout
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "c_reader" / "reader.c"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
MINUTE = 29_000_000
PRICES = ("open", "high", "low", "close", "volume")
COLUMNS = (
    Column("time", "M"),
    *map(Column, PRICES),
    Column("trades", "i"),
    Column("flags", "i"),
    Column("ATR14"),
    Column("_hidden"),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program; nothing where there is no compiler."""
    program = tmp_path_factory.mktemp("c") / "reader"
    if COMPILER is not None:
        strict = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([COMPILER, *strict, "-o", str(program), str(SOURCE)], check=True)
    return program


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    series = (Series("btcusd_perp", "BTC"), Series("ethusd_perp", "ETH"), Series("none", "@1"))
    source = {"network": "testnet"}
    with create(StoreSpec(segment_name, series, COLUMNS, 60, 60_000, source=source)) as writer:
        writer.set_state(layout.RUNNING)
        yield writer


def fill(writer: Writer) -> None:
    for market, price in enumerate((85_827.5, 0.1 + 0.2)):
        for k in range(90):
            values = dict.fromkeys(PRICES, price * (1 + k / 7))
            if k:
                values["ATR14"] = price / 3
            writer.put(market, MINUTE + k, {**values, "trades": k, "flags": 6})
    writer.publish()


def ran(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def rows(program: Path, name: str) -> dict[str, dict[str, float]]:
    done = ran(program, name)
    assert (done.returncode, done.stderr) == (0, "")
    found = {}
    for line in done.stdout.splitlines():
        market, *cells = line.split("\t")
        pairs = (cell.split("=") for cell in cells)
        found[market] = {key: float(value) for key, value in pairs}
    return found


def test_its_header_is_the_specifications() -> None:
    """The names and sizes of its struct are those of the layout, in order."""
    struct = re.search(r"struct header \{(.*?)\};", SOURCE.read_text(), re.DOTALL)
    assert struct is not None
    sizes = {"char": 8, "uint32_t": 4, "uint16_t": 2, "int64_t": 8}
    found = []
    for kind, names in re.findall(r"(\w+) ([^;]+);", struct[1]):
        found += [(name.split("[")[0], sizes[kind]) for name in names.split(", ")]
    fields: Any = layout.HEADER_DTYPE.fields
    fixed = list(fields)[: list(fields).index("_fixed")]
    assert found == [(name, fields[name][0].itemsize) for name in fixed]


def test_its_words_and_tables_are_the_specifications() -> None:
    text = SOURCE.read_text()
    words = re.search(r"enum \{ (.*) \};", text)
    assert words is not None
    place = 0
    for word in words[1].split(", "):
        name, _, explicit = word.partition(" = ")
        place = int(explicit) if explicit else place
        assert WORD[name.lower()] == place
        place += 1
    for struct, dtype in (("column", layout.COLUMN_DTYPE), ("series", layout.SERIES_DTYPE)):
        body = re.search(rf"struct {struct} \{{ char (.*); \}};", text)
        assert body is not None
        expected = ", ".join(f"{name}[{dtype[name].itemsize}]" for name in dtype.names or ())
        assert body[1] == expected
    assert f"0x{layout.READY:X}" in text


def test_it_prints_the_rows_that_read_py_prints(made: Writer, built: Path) -> None:
    fill(made)
    if COMPILER is None:
        return
    done = subprocess.run(
        [sys.executable, "read.py", "--segment", made.spec.name, "--format", "json"],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {row["market"]: row for row in json.loads(done.stdout)}
    theirs = rows(built, made.spec.name)
    assert list(theirs) == list(ours) == ["btcusd_perp", "ethusd_perp", "none"]
    for market in ("btcusd_perp", "ethusd_perp"):
        assert theirs[market].keys() == {column.name for column in COLUMNS if column.public}
        for name in (*PRICES, "trades", "ATR14"):
            assert theirs[market][name] == ours[market][name]
        assert theirs[market]["time"] == (MINUTE + 89) * 60_000
        assert theirs[market]["flags"] == 6
    assert theirs["none"]["time"] == layout.EMPTY_TIME
    assert math.isnan(theirs["none"]["close"])


def test_it_settles_for_what_a_death_in_mid_write_left_intact(made: Writer, built: Path) -> None:
    fill(made)
    kernels.begin(made.controls[0], MINUTE + 89)
    made.floats[0, 4, :] = -1.0
    made.floats[0, 4, (MINUTE + 88) % made.geometry.capacity + made.geometry.capacity] = 7.0
    made.disown()
    if COMPILER is not None:
        found = rows(built, made.spec.name)
        assert found["btcusd_perp"]["time"] == (MINUTE + 88) * 60_000
        assert found["btcusd_perp"]["close"] == 7.0
        assert found["ethusd_perp"]["time"] == (MINUTE + 89) * 60_000


def test_it_never_prints_a_mixture_of_two_states(made: Writer, built: Path) -> None:
    fill(made)
    stop = threading.Event()

    def write() -> None:
        value = 0
        while not stop.is_set():
            value += 1
            made.put(0, MINUTE + 89, dict.fromkeys(PRICES, float(value)))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(50 if COMPILER else 0):
            found = rows(built, made.spec.name)["btcusd_perp"]
            assert len({found[name] for name in PRICES}) == 1
    finally:
        stop.set()
        thread.join()


def test_it_refuses_what_the_specification_tells_it_to(made: Writer, built: Path) -> None:
    if COMPILER is None:
        return
    name = made.spec.name
    assert ran(built).returncode == 2
    assert ran(built, "mmtest_nobody_has_this").returncode == 3
    made.header["major"] = 2
    done = ran(built, name)
    assert (done.returncode, done.stderr) == (3, "reader: found layout version 2, expected 1\n")
    made.header["major"] = layout.MAJOR
    made.header["ready"] = 0
    assert "still being made" in ran(built, name).stderr
    made.header["ready"] = layout.READY
    made.header["size"] *= 2
    assert "truncated" in ran(built, name).stderr
    made.header["magic"] = b"x"
    assert "no store" in ran(built, name).stderr
