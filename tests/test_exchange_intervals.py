"""Alignment of the exchange's intervals."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.exchange.intervals import INTERVALS

LATEST_MS = 4_000_000_000_000


@given(st.sampled_from(sorted(INTERVALS)), st.integers(0, LATEST_MS))
def test_every_moment_is_in_exactly_one_bar(name: str, ms: int) -> None:
    interval = INTERVALS[name]
    open_ms = interval.floor(ms)
    assert open_ms <= ms < interval.after(open_ms)
    assert interval.floor(open_ms) == open_ms
    assert interval.floor(interval.after(open_ms) - 1) == open_ms
    assert interval.floors(np.array([ms])).tolist() == [open_ms]


@given(st.sampled_from(sorted(INTERVALS)), st.integers(0, LATEST_MS), st.integers(0, 20))
def test_the_grid_is_the_chain_of_bars(name: str, ms: int, count: int) -> None:
    interval = INTERVALS[name]
    opens = [interval.floor(ms)]
    for _ in range(count):
        opens.append(interval.after(opens[-1]))
    assert interval.grid(opens[0], opens[-1]).tolist() == opens
    assert interval.back(opens[-1], count) == opens[0]


@pytest.mark.parametrize(
    ("name", "day"), [("1d", (2026, 11, 22)), ("1M", (2026, 11, 1)), ("4h", (2026, 11, 22, 16))]
)
def test_known_bars_open_where_the_calendar_says(name: str, day: tuple[int, ...]) -> None:
    ms = int(datetime(2026, 11, 22, 17, 20, tzinfo=timezone.utc).timestamp() * 1000)
    year, month, date, hour = (*day, 0)[:4]
    expected = datetime(year, month, date, hour, tzinfo=timezone.utc)
    assert INTERVALS[name].floor(ms) == expected.timestamp() * 1000
