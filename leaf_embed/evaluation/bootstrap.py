"""Paired bootstrap intervals: what is due to the queries that happened to be asked.

A resample draws queries, and takes both scores of each; over several sets it draws within each set. Only the queries
are treated as a sample: documents and training run are fixed. Source: Efron & Tibshirani, An Introduction to the
Bootstrap, 1993; paired use in retrieval: Sakai, SIGIR 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed.errors import InputError

__all__ = ["Difference", "Pair", "Retention", "difference", "mean_difference", "mean_retention", "retention"]

Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]  # scores of the same queries, each shape (queries,)

RESAMPLES = 1000
CHUNK = 100  # resamples at a time: 8 bytes a query and resample


@dataclass(frozen=True)
class Retention:
    """The share of the teacher's score that a leaf keeps.

    Attributes:
        value: Mean score of the leaf divided by that of the teacher; 1.0 is no loss.
        low: 2.5th percentile of the paired bootstrap.
        high: 97.5th percentile.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"

    def to_dict(self) -> dict[str, float]:
        """The JSON form, rounded to 5 digits."""
        return {"value": round(self.value, 5), "low": round(self.low, 5), "high": round(self.high, 5)}


@dataclass(frozen=True)
class Difference:
    """How much higher the second of two scores is.

    Attributes:
        value: Mean of the second minus mean of the first.
        low: 2.5th percentile of the paired bootstrap.
        high: 97.5th percentile.
    """

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def retention(
    leaf: NDArray[np.float64], teacher: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Retention | None:
    """Mean score of the leaf divided by that of the teacher, with a 95 % interval.

    Args:
        leaf: Score of each query, shape ``(queries,)``.
        teacher: Score of the same queries, shape ``(queries,)``.
        resamples: How many times the queries are drawn again.
        seed: Of the draws.

    Returns:
        ``None`` if the teacher scores nothing, so that there is nothing to keep.

    Raises:
        InputError: The two do not belong to the same queries.
    """
    return mean_retention([(leaf, teacher)], resamples=resamples, seed=seed)


def mean_retention(pairs: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = 0) -> Retention | None:
    """Mean over sets of the leaf's score divided by that of the teacher's, every set weighing the same.

    Args:
        pairs: Of each set, the scores of the leaf and of the teacher.
        resamples: How many times the queries of every set are drawn again.
        seed: Of the draws.

    Returns:
        ``None`` if the teacher scores nothing on any set.

    Raises:
        InputError: No sets, or two scores that do not belong to the same queries.
    """
    means = _check(pairs)
    if not means[1] > 0:
        return None
    drawn = _resampled(pairs, resamples, seed)
    ratios = drawn[drawn[:, 1] > 0, 0] / drawn[drawn[:, 1] > 0, 1]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Retention(float(means[0] / means[1]), float(low), float(high))


def difference(
    first: NDArray[np.float64], second: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """How much higher the second score is than the first, with a 95 % interval; see :func:`retention`."""
    return mean_difference([(first, second)], resamples=resamples, seed=seed)


def mean_difference(pairs: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """How much higher the second score is, mean over sets, every set weighing the same; see :func:`mean_retention`."""
    means = _check(pairs)
    drawn = _resampled(pairs, resamples, seed)
    low, high = np.percentile(drawn[:, 1] - drawn[:, 0], [2.5, 97.5])
    return Difference(float(means[1] - means[0]), float(low), float(high))


def _check(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Means over the sets of both scores, shape ``(2,)``."""
    if not pairs:
        raise InputError("a mean over sets needs at least one set; got none")
    for one, other in pairs:
        if one.shape != other.shape or one.ndim != 1 or not len(one):
            raise InputError(f"a paired bootstrap needs two scores a query; got shapes {one.shape} and {other.shape}")
    means: NDArray[np.float64] = np.array([[one.mean(), other.mean()] for one, other in pairs]).mean(axis=0)
    return means


def _resampled(pairs: Sequence[Pair], resamples: int, seed: int) -> NDArray[np.float64]:
    """Of each resample the means over the sets of both scores, shape ``(resamples, 2)``."""
    means = np.zeros((resamples, 2))
    for place, pair in enumerate(pairs):
        counts, scores = _counts(len(pair[0]), resamples, seed, place), np.stack(pair, axis=1)
        for start in range(0, resamples, CHUNK):
            means[start : start + CHUNK] += counts[start : start + CHUNK].astype(np.float64) @ scores / len(scores)
    return means / len(pairs)


@lru_cache(maxsize=16)
def _counts(queries: int, resamples: int, seed: int, place: int) -> NDArray[np.uint8]:
    """How often each resample draws each query, shape ``(resamples, queries)``; other draws for another set.

    Kept, since every point of a report asks for the same draws.
    """
    generator = np.random.default_rng([seed, place])
    counts = np.empty((resamples, queries), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(generator.integers(queries, size=queries), minlength=queries)
    return counts
