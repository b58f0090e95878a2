"""What a service has counted, in one line for people."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["counted"]


def counted(counters: Mapping[str, int]) -> list[str]:
    """The parts of the line: what always matters, then what has happened and should be known.

    Counters that the store does not have are left out.
    """

    def has(*names: str) -> bool:
        return all(name in counters for name in names)

    parts = []
    if has("frames"):
        parts.append(f"frames {counters['frames']:,}")
    if has("lag_p50_ms", "lag_p99_ms"):
        parts.append(f"lag {counters['lag_p50_ms']:,} ms, p99 {counters['lag_p99_ms']:,} ms")
    if has("sockets", "on_two_sockets"):
        parts.append(f"sockets {counters['sockets']}, {counters['on_two_sockets']} markets on two")
    if has("rest_weight_minute"):
        parts.append(f"REST weight {counters['rest_weight_minute']:,} a minute")
    parts += [
        f"{name.replace('_', ' ')} {counters[name]:,}" for name in _EVENTS if counters.get(name)
    ]
    return parts


_EVENTS = (
    "carried",
    "repaired",
    "corrected",
    "rejected",
    "malformed",
    "unknown_coin",
    "disconnects",
    "renewals",
    "stalls",
    "quarantined",
    "rest_errors",
    "lost_histories",
    "delisted",
    "offered",
    "renamed",
    "archive_errors",
    "archive_damaged",
)
