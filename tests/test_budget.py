"""The limits hold in every minute, however the requests fall."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import budget
from monitor.budget import (
    WINDOW_MS,
    ConnectionBudget,
    MessageBudget,
    SubscriptionBudget,
    WeightBudget,
    weight_of,
)


@pytest.mark.parametrize(
    ("request_type", "rows", "weight"),
    [
        ("exchangeStatus", 0, 2),
        ("allMids", 1_000, 2),
        ("l2Book", 0, 2),
        ("userRole", 0, 60),
        ("allPerpMetas", 0, 20),
        ("spotMeta", 500, 20),
        ("candleSnapshot", 0, 20),
        ("candleSnapshot", 1, 21),
        ("candleSnapshot", 60, 21),
        ("candleSnapshot", 61, 22),
        ("candleSnapshot", 180, 23),
        ("candleSnapshot", 1_440, 44),
        ("candleSnapshot", 5_000, 104),
        ("recentTrades", 30, 22),
        ("something new", 0, 20),
    ],
)
def test_weights_are_those_of_the_exchange(request_type: str, rows: int, weight: int) -> None:
    assert weight_of(request_type, rows) == weight


def test_our_defaults_stay_below_the_exchange_s_limits() -> None:
    assert budget.REST_WEIGHT < budget.REST_BURST < budget.REST_WEIGHT_LIMIT
    assert budget.SUBSCRIPTIONS < budget.SUBSCRIPTIONS_LIMIT
    assert budget.MESSAGES_PER_MINUTE < budget.MESSAGES_PER_MINUTE_LIMIT
    assert budget.CONNECTIONS_AT_ONCE < budget.CONNECTIONS_AT_ONCE_LIMIT
    assert budget.CONNECTIONS_PER_MINUTE < budget.CONNECTIONS_PER_MINUTE_LIMIT


@given(
    st.lists(st.tuples(st.floats(0.0, 30_000.0), st.integers(2, 104), st.booleans()), max_size=120)
)
def test_no_minute_holds_more_than_the_burst_and_waiting_until_told_is_enough(
    wanted: list[tuple[float, int, bool]],
) -> None:
    weights = WeightBudget(300, 500)
    now = 0.0
    sent: list[tuple[float, int, bool]] = []
    for pause, weight, urgent in wanted:
        now += pause
        for _ in range(200):
            ready = weights.reserve(weight, now, urgent=urgent)
            if ready <= now:
                break
            now = ready
        else:
            pytest.fail("never let through")
        sent.append((now, weight, urgent))
    for at, _, urgent in sent:
        within = sum(spent for other, spent, _ in sent if other <= at < other + WINDOW_MS)
        assert within <= 500
        if not urgent:
            last = [one for one in sent if one[0] == at][-1]
            assert last[2] or within <= 300


def test_a_burst_goes_at_once_and_the_background_waits_for_it_to_age() -> None:
    weights = WeightBudget(600, 1_000)
    assert [weights.reserve(100, 5.0, urgent=True) for _ in range(10)] == [5.0] * 10
    assert weights.reserve(2, 6.0, urgent=True) == 5.0 + WINDOW_MS
    assert weights.reserve(21, 6.0) == 5.0 + WINDOW_MS
    assert weights.spent(6.0) == 1_000
    assert weights.reserve(21, 5.0 + WINDOW_MS) == 5.0 + WINDOW_MS
    assert weights.total == 1_021


def test_a_time_that_cannot_be_added_exactly_frees_its_weight_all_the_same() -> None:
    weights = WeightBudget(100, 100)
    at = 1.5465179751192863
    weights.reserve(100, at)
    ready = weights.reserve(100, at + 1)
    assert weights.reserve(100, ready) == ready
    assert weights.spent(ready) == 100


def test_the_background_leaves_room_for_what_is_urgent() -> None:
    weights = WeightBudget(600, 1_000)
    while weights.reserve(100, 0.0) <= 0.0:
        pass
    assert weights.spent(0.0) == 600
    assert weights.reserve(400, 0.0, urgent=True) == 0.0


def test_a_request_larger_than_the_limit_goes_alone_instead_of_never() -> None:
    weights = WeightBudget(60, 60)
    assert weights.reserve(104, 0.0) == 0.0
    assert weights.reserve(104, 1.0) == WINDOW_MS
    assert weights.reserve(104, WINDOW_MS) == WINDOW_MS


def test_more_rows_than_expected_are_charged_and_fewer_give_nothing_back() -> None:
    weights = WeightBudget()
    weights.reserve(weight_of("candleSnapshot", 60), 0.0)
    assert weights.debit_rows("candleSnapshot", 60, 5_000, 1.0) == 83
    assert weights.spent(1.0) == 104
    assert weights.debit_rows("candleSnapshot", 5_000, 1, 2.0) == 0
    assert weights.spent(2.0) == 104


def test_a_pause_holds_everybody_back_and_is_never_shortened() -> None:
    weights = WeightBudget()
    weights.pause(5_000.0)
    weights.pause(1_000.0)
    assert weights.reserve(2, 0.0, urgent=True) == 5_000.0
    assert weights.reserve(2, 5_000.0) == 5_000.0


def test_the_duration_of_a_fill_is_told_beforehand_without_spending() -> None:
    weights = WeightBudget(600, 1_000)
    assert weights.duration_ms([50] * 20, urgent=True) == 0.0
    assert weights.duration_ms([50] * 21, urgent=True) == WINDOW_MS
    assert weights.duration_ms([44] * 630) == 48 * WINDOW_MS
    assert weights.total == 0


@pytest.mark.parametrize(("weight", "burst"), [(0, 100), (-1, 100), (200, 100)])
def test_a_budget_that_makes_no_sense_is_refused(weight: int, burst: int) -> None:
    with pytest.raises(ValueError, match="expected 0 < weight <= burst"):
        WeightBudget(weight, burst)


def test_messages_are_counted_within_any_minute() -> None:
    messages = MessageBudget(3)
    assert [messages.reserve(float(at)) for at in (0, 10, 20)] == [0.0, 10.0, 20.0]
    assert messages.reserve(30.0) == WINDOW_MS
    assert messages.reserve(30.0, 2) == WINDOW_MS + 10
    assert messages.spent(30.0) == 3
    assert messages.reserve(float(WINDOW_MS)) == WINDOW_MS


def test_sockets_are_limited_at_once_and_within_a_minute() -> None:
    sockets = ConnectionBudget(at_once=2, per_minute=3)
    assert sockets.reserve(0.0) == 0.0
    assert sockets.reserve(1.0) == 1.0
    assert sockets.reserve(2.0) is None
    sockets.release()
    assert sockets.reserve(3.0) == 3.0
    sockets.release()
    assert sockets.reserve(4.0) == WINDOW_MS
    assert sockets.open == 1
    sockets.release()
    with pytest.raises(ValueError, match="no open socket"):
        sockets.release()


def test_subscriptions_are_taken_all_or_none_and_given_back() -> None:
    subscriptions = SubscriptionBudget(5)
    assert subscriptions.take(3)
    assert not subscriptions.take(3)
    assert subscriptions.free == 2
    assert subscriptions.take(2)
    subscriptions.release(5)
    assert subscriptions.free == 5
    with pytest.raises(ValueError, match="expected at least 1"):
        subscriptions.release()


def test_what_another_service_spent_a_moment_ago_counts_until_its_minute_is_over() -> None:
    weights = WeightBudget(300, 500)
    weights.remember(450, 100_000.0, 110_000.0)
    assert weights.spent(110_000.0) == 450
    assert weights.reserve(60, 110_000.0, urgent=True) == 100_000.0 + WINDOW_MS
    assert weights.reserve(50, 110_000.0, urgent=True) == 110_000.0
    assert weights.spent(100_000.0 + WINDOW_MS) == 50
    assert weights.total == 50, "it is not ours"


def test_sockets_that_another_service_opened_a_moment_ago_count_and_are_not_open() -> None:
    sockets = ConnectionBudget(at_once=9, per_minute=10)
    sockets.remember(8, 100_000.0, 110_000.0)
    assert sockets.open == 0
    assert [sockets.reserve(110_000.0) for _ in range(2)] == [110_000.0] * 2
    assert sockets.reserve(110_000.0) == 100_000.0 + WINDOW_MS
    assert sockets.spent(110_000.0) == 10
    assert sockets.spent(100_000.0 + WINDOW_MS) == 2


@pytest.mark.parametrize("at_ms", [0.0, 110_000.0 - WINDOW_MS, 110_001.0])
def test_what_was_spent_at_another_time_does_not_count(at_ms: float) -> None:
    weights = WeightBudget(300, 500)
    weights.remember(450, at_ms, 110_000.0)
    assert weights.spent(110_000.0) == 0
