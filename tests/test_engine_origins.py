"""Two services begun at different times publish the same values: what came before has settled."""

from __future__ import annotations

import json

import numpy as np
import pytest

import engine_kit as kit
from indicators import default_registry
from monitor.exchange import Exchange, ExchangeConfig, Market
from monitor.ledger import Stream
from monitor.protocol import Candle, Subscribed, Subscription, decode, decode_candles, subscribe
from oracles import ORACLES, columns

MINUTE = kit.MINUTE
MARKETS = (Market("BTC", "perp", 20.0, 86_000.0, 5), Market("FTT", "perp", 0.8, 1.9, 1))
COINS = [market.coin for market in MARKETS]
STATS = [str(default_registry().resolve(definition.name).name) for definition in default_registry()]
# A plan is as deep as its slowest stat needs: each that has to settle is looked at alone, too.
SETTLING = [name for name in STATS if default_registry().resolve(name).settling]
HISTORY = 60
APART = 37
STEP_MS = 10_000
# Their level is that of their origin, as said in their declarations; their changes are compared.
LEVELS = {letters for letters, one in ORACLES.items() if one.path}


class Service:
    """An engine over an exchange that others follow, too: its socket, its REST, no fault."""

    def __init__(self, exchange: Exchange, stats: list[str]) -> None:
        self.exchange = exchange
        self.engine = kit.make_engine(COINS, history=HISTORY, stats=stats)
        self.session = exchange.connect()
        self.stream = Stream("one")
        for coin in COINS:
            exchange.receive(self.session, subscribe(Subscription("candle", coin, "1m")))

    def step(self) -> None:
        """Hear what has come, and ask what is to be asked."""
        now = float(self.exchange.now_ms)
        for frame in self.session.take():
            event = decode(frame)
            if isinstance(event, Subscribed):
                assert event.subscription.coin is not None
                market = self.engine.book.index[event.subscription.coin]
                self.engine.watch(market, self.stream, now)
            elif isinstance(event, Candle):
                self.engine.candle(event, now, 1)
        self.exchange.receive(self.session, '{"method":"ping"}')
        self.stream.alive_ms = now
        self.engine.tick(now)
        history = self.engine.history
        for ask in history.wanted(now):
            history.sent(ask)
            daily = ask.kind == "last_close"
            request = {
                "coin": COINS[ask.market],
                "interval": "1d" if daily else "1m",
                "startTime": 0 if daily else ask.first * MINUTE,
                "endTime": (ask.until + 1) * MINUTE - 1,
            }
            body = json.dumps({"type": "candleSnapshot", "req": request}).encode()
            rows = decode_candles(self.exchange.info(body).body.encode())
            history.answer(ask, rows, now, 1)


@pytest.mark.parametrize("stats", [STATS, *([name] for name in SETTLING)], ids=["all", *SETTLING])
def test_services_begun_37_minutes_apart_publish_the_same_values(stats: list[str]) -> None:
    exchange = Exchange(ExchangeConfig(markets=MARKETS, seed=5), kit.BAR * MINUTE + 17_345)
    services = [Service(exchange, stats)]
    for minutes in (APART, 3):
        end = exchange.now_ms + minutes * MINUTE
        while exchange.now_ms < end:
            exchange.advance(exchange.now_ms + STEP_MS)
            for service in services:
                service.step()
        if len(services) == 1:
            services.append(Service(exchange, stats))
    early, late = (service.engine for service in services)
    for market in range(len(MARKETS)):
        origins = [kit.word(engine, "origin", market) for engine in (early, late)]
        assert origins[1] - origins[0] >= APART
        last = min(kit.word(engine, "closed", market) for engine in (early, late))
        first = last - HISTORY + 2
        assert last >= kit.BAR + APART
        for name in (name for text in stats for name in columns(text)):
            one, other = (kit.column(engine, name, market, first, last) for engine in (early, late))
            assert np.isfinite(one).all(), name
            if name in LEVELS:
                one, other = np.diff(one), np.diff(other)
            # Where a value is a difference that may be nothing, a seed weighs a billionth of what
            # the values are apart.
            reach = float(np.max(np.abs(one)))
            np.testing.assert_allclose(
                other, one, rtol=1e-9, atol=1e-9 * reach, err_msg=f"{COINS[market]} {name}"
            )
