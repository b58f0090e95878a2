"""What is promised of the numbers of every stat, whatever it computes; nothing here names few."""

from __future__ import annotations

import numpy as np
import pytest

from indicators import compute, default_registry, plan
from indicators.dispatch import run
from oracles import ORACLES, columns, small
from oracles.markets import Floats, Rows, candles, walk

INPUTS = ("open", "high", "low", "close", "volume", "time")
USUAL = [str(default_registry().resolve(d.name).name) for d in default_registry()]
ON_VOLUME = [
    f"{text}_volume" for text in small() if default_registry().resolve(text).definition.selectable
]
# Sums since the origin.
PATHS = [text for text in small() if ORACLES[default_registry().resolve(text).name.letters].path]
TINY = np.finfo(np.float64).tiny


def every_column(names: list[str], rows: Rows) -> dict[str, Floats]:
    """All columns over the rows, those that kernels keep for themselves included."""
    planned = plan(names, history=None)
    order = [*INPUTS, *(column.name for column in planned.columns)]
    table = planned.bind({name: row for row, name in enumerate(order)})
    F = np.full((len(order), rows["close"].size), np.nan)  # noqa: N806
    for row, name in enumerate(INPUTS):
        F[row] = rows[name].view(np.float64)
    run(table.ops, table.pars, F, F.view(np.int64), 0, F.shape[1])
    return dict(zip(order[len(INPUTS) :], F[len(INPUTS) :], strict=True))


def silent(price: float, rows: int) -> Rows:
    """A market that nobody trades on."""
    flat = candles(np.full(rows, price), spread=0.0)
    return {**flat, "volume": np.zeros(rows)}


def test_adding_stats_changes_no_bit_of_any_other() -> None:
    rows = walk(100.0, 300, 4)
    together = compute(USUAL, rows)
    backwards = compute(USUAL[::-1], rows)
    for text in USUAL:
        for name, alone in compute([text], rows).items():
            assert alone.tobytes() == together[name].tobytes() == backwards[name].tobytes(), name


@pytest.mark.parametrize("text", [text for text in small() if text not in PATHS])
def test_a_print_of_1e12_leaves_no_trace_once_out_of_the_window(text: str) -> None:
    """Nor in what remembers, once it has had the rows to forget twenty more digits."""
    stat = default_registry().resolve(text)
    gone = 51 + max(stat.lookback, stat.warmup) + 4 * stat.settling
    clean, spiked = walk(100.0, gone + 60, 6), walk(100.0, gone + 60, 6)
    for name in ("open", "high", "low", "close", "volume"):
        spiked[name][50] = 1e12
    before, after = compute([text], clean), compute([text], spiked)
    for name in columns(text):
        reach = float(np.nanmax(np.abs(before[name])))
        np.testing.assert_allclose(
            after[name][gone:], before[name][gone:], rtol=1e-11, atol=1e-12 * reach, err_msg=name
        )


@pytest.mark.parametrize("text", PATHS)
def test_a_volume_of_1e12_that_comes_and_goes_leaves_no_trace_in_a_sum(text: str) -> None:
    clean = walk(100.0, 200, 6)
    clean["close"][49:53] = clean["low"][49:53] = 100.0, 101.0, 100.0, 100.0
    clean["high"][49:53] = 101.0
    clean["low"][50] = 100.0
    spiked = {name: values.copy() for name, values in clean.items()}
    clean["volume"][50:52], spiked["volume"][50:52] = 0.0, 1e12
    before, after = compute([text], clean)[text], compute([text], spiked)[text]
    assert abs(after[50] - before[50]) >= 1e12
    np.testing.assert_allclose(after[52:], before[52:], rtol=1e-12)


@pytest.mark.parametrize("text", [*small(), *ON_VOLUME])
def test_what_decays_ends_as_zero_and_never_as_a_subnormal(text: str) -> None:
    """Also what kernels keep for themselves: arithmetic on subnormals is slow."""
    lively, still = walk(1e-8, 60, 7), silent(1.0, 4_000)
    still = {name: still[name] for name in lively}
    for name in ("open", "high", "low", "close"):
        still[name] = np.full(4_000, lively["close"][-1])
    rows = {name: np.concatenate([lively[name], still[name]]) for name in lively}
    rows["time"] = lively["time"][0] + 60_000 * np.arange(4_060)
    for name, values in every_column([text], rows).items():
        sizes = np.abs(values)
        assert not ((sizes > 0.0) & (sizes < TINY)).any(), name
        assert np.isfinite(values[200:]).all(), name


def test_an_average_that_fades_while_the_other_lives_ends_as_zero() -> None:
    """A market that only rises: what RSI remembers of falls is gone some day."""
    rows = candles(np.concatenate([[1.0, 2.0, 1.0], 1.0 + 1e-3 * np.arange(4_000.0)]))
    state = every_column(["RSI3", "STOCHRSI3_3_3"], rows)
    for name in ("_RSI3_loss", "_STOCHRSI3_3_3_loss"):
        loss = state[name][4:]
        assert loss[0] > 0.0
        assert not ((loss > 0.0) & (loss < TINY)).any()
        assert loss[-1] == 0.0
    assert state["RSI3"][-1] == 100.0


@pytest.mark.parametrize("price", [1e-8, 0.1, 0.3, 104_729.3, 1e8])
@pytest.mark.parametrize("text", USUAL)
def test_a_flat_market_is_flat_to_the_last_bit(text: str, price: float) -> None:
    """Prices are the price, movements nothing, bounded oscillators in their middle."""
    definition = default_registry().resolve(text).definition
    bounds = definition.bounds
    # No movement is no trend, and the newest of equal highs is the highest: as TA-Lib.
    allowed = {"ADX": {0.0}, "AROON": {100.0}}.get(definition.name) or (
        # The typical price of a candle is the third part of a sum that rounds.
        {(bounds[0] + bounds[1]) / 2.0} if bounds else {0.0, price, (price + price + price) / 3.0}
    )
    if definition.name == "BB":
        allowed.add(0.5)  # the place between two bands that meet
    if definition.name == "SUPERT":
        allowed.update({1.0, -1.0})  # its direction
    rows = silent(price, 400)
    for name, values in compute([text], rows).items():
        shown = values[~np.isnan(values)]
        assert shown.size
        assert set(shown.tolist()) <= allowed, name
