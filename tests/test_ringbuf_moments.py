"""Rows by their time, and the newest row of every series at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringbuf
from reader_kit import HISTORY, INTERVAL_MS, PRICES, row, spec
from ringbuf import kernels, layout
from ringbuf.layout import WORD
from ringbuf.moments import milliseconds
from ringbuf.writer import Writer, create

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
NOON_MS = 1_795_348_800_000
FIRST = NOON_MS // INTERVAL_MS


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name)) as writer:
        writer.set_state(layout.RUNNING)
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    """Rows of 12:00 to 12:02; of those only the first is closed."""
    for k in range(3):
        made.put(0, FIRST + k, row(k))
    control = made.controls[0]
    kernels.begin(control, FIRST)
    control[WORD["closed"]] = FIRST
    kernels.commit(control)
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


# -- moments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
        pd.Timestamp(NOON),
        pd.Timestamp("2026-11-22 12:00"),
        np.datetime64("2026-11-22T12:00"),
        np.datetime64(NOON_MS, "ms"),
        np.datetime64(NOON_MS * 1_000_000, "ns"),
        "2026-11-22T12:00:00Z",
        "2026-11-22T12:00z",
        "2026-11-22 12:00",
        "2026-11-22T17:30+05:30",
        NOON_MS,
        np.int64(NOON_MS),
    ],
    ids=repr,
)
def test_a_moment_can_be_written_in_many_ways(moment: Any) -> None:
    assert milliseconds(moment) == NOON_MS


@given(st.datetimes(timezones=st.just(timezone.utc)))
def test_a_datetime_is_rounded_down_exactly(moment: datetime) -> None:
    ms = milliseconds(moment)
    back = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms)
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


@pytest.mark.parametrize("moment", [True, 1.5, None, date(2026, 11, 22), b"2026", []], ids=repr)
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    with pytest.raises(TypeError, match="expected a datetime"):
        milliseconds(moment)


@pytest.mark.parametrize(
    "moment", ["", "noon", "2026-13-01", np.datetime64("NaT", "ms"), pd.NaT, 10**30]
)
def test_what_is_written_wrong_is_refused(moment: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        milliseconds(moment)


# -- rows ----------------------------------------------------------------------------------------


def test_the_row_of_a_minute_is_that_of_any_moment_in_it(store: ringbuf.Store) -> None:
    ring = store["BTC"]
    for moment in ("2026-11-22T12:01Z", "2026-11-22T12:01:59.999Z", NOON + timedelta(seconds=60)):
        found = ring.at(moment)
        assert found == {
            "time": np.datetime64("2026-11-22T12:01", "ms"),
            **dict.fromkeys(PRICES, 1.0),
            "trades": 1,
            "closed": False,
        }
    assert ring.at(NOON)["closed"] is True
    assert ring.at("2026-11-22T12:02Z") == ring.last()
    assert list(ring.at(NOON)) == list(ring.last())


def test_a_row_that_is_not_there_says_what_there_is(store: ringbuf.Store) -> None:
    for moment in ("2026-11-22T11:59:59.999Z", "2026-11-22T12:03Z"):
        with pytest.raises(ringbuf.NoRow) as caught:
            store["BTC"].at(moment)
        assert str(caught.value) == (
            f"btcusd_perp has no row of {moment.replace('03Z', '03:00Z')}: there are those of "
            "2026-11-22T12:00:00Z to 2026-11-22T12:02:00Z"
        )
        assert isinstance(caught.value, LookupError)
        assert (caught.value.oldest_ms, caught.value.newest_ms) == (NOON_MS, NOON_MS + 120_000)
    with pytest.raises(ringbuf.NoRow, match=r"ethusd_perp has no row of .*: it has no rows yet"):
        store["ETH"].at(NOON)


def test_every_row_of_the_history_is_found_wherever_the_ring_is(
    made: Writer, store: ringbuf.Store
) -> None:
    ring = store["BTC"]
    for k in range(3, 150):
        made.put(0, FIRST + k, row(k))
        if k < HISTORY - 1:
            continue
        found = [
            ring.at(NOON + timedelta(minutes=m))["close"] for m in range(k - HISTORY + 1, k + 1)
        ]
        assert found == list(range(k - HISTORY + 1, k + 1))
        for outside in (k - HISTORY, k + 1):
            with pytest.raises(ringbuf.NoRow):
                ring.at(NOON + timedelta(minutes=outside))


def test_since_gives_the_rows_from_that_minute_on(store: ringbuf.Store) -> None:
    ring = store["BTC"]
    assert ring.since("2026-11-22T12:01:30Z")["close"].tolist() == [1.0, 2.0]
    assert ring.since(NOON_MS + 120_000)["close"].tolist() == [2.0]
    assert ring.since("2026-11-22T12:03Z").tolist() == []
    assert ring.since("2000-01-01")["close"].tolist() == [0.0, 1.0, 2.0]
    assert ring.since("2000-01-01", closed=True)["close"].tolist() == [0.0]
    assert ring.since("2026-11-22T12:01Z", closed=True).tolist() == []
    assert ring.since(NOON).dtype == ring.snapshot().dtype
    assert len(store["ETH"].since(0)) == 0


def test_since_the_last_row_seen_misses_none(made: Writer, store: ringbuf.Store) -> None:
    ring = store["BTC"]
    seen = ring.last()["time"]
    for k in range(3, 6):
        made.put(0, FIRST + k, row(k))
    assert ring.since(seen)["close"].tolist() == [2.0, 3.0, 4.0, 5.0]


def test_latest_is_one_row_a_market(store: ringbuf.Store, made: Writer) -> None:
    rows = store.latest()
    assert rows.dtype.names == ("market", *store.columns, "closed")
    assert rows["market"].tolist() == ["btcusd_perp", "ethusd_perp"]
    assert rows["close"][0] == 2.0
    assert rows["trades"].tolist() == [2, 0]
    assert rows["time"][0] == np.datetime64("2026-11-22T12:02")
    assert np.isnat(rows["time"][1])
    assert np.isnan(rows["close"][1])
    assert rows["closed"].tolist() == [False, False]
    assert store.latest(closed=True)["close"][0] == 0.0
    assert store.latest(closed=True)["closed"].tolist() == [True, False]
    made.put(0, FIRST + 2, row(9))
    assert rows["close"][0] == 2.0


def test_rows_in_work_are_left_out(made: Writer, store: ringbuf.Store) -> None:
    """A writer that died in mid-write: the rows before the one it was at are there."""
    kernels.begin(made.controls[0], FIRST + 1)
    made.disown()
    ring = store["BTC"]
    assert ring.at(NOON)["close"] == 0.0
    assert ring.since(0)["close"].tolist() == [0.0]
    assert store.latest()["close"][0] == 0.0
    with pytest.raises(ringbuf.NoRow, match="to 2026-11-22T12:00:00Z"):
        ring.at("2026-11-22T12:01Z")


@pytest.mark.parametrize(
    "moment",
    [
        np.datetime64(2**62, "Y"),
        np.datetime64(10**18, "s"),
        np.datetime64(-(2**61), "D"),
    ],
)
def test_a_time_that_milliseconds_cannot_count_is_refused(
    store: ringbuf.Store, moment: np.datetime64
) -> None:
    """It would wrap round, and one of the far future be of the past."""
    with pytest.raises(ValueError, match="milliseconds cannot count"):
        store["BTC"].since(moment)


def test_seconds_are_not_taken_for_milliseconds(store: ringbuf.Store) -> None:
    with pytest.raises(ValueError, match=r"found 1795348800, .*are these seconds\?"):
        store["BTC"].since(NOON_MS // 1_000)


def test_a_length_of_time_is_no_time(store: ringbuf.Store) -> None:
    with pytest.raises(TypeError, match="expected a datetime"):
        store["BTC"].at(np.timedelta64(1, "m"))  # type: ignore[arg-type]


@pytest.mark.parametrize("last", ["3", 2.0, True, [1]])
def test_what_is_no_number_of_rows_is_named(store: ringbuf.Store, last: Any) -> None:
    ring = store["BTC"]
    for ask in (
        lambda: ring.view("close", last=last),
        lambda: ring.snapshot(last),
        lambda: store.matrix("close", last),
        lambda: ring.resample("5m", last),
    ):
        with pytest.raises(TypeError, match=r"found last=.*expected a number of rows"):
            ask()
    assert ring.snapshot(np.int64(2)).shape == (2,)  # type: ignore[arg-type]
