"""The shapes of Hyperliquid's messages, as typed structures without behaviour.

Three kinds: *events*, which `protocol.decode` returns; *frames*, the websocket's envelopes, told
apart by their tag ``channel``; *documents*, the answers of REST. Field names are ours, each rename
to the wire's stands where the class begins. Fields that nobody here reads are left out: the
decoder skips them unread.

Units: ``*_ms`` are Unix milliseconds UTC, prices are in quote currency, volumes in base units.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Union

import msgspec
from msgspec import Meta, Struct, field

__all__ = [
    "AckFrame",
    "ActiveAssetCtx",
    "AllMids",
    "AllMidsFrame",
    "Bbo",
    "BboFrame",
    "Candle",
    "CandleFrame",
    "CtxFrame",
    "DayVolume",
    "Embedded",
    "Envelope",
    "ErrorFrame",
    "Event",
    "ExchangeStatus",
    "Frame",
    "Greeting",
    "Malformed",
    "PerpAsset",
    "PerpDex",
    "PerpMeta",
    "Pong",
    "PongFrame",
    "Request",
    "ServerError",
    "SpotCtxFrame",
    "SpotMeta",
    "SpotPair",
    "SpotToken",
    "Subscribed",
    "Subscription",
    "Unknown",
]

# Unix ms; whatever lies outside of the years 2001 to 5138 is no time, and would stop every clock.
_BlockTime = Annotated[int, Meta(gt=10**12, lt=10**14)]


# --- events ---------------------------------------------------------------------------------


class Candle(
    Struct,
    frozen=True,
    gc=False,
    rename={
        "open_ms": "t",
        "close_ms": "T",
        "coin": "s",
        "interval": "i",
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "volume": "v",
        "trades": "n",
    },
):
    """The whole state of one candle, of the socket and of REST alike; a later one replaces it."""

    open_ms: int
    close_ms: int
    coin: str
    interval: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int


class Bbo(Struct, frozen=True, gc=False, rename={"time_ms": "time"}):
    """Best bid and offer changed; only its block time is kept: the exchange's clock."""

    coin: str
    time_ms: _BlockTime


class AllMids(Struct, frozen=True):
    """Mid prices of every market of one dex (None: the first)."""

    mids: dict[str, float]
    dex: str | None = None


class ActiveAssetCtx(Struct, frozen=True, gc=False):
    """A market's context, perp or spot; volumes are those of the running day.

    `mid` and `day_base_vlm` are None where the exchange sends none (empty book, older form).
    """

    coin: str
    day_ntl_vlm: float
    day_base_vlm: float | None
    mid: float | None
    mark: float | None


class Subscription(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a subscription is for; hashable, and equal to its normalised echo.

    The exchange echoes with its own key order and with defaults added; fields that are not ours,
    null and empty ones make no difference.
    """

    type: str
    coin: str | None = None
    interval: str | None = None
    dex: str | None = None

    def __post_init__(self) -> None:
        for name in ("coin", "interval", "dex"):
            if getattr(self, name) == "":
                msgspec.structs.force_setattr(self, name, None)


class Subscribed(Struct, frozen=True, gc=False):
    """Acknowledgement; `method` is "subscribe" or "unsubscribe"."""

    method: str
    subscription: Subscription


class Pong(Struct, frozen=True, gc=False):
    """Answer to `PING`."""


class ServerError(Struct, frozen=True, gc=False):
    """A complaint of the server; `subscription` is the echoed one where it can be read.

    `kind`: already_subscribed, already_unsubscribed, invalid_subscription, parse, other.
    """

    kind: str
    text: str
    subscription: Subscription | None = None


class Greeting(Struct, frozen=True, gc=False):
    """Text that is not JSON, sent by older servers on connecting."""

    text: str


class Unknown(Struct, frozen=True, gc=False):
    """A well-formed frame of a channel that is not used here."""

    channel: str


class Malformed(Struct, frozen=True, gc=False):
    """A frame that is not what its channel promises; `excerpt` is its printable beginning.

    `channel` is empty where not even that can be read.
    """

    reason: str
    excerpt: str
    channel: str = ""


Event = Union[  # noqa: UP007 - evaluated at run time, where 3.10 cannot join forward names by |
    Candle,
    Bbo,
    AllMids,
    ActiveAssetCtx,
    Subscribed,
    Pong,
    ServerError,
    Greeting,
    Unknown,
    Malformed,
]


# --- frames: the wire's envelopes -------------------------------------------------------------


class CandleFrame(Struct, tag_field="channel", tag="candle", gc=False):
    """The state of one candle."""

    data: Candle


class BboFrame(Struct, tag_field="channel", tag="bbo", gc=False):
    """Best bid and offer."""

    data: Bbo

    def event(self) -> Bbo:
        """Unwrap."""
        return self.data


class AllMidsFrame(Struct, tag_field="channel", tag="allMids"):
    """All mid prices of a dex."""

    data: AllMids

    def event(self) -> AllMids:
        """Unwrap."""
        return self.data


class _Ctx(Struct, gc=False, rename="camel"):
    day_ntl_vlm: float
    day_base_vlm: float | None = None
    mid_px: float | None = None
    mark_px: float | None = None


class _CoinCtx(Struct, gc=False):
    coin: str
    ctx: _Ctx


class CtxFrame(Struct, tag_field="channel", tag="activeAssetCtx", gc=False):
    """Context of a perpetual."""

    data: _CoinCtx

    def event(self) -> ActiveAssetCtx:
        """Unwrap."""
        ctx = self.data.ctx
        return ActiveAssetCtx(
            self.data.coin, ctx.day_ntl_vlm, ctx.day_base_vlm, ctx.mid_px, ctx.mark_px
        )


class SpotCtxFrame(CtxFrame, tag="activeSpotAssetCtx", gc=False):
    """Context of a spot pair."""


class AckFrame(Struct, tag_field="channel", tag="subscriptionResponse", gc=False):
    """Acknowledgement of a request."""

    data: Subscribed

    def event(self) -> Subscribed:
        """Unwrap."""
        return self.data


class PongFrame(Struct, tag_field="channel", tag="pong", gc=False):
    """Answer to a ping; it may come without data."""

    _event: ClassVar[Pong] = Pong()

    def event(self) -> Pong:
        """Unwrap."""
        return self._event


class ErrorFrame(Struct, tag_field="channel", tag="error", gc=False):
    """A complaint; the text echoes what it is about."""

    data: str


Frame = Union[  # noqa: UP007 - see Event
    CandleFrame,
    BboFrame,
    AllMidsFrame,
    CtxFrame,
    SpotCtxFrame,
    AckFrame,
    PongFrame,
    ErrorFrame,
]


class Envelope(Struct, gc=False):
    """Any frame at all: what channel it is of."""

    channel: str


class Request(Struct, gc=False):
    """A request as echoed in a complaint."""

    subscription: Subscription


# --- documents --------------------------------------------------------------------------------


class PerpAsset(Struct, frozen=True, gc=False, rename={"size_decimals": "szDecimals"}):
    """One perpetual of a dex; its position in the universe is its index."""

    name: str
    size_decimals: int = 0
    is_delisted: bool | None = field(default=None, name="isDelisted")

    @property
    def delisted(self) -> bool:
        """True once the exchange does not trade it any more (the key is absent or null before)."""
        return bool(self.is_delisted)


class PerpMeta(Struct, frozen=True):
    """Answer to ``meta``: the perpetuals of one dex."""

    universe: list[PerpAsset]


class SpotToken(Struct, frozen=True, gc=False, rename={"size_decimals": "szDecimals"}):
    """One token; pairs name it by its `index`, which is not its position in the list."""

    name: str
    index: int
    size_decimals: int = 0


class SpotPair(Struct, frozen=True, gc=False):
    """One spot pair: wire name, and the indices of its base and quote token."""

    name: str
    tokens: tuple[int, int]
    index: int


class SpotMeta(Struct, frozen=True):
    """Answer to ``spotMeta``."""

    universe: list[SpotPair]
    tokens: list[SpotToken]


class DayVolume(Struct, gc=False, rename="camel"):
    """The part of a market's context that is used: the volume of a day, in units of the base.

    `coin` is there for spot only: perpetuals are in the order of their universe.
    """

    coin: str | None = None
    day_base_vlm: float | None = None
    day_ntl_vlm: float = 0.0


class Embedded(Struct, frozen=True, gc=False):
    """What an embedded exchange says about itself; a real one never sends it."""

    run: str
    rate: Annotated[float, Meta(ge=0.01, le=10_000)] = 1.0
    seed: int | None = None


class ExchangeStatus(Struct, frozen=True, gc=False, rename={"time_ms": "time"}):
    """Answer to ``exchangeStatus``: the exchange's clock; `embedded` is None on a real one."""

    time_ms: _BlockTime
    embedded: Embedded | None = None


class PerpDex(Struct, gc=False):
    """One builder-deployed dex."""

    name: str
