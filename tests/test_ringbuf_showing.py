"""Stores and series in a notebook: a readable table, whatever the store says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

import ringbuf
from reader_kit import COLUMNS, row, spec
from ringbuf import layout
from ringbuf.showing import MARKETS, _number
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

FIRST = 29_922_480  # 2026-11-22 12:00


@pytest.fixture
def made(segment_name: str) -> Iterator[Writer]:
    with create(spec(segment_name, 20)) as writer:
        writer.set_state(layout.RUNNING)
        for k in range(12):
            writer.put(0, FIRST + k, row(87_150 + k))
        writer.controls[0][layout.WORD["status"]] = 1
        yield writer


@pytest.fixture
def store(made: Writer) -> Iterator[ringbuf.Store]:
    with ringbuf.attach(made.spec.name) as attached:
        yield attached


def table(html: str) -> list[list[str]]:
    """The texts of the table's cells; that it can be parsed at all says that nothing is open."""
    return [
        ["".join(cell.itertext()).strip() for cell in line]
        for line in ET.fromstring(html).iter("tr")
    ]


def text(html: str) -> str:
    return re.sub(r"\s+", " ", "".join(ET.fromstring(html).itertext()))


def test_a_store_is_a_row_a_market(store: ringbuf.Store) -> None:
    html = store._repr_html_()
    head, bitcoin, ether = table(html)
    assert head == ["market", "status", "age", "UTC", *store.columns[1:]]
    assert bitcoin[:5] == ["btcusd_perp", "● live", "–", "2026-11-22 12:11", "87,161"]
    assert ether == ["ethusd_perp", "● syncing", *["–"] * 7, "0"]
    assert f"{store.name} · ● live · 2 markets · 7 columns · up to 20 rows" in text(html)
    assert "network test" in text(html)


def test_a_series_is_its_newest_rows_oldest_first(store: ringbuf.Store) -> None:
    html = store["BTC"]._repr_html_()
    head, *rows = table(html)
    assert head == ["UTC", *store.columns[1:]]
    assert [line[0] for line in rows] == [f"2026-11-22 12:{k:02}" for k in range(4, 12)]
    assert [line[4] for line in rows] == [f"{87_150 + k:,}" for k in range(4, 12)]
    assert "btcusd_perp (BTC) · ● live · 12 rows · the newest 8" in text(html)
    assert "no rows yet" in text(store["ETH"]._repr_html_())


def test_what_the_store_says_is_escaped(segment_name: str) -> None:
    evil = "<script>alert('x')</script>&"
    with create(
        StoreSpec(
            segment_name,
            (Series(evil, f"{evil}2"),),
            (Column("time", "M"), Column(evil)),
            5,
            60_000,
            source={evil: evil, "url": "ws://host"},
            statuses=(evil,),
        )
    ) as writer:
        writer.put(0, FIRST, {evil: 1.0})
        with ringbuf.attach(segment_name) as store:
            for html in (store._repr_html_(), store[evil]._repr_html_()):
                assert "<script" not in html
                assert "alert(&#x27;x&#x27;)" in html
                assert evil in text(html)
                assert "://" not in html


def test_many_markets_are_cut_and_counted(segment_name: str) -> None:
    series = tuple(Series(f"m{k:03}") for k in range(MARKETS + 7))
    with (
        create(StoreSpec(segment_name, series, COLUMNS, 5, 60_000)),
        ringbuf.attach(segment_name) as store,
    ):
        assert len(table(store._repr_html_())) == 1 + MARKETS
        assert "… and 7 more markets" in text(store._repr_html_())


def test_a_store_that_ended_is_shown_as_well(made: Writer) -> None:
    store = ringbuf.attach(made.spec.name)
    made.close()
    assert "● stopped" in text(store._repr_html_())
    store.close()
    assert "● closed" in text(store["BTC"]._repr_html_())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (87_150.25, "87,150.2"),
        (999_999.9, "1,000,000"),
        (123_456_789.0, "123,456,789"),
        (3_091.3, "3,091.3"),
        (-0.0543, "-0.0543"),
        (0.00001234567, "0.0000123457"),
        (1e-12, "1e-12"),
        (1e16, "1e+16"),
        (float("nan"), "–"),
        (float("inf"), "inf"),
        (1_234, "1,234"),
    ],
)
def test_numbers_have_six_digits_and_read_as_prices(value: float, shown: str) -> None:
    assert _number(value) == shown
