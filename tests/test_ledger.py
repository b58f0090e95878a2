"""What is certain of a market, and what has to be asked."""

from __future__ import annotations

from monitor.ledger import Ledger, Stream


def watched(**since: int) -> Ledger:
    return Ledger(streams={Stream(name): bar for name, bar in since.items()})


def test_nobody_watches_nothing_is_missing() -> None:
    assert Ledger().since is None
    assert Ledger().missing(100, 0) is None
    assert not Ledger().observed(1, 0.0)


def test_the_oldest_stream_counts() -> None:
    assert watched(a=12, b=9).since == 9


def test_a_first_history_is_as_deep_as_asked_and_ends_before_the_stream() -> None:
    assert watched(a=1_000).missing(100, 0) == (900, 999)


def test_a_first_history_reaches_up_to_live_rows_that_began_later() -> None:
    assert watched(a=1_000).missing(100, 1_030) == (930, 1_029)


def test_what_was_observed_up_to_the_stream_is_not_missing() -> None:
    ledger = watched(a=50)
    ledger.filled, ledger.certain = True, 49
    assert ledger.missing(100, 10) is None


def test_between_certain_rows_and_the_stream_everything_is_missing() -> None:
    ledger = watched(a=50)
    ledger.filled, ledger.certain = True, 44
    assert ledger.missing(100, 10) == (45, 49)


def test_a_hole_reaches_up_to_the_run_behind_it_whatever_the_stream_is_believed_to_tell() -> None:
    ledger = watched(a=40)
    ledger.filled, ledger.certain = True, 44
    assert ledger.missing(100, 60) == (45, 59)


def test_observed_takes_one_stream_that_told_the_whole_bar_and_outlived_it() -> None:
    early, late = Stream("early", 500.0), Stream("late", 900.0)
    ledger = Ledger(streams={early: 3, late: 5})
    assert ledger.observed(3, 500.0)
    assert not ledger.observed(3, 501.0)  # the one that lives on did not tell bar 3
    assert ledger.observed(5, 900.0)
    assert not ledger.observed(2, 100.0)


def test_in_doubt_no_stream_has_told_all_of_the_bar() -> None:
    ledger = watched(a=3, b=9)
    ledger.doubt(6)
    assert sorted(ledger.streams.values()) == [7, 9]


def test_streams_of_one_name_are_two_streams() -> None:
    one, two = Stream("a"), Stream("a")
    assert one != two
    assert len({one, two}) == 2


def test_a_socket_and_its_successor_are_one_witness() -> None:
    ledger = Ledger()
    for name, since in (("a", 3), ("a", 4), ("b", 5)):
        ledger.watch(Stream(name, alive_ms=1_000.0), since)
    assert [ledger.observed(bar, 1_000.0) for bar in (2, 3, 4, 5)] == [0, 1, 1, 2]
    assert ledger.observed(5, 1_000.1) == 0


def test_a_silence_is_proven_from_its_first_bar_to_its_last() -> None:
    ledger = Ledger()
    assert not ledger.proven(5)
    ledger.silence = (5, 6)
    assert [ledger.proven(bar) for bar in (4, 5, 6, 7)] == [False, True, True, False]


def test_a_restart_forgets_the_history_and_keeps_the_streams() -> None:
    ledger = watched(a=50)
    ledger.filled, ledger.certain, ledger.dormant, ledger.attempts = True, 44, True, 3
    ledger.restart()
    assert (ledger.filled, ledger.certain, ledger.dormant, ledger.attempts) == (False, -1, False, 0)
    assert ledger.since == 50
