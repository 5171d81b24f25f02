"""Intervals against scipy's bootstrap and against theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from leaf_embed.errors import InputError
from leaf_embed.evaluation.bootstrap import Retention, difference, mean_difference, mean_retention, retention

RANDOM = np.random.default_rng(5)
TEACHER = RANDOM.random(300)
LEAF = TEACHER * RANDOM.uniform(0.8, 1.1, 300)


def test_a_ratio_agrees_with_scipy() -> None:
    found = retention(LEAF, TEACHER)
    expected = bootstrap(
        (LEAF, TEACHER),
        lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert found is not None
    width = expected.high - expected.low
    assert found.value == pytest.approx(LEAF.sum() / TEACHER.sum())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)


def test_a_difference_agrees_with_scipy() -> None:
    found = difference(TEACHER, LEAF)
    expected = bootstrap((LEAF - TEACHER,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)
    assert found.is_clear == (expected.high < 0 or expected.low > 0)
    assert not difference(TEACHER, TEACHER).is_clear


def test_every_set_weighs_the_same() -> None:
    """A set of 300 queries and one of two: the mean of the means, not the mean of the queries."""
    pairs = [(LEAF, TEACHER), (np.array([0.0, 0.5]), np.array([1.0, 1.0]))]
    found = mean_retention(pairs)
    expected = (LEAF.mean() + 0.25) / (TEACHER.mean() + 1)
    assert found is not None
    assert found.value == pytest.approx(expected)
    narrow = retention(LEAF, TEACHER)
    assert narrow is not None
    assert found.high - found.low > 2 * (narrow.high - narrow.low)  # two queries say little
    assert mean_difference([(b, a) for a, b in pairs]).value == pytest.approx(((LEAF - TEACHER).mean() + 0.25 - 1) / 2)


def test_sets_of_one_size_are_drawn_apart() -> None:
    """Two sets with the same scores: independent draws narrow the interval by the root of two."""
    one, two = (mean_difference([(TEACHER, LEAF)] * count) for count in (1, 2))
    assert two.value == pytest.approx(one.value)
    assert two.high - two.low == pytest.approx((one.high - one.low) / np.sqrt(2), rel=0.15)


def test_one_set_is_a_mean_over_one() -> None:
    assert mean_retention([(LEAF, TEACHER)]) == retention(LEAF, TEACHER)
    assert str(Retention(0.985, 0.97, 1.0)) == "98.5% (97.0% to 100.0%)"


def test_no_sets() -> None:
    with pytest.raises(InputError, match="at least one set"):
        mean_retention([])
    with pytest.raises(InputError, match="two scores per query"):
        mean_difference([(np.ones(2), np.ones(3))])
