"""The engine against the truth: the exchange's core, a virtual clock, every fault there is.

After every step the store keeps its invariants and no closed row says what is not true; when the
faults are over, every closed row of every market is the exchange's, and every stat is TA-Lib's.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.exchange import Market

if TYPE_CHECKING:
    from tests import engine_kit as kit
else:
    import engine_kit as kit

MINUTE = kit.MINUTE
MARKETS = (
    Market("BTC", "perp", 60.0, 86_000.0, 5),
    Market("SOL", "perp", 8.0, 190.0, 2),
    Market("FTT", "perp", 0.4, 1.9, 1),
    Market("@7", "spot", 0.05, 12.0, 0),
    Market("@8", "spot", 0.0008, 3.0, 0),
    Market("@9", "spot", 0.0, 5.0, 0),
)
SOME = MARKETS[1:4]

Plan = list[tuple[int, str, int]]
KINDS = (
    *("drop", "freeze", "suspend", "rest down", "rest slow", "rest fails", "rest lags"),
    *("missing", "duplicate", "late", "calm"),
)
AWAY_MS = (1_500, 8_000, 25_000, 61_000, 150_000, 400_000)


def begin(world: kit.World, kind: str, size: int) -> None:
    """One fault of the plan begins; those of REST and of frames last until `calm`."""
    faults, number = world.faults, size % len(world.sockets)
    if kind in {"drop", "freeze"}:
        getattr(world, kind)(number, AWAY_MS[size % len(AWAY_MS)])
    elif kind == "suspend":
        world.suspend((4_000, 30_000, 90_000, 300_000, 1_200_000)[size % 5])
    elif kind == "calm":
        world.faults = kit.Faults()
    elif kind == "rest slow":
        faults.rest_delay_ms = (2_000, 20_000, 80_000, 200_000)[size % 4]
    elif kind == "rest down":
        faults.rest_down = True
    elif kind == "rest lags":
        faults.rest_lag_ms = (500, 2_000, 5_000)[size % 3]
    else:
        setattr(faults, kind.replace(" ", "_"), 0.3)


def live_through(world: kit.World, plan: Plan, *, until_ms: int, look_every: int = 16) -> int:
    """Run the plan (ms after the one before, fault, its size), looking all the time; rows seen."""
    looked = 0

    def on(for_ms: int) -> None:
        nonlocal looked
        for k, _ in enumerate(world.run(for_ms)):
            if k % look_every == 0:
                kit.check(world.engine)
                for market in range(len(world.coins)):
                    world.judge(market, 30)
                looked += 1

    for wait_ms, kind, size in plan:
        on(wait_ms)
        begin(world, kind, size)
    on(max(0, until_ms - (world.exchange.now_ms - world.exchange.start_ms)))
    world.faults = kit.Faults()
    for _ in range(60):
        on(MINUTE // 2)
        if world.settled() and world.exchange.now_ms % MINUTE > 12_000:
            break
    else:
        pytest.fail(f"not settled: {world.engine.history.wanted(world.now_ms)}")
    on(kit.STEP_MS)
    return world.finish()


def random_plan(seed: int, faults: int, mean_ms: int) -> Plan:
    dice = Random(seed)
    return [
        (int(dice.expovariate(1 / mean_ms)), dice.choice(KINDS), dice.randrange(60))
        for _ in range(faults)
    ]


def test_an_undisturbed_hour_is_true_row_for_row() -> None:
    world = kit.World(MARKETS, seed=3)
    assert live_through(world, [], until_ms=60 * MINUTE) > 5 * 60
    assert world.engine.book.counters["closed"] >= 5 * 59


@pytest.mark.parametrize("seed", [1, 4])
def test_through_an_hour_of_faults_nothing_false_is_published_and_all_is_true_in_the_end(
    seed: int,
) -> None:
    world = kit.World(
        MARKETS, seed=seed, sockets=1 + seed % 2, start_ms=kit.BAR * MINUTE + 17_345 * seed
    )
    rows = live_through(world, random_plan(seed, 30, 2 * MINUTE), until_ms=60 * MINUTE)
    assert rows > 5 * 60
    assert {"drop", "suspend"} & set(world.seen)


faults = st.tuples(st.integers(0, 3 * MINUTE), st.sampled_from(KINDS), st.integers(0, 59))


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=st.lists(faults, max_size=8),
    seed=st.integers(1, 1_000),
    begin_ms=st.integers(0, MINUTE - 1),
    sockets=st.integers(1, 2),
)
def test_whatever_goes_wrong_and_when_the_rows_are_true_in_the_end(
    plan: Plan, seed: int, begin_ms: int, sockets: int
) -> None:
    world = kit.World(SOME, seed=seed, start_ms=kit.BAR * MINUTE + begin_ms, sockets=sockets)
    assert live_through(world, plan, until_ms=3 * MINUTE, look_every=8) > 0


@pytest.mark.parametrize("kind", ["drop", "freeze"])
@pytest.mark.parametrize("away_ms", AWAY_MS)
@pytest.mark.parametrize("second", [0, 1, 57, 59])
def test_an_outage_at_any_time_of_the_minute_and_of_the_first_fill(
    kind: str, away_ms: int, second: int
) -> None:
    """It begins `second` s into a minute, the socket just up and the first fill under way."""
    start_ms = kit.BAR * MINUTE + second * 1_000
    world = kit.World(SOME[1:], seed=away_ms + second, start_ms=start_ms)
    world.faults.rest_delay_ms = 3_000
    plan = [(1_000, kind, AWAY_MS.index(away_ms)), (away_ms + 30_000, kind, 1), (0, "calm", 0)]
    assert live_through(world, plan, until_ms=0) > 0


@pytest.mark.parametrize("minutes", [0.5, 5, 20])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_process_that_stood_still_is_true_again(minutes: float, seed: int) -> None:
    world = kit.World(SOME, seed=seed)
    for _ in world.run(3 * MINUTE):
        pass
    world.suspend(int(minutes * MINUTE))
    assert live_through(world, [], until_ms=0) > 0


def test_a_missing_tail_is_corrected_when_rest_confirms() -> None:
    """The exchange does not send every minute's last trades: closed first, then corrected."""
    world = kit.World(MARKETS[:1], seed=5)
    short = 0
    for _ in world.run(60 * MINUTE):
        short = max(short, world.judge(0, 5))
    assert short == 1
    assert world.exchange.missing_tails() > 0
    live_through(world, [], until_ms=0)
    assert kit.word(world.engine, "revision") - 1 == world.engine.book.counters["corrected"] > 0
