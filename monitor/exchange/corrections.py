"""Late corrections: the last trades of some minutes are told after their end, by all channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .intervals import MINUTE_MS
from .prices import chance

if TYPE_CHECKING:
    from .faults import Faults

__all__ = ["Corrections"]

_HEAD = '{"channel":"candle","data":'
_WITHHELD_MS = 10_000


@dataclass
class _Minute:
    """A minute of a coin whose end is withheld until `until_ms`; `early` is what was said of it."""

    open_ms: int
    until_ms: int
    early: str


class Corrections:
    """Which minutes are being withheld: at most one for each coin."""

    def __init__(self, faults: Faults) -> None:
        """Nothing is withheld."""
        self._faults = faults
        self._said: dict[str, tuple[int, str]] = {}
        self._waiting: dict[str, _Minute] = {}

    def withholds(self, coin: str, open_ms: int, frame: str, now_ms: int) -> bool:
        """Is this frame of a minute not to be sent now? What was sent before stays said."""
        waiting = self._waiting.get(coin)
        if waiting is not None and waiting.open_ms == open_ms:
            return True
        share = self._faults.share("correct")
        if share and waiting is None and now_ms >= open_ms + MINUTE_MS - _WITHHELD_MS:
            said = self._said.get(coin)
            dice = chance(self._faults.key("correct", coin), open_ms // MINUTE_MS)
            if dice < share and said is not None and said[0] == open_ms:
                until = open_ms + MINUTE_MS + 5_000 + int(dice / share * 35_000)
                self._waiting[coin] = _Minute(open_ms, until, said[1][len(_HEAD) : -1])
                self._faults.counts["correct"] += 1
                return True
        self._said[coin] = (open_ms, frame)
        return False

    def next_ms(self) -> int | None:
        """When the next one is told."""
        return min((minute.until_ms for minute in self._waiting.values()), default=None)

    def due(self, now_ms: int) -> list[tuple[str, int]]:
        """The (coin, open ms) that are to be told now: from now on nothing of them is withheld."""
        told = [(c, m.open_ms) for c, m in self._waiting.items() if m.until_ms <= now_ms]
        for coin, _ in told:
            del self._waiting[coin]
        return told

    def early(self, coin: str) -> tuple[int, str] | None:
        """Open time and JSON of the row of `coin` that REST does not know whole yet."""
        waiting = self._waiting.get(coin)
        return None if waiting is None else (waiting.open_ms, waiting.early)
