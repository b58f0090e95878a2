"""What a socket is asked for, and how the name that costs sockets is found."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.protocol import Subscription
from monitor.roster import REST_S, Roster, Suspects

ACK_S = 10.0


def candles(name: str) -> Subscription:
    return Subscription("candle", name, "1m")


def test_everything_is_asked_at_once_in_order_and_again_where_no_answer_came() -> None:
    a, b, c = map(candles, "ABC")
    roster = Roster([a, b, c], Suspects())
    assert roster.due(0.0, ACK_S, 10) == [a, b, c]
    assert roster.due(1.0, ACK_S, 10) == []
    assert roster.acknowledged(b)
    assert not roster.acknowledged(b)
    assert roster.due(11.0, ACK_S, 10) == [a, c]
    assert roster.unanswered == [a, c]
    assert (roster.settled, roster.complete) == (False, False)
    roster.acknowledged(a)
    roster.acknowledged(c)
    assert (roster.settled, roster.complete) == (True, True)


def test_no_more_is_asked_than_there_is_room_for() -> None:
    names = [candles(str(k)) for k in range(5)]
    roster = Roster(names, Suspects())
    assert roster.due(0.0, ACK_S, 2) == names[:2]
    assert roster.due(0.0, ACK_S, 2) == []
    for name in names[:2]:
        roster.acknowledged(name)
    assert (roster.settled, roster.complete) == (True, False)
    assert roster.due(0.0, ACK_S, 2) == []
    assert roster.due(0.0, ACK_S, 5) == names[2:]


def test_a_subscription_that_is_renewed_is_left_first_then_asked_for_again() -> None:
    a, b = map(candles, "AB")
    roster = Roster([a, b], Suspects())
    assert not roster.renew(a)
    roster.due(0.0, ACK_S, 2)
    roster.acknowledged(a)
    assert roster.renew(a)
    assert not roster.renew(a)
    assert roster.leaving(1.0, ACK_S) == [a]
    assert roster.leaving(2.0, ACK_S) == []
    assert roster.due(2.0, ACK_S, 2) == []
    assert roster.leaving(12.0, ACK_S) == [a], "the answer was lost"
    roster.left(a)
    roster.left(b)  # nobody asked for that
    assert roster.due(12.0, ACK_S, 2) == [b, a]


def test_a_refused_name_is_left_out_for_longer_each_time_and_the_others_are_not() -> None:
    good, bad = map(candles, ("GOOD", "BAD"))
    suspects = Suspects()
    roster = Roster([good, bad], suspects)
    now_s = 0.0
    assert roster.due(now_s, ACK_S, 2) == [good, bad]
    assert roster.acknowledged(good)
    for rest_s in (*REST_S, REST_S[-1]):
        assert roster.refused(bad, now_s)
        assert not roster.refused(bad, now_s)
        assert roster.complete
        assert suspects.resting == {bad}
        assert roster.due(now_s + rest_s - 1.0, ACK_S, 2) == []
        now_s += rest_s
        assert roster.due(now_s, ACK_S, 2) == [bad]
    assert roster.acknowledged(bad)
    assert roster.complete
    # Another socket of the same share knows it too; once it is good, all is forgotten.
    other = Roster([good, bad], suspects)
    assert other.due(now_s, ACK_S, 2) == [good, bad]
    assert other.refused(bad, now_s)
    assert other.acknowledged(good)
    assert other.due(now_s + REST_S[0], ACK_S, 2) == [bad]


class Rude:
    """An exchange that drops a socket once it is asked for a bad name, and no sooner answers."""

    def __init__(self, names: list[Subscription], bad: set[Subscription]) -> None:
        self.names, self.bad = names, bad
        self.suspects = Suspects()
        self.now_s = 0.0
        self.sockets = 0

    def socket(self) -> set[Subscription] | None:
        """What is told once all has been asked for; None if the socket died before."""
        self.sockets += 1
        roster = Roster(self.names, self.suspects)
        told: set[Subscription] = set()
        while due := roster.due(self.now_s, ACK_S, len(self.names)):
            wrong = next((k for k, name in enumerate(due) if name in self.bad), len(due))
            # What was asked for just before the bad name has no answer yet, either.
            for name in due[: max(0, wrong - 3)] if wrong < len(due) else due:
                roster.acknowledged(name)
                told.add(name)
            if wrong < len(due):
                self.suspects.blame(roster.unanswered, self.now_s)
                return None
        return told

    def settle(self) -> set[Subscription]:
        while (told := self.socket()) is None:
            assert self.sockets < 2_000
        return told


def test_bad_names_are_found_left_out_and_all_others_are_told() -> None:
    @settings(max_examples=60)
    @given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=4))
    def found(count: int, wrong: set[int]) -> None:
        names = [candles(str(k)) for k in range(count)]
        bad = {candles(str(k)) for k in wrong if k < count}
        exchange = Rude(names, bad)
        assert exchange.settle() == set(names) - bad
        assert exchange.suspects.resting == bad
        # Halving: some sockets for each doubling, not one for each name.
        assert exchange.sockets <= 1 + len(bad) * (2 + 2 * count.bit_length())

    found()


def test_one_bad_name_among_two_hundred_costs_few_sockets() -> None:
    names = [candles(str(k)) for k in range(200)]
    exchange = Rude(names, {names[100]})
    exchange.settle()
    assert exchange.sockets <= 11


def test_a_bad_name_is_asked_for_again_ever_more_rarely_and_alone() -> None:
    good, bad = candles("GOOD"), candles("BAD")
    exchange = Rude([good, bad], {bad})
    exchange.settle()
    for rest in (*REST_S, REST_S[-1]):
        exchange.now_s += rest - 1.0
        before = exchange.sockets
        assert exchange.socket() == {good}
        exchange.now_s += 1.0
        assert exchange.settle() == {good}
        assert exchange.sockets - before <= 4
        assert exchange.suspects.resting == {bad}


def test_a_name_that_turns_out_to_be_good_is_forgiven() -> None:
    good, bad = candles("GOOD"), candles("BAD")
    exchange = Rude([good, bad], {bad})
    exchange.settle()
    exchange.bad.clear()
    exchange.now_s += REST_S[0]
    assert exchange.settle() == {good, bad}
    exchange.bad.add(bad)
    exchange.settle()
    exchange.now_s += REST_S[0]
    assert exchange.suspects.held(exchange.now_s) == {bad}, "it rests for the shortest time again"
    assert exchange.suspects.resting == set()


def test_a_socket_that_died_with_nothing_open_blames_nobody() -> None:
    suspects = Suspects()
    assert suspects.blame([], 0.0) is None
    assert suspects.held(0.0) == set()
