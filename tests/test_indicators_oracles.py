"""Every kernel equals its readable twin and an independent library, at every row.

The stats, their oracles and the markets are tables, in `oracles`; nothing here names a stat.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from indicators import compute, default_registry
from indicators.names import StatName
from indicators.twins import TWINS, twin
from oracles import ORACLES, columns, names, oracle, small, tolerances
from oracles.markets import MARKETS, Floats, Rows, head, lists, walk

INPUTS = ("open", "high", "low", "volume", "hl2", "hlc3", "ohlc4")
# Kernel and twin do the same arithmetic, the twin's sums exact.
TWIN_RELATIVE = 1e-11


def assert_equal(
    text: str, rows: Rows, expected: Iterable[Floats], relative: float | None = None
) -> None:
    """Same rows NaN, the others within the oracle's tolerance, or a relative one."""
    found = compute([text], rows)
    wanted = dict(zip(columns(text), expected, strict=True))
    assert list(found) == list(wanted)
    for (name, values), (allowed, absolute) in zip(
        wanted.items(), tolerances(text, rows), strict=True
    ):
        assert found[name].shape == values.shape
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(values), err_msg=name)
        excess = np.abs(found[name] - values) - (relative or allowed) * np.abs(values) - absolute
        worst = int(np.nanargmax(excess)) if np.isfinite(excess).any() else 0
        assert not np.any(excess > 0.0), (name, worst, found[name][worst], values[worst])


def twins(text: str, rows: Rows) -> list[Floats]:
    return [np.array(values) for values in twin(text, lists(rows))]


@pytest.mark.parametrize("letters", ORACLES)
@pytest.mark.parametrize("market", MARKETS)
def test_kernel_twin_and_oracle_agree_at_every_row(market: str, letters: str) -> None:
    rows = MARKETS[market]()
    for text in names(letters):
        assert_equal(text, rows, oracle(text, rows))
        assert_equal(text, rows, twins(text, rows))
    for parameters in ORACLES[letters].refused:
        text = str(StatName(letters, parameters))
        assert_equal(text, rows, twins(text, rows))


@pytest.mark.parametrize(
    "letters", [d.name for d in default_registry() if d.selectable and d.name in ORACLES]
)
@pytest.mark.parametrize("market", ["walk at 1e-8", "gaps", "sparse volume", "real"])
def test_every_input_gives_the_stat_of_that_column(market: str, letters: str) -> None:
    rows = MARKETS[market]()
    for selected in INPUTS:
        text = f"{names(letters)[-1]}_{selected}"
        assert_equal(text, rows, oracle(text, rows))
        assert_equal(text, rows, twins(text, rows))


@pytest.mark.parametrize("letters", ORACLES)
def test_short_histories_are_nan_where_the_oracle_is(letters: str) -> None:
    for text in names(letters):
        warmup = default_registry().resolve(text).warmup
        for length in {0, 1, 2, max(warmup - 1, 0), warmup, warmup + 1, warmup + 2}:
            rows = head(walk(1.0), length)
            if length:
                assert_equal(text, rows, oracle(text, rows))
            assert_equal(text, rows, twins(text, rows))


@pytest.mark.parametrize("letters", ORACLES)
@pytest.mark.parametrize("market", MARKETS)
def test_values_begin_with_the_declared_warm_up_at_the_latest_and_never_stop(
    market: str, letters: str
) -> None:
    rows = MARKETS[market]()
    for text in names(letters):
        warmup = default_registry().resolve(text).warmup
        begins = []
        for values in compute([text], rows).values():
            begins.append(int(np.isnan(values).sum()))
            assert np.isfinite(values[begins[-1] :]).all()
        # One output may be there before another: +DI needs half of what ADX needs.
        assert max(begins) == min(warmup, rows["close"].size)


@pytest.mark.parametrize("letters", ORACLES)
def test_an_oscillator_stays_within_its_bounds(letters: str) -> None:
    bounds = default_registry().resolve(letters).definition.bounds or (-np.inf, np.inf)
    for market in MARKETS.values():
        for values in compute([names(letters)[0]], market()).values():
            assert np.nanmin(values) >= bounds[0]
            assert np.nanmax(values) <= bounds[1]


@pytest.mark.parametrize("text", small())
@pytest.mark.parametrize("exponent", [-27, 27])
def test_the_scale_of_prices_does_not_change_a_bit(text: str, exponent: int) -> None:
    """Powers of two scale without rounding: whatever else changes is a tolerance or a constant."""
    rows = walk(1.0)
    rows["close"][100:140] = rows["close"][100]
    scaled = {
        name: values if name in {"volume", "time"} else values * 2.0**exponent
        for name, values in rows.items()
    }
    definition = default_registry().resolve(text).definition
    usual = 1 if definition.unit in {"price", "input"} else 0
    exponents = ORACLES[definition.name].exponents or (usual,) * len(definition.outputs)
    before, after = compute([text], rows), compute([text], scaled)
    for name, power in zip(columns(text), exponents, strict=True):
        expected = before[name] * 2.0 ** (exponent * power)
        assert np.array_equal(after[name], expected, equal_nan=True), name


@pytest.mark.parametrize("text", small())
def test_a_spike_leaves_no_trace_once_out_of_the_window(text: str) -> None:
    stat = default_registry().resolve(text)
    spiked = walk(100.0)
    for name in ("open", "high", "low", "close", "volume"):
        spiked[name][50] = 1e12
    if stat.settling or ORACLES[stat.definition.name].path:
        # A recursion remembers, but it does not break.
        assert all(np.isfinite(v[stat.warmup :]).all() for v in compute([text], spiked).values())
        return
    clean, after = compute([text], walk(100.0)), compute([text], spiked)
    # A mean of a window of windows reads less far back than it reaches.
    gone = 51 + max(stat.lookback, stat.warmup)
    for name in clean:
        assert np.array_equal(clean[name][gone:], after[name][gone:])


@pytest.mark.parametrize("text", small())
def test_two_origins_agree_after_the_run_up(text: str) -> None:
    stat = default_registry().resolve(text)
    if ORACLES[stat.definition.name].path:
        return
    rows = walk(100.0, 1500, 8)
    runup = stat.warmup + stat.settling
    early = compute([text], rows)
    for origin in (1, 100, 333):
        late = compute([text], {name: values[origin:] for name, values in rows.items()})
        for name, values in late.items():
            before = early[name][origin + runup :]
            # A seed weighs a billionth of the spread of the values, which may be all on one side.
            reach = float(np.nanmax(np.abs(early[name])))
            np.testing.assert_allclose(values[runup:], before, rtol=1e-8, atol=1e-9 * reach)


def test_every_stat_has_a_twin_and_an_oracle() -> None:
    stats = {definition.name for definition in default_registry()}
    assert stats <= set(TWINS)
    assert stats <= set(ORACLES)
