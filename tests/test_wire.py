"""The wire's shapes: what they accept, and that they stay cheap and safe to share."""

from __future__ import annotations

import msgspec
import pytest

from monitor import wire

EVENTS = (
    wire.Candle,
    wire.Bbo,
    wire.ActiveAssetCtx,
    wire.Subscription,
    wire.Subscribed,
    wire.Pong,
    wire.ServerError,
    wire.Greeting,
    wire.Unknown,
    wire.Malformed,
    wire.AllMids,
)


@pytest.mark.parametrize("event", EVENTS)
def test_events_cannot_be_changed(event: type[msgspec.Struct]) -> None:
    assert event.__struct_config__.frozen


def test_a_candle_s_fields_are_renamed_one_to_one() -> None:
    info = {field.name: field.encode_name for field in msgspec.structs.fields(wire.Candle)}
    assert info == {
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
    }


def test_each_channel_has_one_frame() -> None:
    frames = (
        wire.CandleFrame,
        wire.BboFrame,
        wire.AllMidsFrame,
        wire.CtxFrame,
        wire.SpotCtxFrame,
        wire.AckFrame,
        wire.PongFrame,
        wire.ErrorFrame,
    )
    tags = [frame.__struct_config__.tag for frame in frames]
    assert all(frame.__struct_config__.tag_field == "channel" for frame in frames)
    assert len(set(tags)) == len(frames)


def test_absent_subscription_fields_are_not_sent() -> None:
    assert msgspec.json.encode(wire.Subscription("allMids")) == b'{"type":"allMids"}'


def test_a_version_is_told_and_other_names_are_not_made_up() -> None:
    import monitor

    assert monitor.__version__
    with pytest.raises(AttributeError, match="no attribute 'wersion'"):
        monitor.__getattr__("wersion")
