"""What has changed on a screen, and how long ago: colours that fade."""

from __future__ import annotations

from collections.abc import Sequence

from .selection import Row

__all__ = ["Changes"]

FRESH_S, GONE_S = 1.0, 3.0
"""A change is bright for so long, and is over after so long."""


class Changes:
    """Remembers the numbers that were shown last, of one row in one column each."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[float, float, int]] = {}

    def note(self, shown: Sequence[Row], columns: Sequence[str], now: float) -> None:
        """Compare with what was there before. A market's rows are told apart from the newest on.

        `now` is in seconds, of any clock that does not go back.
        """
        fresh: dict[tuple[str, str], tuple[float, float, int]] = {}
        for row in shown:
            for column in columns:
                value, key = row[column], (row["market"], column)
                if value is None:
                    continue
                before = self._known.get(key)
                if before is None:
                    fresh[key] = (value, now - GONE_S, 0)
                elif value != before[0]:
                    fresh[key] = (value, now, 1 if value > before[0] else -1)
                else:
                    fresh[key] = before
        self._known = fresh

    def style(self, market: str, column: str, now: float) -> str:
        """How a number is painted: rose or fell, a moment later rise or fall, then nothing."""
        _, since, sign = self._known.get((market, column), (0.0, 0.0, 0))
        if not sign or now - since >= GONE_S:
            return ""
        bright = now - since < FRESH_S
        return ("rose" if bright else "rise") if sign > 0 else ("fell" if bright else "fall")
