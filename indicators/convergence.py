"""What a fast and a slow average say together: MACD, PPO, TRIX."""

from __future__ import annotations

import numpy as np

from .averages import exponential
from .definition import Definition, period, settling_rows, stat
from .jit import Floats, Ints

__all__ = ["DEFINITIONS"]

_TINY = float(np.finfo(np.float64).tiny)


def _ema_settling(n: int) -> int:
    return settling_rows(2.0 / (n + 1.0))


@stat(
    "MACD",
    version=2,
    meaning="fast EMA less slow EMA; s is its EMA (signal), h the difference (histogram)",
    source="TA-Lib MACD (Appel): both averages begin together; if fast is the longer, they swap",
    parameters=(
        period(12, name="fast", low=2),
        period(26, name="slow", low=2),
        period(9, name="signal"),
    ),
    selectable=True,
    outputs=("", "s", "h"),
    state=("fast", "slow", "signal"),
    warmup=lambda fast, slow, signal: max(fast, slow) - 1 + signal - 1,
    lookback=lambda fast, slow, signal: max(fast - 1, slow - 1, signal - 1),
    # What the seeds leave in the difference has to leave the signal too.
    settling=lambda fast, slow, signal: _ema_settling(max(fast, slow)) + _ema_settling(signal),
    unit="input",
)
def macd(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """All three are shown from the first signal on; the state has the averages before it."""
    x, line_out, signal_out, histogram_out = cols[0], cols[1], cols[2], cols[3]
    fast_col, slow_col, signal_col = cols[4], cols[5], cols[6]
    fast = int(min(par[0], par[1]))
    slow = int(max(par[0], par[1]))
    signal = int(par[2])
    F[line_out, i] = np.nan
    F[signal_out, i] = np.nan
    F[histogram_out, i] = np.nan
    F[fast_col, i] = exponential(F, i, age - (slow - fast), x, fast_col, fast)
    F[slow_col, i] = exponential(F, i, age, x, slow_col, slow)
    first = slow - 1 + signal - 1
    line = F[fast_col, i] - F[slow_col, i]
    if age < first:
        F[signal_col, i] = np.nan
        return
    if age == first:
        value = 0.0
        for j in range(i - signal + 1, i + 1):
            value += F[fast_col, j] - F[slow_col, j]
        value /= signal
    else:
        previous = F[signal_col, i - 1]
        value = previous + (line - previous) * (2.0 / (signal + 1.0))
    F[signal_col, i] = 0.0 if abs(value) < _TINY else value
    F[line_out, i] = line
    F[signal_out, i] = F[signal_col, i]
    F[histogram_out, i] = line - F[signal_col, i]


@stat(
    "PPO",
    version=2,
    meaning="percentage price oscillator: fast EMA less slow EMA, in percent of the slow one",
    source="TA-Lib PPO with EMA: each average begins as soon as it can; they swap as MACD's do",
    parameters=(period(12, name="fast", low=2), period(26, name="slow", low=2)),
    selectable=True,
    state=("fast", "slow"),
    warmup=lambda fast, slow: max(fast, slow) - 1,
    lookback=lambda fast, slow: max(fast, slow) - 1,
    settling=lambda fast, slow: _ema_settling(max(fast, slow)),
    unit="percent",
)
def ppo(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """100 · (fast − slow) / slow; 0 where the slow one is 0 (a volume)."""
    x, out, fast_col, slow_col = cols[0], cols[1], cols[2], cols[3]
    fast = int(min(par[0], par[1]))
    slow = int(max(par[0], par[1]))
    F[fast_col, i] = exponential(F, i, age, x, fast_col, fast)
    F[slow_col, i] = exponential(F, i, age, x, slow_col, slow)
    average = F[slow_col, i]
    F[out, i] = 0.0 if average == 0.0 else 100.0 * ((F[fast_col, i] - average) / average)


@stat(
    "TRIX",
    version=2,
    meaning="change of a triple EMA from one row to the next, in percent",
    source="TA-Lib TRIX (Hutson)",
    parameters=(period(15),),
    selectable=True,
    state=("one", "two", "three"),
    warmup=lambda n: 3 * (n - 1) + 1,
    lookback=lambda n: max(n - 1, 1),
    settling=lambda n: settling_rows(2.0 / (n + 1.0), times=3),
    unit="percent",
)
def trix(F: Floats, I: Ints, i: int, age: int, cols: Ints, par: Floats) -> None:
    """100 · change / value before; 0 where that is 0 (a volume)."""
    x, out, one, two, three = cols[0], cols[1], cols[2], cols[3], cols[4]
    n = int(par[0])
    F[one, i] = exponential(F, i, age, x, one, n)
    F[two, i] = exponential(F, i, age - (n - 1), one, two, n)
    F[three, i] = exponential(F, i, age - 2 * (n - 1), two, three, n)
    if age < 3 * (n - 1) + 1:
        F[out, i] = np.nan
        return
    before = F[three, i - 1]
    # The difference first: the ratio less one would be mostly what it rounded off.
    F[out, i] = 0.0 if before == 0.0 else 100.0 * ((F[three, i] - before) / before)


DEFINITIONS: tuple[Definition, ...] = (macd, ppo, trix)
