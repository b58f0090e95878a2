"""One market at work: its series, its book and its day's figures at any time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .candles import Series
from .prices import SeededProcess, chance, format_decimal, stable_key
from .tape import Cursor

if TYPE_CHECKING:
    from .prices import Process
    from .world import Market

__all__ = ["Desk"]

_LEVELS = 20


class Desk:
    """What can be told about one market; all times are the exchange's ms."""

    def __init__(self, market: Market, process: Process, seed: int, start_ms: int) -> None:
        """Nothing is generated before it is asked for."""
        self.market = market
        self.process = process
        self.series = Series(process)
        self.tape = self.series.tape
        self.coin_json = json.dumps(market.coin)
        self.key = stable_key(seed, market.coin, "desk")
        self.places = process.price_decimals
        self.sizes = process.size_decimals
        # A book stands behind every market that is traded at all.
        self.quoted = not market.delisted and process.first_chunk <= process.last_chunk
        self._start_ms = start_ms
        self._day_base = market.trades_per_minute * 1440 * market.notional / market.price
        self._day_notional = self._day_base * market.price
        self._volume: Cursor | None = None

    def end(self, market: Market, now_ms: int) -> None:
        """Trading ends now; `market` is what is listed from now on."""
        self.market = market
        self.quoted = False
        assert isinstance(self.process, SeededProcess)  # a recording ends by itself
        self.process.end(now_ms + 1)
        self.series.forget()

    def px(self, price: float) -> str:
        """A price as text."""
        return format_decimal(price, self.places)

    def size(self, value: float) -> str:
        """A size as text."""
        return format_decimal(value, self.sizes)

    def mid(self, now_ms: int) -> float | None:
        """Middle of the book, None without one."""
        return self.process.mid(now_ms) if self.quoted else None

    def mid_text(self, now_ms: int) -> str | None:
        """Middle of the book as text."""
        book = self.book(now_ms, 1)
        if not book[0]:
            return None
        return format_decimal(
            (float(book[0][0]["px"]) + float(book[1][0]["px"])) / 2, self.places + 1
        )

    def book(self, now_ms: int, depth: int = _LEVELS) -> list[list[dict[str, Any]]]:
        """Bids and asks, the best first: [[{px, sz, n}], [{px, sz, n}]]."""
        mid = self.mid(now_ms)
        if mid is None:
            return [[], []]
        tick = self._tick(mid)
        low = int(mid / tick)
        market = self.market
        sides: list[list[dict[str, Any]]] = []
        for side, best, step in ((0, low, -1), (1, low + 1, 1)):
            levels = []
            for level in range(depth):
                price = (best + step * level) * tick
                if price <= 0:
                    break
                dice = chance(self.key, (now_ms * 2 + side) * _LEVELS + level)
                size = max(market.notional * (0.2 + 3 * dice) / mid, 10.0**-self.sizes)
                levels.append({"px": self.px(price), "sz": self.size(size), "n": 1 + int(dice * 8)})
            sides.append(levels)
        return sides

    def _tick(self, price: float) -> float:
        """Smallest step of a price of this height."""
        whole = len(f"{price:.0f}") if price >= 1 else 0
        if whole:
            return 10.0 ** -max(0, min(self.places, 5 - whole))
        zeros = len(f"{price:.12f}".split(".")[1]) - len(f"{price:.12f}".split(".")[1].lstrip("0"))
        return 10.0 ** -min(self.places, 5 + zeros)

    def day(self, now_ms: int) -> tuple[str, str]:
        """The day's volume, quote and base: an invented part, and every trade since the start."""
        if self._volume is None:
            self._volume = Cursor(self.tape, self._start_ms)
        units = 10**self.sizes
        for _, px, sz, _ in self._volume.take(now_ms):
            self._day_base += sz / units
            self._day_notional += px * sz / units
        return format_decimal(self._day_notional, 6), format_decimal(self._day_base, self.sizes)

    def context(self, now_ms: int) -> dict[str, Any]:
        """The market's context: `activeAssetCtx`, `metaAndAssetCtxs`."""
        notional, base = self.day(now_ms)
        mark = self._mark(now_ms)
        mid = self.mid_text(now_ms)
        day_ago = self.px(self._rounded(self.process.mid(max(0, now_ms - 86_400_000))))
        if self.market.kind == "spot":
            supply = self.size(1e9)
            return {
                "prevDayPx": day_ago,
                "dayNtlVlm": notional,
                "markPx": mark,
                "midPx": mid,
                "circulatingSupply": supply,
                "coin": self.market.coin,
                "totalSupply": supply,
                "dayBaseVlm": base,
            }
        book = self.book(now_ms, 1)
        return {
            "funding": "0.0000125",
            "openInterest": self.size(self.market.notional * 1_000 / self.market.price),
            "prevDayPx": day_ago,
            "dayNtlVlm": notional if self.quoted else "0.0",
            "premium": "0.0000131" if mid else None,
            "oraclePx": mark,
            "markPx": mark,
            "midPx": mid,
            "impactPxs": [book[0][0]["px"], book[1][0]["px"]] if mid else None,
            "dayBaseVlm": base if self.quoted else "0.0",
        }

    def _mark(self, now_ms: int) -> str:
        if self.quoted:
            return self.px(self._rounded(self.process.mid(now_ms)))
        last = self.series.last_before(now_ms)
        return self.px(last[1] if last else self.market.price)

    def _rounded(self, price: float) -> float:
        tick = self._tick(price)
        return max(round(price / tick), 1) * tick

    def trades(self, now_ms: int, count: int) -> list[dict[str, Any]]:
        """The last trades up to `now_ms`, oldest first, as on the wire."""
        return [self.trade(*row) for row in self.tape.recent(now_ms, count)]

    def trade(self, ms: int, px: float, units: int) -> dict[str, Any]:
        """One trade as on the wire."""
        tid = stable_key(self.key, ms, px, units)
        maker = f"0x{tid:040x}"
        taker = f"0x{tid ^ self.key:040x}"
        return {
            "coin": self.market.coin,
            "side": "B" if tid & 1 else "A",
            "px": self.px(px),
            "sz": self.size(units / 10**self.sizes),
            "time": ms,
            "hash": f"0x{tid:064x}",
            "tid": tid >> 14,
            "users": [taker, maker],
        }
