"""A shared-memory store of aligned time series: one writer, any number of readers, no broker.

Readers start here::

    store = ringbuf.attach("market_monitor")
    store["btcusd_perp"]["close"]      # float64[n], a view of the live memory

This package knows no exchange and no indicator: it keeps named series with named columns on a fixed
time grid. `ringbuf.layout` is the specification of the bytes. The writing side is `ringbuf.writer`;
it is not imported here, because it needs a compiler that readers do not.
"""

from .errors import (
    LayoutError,
    NameHeld,
    NeverAtRest,
    NoRow,
    NoSpace,
    NotAStore,
    NotReady,
    NotReplaced,
    PlatformUnsupported,
    RingbufError,
    RowsLost,
    StoreBusy,
    StoreEnded,
    StoreNotFound,
    StoreRefused,
    UnknownName,
    WrongVersion,
)
from .reader import Store, attach
from .ring import Ring

__all__ = [
    "LayoutError",
    "NameHeld",
    "NeverAtRest",
    "NoRow",
    "NoSpace",
    "NotAStore",
    "NotReady",
    "NotReplaced",
    "PlatformUnsupported",
    "Ring",
    "RingbufError",
    "RowsLost",
    "Store",
    "StoreBusy",
    "StoreEnded",
    "StoreNotFound",
    "StoreRefused",
    "UnknownName",
    "WrongVersion",
    "attach",
]
