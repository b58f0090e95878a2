"""Twins of what a fast and a slow average say together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .averages import cascade, ema
from .common import NAN, Outputs, Twins, behind

__all__ = ["TWINS", "macd", "ppo", "trix"]


def macd(values: Sequence[float], fast: int, slow: int, signal: int) -> Outputs:
    """Fast less slow EMA, its EMA, the difference; all from the first signal on.

    The fast average begins so late that both have their first value in the same row.
    """
    fast, slow = sorted((fast, slow))
    late = [NAN] * min(slow - fast, len(values)) + ema(values[slow - fast :], fast)
    line = [quick - calm for quick, calm in zip(late, ema(values, slow), strict=True)]
    average = behind(line, lambda known: ema(known, signal))
    histogram = [one - two for one, two in zip(line, average, strict=True)]
    shown = [NAN] * min(slow + signal - 2, len(values)) + line[slow + signal - 2 :]
    return shown, average, histogram


def ppo(values: Sequence[float], fast: int, slow: int) -> list[float]:
    """Fast less slow EMA in percent of the slow one; 0 where that is 0."""
    fast, slow = sorted((fast, slow))
    return [
        100.0 * (quick - calm) / calm if calm else 0.0
        for quick, calm in zip(ema(values, fast), ema(values, slow), strict=True)
    ]


def trix(values: Sequence[float], n: int) -> list[float]:
    """Change of the EMA of the EMA of the EMA, in percent; 0 where it was 0."""
    triple = cascade(values, n, 3)[-1]
    changes = [100.0 * (new - old) / old if old else 0.0 for old, new in pairwise(triple)]
    return [NAN, *changes][: len(values)]


TWINS: Twins = {
    "MACD": macd,
    "PPO": lambda values, fast, slow: (ppo(values, fast, slow),),
    "TRIX": lambda values, n: (trix(values, n),),
}
