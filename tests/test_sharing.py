"""Which market is told on which sockets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitor.budget import CONNECTIONS_AT_ONCE, SUBSCRIPTIONS
from monitor.sharing import (
    MARKETS_PER_SOCKET,
    SPARE_SUBSCRIPTIONS,
    Share,
    busiest_first,
    needed,
    plan,
)


def names(count: int) -> list[str]:
    return [str(k) for k in range(count)]


def used(shares: list[Share]) -> int:
    """Subscriptions, a beacon for each socket among them."""
    return sum(len(share.coins) + 1 for share in shares)


def sockets_of(shares: list[Share], coin: str) -> int:
    return sum(coin in share.coins for share in shares)


def test_every_market_has_a_socket_and_the_busiest_a_second_one_within_the_budgets() -> None:
    @given(st.integers(1, 999), st.integers(1, 1_000), st.integers(2, 10), st.booleans())
    def holds(count: int, subscriptions: int, sockets: int, redundant: bool) -> None:
        coins = names(count)
        shares = plan(coins, subscriptions=subscriptions, sockets=sockets, redundant=redundant)
        single = plan(coins, subscriptions=subscriptions, sockets=sockets, redundant=False)
        assert used(single) == needed(count)
        pairs = [sockets_of(shares, coin) for coin in coins]
        assert all(pair in {1, 2} for pair in pairs)
        assert all(before >= after for before, after in pairwise(pairs)), "busiest first"
        assert all(len(set(share.coins)) == len(share.coins) for share in shares)
        assert all(len(share.coins) <= MARKETS_PER_SOCKET for share in shares)
        for share in shares:
            assert share.paired == {c for c in share.coins if sockets_of(shares, c) == 2}
        if len(shares) > len(single):
            spare = min(len(single[0].coins) + 1, SPARE_SUBSCRIPTIONS)
            assert used(shares) + spare <= subscriptions
            assert len(shares) < sockets
            assert redundant

    holds()


def test_shares_are_of_about_equal_size() -> None:
    sizes = [len(share.coins) for share in plan(names(630), subscriptions=1_000, redundant=False)]
    assert sizes == [158, 158, 157, 157]


def test_few_markets_are_all_on_two_sockets() -> None:
    assert plan(["BTC", "ETH"], subscriptions=SUBSCRIPTIONS) == [
        Share(("BTC", "ETH"), frozenset({"BTC", "ETH"})),
        Share(("BTC", "ETH"), frozenset({"BTC", "ETH"})),
    ]


def test_of_the_whole_exchange_as_many_are_on_two_sockets_as_there_is_room_for() -> None:
    shares = plan(names(630), subscriptions=SUBSCRIPTIONS)
    assert len(shares) == 5 < CONNECTIONS_AT_ONCE
    assert shares[-1].coins == tuple(names(630)[: 800 - 630 - 5 - SPARE_SUBSCRIPTIONS])


def test_without_a_socket_left_there_is_no_second_one() -> None:
    assert len(plan(names(10), subscriptions=800, sockets=2)) == 1


def test_without_markets_there_is_a_socket_for_the_clock() -> None:
    assert plan([], subscriptions=SUBSCRIPTIONS) == [Share(())]


def test_the_busiest_come_first_and_the_unknown_last_in_their_order() -> None:
    volumes = {"A": 1.0, "C": 5.0, "D": 0.0}
    assert busiest_first(["X", "A", "B", "C", "D"], volumes) == ["C", "A", "D", "X", "B"]
