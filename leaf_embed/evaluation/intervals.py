"""Retention and differences of paired scores with 95 % intervals, which cover the choice of the queries.

Only the queries are treated as a sample, within each set; documents and training run are fixed. An interval inverts a
t test of ``leaf - rho * teacher``, so that numerator and denominator vary together (Fieller, J. Roy. Stat. Soc. B,
1954). Two corrections keep its coverage where few queries change: a pseudo-query that changes as much as those that
did, half up and half down, as Agresti and Min do for paired proportions (Biometrics, 2005); and the limit on the side
of the longer tail moves outwards by the first term of Edgeworth's expansion (Hall, J. Roy. Stat. Soc. B, 1992). The
interval of a mean of retentions joins those of the sets by MOVER (Zou and Donner, Statistics in Medicine, 2008).
``benchmarks/intervals.py`` measures the coverage of these and of a bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed._extras import require
from leaf_embed.errors import InputError
from leaf_embed.evaluation.randomisation import PERMUTATIONS, sign_flip_p

__all__ = [
    "LEAST_QUERIES",
    "Difference",
    "Pair",
    "Retention",
    "difference",
    "mean_difference",
    "mean_retention",
    "ratio_of_means",
    "retention",
]

Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]  # scores of the same queries, each shape (queries,)

LEVEL = 0.95
LEAST_QUERIES = 30  # below this no interval is given
MOST_UNCERTAIN = 0.1  # of Fieller's g: the teacher's mean must be known to within about a third of itself
FEW_CHANGES = 3  # queries; with fewer the sample does not say how much a change costs
LARGE_SQUARE = 0.75  # of a change whose size is unknown; the largest is 1
PRIOR_SQUARE = 0.25  # of one more change than was seen
LARGEST_SKEW = 1.5  # of the standardised third moment, divided by the root of the queries


@dataclass(frozen=True)
class Retention:
    """The score of a leaf divided by that of its teacher.

    Attributes:
        value: 1.0 is no loss.
        low: Lower limit of the 95 % interval; 0 if none can be given: fewer than 30 queries, or a teacher whose mean
            score is itself uncertain by a third.
        high: Upper limit; infinity if none can be given.
    """

    value: float
    low: float = 0.0
    high: float = math.inf

    @property
    def has_interval(self) -> bool:
        """False if the queries are too few, or too hard, to say how far the value may be off."""
        return math.isfinite(self.high)

    def __str__(self) -> str:
        limits = f"{self.low:.1%} to {self.high:.1%}" if self.has_interval else "no interval"
        return f"{self.value:.1%} ({limits})"

    def to_dict(self) -> dict[str, float | None]:
        """The JSON form, rounded to 5 digits; limits are ``None`` if there is no interval."""
        low, high = (round(limit, 5) if self.has_interval else None for limit in (self.low, self.high))
        return {"value": round(self.value, 5), "low": low, "high": high}

    def queries_for(self, queries: int, half_width: float = 0.01) -> int | None:
        """Returns about how many queries would narrow the interval to ``± half_width``; ``None`` without an interval.

        Args:
            queries: The number that this interval comes from.
            half_width: The one that is wished for.
        """
        if not self.has_interval:
            return None
        return max(LEAST_QUERIES, math.ceil(queries * ((self.high - self.low) / 2 / half_width) ** 2))


@dataclass(frozen=True)
class Difference:
    """The difference of two scores.

    Attributes:
        value: Mean of the second minus mean of the first.
        low: Lower limit of the 95 % interval; minus infinity with fewer than 30 queries.
        high: Upper limit; infinity with fewer than 30 queries.
        p: Of a two-sided paired randomisation test, see :func:`leaf_embed.evaluation.randomisation.sign_flip_p`.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def is_clear(self) -> bool:
        """True if the randomisation test rejects equality at 5 %, this one comparison taken alone."""
        return self.p <= 1 - LEVEL

    def __str__(self) -> str:
        limits = f"{self.low:+.4f} to {self.high:+.4f}" if math.isfinite(self.high) else "no interval"
        return f"{self.value:+.4f} ({limits})"


def retention(leaf: NDArray[np.float64], teacher: NDArray[np.float64], *, level: float = LEVEL) -> Retention | None:
    """Returns the mean score of the leaf divided by that of the teacher, with a 95 % interval.

    Args:
        leaf: Score of each query, 0 to 1, shape ``(queries,)``.
        teacher: Score of the same queries, shape ``(queries,)``.
        level: Of the interval, where several are looked at together.

    Returns:
        ``None`` if the teacher's mean score is 0.

    Raises:
        InputError: The two do not belong to the same queries.
        MissingExtraError: The extra ``eval`` is not installed.
    """
    return ratio_of_means([(leaf, teacher)], level=level)


def ratio_of_means(pairs: Sequence[Pair], *, level: float = LEVEL) -> Retention | None:
    """Returns the leaf's mean score over the sets divided by the teacher's; sets with high scores weigh more.

    Args:
        pairs: Scores of leaf and teacher, one pair per set.
        level: Of the interval.

    Returns:
        ``None`` if the teacher's mean score is 0 on every set.

    Raises:
        InputError: No sets, or two scores that do not belong to the same queries.
    """
    moments = _Moments.of(pairs)
    if not moments.teacher > 0:
        return None
    limits = moments.limits(level) if _enough(pairs) else None
    return Retention(moments.leaf / moments.teacher, *limits or ())


def mean_retention(pairs: Sequence[Pair]) -> Retention | None:
    """Returns the mean of the sets' retentions: every set weighs the same, however high its scores are.

    Args:
        pairs: Scores of leaf and teacher, one pair per set.

    Returns:
        ``None`` if the teacher's mean score is 0 on one of the sets.

    Raises:
        InputError: No sets, or two scores that do not belong to the same queries.
    """
    if len(pairs) == 1:
        return ratio_of_means(pairs)
    sets = [_Moments.of([pair]) for pair in _checked(pairs)]
    if not all(one.teacher > 0 for one in sets):
        return None
    values = np.array([one.leaf / one.teacher for one in sets])
    found = [one.limits() for one in sets]
    mean, bounded = float(values.mean()), [limits for limits in found if limits is not None]
    if len(bounded) < len(sets) or not _enough(pairs):
        return Retention(mean)
    down, up = np.sqrt(((values[:, None] - np.array(bounded)) ** 2).sum(axis=0)) / len(sets)
    return Retention(mean, mean - float(down), mean + float(up))


def difference(
    first: NDArray[np.float64], second: NDArray[np.float64], *, resamples: int = PERMUTATIONS, seed: int = 0
) -> Difference:
    """Returns the second mean score minus the first, with a 95 % interval; see :func:`mean_difference`."""
    return mean_difference([(first, second)], resamples=resamples, seed=seed)


def mean_difference(pairs: Sequence[Pair], *, resamples: int = PERMUTATIONS, seed: int = 0) -> Difference:
    """Returns the difference of the means over sets, every set weighing the same.

    Args:
        pairs: First and second scores, one pair per set.
        resamples: Random reassignments of the test.
        seed: Of the test.

    Raises:
        InputError: No sets, or two scores that do not belong to the same queries.
    """
    changes = [second - first for first, second in _checked(pairs)]
    moments = _Moments.of([(change, np.ones_like(change)) for change in changes], changes)
    low, high = (moments.limits() if _enough(pairs) else None) or (-math.inf, math.inf)
    weighed = np.concatenate([change / len(change) for change in changes]) / len(changes)
    return Difference(moments.leaf, low, high, sign_flip_p(weighed, resamples, seed))


def _checked(pairs: Sequence[Pair]) -> Sequence[Pair]:
    if not pairs:
        raise InputError("a mean over sets needs at least one set; got none")
    for one, other in pairs:
        if one.shape != other.shape or one.ndim != 1 or not len(one):
            raise InputError(f"paired scores need two scores per query; got shapes {one.shape} and {other.shape}")
    return pairs


def _enough(pairs: Sequence[Pair]) -> bool:
    return sum(len(one) for one, _ in pairs) >= LEAST_QUERIES


@dataclass(frozen=True)
class _Moments:
    """Moments of paired scores, means over the sets; those of second and third order are of these means.

    Attributes:
        leaf: Mean score.
        teacher: Mean score.
        spread: Variance of the leaf's mean, with the pseudo-query; covariance; variance of the teacher's mean.
        skew: Third standardised moment of the mean of ``leaf - rho * teacher`` at the estimated rho.
        freedom: Degrees of freedom by Satterthwaite.
    """

    leaf: float
    teacher: float
    spread: tuple[float, float, float]
    skew: float
    freedom: float

    @classmethod
    def of(cls, pairs: Sequence[Pair], changes: Sequence[NDArray[np.float64]] | None = None) -> _Moments:
        """Moments of the pairs; ``changes`` are ``leaf - teacher`` by default."""
        sets = len(_checked(pairs))
        leaf, teacher = (float(np.mean([pair[side].mean() for pair in pairs])) for side in (0, 1))
        rho = leaf / teacher if teacher > 0 else 0.0
        square = _mean_square([ours - theirs for ours, theirs in pairs] if changes is None else changes)
        spread, third, variances = np.zeros(3), 0.0, []
        for ours, theirs in pairs:
            count = len(ours)
            extra = square / count  # to the variance of one query, by one pseudo-query
            table = np.cov(ours, theirs) if count > 1 else np.zeros((2, 2))
            spread += np.array([table[0, 0] + extra, table[0, 1], table[1, 1]]) / count / sets**2
            rest = ours - rho * theirs
            rest = rest - rest.mean()
            variances.append(((rest**2).mean() + extra) / count / sets**2)
            third += float((rest**3).mean()) / count**2 / sets**3
        total = sum(variances)
        degrees = [max(len(ours) - 1, 1) for ours, _ in pairs]
        freedom = total**2 / sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
        return cls(leaf, teacher, (float(spread[0]), float(spread[1]), float(spread[2])), third / total**1.5, freedom)

    def limits(self, level: float = LEVEL) -> tuple[float, float] | None:
        """The rho at which the test just rejects, below and above the estimate; ``None`` if unbounded."""
        stats = require("scipy.stats", "eval", "Intervals")
        critical = float(stats.t.ppf((1 + level) / 2, self.freedom))
        if critical**2 * self.spread[2] > MOST_UNCERTAIN * self.teacher**2:
            return None
        shift = float(np.clip(self.skew, -LARGEST_SKEW, LARGEST_SKEW)) * (2 * critical**2 + 1) / 6
        return self._root(critical + max(-shift, 0), -1), self._root(critical + max(shift, 0), 1)

    def _root(self, critical: float, side: int) -> float:
        """Fieller's limit: a root of ``(leaf - rho * teacher)² = critical² * variance(rho)``."""
        ours, both, theirs = (critical**2 * value for value in self.spread)
        a = self.teacher**2 - theirs
        b = self.leaf * self.teacher - both
        c = self.leaf**2 - ours
        return (b + side * math.sqrt(max(b * b - a * c, 0.0))) / a


def _mean_square(changes: Sequence[NDArray[np.float64]]) -> float:
    """The mean square of a change, over the queries of all sets that change.

    With fewer than three changes their size is unknown, and three quarters of the largest possible square are taken.
    """
    changed = sum(int(np.count_nonzero(of_set)) for of_set in changes)
    if changed < FEW_CHANGES:
        return LARGE_SQUARE
    return (sum(float((of_set**2).sum()) for of_set in changes) + PRIOR_SQUARE) / (changed + 1)
