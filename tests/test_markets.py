"""Market names: canonical, shell-safe, unique, and found by whatever a person would type."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import protocol
from monitor.errors import (
    AmbiguousMarket,
    DelistedMarket,
    MarketError,
    SeveralMarkets,
    UnknownMarket,
)
from monitor.markets import Market, Universe, resolve, shell_safe
from monitor.wire import PerpMeta, SpotMeta

# Rows as recorded on mainnet and its documentation, cut to the fields that are read.
PERPS = [
    {"szDecimals": 5, "name": "BTC", "maxLeverage": 40, "marginTableId": 56},
    {"szDecimals": 4, "name": "ETH", "maxLeverage": 25, "marginTableId": 55},
    {"szDecimals": 1, "name": "MATIC", "maxLeverage": 20, "isDelisted": True},
    {"szDecimals": 0, "name": "kPEPE", "maxLeverage": 10, "isDelisted": None},
    {"szDecimals": 0, "name": "HPOS", "maxLeverage": 3, "onlyIsolated": True},
]
XYZ = [
    {"szDecimals": 3, "name": "xyz:TSLA", "maxLeverage": 10, "growthMode": "enabled"},
    {"szDecimals": 3, "name": "xyz:XYZ100", "maxLeverage": 20},
]
FLX = [{"szDecimals": 3, "name": "flx:TSLA", "maxLeverage": 10, "isDelisted": True}]
TOKENS = [
    {"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0},
    {"name": "PURR", "szDecimals": 0, "weiDecimals": 5, "index": 1},
    {"name": "USDH", "szDecimals": 2, "weiDecimals": 8, "index": 360},
    {"name": "HYPE", "szDecimals": 2, "weiDecimals": 8, "index": 150},
    {"name": "UBTC", "szDecimals": 5, "weiDecimals": 10, "index": 197},
]
PAIRS = [
    {"tokens": [1, 0], "name": "PURR/USDC", "index": 0, "isCanonical": True},
    {"tokens": [150, 0], "name": "@107", "index": 107, "isCanonical": False},
    {"tokens": [197, 0], "name": "@142", "index": 142, "isCanonical": False},
    {"tokens": [150, 360], "name": "@232", "index": 232, "isCanonical": False},
]


def documents(
    *dexs: list[dict[str, object]],
    pairs: list[dict[str, object]] | None = None,
    tokens: list[dict[str, object]] | None = None,
) -> tuple[list[PerpMeta], SpotMeta]:
    metas = json.dumps([{"universe": dex, "marginTables": []} for dex in dexs]).encode()
    spot = json.dumps({"universe": pairs or [], "tokens": tokens or []}).encode()
    return protocol.decode_all_perp_metas(metas), protocol.decode_spot_meta(spot)


def mainnet() -> Universe:
    return Universe.from_documents(
        *documents(list(PERPS), list(XYZ), list(FLX), pairs=list(PAIRS), tokens=list(TOKENS))
    )


def universe(*coins: str) -> Universe:
    return Universe.from_documents(*documents([{"name": coin} for coin in coins]))


def names(*selectors: str, keep: tuple[str, ...] = ()) -> list[str]:
    return [market.name for market in resolve(selectors, mainnet(), keep).markets]


def test_canonical_names_are_those_of_the_design() -> None:
    assert {market.coin: market.name for market in mainnet()} == {
        "BTC": "btcusd_perp",
        "ETH": "ethusd_perp",
        "MATIC": "maticusd_perp",
        "kPEPE": "kpepeusd_perp",
        "HPOS": "hposusd_perp",
        "xyz:TSLA": "xyz_tslausd_perp",
        "xyz:XYZ100": "xyz_xyz100usd_perp",
        "flx:TSLA": "flx_tslausd_perp",
        "PURR/USDC": "purrusdc",
        "@107": "hypeusdc",
        "@142": "ubtcusdc",
        "@232": "hypeusdh",
    }


def test_a_market_carries_what_the_exchange_said() -> None:
    market = mainnet().find("xyz:XYZ100")
    assert market == Market("xyz_xyz100usd_perp", "xyz:XYZ100", "perp", "xyz", False, 3, 1)
    assert mainnet().find("hypeusdc") == Market("hypeusdc", "@107", "spot", "", False, 2, 107)
    matic = mainnet().find("MATIC")
    assert matic is not None
    assert matic.delisted
    assert len(mainnet()) == 12


def test_tokens_are_found_by_their_index_field_not_their_position() -> None:
    found = Universe.from_documents(*documents(pairs=list(PAIRS), tokens=list(reversed(TOKENS))))
    assert [market.name for market in found] == ["purrusdc", "hypeusdc", "ubtcusdc", "hypeusdh"]


def test_a_pair_of_an_unlisted_token_is_named_after_itself_with_a_warning() -> None:
    found = Universe.from_documents(*documents(pairs=list(PAIRS), tokens=list(TOKENS[:3])))
    assert [market.name for market in found] == ["purrusdc", "spot_107", "spot_142", "spot_232"]
    assert len(found.warnings) == 3
    assert "'@107'" in found.warnings[0]
    assert "150" in found.warnings[0]


def test_dexs_may_be_named_by_their_list_instead_of_their_markets() -> None:
    perps, spot = documents([], [{"name": "TSLA"}])
    found = Universe.from_documents(perps, spot, ["", "xyz"])
    assert [(each.name, each.dex) for each in found] == [("xyz_tslausd_perp", "xyz")]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("kPEPE", "kpepe"),
        ("A*B?", "ax2abx3f"),
        ("A-B.C/D E", "a_b_c_d_e"),
        ("猫", "x732b"),
        ("İ", "ix307"),
        ("$", "x24"),
        ("a;rm -rf", "ax3brm__rf"),
    ],
)
def test_odd_characters_are_replaced_in_a_fixed_way(name: str, safe: str) -> None:
    assert shell_safe(name) == safe


@given(st.lists(st.text(min_size=1, max_size=6), max_size=30))
def test_every_name_is_safe_unique_and_found_again_whatever_is_listed(coins: list[str]) -> None:
    found = universe(*coins)
    assert all(re.fullmatch(r"[a-z0-9_]+", market.name) for market in found)
    assert len({market.name for market in found}) == len({market.coin for market in found})
    assert len(found) == len(found.markets)
    for market in found:
        assert found.find(market.name) is market


def test_canonical_and_exchange_names_are_accepted_in_the_order_asked_each_once() -> None:
    asked = ("@107", "kPEPE", "btcusd_perp", "PURR/USDC", "xyz:TSLA", "hypeusdc", "BTC")
    assert names(*asked) == [
        "hypeusdc",
        "kpepeusd_perp",
        "btcusd_perp",
        "purrusdc",
        "xyz_tslausd_perp",
    ]


def test_selectors_give_the_living_markets_of_their_kind_in_the_exchange_s_order() -> None:
    assert names("perps") == ["btcusd_perp", "ethusd_perp", "kpepeusd_perp", "hposusd_perp"]
    assert names("spot") == ["purrusdc", "hypeusdc", "ubtcusdc", "hypeusdh"]
    assert names("dex:xyz") == ["xyz_tslausd_perp", "xyz_xyz100usd_perp"]


def test_patterns_match_canonical_names_of_living_markets() -> None:
    assert names("*tsla*") == ["xyz_tslausd_perp"]
    assert names("hype*") == ["hypeusdc", "hypeusdh"]
    assert names("[be]t[ch]usd_perp") == ["btcusd_perp", "ethusd_perp"]
    assert names("ethusd_perp", "*usd_perp")[0] == "ethusd_perp"


def test_an_exchange_name_that_looks_like_a_pattern_is_that_market() -> None:
    found = universe("A*", "AB", "A?")
    assert [each.coin for each in resolve(["A*"], found).markets] == ["A*"]
    assert [each.coin for each in resolve(["A?"], found).markets] == ["A?"]


@pytest.mark.parametrize(
    ("selector", "nearest"),
    [
        ("btc", "btcusd_perp"),
        ("btcusd", "btcusd_perp"),
        ("kpepe", "kpepeusd_perp"),
        ("HYPE/USDC", "hypeusdc"),
        ("XYZ:TSLA", "xyz_tslausd_perp"),
        ("etusd_perp", "ethusd_perp"),
        ("dex:xy", "dex:xyz"),
        ("purr*usd_perp", "purrusdc"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(selector: str, nearest: str) -> None:
    with pytest.raises(UnknownMarket) as caught:
        names(selector)
    assert caught.value.name == selector
    assert nearest in caught.value.nearest
    assert nearest in str(caught.value)


def test_wire_names_are_case_sensitive() -> None:
    with pytest.raises(UnknownMarket):
        names("Btc")


@pytest.mark.parametrize("selector", ["zzz*", "dex:flx", "dex:", "dex:nope"])
def test_a_selector_without_a_living_market_is_an_error_that_says_what_exists(
    selector: str,
) -> None:
    with pytest.raises(UnknownMarket, match=r"traded markets: (4 perps, 2 of|xyz)"):
        names(selector)
    with pytest.raises(UnknownMarket, match="0 spot pairs"):
        resolve(["spot"], universe("BTC"))


def test_a_delisted_market_is_refused_unless_its_history_is_there() -> None:
    with pytest.raises(DelistedMarket, match="'MATIC'"):
        names("maticusd_perp")
    for keep in ("maticusd_perp", "MATIC"):
        resolution = resolve(["MATIC", "BTC"], mainnet(), {keep})
        assert [market.name for market in resolution.markets] == ["maticusd_perp", "btcusd_perp"]
        assert resolution.markets[0].delisted
        assert len(resolution.warnings) == 1
        assert "delisted" in resolution.warnings[0]
    assert "maticusd_perp" not in names("*", keep=("maticusd_perp",))


def test_every_problem_is_told_not_only_the_first() -> None:
    with pytest.raises(SeveralMarkets) as caught:
        names("btc", "BTC", "MATIC")
    assert [type(each) for each in caught.value.problems] == [UnknownMarket, DelistedMarket]
    assert len(str(caught.value).splitlines()) == 2
    assert isinstance(caught.value, MarketError)


def test_a_shared_name_asked_for_is_an_error_that_names_both() -> None:
    found = universe("kPEPE", "BTC", "KPEPE")
    with pytest.raises(AmbiguousMarket) as caught:
        resolve(["kpepeusd_perp"], found)
    assert caught.value.coins == ("kPEPE", "KPEPE")


def test_a_shared_name_under_a_selector_gets_a_suffix_and_a_warning() -> None:
    resolution = resolve(["perps"], universe("kPEPE", "BTC", "KPEPE"))
    assert [each.name for each in resolution.markets] == [
        "kpepeusd_perp",
        "btcusd_perp",
        "kpepeusd_perp_2",
    ]
    assert len(resolution.warnings) == 1
    assert "'KPEPE'" in resolution.warnings[0]
    assert "'kPEPE'" in resolution.warnings[0]


def test_markets_of_a_shared_name_can_be_asked_for_by_exchange_name() -> None:
    found = universe("kPEPE", "BTC", "KPEPE")
    assert resolve(["kPEPE"], found).warnings == ()
    assert resolve(["KPEPE"], found).markets[0].name == "kpepeusd_perp_2"
    assert resolve(["kpepeusd_perp_2"], found).markets[0].coin == "KPEPE"


def test_a_delisted_namesake_takes_no_name_away() -> None:
    found = Universe.from_documents(
        *documents([{"name": "kX", "isDelisted": True}, {"name": "KX"}])
    )
    assert resolve(["kxusd_perp"], found).markets[0].coin == "KX"
    assert resolve(["perps"], found).warnings == ()


def test_a_suffix_never_meets_another_market() -> None:
    spot = [{"name": "@1", "tokens": [0, 1], "index": 1}]
    tokens: list[dict[str, object]] = [
        {"name": "AUSD_PERP", "index": 0},
        {"name": "_2", "index": 1},
    ]
    found = Universe.from_documents(
        *documents([{"name": n} for n in ("a", "B", "A")], pairs=list(spot), tokens=tokens)
    )
    assert [each.name for each in found] == [
        "ausd_perp",
        "busd_perp",
        "ausd_perp_2_",
        "ausd_perp_2",
    ]


def test_listings_without_a_name_or_listed_twice_stop_nobody() -> None:
    found = universe("BTC", "", "xyz:", "BTC")
    assert [each.name for each in found] == ["btcusd_perp"]
