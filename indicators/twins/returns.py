"""Twins of returns and realised volatility."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from .common import NAN, Twins, behind, windows

__all__ = ["TWINS", "log_return", "log_returns", "realised"]


def log_return(old: float, new: float) -> float:
    """Logarithm of the ratio; 0 where there is none."""
    if old <= 0.0 or new <= 0.0:
        return 0.0
    return math.log1p(float(Fraction(new) / Fraction(old) - 1))


def log_returns(values: Sequence[float], n: int) -> list[float]:
    """Log return of n rows; NaN for the first n rows."""
    changes = [log_return(old, new) for old, new in zip(values, values[n:], strict=False)]
    return [NAN] * min(n, len(values)) + changes


def realised(values: Sequence[float], n: int) -> list[float]:
    """Root of the sum of n squared returns."""
    return behind(
        log_returns(values, 1),
        lambda known: windows(n, lambda last: math.sqrt(math.fsum(r * r for r in last)), known),
    )


TWINS: Twins = {
    "LOGRET": lambda values, n: (log_returns(values, n),),
    "RV": lambda values, n: (realised(values, n),),
}
