"""What `check` says before anything runs, against an embedded exchange in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from monitor import checking
from monitor.checking import within_subscriptions
from monitor.errors import MonitorError, RestError, SettingsError
from monitor.exchange import ExchangeConfig, Running, serve
from monitor.markets import Market
from monitor.settings import Settings

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def checked(
    config: ExchangeConfig | None = None,
    change: Callable[[Running], None] = lambda _: None,
    **settings: Any,
) -> None:
    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(config) as running:
                change(running)
                urls = {"ws_url": running.ws_url, "api_url": running.api_url}
                await checking.run(Settings.load(**(urls | settings)))

    anyio.run(main)


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    lines = capsys.readouterr().out.splitlines()
    return {line[:12].strip(): line[12:] for line in lines if line[:12].strip()}


def test_it_says_what_would_run_and_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    checked(markets=("BTC", "spot"), stats=("EMA", "RSI5"), history=300, segment="x")
    said = report(capsys)
    assert said["exchange"].startswith("embedded, ws://127.0.0.1:")
    assert said["markets"] == "6: btcusd_perp, purrusdc, hypeusdc, ubtcusdc, tiltusdc, lorausdc"
    assert said["sockets"] == "2, 6 of 6 markets on two of them"
    assert said["stats"] == "EMA20, RSI5"
    assert said["history"].startswith("300 candles, ")
    assert said["segment"] == "x, mode 0600"
    assert " MiB of /dev/shm, which has " in said["memory"]
    assert said["first fill"].startswith("about ")
    assert said["archive"] == "off"
    assert said["metrics"] == "off"


def test_it_says_what_is_written_to_disk_and_keeps_the_lines_of_memory_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    checked(archive=tmp_path / "candles", metrics_file=tmp_path / "m.prom", segment="x")
    lines = capsys.readouterr().out.splitlines()
    (memory,) = (number for number, line in enumerate(lines) if line.startswith("memory"))
    assert lines[memory + 1].startswith("            a change of markets, ")
    assert lines[memory + 2].startswith("            in Docker: SHM_SIZE=")
    assert f"archive     {tmp_path}/candles" in lines
    assert f"metrics     {tmp_path}/m.prom" in lines


def test_what_is_hardly_meant_so_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITOR_HISTROY", "5")
    checked()
    assert "MONITOR_HISTROY" in report(capsys)["warning"]


def test_many_markets_are_not_all_listed(capsys: pytest.CaptureFixture[str]) -> None:
    checked(ExchangeConfig(markets=40), markets=("perps", "spot"))
    said = report(capsys)["markets"]
    assert said.count(",") == 9
    assert said.endswith(" more")


def test_every_problem_that_can_be_found_is_told_in_a_line_of_its_own() -> None:
    with pytest.raises(MonitorError) as caught:
        checked(markets=("BCT", "MATIC"), stats=("ATRR14",))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "ATRR14" in lines[0]
    assert "'BCT'" in lines[1]
    assert "nearest: " in lines[1]
    assert "delisted" in lines[2]


def test_too_little_shared_memory_is_a_problem_that_says_how_much_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ringbuf.segment.free_space", lambda: (2**20, 64 * 2**20))
    with pytest.raises(SettingsError, match=r"shared memory: found 1\.0 MiB free") as caught:
        checked(history=100_000)
    assert "--shm-size=" in str(caught.value)
    assert "memory" in report(capsys)


def test_an_exchange_that_does_not_answer_is_an_error_that_names_it() -> None:
    async def main() -> None:
        await checking.run(Settings(ws_url="ws://127.0.0.1:1/ws", api_url="http://127.0.0.1:1"))

    with pytest.raises(RestError, match=r"exchangeStatus at http://127\.0\.0\.1:1/info"):
        anyio.run(main)


def test_more_markets_than_subscriptions_allow_are_refused_before_they_starve() -> None:
    def markets(count: int) -> list[Market]:
        return [Market(f"m{k}", f"M{k}", "perp", "", False, 2, k) for k in range(count)]

    settings = Settings(subscriptions=201)
    within_subscriptions(settings, markets(200))
    with pytest.raises(
        SettingsError, match="MONITOR_SUBSCRIPTIONS: found 201, expected at least 203 for 201"
    ):
        within_subscriptions(settings, markets(201))
    gone = Market("gone", "GONE", "perp", "", True, 2, 0)
    within_subscriptions(settings, [*markets(200), gone])
