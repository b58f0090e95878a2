"""The metrics file: its format is read by Prometheus' own parser, its numbers are the store's."""

from __future__ import annotations

import logging
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import ringbuf
from monitor import metrics, service
from monitor.book import COUNTERS, STATUSES, TROUBLED
from monitor.errors import SettingsError
from monitor.exchange import ExchangeConfig, Market, Running, serve
from monitor.metrics import FAMILIES, Exporter, exposition, ready
from monitor.settings import Settings
from ringbuf import layout
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

PATIENCE_S = 120
NOW_S = 1_800_000_000.0
MARKETS = ("btcusd_perp", 'odd"name\\of\na market')


def health(**changed: Any) -> dict[str, Any]:
    market = {
        "coin": "BTC",
        "status": "live",
        "newest": "2027-01-15T07:59:00.000Z",
        "confirmed": None,
        "age_s": 1.5,
    }
    return {
        "name": "store_of_mine",
        "status": "live",
        "writer": {"pid": 7, "software": "market-monitor 0", "started": "2027-01-15T00:00:00.000Z"},
        "heartbeat_age_s": 0.25,
        "source": {"network": "mainnet"},
        "counters": {name: 1_000 + k for k, name in enumerate(COUNTERS)},
        "markets": {
            MARKETS[0]: market,
            MARKETS[1]: {**market, "status": "stale", "newest": None, "age_s": float("nan")},
        },
    } | changed


def families(text: str) -> dict[str, Metric]:
    """By name, as Prometheus understands them; every line must be one that it understands."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of that name and those labels beside the store's."""
    found = [
        sample.value
        for family in families(text).values()
        for sample in family.samples
        if sample.name == f"market_monitor_{name}" and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def shown(**changed: Any) -> str:
    return exposition(health(**changed), 12_345, (10, 20), NOW_S)


# -- the text --------------------------------------------------------------------------------------


def test_prometheus_reads_every_family_with_its_type_and_its_help() -> None:
    read = families(shown())
    assert {(f.name.removesuffix("_total"), f.kind, f.help) for f in FAMILIES} == {
        (f.name, f.type, f.documentation) for f in read.values()
    }


def test_every_line_names_its_store_for_two_services_may_write_into_one_folder() -> None:
    samples = [sample for family in families(shown()).values() for sample in family.samples]
    assert {sample.labels["store"] for sample in samples} == {"store_of_mine"}
    identities = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
    assert len(set(identities)) == len(identities)


def test_every_counter_of_the_store_is_there_with_its_number() -> None:
    text = shown()
    for name, number in health()["counters"].items():
        if name.endswith("_ms"):
            assert value(text, f"{name[:-3]}_seconds") == number / 1_000
        else:
            read = families(text)[f"market_monitor_{name}"]
            assert [sample.value for sample in read.samples] == [number]


def test_a_counter_that_the_store_does_not_have_is_left_out() -> None:
    without = {name: 1 for name in COUNTERS if name != "stalls"}
    read = families(shown(counters=without))
    assert read["market_monitor_stalls"].samples == []


def test_ages_are_told_as_moments() -> None:
    text = shown()
    assert value(text, "heartbeat_timestamp_seconds") == NOW_S - 0.25
    assert value(text, "market_heard_timestamp_seconds", market=MARKETS[0]) == NOW_S - 1.5
    assert value(text, "market_newest_timestamp_seconds", market=MARKETS[0]) == NOW_S - 60
    assert value(text, "start_timestamp_seconds") == NOW_S - 8 * 3_600


def test_what_is_not_known_of_a_market_is_not_told_of_it() -> None:
    read = families(shown())
    for name in ("heard", "newest"):
        samples = read[f"market_monitor_market_{name}_timestamp_seconds"].samples
        assert [sample.labels["market"] for sample in samples] == [MARKETS[0]]
    assert read["market_monitor_market_confirmed_timestamp_seconds"].samples == []


def test_names_survive_whatever_is_in_them() -> None:
    assert value(shown(), "market_status", market=MARKETS[1], status="stale") == 1


@pytest.mark.parametrize("status", [*STATUSES, "stopped", "down"])
def test_a_market_is_up_to_date_unless_troubled_or_gone(status: str) -> None:
    one = {"btcusd_perp": {**health()["markets"][MARKETS[0]], "status": status}}
    text = shown(markets=one)
    expected = status not in {*TROUBLED, "stopped", "down"}
    assert value(text, "market_up_to_date", market="btcusd_perp") == expected
    assert value(text, "markets", status=status) == 1


@pytest.mark.parametrize("condition", metrics.CONDITIONS)
def test_a_condition_is_one_of_all_and_up_unless_it_has_ended(condition: str) -> None:
    text = shown(status=condition)
    assert value(text, "up") == (condition in {"live", "degraded", "starting"})
    for each in metrics.CONDITIONS:
        assert value(text, "condition", condition=each) == (each == condition)


def test_a_market_takes_five_lines_at_most() -> None:
    full = {**health()["markets"][MARKETS[0]], "confirmed": "2027-01-15T07:58:00.000Z"}

    def lines(count: int) -> int:
        return shown(markets={f"m{k}": full for k in range(count)}).count("\n")

    assert lines(600) - lines(0) == 5 * 600


# -- the file --------------------------------------------------------------------------------------


@pytest.fixture
def writer(segment_name: str) -> Iterator[Writer]:
    """A store of this process, as the service makes it."""
    spec = StoreSpec(
        name=segment_name,
        series=(Series("btcusd_perp", "BTC"),),
        columns=(Column("time", "M", "ms", ""), Column("close", "f", "", "")),
        history=4,
        interval_ms=60_000,
        lookback=0,
        source={"network": "embedded"},
        software="test",
        counters=COUNTERS,
        statuses=STATUSES,
        troubled=TROUBLED,
    )
    with create(spec) as made:
        made.set_state(layout.RUNNING)
        made.heartbeat()
        yield made


def test_the_file_appears_whole_and_everybody_may_read_it(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    before = os.umask(0o077)
    try:
        Exporter(path, writer.spec.name).write()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["m.prom"]
    text = path.read_text("utf-8")
    assert value(text, "store_bytes") == writer.geometry.size
    assert abs(value(text, "heartbeat_timestamp_seconds") - time.time()) < PATIENCE_S


def test_who_has_the_old_file_open_reads_it_to_its_end(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    exporter = Exporter(path, writer.spec.name)
    exporter.write()
    with path.open(encoding="utf-8") as old:
        begun = old.read(10)
        writer.counters[0] = 77
        exporter.write()
        rest = begun + old.read()
    assert value(rest, "frames_total") == 0
    assert value(path.read_text("utf-8"), "frames_total") == 77


def test_a_store_of_another_process_is_not_told_about(writer: Writer, tmp_path: Path) -> None:
    writer.header["writer_pid"] = os.getppid()
    exporter = Exporter(tmp_path / "m.prom", writer.spec.name)
    exporter.write()
    exporter.close()
    assert list(tmp_path.iterdir()) == []


def test_an_end_without_a_beginning_says_nothing(segment_name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    path.write_text("of another service")
    exporter = Exporter(path, segment_name)
    exporter.write()
    exporter.close()
    assert path.read_text() == "of another service"


def test_a_write_that_fails_is_said_once_and_leaves_what_was_there(
    writer: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gone" / "m.prom"
    path.parent.mkdir()
    exporter = Exporter(path, writer.spec.name)
    exporter.write()
    path.unlink()
    path.parent.rmdir()
    for _ in range(3):
        exporter.write()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "metrics cannot be written" in said[0]
    assert str(path.parent) in said[0]
    path.parent.mkdir()
    exporter.write()
    assert value(path.read_text("utf-8"), "up") == 1


def test_what_stands_in_the_way_of_the_new_file_is_taken_off(
    writer: Writer, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (tmp_path / ".m.prom.tmp").symlink_to(elsewhere)
    Exporter(tmp_path / "m.prom", writer.spec.name).write()
    assert elsewhere.read_text() == "precious"
    assert value((tmp_path / "m.prom").read_text("utf-8"), "up") == 1


# -- before the start ------------------------------------------------------------------------------


def test_a_path_that_can_be_written_is_ready_and_left_as_it_was(tmp_path: Path) -> None:
    ready(None)
    ready(tmp_path / "m.prom")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["nowhere/m.prom", "m.txt", "folder.prom", "file/m.prom"])
def test_a_path_that_cannot_be_is_named_with_what_to_do(path: str, tmp_path: Path) -> None:
    (tmp_path / "folder.prom").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as wrong:
        ready(tmp_path / path)
    said = str(wrong.value)
    assert said.startswith("MONITOR_METRICS_FILE: found ")
    assert str(tmp_path / path) in said
    assert "expected a file" in said


# -- the service -----------------------------------------------------------------------------------

BUSY = ExchangeConfig(markets=(Market("BTC", "perp", 90.0, 85_800.0, 5),), rate=20.0)


def settings_of(running: Running, segment: str, path: Path) -> Settings:
    return Settings(
        segment=segment,
        markets=("BTC",),
        history=30,
        metrics_file=path,
        ws_url=running.ws_url,
        api_url=running.api_url,
    )


def serving(segment: str, path: Path) -> str:
    """Run a service until it says that its market is live; the file as it was then."""
    seen: list[str] = []

    def live() -> bool:
        text = path.read_text("utf-8") if path.is_file() else ""
        if 'condition="live"} 1' in text and value(text, "rest_requests_total") > 0:
            seen.append(text)
        return bool(seen)

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(BUSY) as running, anyio.create_task_group() as tasks:
                tasks.start_soon(service.run, settings_of(running, segment, path))
                while not live():  # noqa: ASYNC110 - what is waited for comes through a file
                    await anyio.sleep(0.02)
                os.kill(os.getpid(), signal.SIGTERM)

    anyio.run(main)
    return seen[0]


def test_a_service_tells_while_it_lives_and_that_it_has_stopped(
    segment_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(metrics, "EVERY_S", 0.05)
    path = tmp_path / "m.prom"
    text = serving(segment_name, path)
    assert value(text, "condition", condition="live") == 1
    assert value(text, "rest_requests_total") > 0
    after = path.read_text("utf-8")
    assert value(after, "up") == 0
    assert value(after, "condition", condition="stopped") == 1
    assert value(after, "market_up_to_date", market="btcusd_perp") == 0
    assert value(after, "rest_requests_total") >= value(text, "rest_requests_total")
    with ringbuf.attach(segment_name) as store:
        assert value(after, "frames_total") == store.health()["counters"]["frames"]
    assert [each.name for each in tmp_path.iterdir()] == ["m.prom"]


def test_a_service_does_not_begin_with_a_folder_that_is_not_there(
    segment_name: str, tmp_path: Path
) -> None:
    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with serve(BUSY) as running:
                path = tmp_path / "nowhere" / "m.prom"
                await service.run(settings_of(running, segment_name, path))

    with pytest.raises(SettingsError, match="MONITOR_METRICS_FILE"):
        anyio.run(main)
