"""Percentiles of how late frames come."""

from __future__ import annotations

import random

import numpy as np

from monitor.lags import Lags


def test_percentiles_are_values_that_so_many_samples_do_not_exceed() -> None:
    rng = random.Random(1)
    for count in (1, 2, 99, 100, 1_000):
        samples = [rng.uniform(0.0, 500.0) for _ in range(count)]
        lags = Lags()
        for sample in samples:
            lags.add(sample)
        shares = [0.0, 0.25, 0.5, 0.99, 1.0]
        found = lags.percentiles(shares)
        expected = np.percentile(samples, [100 * s for s in shares], method="inverted_cdf")
        assert found == expected.tolist()


def test_without_samples_it_is_nothing() -> None:
    assert Lags().percentiles([0.5, 0.99]) == [0.0, 0.0]


def test_old_samples_are_forgotten() -> None:
    lags = Lags(3)
    for sample in (900.0, 1.0, 2.0, 3.0):
        lags.add(sample)
    assert lags.percentiles([1.0]) == [3.0]
