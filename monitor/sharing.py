"""Which market is told on which sockets: the plan, without any socket.

Every market has a socket. As far as the budgets of subscriptions and of sockets go, the busiest
have a second one, so that a lost socket costs them nothing. What is left over is room in which a
socket can be replaced before it ends: its successor subscribes first, as many as there is room for,
those first that no other socket tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .budget import CONNECTIONS_AT_ONCE

__all__ = ["MARKETS_PER_SOCKET", "SPARE_SUBSCRIPTIONS", "Share", "busiest_first", "needed", "plan"]

MARKETS_PER_SOCKET = 200
"""So that one lost socket is a part of the whole; the exchange would take many more."""

SPARE_SUBSCRIPTIONS = 50
"""Room for replacing a socket, at most. What finds no room is subscribed as soon as the old socket
is closed, in the middle of a minute: a gap of a tenth of a second, in which nothing is lost."""

_SPARE_SOCKETS = 1


@dataclass(frozen=True)
class Share:
    """The markets of one socket; those `paired` are told by another socket as well."""

    coins: tuple[str, ...]
    paired: frozenset[str] = frozenset()


def busiest_first(coins: Sequence[str], volumes: Mapping[str, float]) -> list[str]:
    """By the day's volume, the largest first; what is not in `volumes` last, in its order."""
    return sorted(coins, key=lambda coin: -volumes.get(coin, -1.0))


def needed(markets: int) -> int:
    """Subscriptions that so many markets take: one each, and a beacon for each socket."""
    return markets + max(1, -(-markets // MARKETS_PER_SOCKET))


def plan(
    coins: Sequence[str],
    *,
    subscriptions: int,
    sockets: int = CONNECTIONS_AT_ONCE,
    redundant: bool = True,
    per_socket: int = MARKETS_PER_SOCKET,
) -> list[Share]:
    """Shares of about equal size, dealt out in turn: neighbours in a list are alike.

    `coins` come the busiest first. A market's two sockets are never the same one. All shares
    together take no more than `subscriptions`, a beacon for each socket counted, and no more than
    `sockets` but one; a single socket for each market is planned whatever the budgets say, and
    refused where it is too much (`checking.within_subscriptions`).
    """
    first = _dealt(coins, per_socket)
    largest = len(first[0]) + 1
    free = subscriptions - len(coins) - len(first) - min(largest, SPARE_SUBSCRIPTIONS)
    left = sockets - _SPARE_SOCKETS - len(first)
    twice = _fitting(len(coins), free, left, per_socket) if redundant else 0
    second = _dealt(coins[:twice], per_socket) if twice else []
    paired = frozenset(coins[:twice])
    return [Share(tuple(coins), paired.intersection(coins)) for coins in (*first, *second)]


def _fitting(markets: int, free: int, sockets: int, per_socket: int) -> int:
    """How many markets have room on a second socket, the sockets' beacons counted."""
    for used in range(sockets, 0, -1):
        fitting = min(markets, free - used, used * per_socket)
        if fitting > (used - 1) * per_socket:
            return fitting
    return 0


def _dealt(coins: Sequence[str], per_socket: int) -> list[Sequence[str]]:
    sockets = max(1, -(-len(coins) // per_socket))
    return [coins[k::sockets] for k in range(sockets)]
