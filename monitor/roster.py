"""What one socket has been asked for, what it has acknowledged, and what is better not asked.

Pure bookkeeping: subscriptions and clock readings in, subscriptions to send out.

A name that is refused by an answer is left out for a while, the longer the more often. For one that
it does not know the exchange drops the whole socket, and does not say which it was. So what was
unanswered when a socket died is *suspected*: on the next socket it is asked for last, in halves,
each half when everything before it has been acknowledged. The name that is left is asked for once
more alone, then left out in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .protocol import Subscription

__all__ = ["REST_S", "Roster", "Suspects"]

REST_S = (60.0, 600.0, 3_600.0)
"""How long a name is left out: the first time, the second, later. The first is short, because a
failing network can look like a bad name."""

_PROOF = 2
"""Sockets that a name must have cost alone before it is left out."""


class Suspects:
    """Names that may be what the exchange drops sockets for; outlives the sockets of a share."""

    def __init__(self) -> None:
        self._groups: list[list[Subscription]] = []
        self._strikes: dict[Subscription, int] = {}
        self._rests: dict[Subscription, int] = {}
        self._resting: dict[Subscription, float] = {}

    def blame(self, unanswered: Iterable[Subscription], now_s: float) -> Subscription | None:
        """A socket that worked died while these had no answer; the one that is left out, if any."""
        group = list(unanswered)
        if not group:
            return None
        self._forget(group)
        if len(group) > 1:
            half = len(group) // 2
            self._groups[:0] = [group[:half], group[half:]]
            return None
        (suspect,) = group
        self._strikes[suspect] = self._strikes.get(suspect, 0) + 1
        if self._strikes[suspect] < _PROOF:
            self._groups.insert(0, group)
            return None
        self.rest(suspect, now_s)
        return suspect

    def rest(self, subscription: Subscription, now_s: float) -> None:
        """Leave it out for a while: it is what the exchange minds."""
        self._forget([subscription])
        rests = self._rests.get(subscription, 0)
        self._rests[subscription] = rests + 1
        self._resting[subscription] = now_s + REST_S[min(rests, len(REST_S) - 1)]

    def clear(self, subscription: Subscription) -> None:
        """It was acknowledged: it is a good name."""
        if self._groups:
            self._forget([subscription])
        self._strikes.pop(subscription, None)
        self._rests.pop(subscription, None)
        self._resting.pop(subscription, None)

    def held(self, now_s: float) -> set[Subscription]:
        """What must not be asked for together with others now."""
        for subscription, until_s in list(self._resting.items()):
            if until_s <= now_s:
                del self._resting[subscription]
                self._groups.append([subscription])
        return {each for group in self._groups for each in group} | self.resting

    @property
    def resting(self) -> set[Subscription]:
        """What is left out for now."""
        return set(self._resting)

    def next_group(self) -> Sequence[Subscription]:
        """What may be asked for together when nothing else is open; empty without suspects."""
        return self._groups[0] if self._groups else ()

    def _forget(self, group: Iterable[Subscription]) -> None:
        gone = set(group)
        kept = [[each for each in old if each not in gone] for old in self._groups]
        self._groups = [group for group in kept if group]


class Roster:
    """The subscriptions of one socket. `wanted` are in the order in which to ask for them."""

    def __init__(self, wanted: Iterable[Subscription], suspects: Suspects) -> None:
        self._suspects = suspects
        self._waiting = dict.fromkeys(wanted)
        self._asked: dict[Subscription, float] = {}
        self._leaving: dict[Subscription, float] = {}
        self._told: set[Subscription] = set()

    def due(self, now_s: float, ack_s: float, room: int) -> list[Subscription]:
        """What to ask for now: what is new, and what had no answer for longer than `ack_s`.

        `room`: how many subscriptions this socket may have in all.
        """
        again = [each for each, at in self._asked.items() if now_s - at > ack_s]
        room -= len(self._asked) + len(self._told) + len(self._leaving)
        new: list[Subscription] = []
        if self._waiting and room > 0:
            held = self._suspects.held(now_s)
            new = [each for each in self._waiting if each not in held][:room]
            if not new and not self._asked:
                group = self._suspects.next_group()
                new = [each for each in group if each in self._waiting][:room]
        for each in new:
            del self._waiting[each]
        self._asked.update(dict.fromkeys((*again, *new), now_s))
        return again + new

    def leaving(self, now_s: float, ack_s: float) -> list[Subscription]:
        """What to unsubscribe now, for the first time or once more."""
        due = [each for each, at in self._leaving.items() if now_s - at > ack_s]
        self._leaving.update(dict.fromkeys(due, now_s))
        return due

    def acknowledged(self, subscription: Subscription) -> bool:
        """It is subscribed; False where that was not asked, or is known."""
        if self._asked.pop(subscription, None) is None:
            return False
        self._told.add(subscription)
        self._suspects.clear(subscription)
        return True

    def refused(self, subscription: Subscription, now_s: float) -> bool:
        """The exchange said no to it: it is left out for a while; False where it was not asked."""
        if self._asked.pop(subscription, None) is None:
            return False
        self._waiting[subscription] = None
        self._suspects.rest(subscription, now_s)
        return True

    def left(self, subscription: Subscription) -> None:
        """It is unsubscribed: it will be asked for anew."""
        if self._leaving.pop(subscription, None) is not None:
            self._waiting[subscription] = None

    def want(self, subscription: Subscription) -> bool:
        """Ask for it as well; False where it is wanted already."""
        known = (self._waiting, self._asked, self._told, self._leaving)
        if any(subscription in each for each in known):
            return False
        self._waiting[subscription] = None
        return True

    def renew(self, subscription: Subscription) -> bool:
        """Unsubscribe and subscribe it anew; False where it is not subscribed now."""
        if subscription not in self._told:
            return False
        self._told.discard(subscription)
        self._leaving[subscription] = float("-inf")
        return True

    @property
    def unanswered(self) -> list[Subscription]:
        """What was asked for and not acknowledged."""
        return list(self._asked)

    @property
    def works(self) -> bool:
        """Has the other side acknowledged anything at all?"""
        return bool(self._told)

    @property
    def settled(self) -> bool:
        """Is nothing open?"""
        return not self._asked and not self._leaving

    @property
    def complete(self) -> bool:
        """Has everything been acknowledged that is not left out?"""
        return self.settled and not set(self._waiting) - self._suspects.resting
