"""How soon what has gone wrong with a socket or a stream is found."""

from __future__ import annotations

from typing import Any

import pytest

import engine_kit as kit
from monitor.book import INTERVAL_MS
from monitor.clock import ExchangeClock
from monitor.markets import Market
from monitor.rest import InfoClient
from monitor.sockets import Timing
from monitor.stalls import LOOK_S, VOLUMES_LAG_MS, Stalls, places
from monitor.witness import PATIENCE_S

SOON_S = 15.0


def test_a_dead_or_half_open_socket_is_found_within_fifteen_seconds() -> None:
    timing = Timing()
    assert timing.silence + timing.look < SOON_S
    # One pong lost or late is not the end: there is another ping within the time.
    assert 2 * timing.ping < timing.silence


def test_a_silent_stream_is_found_within_fifteen_seconds_of_evidence() -> None:
    assert PATIENCE_S + LOOK_S < SOON_S


def test_a_socket_is_replaced_before_the_exchange_is_said_to_end_it() -> None:
    timing = Timing()
    assert timing.renew + timing.settle + 60.0 < 3 * 3_600


def test_volumes_are_asked_for_once_for_each_dex_and_for_spot() -> None:
    def market(coin: str, kind: str, dex: str) -> Market:
        return Market(coin.lower(), coin, kind, dex, False, 2, 0)

    listed = [
        market("BTC", "perp", ""),
        market("ETH", "perp", ""),
        market("xyz:TSLA", "perp", "xyz"),
        market("@107", "spot", ""),
        market("@1", "spot", ""),
    ]
    assert places(listed) == ["", "xyz", None]


LAG = VOLUMES_LAG_MS
AT = kit.BAR * INTERVAL_MS + LAG
"""When volumes are looked at: a moment after a minute's end."""


class Scales:
    """The day's volumes of one market, minute by minute, and what they prove of it."""

    def __init__(self) -> None:
        self.engine = kit.make_engine(["C0"])
        clock: Any = ExchangeClock()
        client: Any = object.__new__(InfoClient)
        self.stalls = Stalls(self.engine, client, clock, lambda: None)

    def weigh(self, minute: int, base: float, quote: float, late_ms: float = 0.0) -> None:
        asked = AT + minute * INTERVAL_MS
        self.stalls.weighed({"C0": base}, {"C0": quote}, asked, asked + 200.0 + late_ms)

    @property
    def silence(self) -> tuple[int, int] | None:
        found = self.engine.book.ledgers[0].silence
        return None if found is None else (found[0] - kit.BAR, found[1] - kit.BAR)


@pytest.fixture
def scales() -> Scales:
    return Scales()


def test_a_day_s_volume_that_stays_proves_the_whole_minutes_in_between(scales: Scales) -> None:
    scales.weigh(0, 5.0, 500.0)
    scales.weigh(1, 5.0, 500.0)
    assert scales.silence is None, "the first look was after that minute's begin"
    scales.weigh(5, 5.0, 500.0)
    assert scales.silence == (1, 4)


@pytest.mark.parametrize(("base", "quote"), [(6.0, 600.0), (4.0, 400.0), (5.0, 501.0)])
def test_one_that_has_changed_either_way_proves_nothing_up_to_now(
    scales: Scales, base: float, quote: float
) -> None:
    for minute in range(3):
        scales.weigh(minute, 5.0, 500.0)
    scales.weigh(3, base, quote)
    assert scales.silence == (1, 1), "what was proven stays"
    scales.weigh(4, base, quote)
    assert scales.silence == (1, 1)
    scales.weigh(5, base, quote)
    assert scales.silence == (4, 4)


def test_an_answer_that_took_a_minute_proves_a_minute_less(scales: Scales) -> None:
    scales.weigh(0, 5.0, 500.0, late_ms=INTERVAL_MS)
    scales.weigh(2, 5.0, 500.0)
    early = scales.silence
    scales.weigh(3, 5.0, 500.0)
    assert (early, scales.silence) == (None, (2, 2))


def test_trades_younger_than_the_volumes_lag_may_not_be_in_them(scales: Scales) -> None:
    scales.weigh(0, 5.0, 500.0)
    asked = AT + 2 * INTERVAL_MS - 1.0
    scales.stalls.weighed({"C0": 5.0}, {"C0": 500.0}, asked, asked)
    assert scales.silence is None
