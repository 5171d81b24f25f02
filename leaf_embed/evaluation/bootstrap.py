"""The old name of :mod:`leaf_embed.evaluation.intervals`, for code that imports it; draws nothing any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.evaluation import intervals
from leaf_embed.evaluation.intervals import Difference, Pair, Retention, difference, mean_difference

__all__ = ["Difference", "Pair", "Retention", "difference", "mean_difference", "mean_retention", "retention"]


def retention(leaf: NDArray[np.float64], teacher: NDArray[np.float64], **_: Any) -> Retention | None:
    """:func:`leaf_embed.evaluation.intervals.retention`; the keywords of the bootstrap are ignored."""
    return intervals.retention(leaf, teacher)


def mean_retention(pairs: Sequence[Pair], **_: Any) -> Retention | None:
    """:func:`leaf_embed.evaluation.intervals.ratio_of_means`, which is what this name computed."""
    return intervals.ratio_of_means(pairs)
