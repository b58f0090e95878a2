"""The errors' sentences: what was found, what was expected, what to do."""

from __future__ import annotations

import inspect

import pytest

from monitor import errors
from monitor.errors import (
    AmbiguousMarket,
    DelistedMarket,
    MonitorError,
    Problem,
    ProtocolError,
    RestError,
    SettingsError,
    SeveralMarkets,
    UnknownMarket,
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            SettingsError([Problem("A", "'x'", "a number"), Problem("B", "-1", "more")]),
            "A: found 'x', expected a number\nB: found -1, expected more",
        ),
        (
            UnknownMarket("btc", ("btcusd_perp",)),
            "no market matches 'btc'; nearest: btcusd_perp",
        ),
        (
            UnknownMarket("dex:q", (), "dexs: xyz"),
            "no market matches 'dex:q'; dexs: xyz",
        ),
        (
            AmbiguousMarket("hypeusdc", ("@107", "@300")),
            (
                "market 'hypeusdc' is ambiguous: found '@107' and '@300', expected one; "
                "ask for it by its exchange name"
            ),
        ),
        (
            DelistedMarket("maticusd_perp", "MATIC"),
            (
                "market 'maticusd_perp' (exchange name 'MATIC') is delisted: it will never trade "
                "again; take it out of MONITOR_MARKETS"
            ),
        ),
        (
            SeveralMarkets([UnknownMarket("a"), UnknownMarket("b")]),
            "no market matches 'a'\nno market matches 'b'",
        ),
        (
            ProtocolError("meta", "'null'", "an object"),
            "answer to meta: found 'null', expected an object",
        ),
        (
            RestError("meta", "http://h/info", 503, "busy", 6),
            "meta at http://h/info: found HTTP 503 (busy) after 6 attempts, expected HTTP 200",
        ),
        (
            RestError("meta", "http://h/info", None, "", 1),
            "meta at http://h/info: found no answer, expected HTTP 200",
        ),
    ],
)
def test_each_error_says_what_was_found_and_expected(error: MonitorError, sentence: str) -> None:
    assert str(error) == sentence


def test_the_docstring_s_tree_has_every_error_and_all_share_one_base() -> None:
    tree = errors.__doc__ or ""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    raised = [kind for kind in kinds if issubclass(kind, Exception)]
    assert len(raised) == 13
    for kind in raised:
        assert issubclass(kind, MonitorError)
        assert kind.__name__ in tree


def test_market_errors_unfold_into_single_problems() -> None:
    one, two = UnknownMarket("a"), DelistedMarket("b", "B")
    assert one.problems == (one,)
    assert SeveralMarkets([one, two]).problems == (one, two)
