"""Settings and markets, turned into the description of a store and of its source.

The one place that says which columns a store of ours has, and what makes two stores' rows the same
rows (`source`): the network, its URLs, and for an embedded exchange the run, because the next run
invents other prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from indicators import Plan, load, plan
from ringbuf.spec import Column, Series, StoreSpec

from . import __version__
from .book import COUNTERS, INTERVAL_MS, STATUSES, TROUBLED
from .markets import Market
from .settings import Settings
from .wire import Embedded

__all__ = ["columns_of", "plan_of", "source_of", "spec_of"]

_CANDLE_COLUMNS = (
    Column("time", "M", "ms UTC", "open time of the minute"),
    Column("open", "f", "quote", "first trade"),
    Column("high", "f", "quote", "highest trade"),
    Column("low", "f", "quote", "lowest trade"),
    Column("close", "f", "quote", "last trade"),
    Column("volume", "f", "base", "sum of the trades' sizes"),
    Column("trades", "i", "count", "number of trades"),
    Column("flags", "i", "bits", "1 carried, 2 confirmed, 4 closed"),
)


def source_of(settings: Settings, embedded: Embedded | None) -> dict[str, Any]:
    """Where the rows come from; stores of different sources never share a row."""
    source: dict[str, Any] = {
        "exchange": "hyperliquid",
        "network": settings.network,
        "ws_url": settings.ws_url,
        "api_url": settings.api_url,
    }
    if embedded is not None:
        source |= {"network": "embedded", "run": embedded.run, "rate": embedded.rate}
    return source


def plan_of(settings: Settings) -> Plan:
    """The plan of the configured stats, those of the user's own modules among them."""
    load(settings.stats_modules)
    return plan(settings.stats, history=settings.history)


def columns_of(plan: Plan) -> tuple[Column, ...]:
    """The columns of a store: the candle's, the stats in their order, what these remember."""
    stats = (Column(c.name, "f", c.unit, c.definition) for c in plan.columns)
    return (*_CANDLE_COLUMNS, *stats)


def spec_of(
    settings: Settings, markets: Sequence[Market], plan: Plan, source: dict[str, Any]
) -> StoreSpec:
    """The store that these settings ask for."""
    return StoreSpec(
        name=settings.segment,
        series=tuple(Series(market.name, market.coin) for market in markets),
        columns=columns_of(plan),
        history=settings.history,
        interval_ms=INTERVAL_MS,
        lookback=plan.lookback + plan.runup,
        source=source,
        software=f"market-monitor {__version__}",
        counters=COUNTERS,
        statuses=STATUSES,
        troubled=TROUBLED,
    )
