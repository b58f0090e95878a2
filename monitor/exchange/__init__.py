"""An exchange that speaks Hyperliquid's protocol on loopback, for demos and tests.

Independent of the rest of the project on purpose: it shares no code with what it tests. The core
(`Exchange`) does no I/O and has no clock; `serve` puts sockets around it.

Chosen where nobody has measured the real exchange: a candle subscription to an unknown coin
drops the socket as other channels do; `candleSnapshot` of one answers 500 `null`; a refused
subscription (over 1,000) is answered `Invalid subscription`; too many messages drop the socket;
too many connections are answered 429; weekly bars begin on Thursdays (multiples since the epoch).
"""

from .app import Running, serve
from .candles import Candle
from .core import Exchange, ExchangeConfig
from .errors import BadRequest, ConfigError, ExchangeError, RefusedConnection, UnknownFault
from .faults import FAULTS, Fault, Faults, parse_faults
from .sessions import Closing, Session
from .world import Market, World

__all__ = [
    "FAULTS",
    "BadRequest",
    "Candle",
    "Closing",
    "ConfigError",
    "Exchange",
    "ExchangeConfig",
    "ExchangeError",
    "Fault",
    "Faults",
    "Market",
    "RefusedConnection",
    "Running",
    "Session",
    "UnknownFault",
    "World",
    "parse_faults",
    "serve",
]
