"""Finds streams that have fallen silent about one market while their socket goes on.

Pings are answered and other markets are told, so nothing but contrary evidence shows it: the other
socket of the market has told a state that this one has not; or the day's volume has grown, and no
socket told of a trade. Pure: what was told and clock readings go in, silent streams come out.

Evidence counts when it is `patience_s` old and the stream still has not caught up: of two sockets
one is always the later one, and a volume may be known sooner than the candle. A stream that goes on
telling, but always that late, is found as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .ledger import Stream

__all__ = ["PATIENCE_S", "Witness"]

PATIENCE_S = 8.0
_GROWN = 1e-9
"""Less growth than this part is rounding, not a trade."""

_State = tuple[int, int]
_NOTHING: _State = (0, 0)


@dataclass
class _Told:
    """What a stream has told of a market: the newest state, when; since when it is behind.

    state: open time of the minute, trades in it. behind_s: when something was told that it has not
    told, which is `mark`; None while there is no such thing.
    """

    state: _State
    at_s: float
    behind_s: float | None = None
    mark: _State = _NOTHING


class Witness:
    """All that streams have told lately, compared. Times are of one monotonic clock, in seconds."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._markets: dict[str, dict[Stream, _Told]] = {}
        self._volumes: dict[str, tuple[float, float]] = {}

    def watching(self, coin: str, stream: Stream, now_s: float) -> None:
        """`stream` tells about `coin` from now on; what was told before, it need not tell."""
        telling = self._markets.setdefault(coin, {})
        state = max((each.state for each in telling.values()), default=_NOTHING)
        telling[stream] = _Told(state, now_s)

    def unwatched(self, coin: str, stream: Stream) -> None:
        """`stream` no longer tells about `coin`."""
        self._markets.get(coin, {}).pop(stream, None)

    def lost(self, stream: Stream) -> None:
        """`stream` is gone."""
        for telling in self._markets.values():
            telling.pop(stream, None)

    def told(self, coin: str, stream: Stream, open_ms: int, trades: int, now_s: float) -> None:
        """`stream` has told a state of `coin`: so many trades in the minute at `open_ms`."""
        telling = self._markets.get(coin)
        told = telling.get(stream) if telling is not None else None
        if telling is None or told is None:
            return
        told.at_s = now_s
        told.state = max(told.state, (open_ms, trades))
        if told.behind_s is not None and told.state >= told.mark:
            told.behind_s = None
        for other in telling.values():
            if other.behind_s is None and other.state < told.state:
                other.behind_s, other.mark = now_s, told.state
            elif told.behind_s is None and other.state > told.state:
                told.behind_s, told.mark = now_s, other.state

    def volumes(self, volumes: Mapping[str, float], now_s: float) -> None:
        """The day's volumes as of now: one that has grown is a trade since the last time."""
        for coin, volume in volumes.items():
            before = self._volumes.get(coin)
            self._volumes[coin] = (volume, now_s)
            if before is None or volume <= before[0] * (1.0 + _GROWN):
                continue
            for told in self._markets.get(coin, {}).values():
                # A trade shortly before the last look may have been told before it.
                if told.behind_s is None and told.at_s < before[1] - self._patience_s:
                    told.behind_s = now_s
                    told.mark = (told.state[0], told.state[1] + 1)

    def silent(self, now_s: float) -> list[tuple[str, Stream, float]]:
        """Who has fallen silent about what, and when it was last heard of it."""
        return [
            (coin, stream, told.at_s)
            for coin, telling in self._markets.items()
            for stream, told in telling.items()
            if told.behind_s is not None and now_s - told.behind_s > self._patience_s
        ]
