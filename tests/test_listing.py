"""What a service does about the exchange's lists, list by list, without an exchange."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import anyio
import pytest

from engine_kit import make_engine, status
from monitor.clock import ExchangeClock, ManualClock
from monitor.engine import Engine
from monitor.errors import RestError
from monitor.listing import LISTING_MS, Listing
from monitor.markets import Market, Universe
from monitor.rest import InfoClient
from monitor.stalls import Stalls

BTC, ETH, SOL = (
    Market(f"{coin.lower()}usd_perp", coin, "perp", "", False, 2, index)
    for index, coin in enumerate(("BTC", "ETH", "SOL"))
)
HYPE = Market("hypeusdc", "@107", "spot", "", False, 2, 107)
GONE_ETH = replace(ETH, delisted=True)


class Deaf:
    """An exchange that answers no list; ends the loop after some questions."""

    def __init__(self, clock: ManualClock, questions: int) -> None:
        self.clock = clock
        self.asked: list[float] = []
        self.left = questions

    async def universe(self, *, urgent: bool = True) -> Universe:
        assert not urgent, "nobody waits for it"
        self.asked.append(self.clock.now_ms())
        self.left -= 1
        if not self.left:
            raise EOFError
        raise RestError("allPerpMetas", "http://127.0.0.1:1/info", 500, "out of order", 1)


def listing(
    *followed: Market,
    selectors: Sequence[str] = ("perps",),
    clock: ManualClock | None = None,
    client: Deaf | None = None,
) -> tuple[Listing, Engine]:
    engine = make_engine([market.coin for market in followed])
    time = cast(ExchangeClock, clock if clock is not None else ManualClock())
    rest = cast(InfoClient, client)
    stalls = Stalls(engine, rest, time, lambda: None)
    keeper = Listing(
        engine, followed, selectors, rest, time, stalls, lambda: None, rng=random.Random(1)
    )
    return keeper, engine


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


def test_a_delisted_market_is_marked_once_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper, engine = listing(BTC, ETH)
    for _ in range(3):
        keeper.take(Universe([BTC, GONE_ETH]))
    assert status(engine, 1) == "delisted"
    assert status(engine, 0) != "delisted"
    assert said(caplog, "ethusd_perp is delisted") == 1


def test_a_list_without_any_perp_marks_no_perp_and_brings_none_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper, engine = listing(BTC, ETH)
    keeper.take(Universe([BTC, GONE_ETH]))
    for lacking in (Universe([HYPE]), Universe([])):
        keeper.take(lacking)
        assert status(engine, 0) != "delisted"
        assert status(engine, 1) == "delisted"
    assert said(caplog, "traded again") == 0
    keeper.take(Universe([BTC, ETH]))
    assert status(engine, 1) != "delisted"
    assert said(caplog, "traded again") == 1


def test_a_market_is_gone_when_two_lists_in_a_row_lack_it(caplog: pytest.LogCaptureFixture) -> None:
    keeper, engine = listing(BTC, ETH)
    whole, lacking = Universe([BTC, ETH]), Universe([BTC])
    for fresh in (lacking, whole, lacking):
        keeper.take(fresh)
        assert status(engine, 1) != "delisted"
    keeper.take(lacking)
    assert status(engine, 1) == "delisted"
    assert said(caplog, "ethusd_perp is no longer listed") == 1
    keeper.take(whole)
    assert status(engine, 1) != "delisted"


def test_a_market_that_was_delisted_at_the_start_is_said_to_wait_for_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper, engine = listing(BTC, GONE_ETH)
    keeper.take(Universe([BTC, ETH]))
    assert status(engine, 1) != "live"
    assert said(caplog, "is traded again; it is followed from the next start on") == 1


def test_a_new_market_is_offered_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    keeper, engine = listing(BTC)
    for _ in range(3):
        keeper.take(Universe([BTC, SOL]))
    assert engine.book.counters["offered"] == 1
    assert said(caplog, "solusd_perp") == 1
    keeper.take(Universe([BTC, SOL, ETH]))
    assert engine.book.counters["offered"] == 2


def test_a_renamed_market_is_marked_its_successor_offered_each_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pol = replace(ETH, name="polusd_perp", coin="POL")
    keeper, engine = listing(BTC, ETH)
    for _ in range(3):
        keeper.take(Universe([BTC, pol]))
    assert status(engine, 1) == "delisted"
    counters = engine.book.counters
    assert (counters["renamed"], counters["offered"]) == (1, 1)
    assert said(caplog, "is called polusd_perp (POL) at the exchange now") == 1
    assert said(caplog, "ethusd_perp is no longer listed") == 1


def test_lists_that_cannot_be_had_are_counted_and_asked_for_again_at_uneven_intervals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    clock = ManualClock(auto=True)
    deaf = Deaf(clock, questions=8)
    began = clock.now_ms()
    keeper, engine = listing(BTC, clock=clock, client=deaf)
    with pytest.raises(EOFError):
        anyio.run(keeper.watch)
    assert engine.book.counters["rest_errors"] == 7
    assert status(engine) != "delisted"
    times = [began, *deaf.asked]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert all(0.9 * LISTING_MS <= pause <= 1.1 * LISTING_MS for pause in pauses)
    assert len(set(pauses)) == len(pauses)
