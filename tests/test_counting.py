"""The line that says what a service has counted."""

from __future__ import annotations

from monitor.book import COUNTERS
from reading.counting import counted


def test_what_always_matters_is_there_and_what_did_not_happen_is_not() -> None:
    counters = dict.fromkeys(COUNTERS, 0) | {
        "frames": 12_345,
        "lag_p50_ms": 12,
        "lag_p99_ms": 180,
        "sockets": 2,
        "on_two_sockets": 10,
        "rest_weight_minute": 64,
    }
    assert counted(counters) == [
        "frames 12,345",
        "lag 12 ms, p99 180 ms",
        "sockets 2, 10 markets on two",
        "REST weight 64 a minute",
    ]


def test_events_are_told_with_how_often_they_happened() -> None:
    counters = dict.fromkeys(COUNTERS, 1)
    parts = counted(counters)
    for name in ("stalls 1", "quarantined 1", "rest errors 1", "repaired 1", "lost histories 1"):
        assert name in parts


def test_a_store_without_such_counters_has_nothing_to_tell() -> None:
    assert counted({"somethings": 3}) == []
