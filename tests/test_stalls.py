"""How soon what has gone wrong with a socket or a stream is found."""

from __future__ import annotations

from monitor.sockets import Timing
from monitor.stalls import LOOK_S
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
