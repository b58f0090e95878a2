"""`read.py --plot`: a chart in the terminal, a picture in a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reading import attach
from reading.candles import plotted
from reading.panes import chart_of
from ringbuf import layout
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 120.0
MINUTE = 29_000_000
STATS = (
    Column("ATR14", unit="price"),
    Column("SMA20", unit="price"),
    Column("MACD12_26_9", unit="price"),
    Column("MACDs12_26_9", unit="price"),
    Column("MACDh12_26_9", unit="price"),
    Column("RSI5", unit="0..100"),
)
COLUMNS = (
    Column("time", "M"),
    *(Column(name) for name in ("open", "high", "low", "close", "volume")),
    *(Column(name, "i") for name in ("trades", "flags")),
    *STATS,
)


@pytest.fixture
def store(segment_name: str) -> Iterator[Writer]:
    """BTC climbs by 1 a minute for 30 minutes, then falls by 2; the other has never traded."""
    series = (Series("btcusd_perp", "BTC"), Series("jeffusdc", "@1"))
    spec = StoreSpec(
        segment_name,
        series,
        COLUMNS,
        120,
        60_000,
        source={"network": "testnet"},
        statuses=("live",),
    )
    with create(spec) as writer:
        for k in range(60):
            start = 1000.0 + k if k < 30 else 1030.0 - 2 * (k - 30)
            end = start + (1 if k < 30 else -2)
            writer.put(
                0,
                MINUTE + k,
                {
                    "open": start,
                    "high": max(start, end) + 0.5,
                    "low": min(start, end) - 0.5,
                    "close": end,
                    "volume": 1.0 + k,
                    "flags": 6,
                    "ATR14": 2.0,
                    "SMA20": start if k > 20 else float("nan"),
                    **{f"MACD{letter}12_26_9": k - 30.0 for letter in ("", "s", "h")},
                    "RSI5": 80.0 if k < 30 else 20.0,
                },
            )
        writer.controls[:, layout.WORD["closed"]] = MINUTE + 59
        writer.set_state(layout.RUNNING)
        writer.publish()
        yield writer


def read(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "read.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "LINES": "40", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def chart(store: Writer, width: int, height: int, *, color: bool = False) -> list[str]:
    with attach(store.spec.name) as found:
        drawn = chart_of(found, "BTC", last=1000)
        return plotted(found, drawn, width=width, height=height, color=color)


def test_stats_share_panes_by_their_scale(store: Writer) -> None:
    with attach(store.spec.name) as found:
        drawn = chart_of(found, "BTC", last=50)
        assert len(drawn.candles) == 50
        assert drawn.over == ["SMA20"]
        # Differences of prices have the unit of a price, and no place among the candles.
        macd = ["MACD12_26_9", "MACDs12_26_9", "MACDh12_26_9"]
        assert drawn.panes == [["ATR14"], macd, ["RSI5"]]
        assert chart_of(found, "BTC", stats=("RSI5",), last=5).panes == [["RSI5"]]


def test_candles_rise_and_fall_where_prices_do(store: Writer) -> None:
    lines = chart(store, 100, 40)
    body = lines[2 : next(k for k, line in enumerate(lines) if line.startswith("── volume"))]
    tops = {
        column: next(
            k for k, line in enumerate(body) if line[column : column + 1] in set("┃╻╽╿█▄╹▀")
        )
        for column in (0, 29, 59)
    }
    assert tops[29] < tops[0] < tops[59]
    # Without colour, falling candles are told by their shape.
    assert {line[5:6] for line in body} & set("┃╽╿╻╹")
    assert {line[50:51] for line in body} & set("█▄▀")
    assert not {line[5:6] for line in body} & set("█▄▀")
    assert "970.0" in "\n".join(lines)
    assert "-3.10% in 60 min" in "\n".join(lines)


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12), (30, 8), (10, 3)])
def test_a_chart_keeps_to_its_window(store: Writer, size: tuple[int, int]) -> None:
    width, height = size
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in chart(store, *size, color=True)]
    assert len(lines) <= max(height, 8)
    assert max(map(len, lines)) <= max(width, 30) + 1
    for name in ("ATR14", "SMA20", "MACDs12_26_9", "RSI5"):
        # Drawn, or said not to be.
        assert name in " ".join(lines) or size[1] < 24


def test_the_command_draws_without_a_terminal(store: Writer) -> None:
    done = read("--segment", store.spec.name, "--plot", "BTC")
    assert (done.returncode, done.stderr) == (0, "")
    assert "── RSI5 20.00" in done.stdout
    assert "\x1b" not in done.stdout
    few = read("--segment", store.spec.name, "--plot", "BTC", "--last", "10", "--stat", "ATR14")
    assert "in 10 min" in few.stdout
    assert "RSI5" not in few.stdout


def test_a_market_without_candles_says_so(store: Writer) -> None:
    done = read("--segment", store.spec.name, "--plot", "jeffusdc")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "No candle yet.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--plot", "btcusd"), "no market named 'btcusd'; nearest: btcusd_perp"),
        (("--plot", "BTC", "--stat", "ATR15"), "no stat named 'ATR15'; nearest: ATR14"),
        (("--plot", "BTC", "--watch"), "--plot draws once"),
        (("--plot", "BTC", "--market", "BTC"), "--plot BTC.png"),
        (("--plot", "btc.jpg"), "a picture's name ends with .png, .svg or .pdf"),
        (("--plot", "x.png"), "name the market of x.png with one --market"),
        (("--plot", "/nowhere/x.png", "--market", "BTC"), "cannot write /nowhere/x.png"),
        (("--plot", "x.png", "--market", "jeffusdc"), "has no candle yet"),
    ],
)
def test_wrong_use_is_one_line(store: Writer, arguments: tuple[str, ...], said: str) -> None:
    done = read("--segment", store.spec.name, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_written(store: Writer, tmp_path: Path, ending: str, begins: bytes) -> None:
    path = tmp_path / f"chart.{ending}"
    done = read("--segment", store.spec.name, "--plot", str(path), "--market", "BTC")
    assert (done.returncode, done.stdout) == (0, f"{path}: 60 candles of btcusd_perp\n")
    assert path.read_bytes().startswith(begins)
    assert path.stat().st_size > 10_000


def test_without_matplotlib_the_extra_is_named(store: Writer, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('none here')\n")
    arguments = ("--segment", store.spec.name, "--plot", "x.png", "--market", "BTC")
    done = read(*arguments, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'market-monitor[plot]'" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--format", "json"), ("--plot", "BTC")])
def test_only_pictures_load_matplotlib_and_only_the_live_view_its_parts(
    store: Writer, arguments: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "read.py"),
            *("--segment", store.spec.name, *arguments),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    loaded = set(re.findall(r"\| *([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert "reading.selection" in loaded
    assert "reading.picture" not in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"matplotlib", "rich", "numba"}
    live = {"reading.board", "reading.terminal", "reading.changes", "reading.sparkline", "termios"}
    assert not loaded & live
    if arguments[:1] != ("--plot",):
        assert not loaded & {"reading.candles", "reading.panes", "reading.plotting"}
