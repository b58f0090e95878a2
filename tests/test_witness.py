"""Which streams have fallen silent about a market, told by what others tell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.ledger import Stream
from monitor.witness import PATIENCE_S, Witness

MINUTE = 1_791_278_880_000
LATE = PATIENCE_S + 0.1


def pair() -> tuple[Witness, Stream, Stream]:
    witness, a, b = Witness(), Stream("a"), Stream("b")
    witness.watching("BTC", a, 0.0)
    witness.watching("BTC", b, 0.0)
    return witness, a, b


def test_a_stream_that_does_not_tell_what_the_other_has_told_is_found() -> None:
    witness, a, b = pair()
    witness.told("BTC", b, MINUTE, 1, 5.0)
    witness.told("BTC", a, MINUTE, 1, 5.1)
    witness.told("BTC", a, MINUTE, 2, 10.0)
    assert witness.silent(10.0 + PATIENCE_S) == []
    assert witness.silent(10.0 + LATE) == [("BTC", b, 5.0)]


def test_frames_of_the_one_that_goes_on_do_not_put_it_off() -> None:
    witness, a, b = pair()
    for second in range(20):
        witness.told("BTC", a, MINUTE, second + 1, float(second))
    assert witness.silent(LATE) == [("BTC", b, 0.0)]


def test_who_tells_the_same_somewhat_later_is_not_suspected() -> None:
    @given(st.lists(st.floats(0.1, PATIENCE_S - 0.1), min_size=1, max_size=40))
    def holds(delays: list[float]) -> None:
        witness, a, b = pair()
        events: list[tuple[float, Stream, int]] = []
        heard = 0.0
        for trades, delay in enumerate(delays):
            said = float(trades)
            heard = max(heard, said + delay)  # frames of one socket come in order
            events += [(said, a, trades + 1), (heard, b, trades + 1)]
        for at_s, stream, trades in sorted(events, key=lambda event: event[0]):
            assert witness.silent(at_s) == []
            witness.told("BTC", stream, MINUTE, trades, at_s)
        assert witness.silent(1e6) == []

    holds()


def test_who_goes_on_but_always_too_late_is_found() -> None:
    witness, a, b = pair()
    found = []
    for second in range(60):
        witness.told("BTC", a, MINUTE, second + 1, float(second))
        if second >= 20:
            witness.told("BTC", b, MINUTE, second - 19, float(second))
        found += witness.silent(float(second))
    assert {stream for _, stream, _ in found} == {b}
    assert len(found) > 20


def test_silence_of_both_is_silence() -> None:
    witness, *_ = pair()
    assert witness.silent(1e6) == []


def test_what_was_told_before_it_watched_a_stream_need_not_tell() -> None:
    witness, a, _ = pair()
    c = Stream("c")
    witness.told("BTC", a, MINUTE, 5, 1.0)
    witness.watching("BTC", c, 2.0)
    assert c not in {stream for _, stream, _ in witness.silent(1e6)}
    witness.told("BTC", a, MINUTE, 6, 3.0)
    assert c in {stream for _, stream, _ in witness.silent(1e6)}


def test_a_later_minute_is_newer_than_any_number_of_trades() -> None:
    witness, a, b = pair()
    witness.told("BTC", a, MINUTE, 500, 1.0)
    witness.told("BTC", b, MINUTE + 60_000, 1, 1.0)
    assert witness.silent(1.0 + LATE) == [("BTC", a, 1.0)]


def test_who_is_gone_or_not_watching_is_not_suspected() -> None:
    witness, a, b = pair()
    witness.told("BTC", a, MINUTE, 1, 1.0)
    witness.told("ETH", a, MINUTE, 1, 1.0)
    witness.unwatched("BTC", b)
    witness.unwatched("ETH", b)
    assert witness.silent(1e6) == []
    witness.watching("BTC", b, 2.0)
    witness.told("BTC", a, MINUTE, 2, 3.0)
    witness.lost(b)
    assert witness.silent(1e6) == []


def test_a_volume_that_has_grown_without_a_frame_is_evidence_against_a_lone_stream() -> None:
    witness, a = Witness(), Stream("a")
    witness.watching("HYPE", a, 0.0)
    witness.volumes({"HYPE": 100.0}, 60.0)
    witness.volumes({"HYPE": 100.5}, 120.0)
    assert witness.silent(120.0 + PATIENCE_S) == []
    assert witness.silent(120.0 + LATE) == [("HYPE", a, 0.0)]
    witness.told("HYPE", a, MINUTE, 1, 121.0)
    assert witness.silent(1e6) == [], "it caught up"


def test_a_volume_that_shrinks_or_wobbles_or_was_told_about_is_none() -> None:
    witness, a = Witness(), Stream("a")
    witness.watching("HYPE", a, 0.0)
    for at_s, volume in ((60.0, 100.0), (120.0, 99.0), (180.0, 99.0 * (1 + 1e-12))):
        witness.volumes({"HYPE": volume, "OTHER": at_s}, at_s)
    assert witness.silent(1e6) == []
    witness.told("HYPE", a, MINUTE, 1, 178.0)
    witness.volumes({"HYPE": 100.0}, 240.0)
    assert witness.silent(1e6) == [], "the trade that it was told of may have come to this"
