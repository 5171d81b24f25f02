"""Paired bootstrap intervals: the uncertainty that comes from the choice of the queries.

A resample draws queries, and takes both scores of each; over several sets it draws within each set. Only the queries
are treated as a sample: documents and training run are fixed. All points of a report share the draws, so that an
interval takes a millisecond where ``scipy.stats.bootstrap``, which has no strata, takes twenty.

Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993; paired use in retrieval: Sakai, SIGIR 2006.
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
CHUNK = 100  # resamples at a time: 8 bytes per query and resample


@dataclass(frozen=True)
class Retention:
    """The score of a leaf divided by that of its teacher.

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
    """The difference of two scores.

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
        """True if the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def retention(
    leaf: NDArray[np.float64], teacher: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Retention | None:
    """Returns the mean score of the leaf divided by that of the teacher, with a 95 % interval.

    Args:
        leaf: Score of each query, shape ``(queries,)``.
        teacher: Score of the same queries, shape ``(queries,)``.
        resamples: Number of times that the queries are drawn again.
        seed: Of the draws.

    Returns:
        ``None`` if the teacher's mean score is 0.

    Raises:
        InputError: The two do not belong to the same queries.
    """
    return mean_retention([(leaf, teacher)], resamples=resamples, seed=seed)


def mean_retention(pairs: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = 0) -> Retention | None:
    """Returns the mean score over sets of the leaf divided by that of the teacher, every set weighing the same.

    Args:
        pairs: Of each set, the scores of the leaf and of the teacher.
        resamples: Number of times that the queries of every set are drawn again.
        seed: Of the draws.

    Returns:
        ``None`` if the teacher's mean score is 0 on every set.

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
    """Returns the second mean score minus the first, with a 95 % interval; see :func:`retention`."""
    return mean_difference([(first, second)], resamples=resamples, seed=seed)


def mean_difference(pairs: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """Returns the difference of the means over sets, every set weighing the same; see :func:`mean_retention`."""
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
            raise InputError(f"a paired bootstrap needs two scores per query; got shapes {one.shape} and {other.shape}")
    means: NDArray[np.float64] = np.array([[one.mean(), other.mean()] for one, other in pairs]).mean(axis=0)
    return means


def _resampled(pairs: Sequence[Pair], resamples: int, seed: int) -> NDArray[np.float64]:
    """Of each resample the means over the sets of both scores, shape ``(resamples, 2)``."""
    means = np.zeros((resamples, 2))
    for number, pair in enumerate(pairs):
        counts, scores = _counts(len(pair[0]), resamples, seed, number), np.stack(pair, axis=1)
        for start in range(0, resamples, CHUNK):
            means[start : start + CHUNK] += counts[start : start + CHUNK].astype(np.float64) @ scores / len(scores)
    return means / len(pairs)


@lru_cache(maxsize=16)
def _counts(queries: int, resamples: int, seed: int, number: int) -> NDArray[np.uint8]:
    """The number of times that each resample draws each query, shape ``(resamples, queries)``; others for another set.

    Cached, since every point of a report uses the same draws.
    """
    generator = np.random.default_rng([seed, number])
    counts = np.empty((resamples, queries), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(generator.integers(queries, size=queries), minlength=queries)
    return counts
