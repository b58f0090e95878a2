"""How late frames come: percentiles of the last minute or so, in a fixed amount of memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

__all__ = ["Lags"]

SAMPLES = 1_024
"""About a minute of two sockets' beacons."""


class Lags:
    """The newest samples, in milliseconds."""

    def __init__(self, samples: int = SAMPLES) -> None:
        self._samples: deque[float] = deque(maxlen=samples)

    def add(self, ms: float) -> None:
        """One frame came so late."""
        self._samples.append(ms)

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """The least samples that such shares (0..1) of all do not exceed; 0 without any."""
        ordered = sorted(self._samples)
        if not ordered:
            return [0.0] * len(shares)
        return [ordered[max(math.ceil(share * len(ordered)), 1) - 1] for share in shares]
