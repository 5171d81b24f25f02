"""The randomisation test against scipy's, and Holm against a table worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test

from leaf_embed.evaluation.randomisation import holm, sign_flip_p

RANDOM = np.random.default_rng(2)


@pytest.mark.parametrize("queries", [5, 12, 40, 300])
def test_p_agrees_with_scipy(queries: int) -> None:
    changes = RANDOM.normal(0.1, 0.5, queries)
    expected = permutation_test(
        (changes, np.zeros(queries)), lambda a, b, axis: (a - b).sum(axis=axis), permutation_type="samples", rng=1
    ).pvalue
    assert sign_flip_p(changes) == pytest.approx(expected, abs=1e-12 if queries <= 12 else 0.015)


def test_queries_that_do_not_change_say_nothing() -> None:
    changes = np.array([0.5, 0.5, -0.5, 0.25])
    assert sign_flip_p(np.concatenate([changes, np.zeros(100)])) == sign_flip_p(changes)
    assert sign_flip_p(np.zeros(50)) == 1


def test_equal_leaves_are_called_different_in_one_of_twenty_samples() -> None:
    values = [sign_flip_p(np.random.default_rng(seed).normal(size=50), 500, seed) for seed in range(400)]
    assert 0.02 < np.mean(np.array(values) <= 0.05) < 0.08


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
