"""Verdicts on scores whose retention is known."""

from __future__ import annotations

import numpy as np
import pytest

from leaf_embed.errors import InputError
from leaf_embed.evaluation.intervals import Pair, Retention
from leaf_embed.evaluation.verdict import judge, status_of

RANDOM = np.random.default_rng(1)


def scores(share: float, queries: int) -> Pair:
    teacher = RANDOM.uniform(0.4, 0.9, queries)
    return teacher * share * RANDOM.uniform(0.9, 1.1, queries), teacher


@pytest.mark.parametrize(
    ("share", "queries", "accept", "status", "words"),
    [
        (0.99, 2000, 0.97, "shown", ": shown to keep 97 %"),
        (0.975, 60, 0.98, "not shown", ": not shown to keep 98 %"),
        (0.9, 500, 0.95, "below", ": shown to keep less than 95 %"),
        (1.0, 29, 0.9, "unknown", "no verdict on 90 %: an interval needs at least 30 queries"),
    ],
)
def test_the_sentence_says_it_first(share: float, queries: int, accept: float, status: str, words: str) -> None:
    found = judge({"one": scores(share, queries)}, accept)
    assert (found.status, found.is_shown) == (status, status == "shown")
    assert words in str(found).split(";")[0]
    assert found.to_dict()["sentence"] == str(found)
    assert found.worst is not None
    assert f"worst set one, {100 * found.worst[1].value:.1f} % on {queries:,} queries" in str(found)


def test_it_is_non_inferiority_and_not_difference() -> None:
    """A leaf that surely loses something still keeps the share; one that may have lost nothing is not shown to."""
    surely_less, perhaps_equal = judge({"a": scores(0.98, 5000)}), judge({"b": scores(1.0, 40)}, 0.995)
    assert surely_less.retention is not None
    assert surely_less.retention.high < 1
    assert surely_less.is_shown
    assert perhaps_equal.retention is not None
    assert perhaps_equal.retention.low < 1 < perhaps_equal.retention.high
    assert not perhaps_equal.is_shown


def test_sets_are_judged_after_the_mean() -> None:
    good, bad = scores(1.0, 800), scores(0.8, 800)
    found = judge({"good": good, "bad": bad})
    assert found.status == "below"
    assert found.sets == {"good": "not shown", "bad": "below"}
    assert found.worst is not None
    assert found.worst[0] == "bad"
    assert judge({"good": good, "other": scores(0.99, 800)}).sets == {"good": "shown", "other": "shown"}
    assert judge({"good": good, "few": scores(1.0, 5)}).sets["few"] == "unknown"


def test_the_queries_it_takes() -> None:
    found = judge({"one": scores(0.97, 100)})
    assert found.queries_needed is not None
    again = judge({"one": scores(0.97, found.queries_needed)}).retention
    assert again is not None
    assert (again.high - again.low) / 2 == pytest.approx(0.01, rel=0.2)


def test_a_teacher_that_finds_nothing() -> None:
    found = judge({"one": (np.zeros(50), np.zeros(50))})
    assert (found.status, found.retention, found.worst) == ("unknown", None, None)
    assert "the teacher finds nothing" in str(found)
    assert status_of(Retention(0.9), 0.5) == "unknown"


@pytest.mark.parametrize("accept", [0.0, -1.0, 1.5, 97.0, float("nan")])
def test_a_share_that_cannot_be_asked_for(accept: float) -> None:
    with pytest.raises(InputError, match="above 0 and at most 1"):
        judge({"one": scores(1, 40)}, accept)
