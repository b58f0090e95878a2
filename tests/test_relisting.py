"""What has changed in the exchange's lists, as far as the followed markets are concerned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from monitor.markets import Market, Universe
from monitor.relisting import Relisting, compare


def perp(coin: str, index: int, *, delisted: bool = False) -> Market:
    return Market(f"{coin.lower()}usd_perp", coin, "perp", "", delisted, 2, index)


BTC, ETH, SOL = perp("BTC", 0), perp("ETH", 1), perp("SOL", 2)
HYPE = Market("hypeusdc", "@107", "spot", "", False, 2, 107)


def changes(
    *fresh: Market, followed: Iterable[Market] = (BTC, ETH), selectors: Iterable[str] = ("BTC",)
) -> Relisting:
    return compare(tuple(followed), tuple(selectors), Universe(fresh))


def test_nothing_has_changed_where_nothing_has() -> None:
    assert changes(BTC, ETH, SOL, HYPE) == Relisting()


def test_a_delisted_market_is_found() -> None:
    assert changes(BTC, replace(ETH, delisted=True)).delisted == {"ETH"}


def test_a_market_that_is_not_listed_any_more_is_gone() -> None:
    found = changes(BTC, SOL)
    assert found.gone == {"ETH"}
    assert found.renamed == ()


def test_another_name_in_the_place_of_a_followed_market_is_a_renaming() -> None:
    matic, pol = perp("MATIC", 3), perp("POL", 3)
    found = changes(BTC, pol, followed=[BTC, matic])
    assert found.gone == {"MATIC"}
    assert found.renamed == ((matic, pol),)


def test_a_spot_pair_keeps_its_wire_name_and_may_get_another_one_of_ours() -> None:
    new = replace(HYPE, name="superusdc")
    found = changes(BTC, new, followed=[HYPE])
    assert found.gone == frozenset()
    assert found.renamed == ((HYPE, new),)


def test_a_stranger_of_the_same_name_renames_nobody() -> None:
    stranger = replace(HYPE, coin="@50", index=50)
    assert changes(stranger, HYPE, followed=[HYPE]).renamed == ()


def test_what_a_selector_finds_and_nobody_follows_is_offered() -> None:
    found = changes(BTC, ETH, SOL, HYPE, selectors=["BTC", "perps", "NOPE", "*usdc"])
    assert found.offered == (SOL, HYPE)


def test_a_delisted_market_is_not_offered() -> None:
    assert changes(BTC, replace(SOL, delisted=True), selectors=["perps", "SOL"]).offered == ()


def test_an_empty_list_is_not_believed() -> None:
    assert changes() == Relisting()


def test_a_list_that_lacks_all_perps_says_nothing_of_perps() -> None:
    assert changes(HYPE, followed=[BTC, ETH]) == Relisting()


def test_a_list_that_lacks_all_spot_pairs_says_nothing_of_spot_but_of_perps() -> None:
    found = changes(BTC, SOL, followed=[ETH, HYPE])
    assert found.gone == {"ETH"}
