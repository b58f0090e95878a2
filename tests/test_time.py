"""Clocks that are wrong, jump, or stand still with the whole machine: closed rows stay true."""

from __future__ import annotations

import numpy as np
import pytest

import engine_kit as kit
from monitor.clock import ExchangeClock
from monitor.kernels import CARRIED

BAR, MINUTE = kit.BAR, kit.MINUTE
YEAR_MS = 365 * 86_400_000.0


class Machine(kit.Desk):
    """A market on a machine of its own: `now` is what its clock makes of the exchange's `true_ms`.

    `boot_s` is its monotonic clock, which stands still while it sleeps.
    """

    def __init__(self, wrong_ms: float = 0.0, **settings: int) -> None:
        super().__init__(**settings)
        self.true_ms = self.now
        self.boot_s = 5_000.0
        self.clock = ExchangeClock(start_ms=self.now + wrong_ms, monotonic=lambda: self.boot_s)
        self.clock.observe(self.true_ms, trusted=True)
        self.now = self.clock.now_ms()
        self.hear()
        self.settle()

    def run(self, seconds: float, *, trades: bool = True) -> None:
        """Time goes on; block times come, and a trade twice a minute."""
        for _ in range(round(seconds)):
            self.true_ms += 1_000.0
            self.boot_s += 1.0
            self.block()
            if trades and self.true_ms % MINUTE in {20_000.0, 45_000.0}:
                self.trade(3 if self.true_ms % MINUTE == 20_000.0 else 5)
            self.engine.tick(self.now)
            kit.check(self.engine)

    def trade(self, trades: int) -> None:
        self.hear(int(self.true_ms // MINUTE), trades=trades)

    def block(self, time_ms: float | None = None) -> None:
        """A block time comes, as `sockets` takes it."""
        time_ms = self.true_ms if time_ms is None else time_ms
        if self.clock.observe(time_ms):
            now = self.clock.now_ms()
            self.stream.alive_ms = max(self.stream.alive_ms, min(time_ms, now))
        self.now = self.clock.now_ms()

    def sleep(self, minutes: float) -> None:
        """The machine is suspended; the world is not."""
        self.true_ms += minutes * MINUTE

    def assert_true(self) -> None:
        """Every closed row is what the exchange has."""
        first, last = kit.span(self.engine)
        closed = kit.word(self.engine, "closed")
        for bar in range(first, min(last, closed) + 1):
            trades = kit.row(self.engine, bar)["trades"]
            there = self.rest.get(bar)
            assert trades == (there.trades if there else 0), (bar - BAR, trades)


@pytest.mark.parametrize("years", [-20, -0.001, 0.001, 20])
def test_a_wrong_local_clock_is_of_no_account_once_the_exchange_has_told_its_own(
    years: float,
) -> None:
    machine = Machine(years * YEAR_MS)
    machine.run(300)
    assert kit.word(machine.engine, "newest") == BAR + 5
    assert kit.word(machine.engine, "closed") == BAR + 4
    assert machine.engine.book.counters["rejected"] == 0
    machine.assert_true()
    machine.check()


@pytest.mark.parametrize("minutes", [0.4, 3, 8, 180])
def test_what_happened_while_the_machine_was_suspended_is_asked_for_and_never_guessed(
    minutes: float,
) -> None:
    machine = Machine()
    machine.run(150)
    machine.sleep(minutes)
    for bar in range(BAR + 4, int(machine.true_ms // MINUTE), 3):
        machine.miss(bar, trades=7)
    machine.engine.tick(machine.clock.now_ms())
    machine.assert_true()
    machine.lose()  # whoever slept so long finds his socket dead
    machine.block()
    machine.assert_true()
    machine.regain()
    machine.run(5, trades=False)
    assert machine.clock.now_ms() == machine.true_ms
    machine.assert_true()
    machine.settle()
    machine.run(180)
    machine.settle()
    machine.assert_true()
    assert kit.word(machine.engine, "closed") >= machine.true_ms // MINUTE - 2
    assert kit.status(machine.engine) == "live"
    machine.check()


def test_frames_that_waited_out_a_suspension_are_placed_before_anything_is_closed() -> None:
    machine = Machine()
    machine.run(100)
    machine.sleep(4)
    late = [(bar, kit.candle("C0", bar, kit.price_of(bar), 9)) for bar in range(BAR + 3, BAR + 6)]
    for bar, frame in late:
        machine.rest[bar] = frame
        machine.engine.candle(frame, machine.clock.now_ms(), 5)
    machine.run(60)
    machine.settle()
    machine.run(60)
    machine.settle()
    machine.assert_true()
    assert [kit.row(machine.engine, bar)["trades"] for bar, _ in late] == [9, 9, 9]
    machine.check()


@pytest.mark.parametrize("minutes", [1, 5, 30])
def test_a_block_time_from_the_future_opens_and_closes_nothing(minutes: int) -> None:
    machine = Machine()
    machine.run(60)
    before = kit.span(machine.engine), kit.word(machine.engine, "closed")
    machine.block(machine.true_ms + minutes * MINUTE)
    machine.engine.tick(machine.now)
    assert (kit.span(machine.engine), kit.word(machine.engine, "closed")) == before
    machine.run(120)
    machine.assert_true()
    machine.check()


@pytest.mark.parametrize("minutes", [1, 5, 30])
def test_a_local_clock_that_leaps_ahead_closes_no_minute_that_has_not_ended(minutes: int) -> None:
    machine = Machine()
    machine.run(60)
    machine.boot_s += minutes * 60.0
    for _ in range(minutes + 14):
        machine.run(60)
        machine.settle()
        closed = kit.word(machine.engine, "closed")
        assert (closed + 1) * MINUTE <= machine.true_ms
        machine.assert_true()
    machine.check()
    # The right time is known again, and with it everything is as before.
    assert machine.clock.ahead_ms == 0.0
    assert kit.word(machine.engine, "closed") == machine.true_ms // MINUTE - 1
    carried = kit.column(machine.engine, "flags") & CARRIED != 0
    assert not (carried & (kit.column(machine.engine, "trades") > 0)).any()
    assert np.isfinite(kit.column(machine.engine, "ATR14")[-5:]).all()
