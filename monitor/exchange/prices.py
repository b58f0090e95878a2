"""Invented trading: a seeded process that can be asked for any stretch of time, in any order.

Nothing here has state that the asking could change. The price is a sum of seeded noise over
absolute time; trades come in chunks of a fixed number of minutes, each from a generator seeded
with (seed, coin, chunk). So the truth is the same however often, and when, it is asked for.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .intervals import MINUTE_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .world import Market

__all__ = [
    "Process",
    "SeededProcess",
    "Trades",
    "chance",
    "format_decimal",
    "format_volume",
    "round_prices",
    "stable_key",
]

_MASK = (1 << 64) - 1
_LATTICE_MS = 15_000
_OCTAVES = 8
_SIGNIFICANT = 5
_CHUNK_TRADES = 1_500
_TAIL_SHARE = 0.02
_TAIL_MS = 45
_HISTORY_MINUTES = 5_400
_QUIET_HISTORY_MINUTES = 28_800


def stable_key(*parts: object) -> int:
    """64 bits from the parts' texts, the same in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def chance(key: int, number: int) -> float:
    """Uniform in [0, 1) from (key, number): splitmix64."""
    z = (key + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def _chances(key: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = (z ^ (z >> np.uint64(31))) >> np.uint64(11)
    return mixed.astype(np.float64) * 2.0**-53


def round_prices(px: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Prices as the exchange allows them: 5 significant figures, at most `decimals`, above 0.

    Integers are always allowed. The result is the double nearest to the decimal number.
    """
    digits = _SIGNIFICANT - 1 - np.floor(np.log10(px)).astype(np.int64)
    places = np.clip(digits, 0, decimals)
    scale = 10.0**places
    rounded: NDArray[np.float64] = np.maximum(np.rint(px * scale), 1.0) / scale
    return rounded


def format_decimal(value: float, places: int) -> str:
    """`value` as the exchange writes it: no exponent, no zeros at the end but one decimal."""
    if not places:
        return f"{value:.0f}.0"
    text = f"{value:.{places}f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def format_volume(value: float, places: int) -> str:
    """A volume as the exchange writes it: large ones with binary noise, same double when read."""
    if value >= 1e6:
        text = f"{value:.17g}"
        if "e" not in text:
            return text if "." in text else text + ".0"
    return format_decimal(value, places)


class Trades:
    """Trades in time order: `times` int64 ms, `px` float64, `sz` int64 in units of the market.

    `counted` is 0 for a print that makes a row but is no trade (rows of a recording without
    volume), 1 for a trade.
    """

    def __init__(
        self,
        times: NDArray[np.int64],
        px: NDArray[np.float64],
        sz: NDArray[np.int64],
        counted: NDArray[np.int64] | None = None,
    ) -> None:
        """Keep the arrays: all of one length."""
        self.times = times
        self.px = px
        self.sz = sz
        self.counted = np.ones(len(times), np.int64) if counted is None else counted

    @cached_property
    def lists(self) -> tuple[list[int], list[float], list[int], list[int]]:
        """The same as Python lists: walking them one by one is several times faster."""
        return self.times.tolist(), self.px.tolist(), self.sz.tolist(), self.counted.tolist()

    @classmethod
    def none(cls) -> Trades:
        """No trades."""
        return cls(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


class Process(Protocol):
    """Where a market's trades come from.

    Chunk k covers [span(k)[0], span(k)[1]) in ms; all trades are in chunks first … last.
    """

    price_decimals: int
    size_decimals: int
    first_chunk: int
    last_chunk: int
    chunk_minutes: int

    def chunk_of(self, ms: int) -> int:
        """Number of the chunk that holds `ms`."""
        ...

    def span(self, chunk: int) -> tuple[int, int]:
        """First ms of the chunk and of the next one."""
        ...

    def generate(self, chunk: int) -> Trades:
        """The chunk's trades: always the same."""
        ...

    def mid(self, ms: int) -> float:
        """Middle of the book at `ms`, not rounded."""
        ...


class SeededProcess:
    """The invented trading of one market, from `origin` on, up to `until` if it was delisted."""

    def __init__(self, market: Market, seed: int, start_ms: int) -> None:
        """Derive all constants; no trade is made yet."""
        rate = market.trades_per_minute
        self.market = market
        self.price_decimals = market.price_decimals
        self.size_decimals = market.sz_decimals
        self.key = stable_key(seed, market.coin)
        self.chunk_minutes = int(min(1440, max(60, _CHUNK_TRADES / max(rate, 1e-9))))
        # Chunks of different markets end at different minutes, so that making the next ones
        # is spread over time.
        self._offset = self.key % self.chunk_minutes
        history = _HISTORY_MINUTES if rate > 0.05 else _QUIET_HISTORY_MINUTES
        start = start_ms - start_ms % MINUTE_MS
        age = (1 + self.key % 3) * 1440 if market.delisted else 0
        self.origin_ms = max(0, start - (history + age) * MINUTE_MS)
        self.until_ms = start - age * MINUTE_MS if market.delisted else None
        self.first_chunk = self.chunk_of(self.origin_ms)
        self.last_chunk = 1 << 60
        if rate <= 0:
            self.last_chunk = self.first_chunk - 1
        elif self.until_ms is not None:
            self.last_chunk = self.chunk_of(self.until_ms)
        # Liquid books are tight; the half-spread is a share of the price.
        self.half_spread = 0.0001 if rate >= 10 else 0.0004 if rate >= 1 else 0.002
        self._blocks: dict[int, list[float]] = {}

    def chunk_of(self, ms: int) -> int:
        """Number of the chunk that holds `ms`."""
        return (ms // MINUTE_MS + self._offset) // self.chunk_minutes

    def span(self, chunk: int) -> tuple[int, int]:
        """First ms of the chunk and of the next one."""
        start = (chunk * self.chunk_minutes - self._offset) * MINUTE_MS
        return start, start + self.chunk_minutes * MINUTE_MS

    def _lattice(self, first: int, last: int) -> NDArray[np.float64]:
        """Prices at the points first … last of the 15-second lattice: float64[n]."""
        points = np.arange(first, last + 1, dtype=np.int64)
        log = np.zeros(len(points))
        amplitude = self.market.volatility / 2
        for octave in range(_OCTAVES):
            step = 4**octave
            base, rest = np.divmod(points, step)
            key = (self.key + octave * 0x632BE59BD9B4E019) & _MASK
            knots = _chances(key, np.arange(base[0], base[-1] + 2, dtype=np.int64)) * 2 - 1
            left = knots[base - base[0]]
            log += amplitude * (left + (knots[base - base[0] + 1] - left) * (rest / step))
            amplitude *= 2
        prices: NDArray[np.float64] = self.market.price * np.exp(log)
        return prices

    def mid(self, ms: int) -> float:
        """Middle of the book at `ms`, not rounded."""
        point, rest = divmod(ms, _LATTICE_MS)
        block, at = divmod(point, 64)
        prices = self._blocks.get(block)
        if prices is None:
            if len(self._blocks) > 3:
                self._blocks.pop(next(iter(self._blocks)))
            prices = self._blocks[block] = self._lattice(block * 64, block * 64 + 64).tolist()
        left, right = prices[at], prices[at + 1]
        return left + (right - left) * rest / _LATTICE_MS

    def end(self, ms: int) -> None:
        """No trade is made from `ms` on."""
        self.until_ms = ms
        self.last_chunk = min(self.last_chunk, self.chunk_of(ms))

    def generate(self, chunk: int) -> Trades:
        """The chunk's trades: always the same."""
        if not self.first_chunk <= chunk <= self.last_chunk:
            return Trades.none()
        rng = np.random.Generator(np.random.PCG64([self.key, chunk]))
        start, end = self.span(chunk)
        intensity = self.market.trades_per_minute * np.exp(
            rng.normal(0.0, 0.8, self.chunk_minutes) - 0.32
        )
        counts = rng.poisson(intensity)
        total = int(counts.sum())
        if not total:
            return Trades.none()
        minutes = np.repeat(np.arange(self.chunk_minutes, dtype=np.int64), counts)
        times = start + minutes * MINUTE_MS + rng.integers(0, MINUTE_MS, total)
        times.sort()
        # Now and then the last trade of a minute comes in its last moments, after the last
        # frame that a subscriber gets: only REST tells about it.
        ends = np.cumsum(counts)[counts > 0] - 1
        tails = ends[rng.random(len(ends)) < _TAIL_SHARE]
        late = (times[tails] // MINUTE_MS + 1) * MINUTE_MS
        times[tails] = np.maximum(times[tails], late - rng.integers(1, _TAIL_MS, len(tails)))
        first = start // _LATTICE_MS
        lattice = self._lattice(first, end // _LATTICE_MS + 1)
        grid = (first + np.arange(len(lattice))) * _LATTICE_MS
        side = rng.choice((-1.0, 1.0), total)
        px = np.interp(times, grid, lattice) * (1 + side * self.half_spread * rng.random(total))
        px = round_prices(px, self.price_decimals)
        units = 10.0**self.size_decimals
        notional = self.market.notional * np.exp(rng.normal(0.0, 1.2, total))
        sz = np.maximum(np.rint(notional / px * units), 1.0).astype(np.int64)
        keep = times >= self.origin_ms
        if self.until_ms is not None:
            keep &= times < self.until_ms
        return Trades(times[keep], px[keep], sz[keep])
