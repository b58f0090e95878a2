"""How soon what has gone wrong with a socket or a stream is found."""

from __future__ import annotations

from monitor.markets import Market
from monitor.sockets import Timing
from monitor.stalls import LOOK_S, places
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
