"""Intervals against Fieller's closed form, scipy's bootstrap and small simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, t

from leaf_embed.errors import InputError
from leaf_embed.evaluation.intervals import (
    Pair,
    Retention,
    difference,
    mean_difference,
    mean_retention,
    ratio_of_means,
    retention,
)

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
        method="BCa",
        rng=1,
    ).confidence_interval
    assert found is not None
    width = expected.high - expected.low
    assert found.value == pytest.approx(LEAF.sum() / TEACHER.sum())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)


def test_limits_are_where_the_test_rejects() -> None:
    """Symmetric scores have no skew, so that the limits are those of a t test of leaf - rho * teacher."""
    teacher = np.repeat(0.5, 400)
    leaf = teacher + np.tile([0.1, -0.1], 200)
    found = retention(leaf, teacher)
    assert found is not None
    critical = t.ppf(0.975, 399)
    for limit in (found.low, found.high):
        rest = leaf - limit * teacher
        square = (400 * 0.1**2 + 0.25) / 401 / 400  # of the pseudo-query
        assert abs(rest.mean()) / math.sqrt((rest.var(ddof=1) + square) / 400) == pytest.approx(critical, rel=1e-6)


def test_the_longer_tail_is_on_the_side_of_the_losses() -> None:
    teacher, losses = np.ones(200), np.ones(200)
    losses[:8] = 0
    found = retention(losses, teacher)
    assert found is not None
    assert found.value - found.low > 1.2 * (found.high - found.value)


def test_a_difference_agrees_with_scipy() -> None:
    found = difference(TEACHER, LEAF)
    expected = bootstrap((LEAF - TEACHER,), np.mean, n_resamples=4000, method="BCa", rng=1).confidence_interval
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)
    assert found.is_clear
    assert not difference(TEACHER, TEACHER).is_clear


def test_both_means_are_given() -> None:
    """Two sets whose teachers score .1 and .9, of which the leaf keeps a half and everything."""
    half = np.full(50, 0.05), np.full(50, 0.1)
    whole = np.full(50, 0.9), np.full(50, 0.9)
    mean, ratio = mean_retention([half, whole]), ratio_of_means([half, whole])
    assert mean is not None
    assert ratio is not None
    assert (mean.value, ratio.value) == pytest.approx((0.75, 0.95))
    assert mean.has_interval
    assert ratio.has_interval
    assert mean_retention([half, (np.zeros(50), np.zeros(50))]) is None
    nothing = ratio_of_means([half, (np.zeros(50), np.zeros(50))])
    assert nothing is not None
    assert nothing.value == pytest.approx(0.5)


def test_sets_are_independent_samples() -> None:
    """Two sets with the same scores narrow the interval by the root of two."""
    for summary in (mean_retention, ratio_of_means):
        one, two = (summary([(LEAF, TEACHER)] * count) for count in (1, 2))
        assert one is not None
        assert two is not None
        assert two.value == pytest.approx(one.value)
        assert two.high - two.low == pytest.approx((one.high - one.low) / np.sqrt(2), rel=0.05)
    single, double = (mean_difference([(TEACHER, LEAF)] * count) for count in (1, 2))
    assert double.high - double.low == pytest.approx((single.high - single.low) / np.sqrt(2), rel=0.05)


def test_a_set_of_few_queries_widens_the_mean() -> None:
    pairs = [(LEAF, TEACHER), (np.array([0.0, 0.5, 1, 0]), np.array([1.0, 1, 1, 1]))]
    found, narrow = ratio_of_means(pairs), retention(LEAF, TEACHER)
    assert found is not None
    assert narrow is not None
    assert found.value == pytest.approx((LEAF.mean() + 0.375) / (TEACHER.mean() + 1))
    assert found.high - found.low > 2 * (narrow.high - narrow.low)
    assert mean_difference([(b, a) for a, b in pairs]).value == pytest.approx(((LEAF - TEACHER).mean() - 0.625) / 2)


def test_where_no_interval_can_be_given() -> None:
    few = retention(np.ones(29), np.ones(29))
    assert few == Retention(1.0)
    assert few.to_dict() == {"value": 1.0, "low": None, "high": None}
    assert str(few) == "100.0% (no interval)"
    assert few.queries_for(29) is None
    hard = np.zeros(100)
    hard[:5] = 1
    assert retention(hard, hard) == Retention(1.0)  # the teacher finds something for five of a hundred queries
    equal = retention(np.ones(30), np.ones(30))
    assert equal is not None
    assert equal.low < 0.95  # no change among thirty queries does not say that there is none


def test_the_number_of_queries_for_a_point() -> None:
    found = retention(LEAF, TEACHER)
    assert found is not None
    wanted = found.queries_for(300)
    assert wanted is not None
    again = retention(np.resize(LEAF, wanted), np.resize(TEACHER, wanted))
    assert again is not None
    assert (again.high - again.low) / 2 == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(("kind", "queries"), [("sparse", 40), ("sparse", 120), ("losses", 100), ("smooth", 30)])
def test_coverage(kind: str, queries: int) -> None:
    """Of 600 samples of a population at least 92.5 % hold its retention; benchmarks/intervals.py has the table."""
    generator = np.random.default_rng(3)
    leaf, teacher = population(kind, generator)
    true = leaf.mean() / teacher.mean()
    hits = []
    for _ in range(600):
        rows = generator.integers(len(leaf), size=queries)
        found = retention(leaf[rows], teacher[rows])
        assert found is not None
        hits.append(found.low <= true <= found.high)
    assert np.mean(hits) >= 0.925


def population(kind: str, generator: np.random.Generator) -> Pair:
    if kind == "smooth":
        teacher = generator.beta(2, 2, 50_000)
        return np.clip(teacher + generator.normal(-0.01, 0.08, 50_000), 0, 1), teacher
    teacher = generator.choice([0, 0.5, 0.631, 1.0], 50_000, p=[0.2, 0.1, 0.2, 0.5])
    other = np.zeros(50_000) if kind == "losses" else generator.choice([0, 0.5, 0.631, 1.0], 50_000)
    return np.where(generator.random(50_000) < 0.06, other, teacher), teacher


def test_no_sets() -> None:
    with pytest.raises(InputError, match="at least one set"):
        mean_retention([])
    with pytest.raises(InputError, match="two scores per query"):
        mean_difference([(np.ones(2), np.ones(3))])
    assert str(Retention(0.985, 0.97, 1.0)) == "98.5% (97.0% to 100.0%)"
