"""The estimate of the exchange's time: bounded from below, and never running backwards."""

from __future__ import annotations

import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import JUMP_MS, WINDOW_S, Clock, ExchangeClock, ManualClock

TRUE_MS = 1_791_278_880_000.0


class Machine:
    """A monotonic clock moved by hand; sleeping moves it too."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.seconds += seconds


def started(rate: float = 1.0, start_ms: float = 0.0) -> tuple[Machine, ExchangeClock]:
    machine = Machine()
    return machine, ExchangeClock(
        rate=rate, start_ms=start_ms, monotonic=machine.monotonic, sleep=machine.sleep
    )


def test_before_a_sample_it_runs_on_its_start_and_says_so() -> None:
    machine, clock = started(start_ms=TRUE_MS)
    assert not clock.synchronised
    assert clock.last_observed is None
    machine.seconds += 2.5
    assert clock.now_ms() == pytest.approx(TRUE_MS + 2_500)


def test_the_quickest_frame_sets_the_time() -> None:
    machine, clock = started()
    for delay_ms in (300.0, 120.0, 250.0):
        machine.seconds += 1.0
        clock.observe(TRUE_MS + machine.seconds * 1_000 - delay_ms)
    assert clock.now_ms() == pytest.approx(TRUE_MS + machine.seconds * 1_000 - 120)
    assert clock.lag_ms == pytest.approx(130)
    assert clock.synchronised
    assert clock.last_observed == machine.seconds


def test_a_rate_makes_exchange_seconds_out_of_ours() -> None:
    machine, clock = started(rate=60.0)
    clock.observe(TRUE_MS)
    machine.seconds += 2.0
    assert clock.now_ms() == pytest.approx(TRUE_MS + 120_000)
    clock.set_rate(10.0)
    assert clock.rate == 10.0
    machine.seconds += 1.0
    assert clock.now_ms() == pytest.approx(TRUE_MS + 130_000)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_that_is_no_speed_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        ExchangeClock(rate=rate)


def test_a_jump_forwards_counts_with_its_second_witness() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    machine.seconds += 1.0
    assert not clock.observe(TRUE_MS + 3_600_000)
    assert clock.now_ms() == pytest.approx(TRUE_MS + 1_000)
    machine.seconds += 0.2
    assert clock.observe(TRUE_MS + 3_600_200)
    assert clock.now_ms() == pytest.approx(TRUE_MS + 3_600_200)


def test_a_lie_about_the_future_moves_nothing_even_when_repeated_by_other_lies() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    for n in range(1, 50):
        machine.seconds += 1.0
        assert not clock.observe(TRUE_MS + n**2 * 86_400_000.0)
        assert clock.observe(TRUE_MS + n * 1_000.0 - 50)
    assert clock.now_ms() == pytest.approx(TRUE_MS + 49_000)


def test_an_accelerated_clock_allows_the_same_delays_of_this_machine() -> None:
    machine, clock = started(rate=60.0)
    clock.observe(TRUE_MS)
    machine.seconds += 1.0
    assert clock.observe(TRUE_MS + 60_000 + JUMP_MS * 60)
    assert not clock.observe(TRUE_MS + 60_000 + JUMP_MS * 121)


def test_witnesses_that_disagree_move_nothing() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    for n in range(1, 20):
        machine.seconds += 1.0
        assert not clock.observe(TRUE_MS + n**2 * 86_400_000.0)
    assert clock.now_ms() == pytest.approx(TRUE_MS + 19_000)


def test_witnesses_too_far_apart_move_nothing() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    for _ in range(5):
        machine.seconds += 60.0
        offset = (machine.seconds - 1_000.0) * 1_000
        assert not clock.observe(TRUE_MS + 3_600_000 + offset)


def test_an_answer_asked_for_is_believed_at_once() -> None:
    _, clock = started()
    clock.observe(TRUE_MS)
    assert clock.observe(TRUE_MS + 3_600_000, trusted=True)
    assert clock.now_ms() == pytest.approx(TRUE_MS + 3_600_000)


@pytest.mark.parametrize("wrong", [0.0, -5.0, math.nan, math.inf, -math.inf])
def test_times_that_are_none_are_put_aside(wrong: float) -> None:
    _, clock = started(start_ms=TRUE_MS)
    assert not clock.observe(wrong, trusted=True)
    assert not clock.synchronised
    assert clock.now_ms() == TRUE_MS


def test_backwards_counts_only_after_a_window_and_then_by_standing_still() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    behind = 1_500.0
    start = machine.seconds
    while machine.seconds < start + WINDOW_S * 0.9:
        machine.seconds += 10.0
        clock.observe(TRUE_MS + (machine.seconds - start) * 1_000 - behind)
    assert clock.now_ms() == pytest.approx(TRUE_MS + (machine.seconds - start) * 1_000)
    told = clock.now_ms()
    while clock.ahead_ms == 0.0:
        machine.seconds += 1.0
        assert machine.seconds < start + WINDOW_S * 1.2, "the old offset never left the window"
        told = clock.now_ms()
        clock.observe(TRUE_MS + (machine.seconds - start) * 1_000 - behind)
    assert clock.now_ms() == told
    machine.seconds += 2.0
    assert clock.now_ms() == pytest.approx(TRUE_MS + (machine.seconds - start) * 1_000 - behind)
    assert clock.ahead_ms == 0.0


steps = st.lists(
    st.tuples(
        st.floats(0.0, 400.0),
        st.none() | st.floats(-5e6, 5e6) | st.just(math.nan),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps, st.sampled_from([1.0, 10.0, 60.0]))
def test_time_never_runs_backwards_whatever_is_observed(
    taken: list[tuple[float, float | None, bool]], rate: float
) -> None:
    machine, clock = started(rate, TRUE_MS)
    clock.observe(TRUE_MS + machine.seconds * 1_000 * rate)
    last = clock.now_ms()
    for seconds, error_ms, trusted in taken:
        machine.seconds += seconds
        if error_ms is not None:
            block = TRUE_MS + machine.seconds * 1_000 * rate + error_ms
            clock.observe(block, trusted=trusted)
        now = clock.now_ms()
        assert now >= last
        last = now


def test_what_the_machine_s_clock_said_before_the_first_sample_holds_nothing_up() -> None:
    # Two minutes ahead: without this, time would stand still until the exchange has caught up.
    machine, clock = started(1.0, TRUE_MS + 120_000.0)
    assert clock.now_ms() == pytest.approx(TRUE_MS + 120_000.0 + machine.seconds * 1_000, abs=1e6)
    clock.observe(TRUE_MS, trusted=True)
    assert clock.now_ms() == pytest.approx(TRUE_MS, abs=1.0)
    assert clock.ahead_ms == 0.0


@given(st.lists(st.tuples(st.floats(0.01, 30.0), st.floats(0.0, 1_900.0)), min_size=1))
def test_with_honest_frames_it_is_never_ahead_and_behind_by_the_shortest_delay_at_most(
    frames: list[tuple[float, float]],
) -> None:
    machine, clock = started()
    shortest = math.inf
    start = machine.seconds
    for seconds, delay_ms in frames:
        machine.seconds += seconds
        if machine.seconds - start > WINDOW_S:
            break
        truth = TRUE_MS + machine.seconds * 1_000
        clock.observe(truth - delay_ms)
        shortest = min(shortest, delay_ms)
        assert truth - shortest - 0.01 <= clock.now_ms() <= truth + 0.01
    assert JUMP_MS > 1_900


def test_an_answer_bounds_a_clock_whose_machine_has_leapt_forwards() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    for _ in range(3):
        machine.seconds += 1.0
        clock.observe(TRUE_MS + (machine.seconds - 1_000.0) * 1_000)
    machine.seconds += 300.0
    late = 0
    while not doubts(clock):
        machine.seconds += 1.0
        late += 1
        clock.observe(TRUE_MS + (machine.seconds - 1_300.0) * 1_000)
    assert late <= 8, "before a socket is given up for what it tells being old"
    told = clock.now_ms()
    asked = machine.seconds
    machine.seconds += 0.5
    clock.answered(TRUE_MS + (machine.seconds - 1_300.0) * 1_000 - 200, asked)
    assert not doubts(clock)
    assert clock.now_ms() == told, "it stands still"
    assert clock.ahead_ms == pytest.approx(300_000, abs=1_000)
    machine.seconds += 301.0
    assert clock.ahead_ms == 0.0
    assert clock.now_ms() == pytest.approx(TRUE_MS + (machine.seconds - 1_300.0) * 1_000, abs=600)


def test_an_answer_says_of_frames_that_are_late_that_they_are() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    for _ in range(20):
        machine.seconds += 1.0
        clock.observe(TRUE_MS + (machine.seconds - 1_000.0) * 1_000 - 30_000)
    assert doubts(clock)
    asked = machine.seconds
    machine.seconds += 0.1
    clock.answered(TRUE_MS + (machine.seconds - 1_000.0) * 1_000, asked)
    assert not doubts(clock)
    assert clock.ahead_ms == 0.0
    assert clock.now_ms() == pytest.approx(TRUE_MS + (machine.seconds - 1_000.0) * 1_000)


def doubts(clock: ExchangeClock) -> bool:
    return clock.doubtful


def minute(ms: float) -> float:
    return ms - ms % 60_000


@pytest.mark.parametrize("trusted", [True, False])
def test_candles_refute_a_time_far_beyond_them(trusted: bool) -> None:
    """However many samples agree, the answer to a question as well."""
    machine, clock = started()
    clock.observe(TRUE_MS)
    for _ in range(60):
        machine.seconds += 1.0
        true = TRUE_MS + (machine.seconds - 1_000.0) * 1_000
        clock.traded(minute(true))
        assert not clock.observe(true + 300_000, trusted=trusted)
        assert clock.now_ms() == pytest.approx(true)


def test_a_jump_is_believed_with_the_first_candle_of_its_minute() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    clock.traded(minute(TRUE_MS))
    resumed = TRUE_MS + 3_600_000
    for _ in range(5):
        machine.seconds += 0.2
        assert not clock.observe(resumed + (machine.seconds - 1_000.0) * 1_000)
    clock.traded(minute(resumed))
    assert clock.observe(resumed + (machine.seconds - 1_000.0) * 1_000)
    assert clock.now_ms() == pytest.approx(resumed + 1_000)


def test_where_no_candles_come_samples_are_enough_after_a_while() -> None:
    machine, clock = started()
    clock.observe(TRUE_MS)
    clock.traded(minute(TRUE_MS))
    machine.seconds += 31.0
    resumed = TRUE_MS + 3_600_000
    assert not clock.observe(resumed)
    machine.seconds += 0.2
    assert clock.observe(resumed + 200)


def test_a_clock_far_beyond_the_candles_is_put_back() -> None:
    """It began by an answer that lied."""
    machine, clock = started()
    clock.observe(TRUE_MS + 600_000, trusted=True)
    for _ in range(10):
        machine.seconds += 1.0
        true = TRUE_MS + (machine.seconds - 1_000.0) * 1_000
        clock.observe(true + 600_000)
        clock.now_ms()
        clock.traded(minute(true))
    assert clock.ahead_ms > 480_000
    machine.seconds += 600.0
    true = TRUE_MS + (machine.seconds - 1_000.0) * 1_000
    assert clock.now_ms() == pytest.approx(true, abs=60_000)


@pytest.mark.parametrize("late_s", [2.0, 40.0])
def test_trades_told_late_put_nothing_back(late_s: float) -> None:
    machine, clock = started()
    for _ in range(200):
        machine.seconds += 1.0
        true = TRUE_MS + (machine.seconds - 1_000.0) * 1_000
        clock.observe(true)
        clock.traded(minute(true - late_s * 1_000))
        assert clock.ahead_ms == 0.0
        assert clock.now_ms() == pytest.approx(true)


def test_sleeping_ends_when_the_exchange_gets_there_even_if_the_estimate_moves() -> None:
    machine, clock = started(rate=10.0)
    clock.observe(TRUE_MS)

    async def main() -> None:
        await clock.sleep_until(TRUE_MS + 35_000)

    anyio.run(main)
    assert clock.now_ms() >= TRUE_MS + 35_000
    assert sum(machine.naps) == pytest.approx(3.5, abs=0.01)
    assert max(machine.naps) <= 1.0


def test_the_default_sleep_works_in_a_real_event_loop() -> None:
    clock: Clock = ExchangeClock(rate=1_000.0, start_ms=TRUE_MS)

    async def main() -> None:
        await clock.sleep_until(TRUE_MS + 5_000)

    anyio.run(main)
    assert clock.now_ms() >= TRUE_MS + 5_000


def test_a_manual_clock_wakes_its_sleepers_when_told() -> None:
    clock = ManualClock(1_000.0, rate=2.0)
    woken: list[float] = []

    async def sleeper(ms: float) -> None:
        await clock.sleep_until(ms)
        woken.append(ms)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for ms in (3_000.0, 2_000.0, 500.0):
                group.start_soon(sleeper, ms)
            await anyio.wait_all_tasks_blocked()
            assert woken == [500.0]
            assert clock.sleepers == (2_000.0, 3_000.0)
            clock.advance(1_000.0)
            await anyio.wait_all_tasks_blocked()
            assert woken == [500.0, 2_000.0]
            clock.set(3_000.0)

    anyio.run(main)
    assert woken == [500.0, 2_000.0, 3_000.0]
    assert clock.sleepers == ()
    assert clock.monotonic() == 1.5
    clock.set(1.0)
    assert clock.now_ms() == 3_000.0


def test_an_automatic_clock_never_waits() -> None:
    clock = ManualClock(0.0, auto=True)
    anyio.run(clock.sleep_until, 1e9)
    assert clock.now_ms() == 1e9
