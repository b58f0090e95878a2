"""The day's volumes: what one that stays the same proves, and of which answers it is believed."""

from __future__ import annotations

import pytest

from engine_kit import BAR
from monitor.book import INTERVAL_MS
from monitor.markets import Market
from monitor.volumes import VOLUMES_LAG_MS, Scales, places

LAG = VOLUMES_LAG_MS
AT = BAR * INTERVAL_MS + LAG
"""When volumes are looked at: a moment after a minute's end."""


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


class Desk:
    """One market's volumes, minute by minute, beside one that is traded all the time."""

    def __init__(self) -> None:
        self.scales = Scales()
        self.busy = 1.0
        self.silence: tuple[int, int] | None = None

    def weigh(
        self,
        minute: float,
        base: float = 5.0,
        quote: float = 500.0,
        *,
        late_ms: float = 0.0,
        frozen: bool = False,
        heard: float | None = None,
    ) -> tuple[int, int] | None:
        """Which bars are known to be silent, counted from `BAR`; `heard`: the minute of a trade."""
        self.busy += not frozen
        asked = AT + minute * INTERVAL_MS
        found = self.scales.weigh(
            {"C0": base},
            {"C0": quote, "BUSY": self.busy},
            {"C0": 0.0 if heard is None else AT + heard * INTERVAL_MS},
            asked,
            asked + 200.0 + late_ms,
        ).get("C0")
        return None if found is None else (found[0] - BAR, found[1] - BAR)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_day_s_volume_that_stays_proves_the_whole_minutes_in_between(desk: Desk) -> None:
    assert desk.weigh(0) is None
    assert desk.weigh(1) is None, "the first look was after that minute's begin"
    assert desk.weigh(5) == (1, 4)


@pytest.mark.parametrize(("base", "quote"), [(6.0, 600.0), (4.0, 400.0), (5.0, 501.0)])
def test_one_that_has_changed_either_way_proves_nothing_up_to_now(
    desk: Desk, base: float, quote: float
) -> None:
    assert [desk.weigh(minute) for minute in range(3)] == [None, None, (1, 1)]
    assert desk.weigh(3, base, quote) is None
    assert desk.weigh(4, base, quote) is None
    assert desk.weigh(5, base, quote) == (4, 4)


def test_an_answer_that_took_a_minute_proves_a_minute_less(desk: Desk) -> None:
    desk.weigh(0, late_ms=INTERVAL_MS)
    assert desk.weigh(2) is None
    assert desk.weigh(3) == (2, 2)


def test_trades_younger_than_the_volumes_lag_may_not_be_in_them(desk: Desk) -> None:
    desk.weigh(0)
    assert desk.weigh(2 - 1 / INTERVAL_MS) is None


def test_an_answer_in_which_nothing_at_all_has_moved_proves_nothing(desk: Desk) -> None:
    """It is an old one, served again. What was the same before it and after it was silent."""
    desk.weigh(0)
    assert [desk.weigh(minute, frozen=True) for minute in (1, 2, 3)] == [None] * 3
    assert desk.weigh(4) == (1, 3)


def test_nor_does_one_that_lacks_a_trade_that_was_told(desk: Desk) -> None:
    """It is younger than the one before, but too old."""
    desk.weigh(0)
    assert desk.weigh(1) is None
    assert desk.weigh(2, heard=1.5) is None
    assert desk.weigh(3, heard=1.5) == (2, 2), "only what was told in between contradicts"


@pytest.mark.parametrize("heard", [1.0, 2.0 - LAG / INTERVAL_MS / 2])
def test_a_trade_at_the_very_time_of_an_answer_need_not_be_in_it(desk: Desk, heard: float) -> None:
    desk.weigh(0)
    desk.weigh(1)
    assert desk.weigh(2, heard=heard) is None
    assert desk.weigh(4, heard=heard) == (2 if heard == 1.0 else 3, 3)
