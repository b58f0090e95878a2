"""Every fault at once, and what must be true all the same; `make stress` runs a whole day of it."""

from __future__ import annotations

import pytest
from chaos_kit import MINUTE, STEP_MS, Chaos, many_markets

import engine_kit as kit
from monitor.budget import WeightBudget
from monitor.exchange import Market
from monitor.kernels import CARRIED, CLOSED

BUSY = Market("BTC", "perp", 20.0, 86_000.0, 5)
THIN = Market("SOL", "perp", 0.6, 190.0, 2)
RARE = Market("@7", "spot", 0.1, 12.0, 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_under_every_fault_at_once_all_rows_are_true_in_the_end(seed: int) -> None:
    chaos = Chaos(many_markets(9, seed), {"chaos": seed}, seed=seed, history=120)
    chaos.run(60 * MINUTE, look_every=100)
    struck = {name for name, count in chaos.exchange.faults.counts.items() if count}
    assert len(struck) > 12
    chaos.calm()
    found = chaos.finish()
    assert found["rows"] > 9 * 60
    assert found["confirmed"] > 0.9 * found["rows"]


def test_a_seed_reproduces_its_run_to_the_bit() -> None:
    def ring(seed: int) -> bytes:
        chaos = Chaos(many_markets(4, 3), {"chaos": seed}, seed=3, history=60)
        chaos.run(8 * MINUTE)
        return chaos.engine.book.writer.integers.tobytes()

    assert ring(5) == ring(5)


# --- never guess ----------------------------------------------------------------------------------


def settled_then(*, sockets: int = 2) -> Chaos:
    """Two sockets, all history there, nothing wrong yet; the feed finds no stall by itself."""
    chaos = Chaos((BUSY, THIN, RARE), {}, sockets=sockets, history=60, watchful=False)
    chaos.run(5 * MINUTE)
    assert all(kit.status(chaos.engine, market) in {"live", "quiet"} for market in range(3))
    return chaos


def stall(chaos: Chaos, number: int) -> None:
    """Candles of every market but no other frame of the socket stop."""
    socket = chaos.sockets[number]
    assert socket is not None
    socket.session.muted |= {s for s in socket.session.subscriptions if s.type == "candle"}


def look(chaos: Chaos, minutes: int) -> int:
    """Go on, and look at all rows after every step; how many closed flat rows there were."""
    flat = 0
    for _ in range(minutes * MINUTE // STEP_MS):
        chaos.step()
        for market, coin in enumerate(chaos.coins):
            closed = kit.word(chaos.engine, "closed", market)
            rows = chaos.engine.book.rows(market, closed - 9, closed)
            true = chaos.truth(coin, closed - 9, closed)
            for k, flags in enumerate(rows.flags.tolist()):
                if flags & CLOSED and flags & CARRIED:
                    flat += 1
                    assert true[k][-1] == 0, f"{coin}: {k} of {true}"
    return flat


@pytest.mark.parametrize("stalled", [0, 1])
def test_no_silence_is_published_on_the_word_of_one_stalled_stream(stalled: int) -> None:
    """The other socket is dead, and so is REST: there is nobody to ask."""
    chaos = settled_then()
    chaos.rest_dead = True
    stall(chaos, stalled)
    chaos.end(1 - stalled, 20 * MINUTE)
    look(chaos, 6)
    assert not chaos.guessed
    for market in range(3):
        assert chaos.bar - kit.word(chaos.engine, "closed", market) >= 6
    chaos.run(15 * MINUTE)
    chaos.calm(10 * MINUTE)
    chaos.finish()


def test_no_silence_is_published_on_the_word_of_the_only_stream_that_there_ever_was() -> None:
    """No second socket, and REST is dead: what the one does not tell stays open."""
    chaos = settled_then(sockets=1)
    chaos.rest_dead = True
    stall(chaos, 0)
    look(chaos, 6)
    assert not chaos.guessed
    for market in range(3):
        assert chaos.bar - kit.word(chaos.engine, "closed", market) >= 6
        assert kit.status(chaos.engine, market) == "stale"
    chaos.calm(10 * MINUTE)
    chaos.finish()


@pytest.mark.parametrize("stalled", [0, 1])
def test_one_stalled_stream_of_two_says_nothing_false_while_the_other_lives(stalled: int) -> None:
    chaos = settled_then()
    chaos.rest_dead = True
    stall(chaos, stalled)
    assert look(chaos, 6) > 0
    assert not chaos.guessed


@pytest.mark.parametrize("fault", ["drop", "hush", "half_open"])
def test_no_silence_is_published_while_sockets_die_and_rest_is_dead(fault: str) -> None:
    chaos = settled_then()
    chaos.rest_dead = True
    chaos.exchange.faults.set(fault, 20)
    look(chaos, 6)
    assert not chaos.guessed
    assert chaos.exchange.faults.counts[fault] > 5
    chaos.calm(10 * MINUTE)
    chaos.finish()


def test_a_silent_market_is_closed_by_two_streams_at_once_and_by_rest_where_there_is_one() -> None:
    chaos = settled_then()
    before = chaos.seen["repair"]
    chaos.run(10 * MINUTE)
    assert chaos.seen["repair"] == before
    chaos.end(1, 60 * MINUTE)
    chaos.run(10 * MINUTE)
    assert chaos.seen["repair"] > before
    closed = kit.word(chaos.engine, "closed", 2)
    assert chaos.bar - closed <= 2


# --- what is asked first --------------------------------------------------------------------------


def test_with_a_whole_exchange_and_the_real_budget_no_live_row_waits_for_history() -> None:
    """630 markets, 600 weight a minute: first fills take long, new rows and short holes do not."""
    markets = many_markets(630, 1)
    chaos = Chaos(markets, {}, history=120, budget=WeightBudget())
    chaos.run(2 * MINUTE)
    filled = [ledger.filled for ledger in chaos.engine.book.ledgers]
    assert 0 < sum(filled) < len(filled)
    # Every market that has traded since has its row at once, whether its history is there or not.
    for market, ledger in enumerate(chaos.engine.book.ledgers):
        if ledger.traded >= chaos.bar - 1:
            assert kit.word(chaos.engine, "newest", market) >= chaos.bar - 1
    # A socket is lost for a minute: the holes of what was filled come before further fills.
    for number in range(2):
        chaos.end(number, 61_000)
    chaos.run(MINUTE + 45_000)
    asks = chaos.engine.history.wanted(chaos.now_ms)
    kinds = [ask.kind for ask in asks]
    assert kinds == sorted(kinds, key=("repair", "last_close", "fill", "confirm").index)
    sizes = [ask.last - ask.first for ask in asks if ask.kind == "repair"]
    assert sizes == sorted(sizes)
