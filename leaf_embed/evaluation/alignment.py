"""The alignment of a leaf's vectors with its teacher's, before anything is searched.

Cosines are counted in narrow bins as they come, so that a corpus of any size takes the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["CosineCounter", "CosineRow", "top_overlap"]

BINS = 2000  # of -1 to 1: a percentile is exact to .001
WORDS = (0, 5, 9, 17, 33, 65, 129)  # where each bucket of text lengths begins, in words
SHOWN = 50  # bars of 0.02 from 0 to 1


@dataclass(frozen=True)
class CosineRow:
    """Cosines between leaf and teacher over texts of one role and length.

    Attributes:
        role: ``"query"`` or ``"document"``.
        words: Length of the texts in words, as ``"5-8"`` or ``"129+"``; ``"all"`` for every length.
        texts: Number of texts.
        mean: Mean cosine.
        p5: 5th percentile, to .001.
        p50: Median, to .001.
        lowest: The smallest one.
    """

    role: Role
    words: str
    texts: int
    mean: float
    p5: float
    p50: float
    lowest: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


class CosineCounter:
    """A histogram of the cosines of one role's texts, by the length of the text."""

    def __init__(self, role: Role) -> None:
        self.role: Role = role
        self._counts = np.zeros((len(WORDS), BINS), dtype=np.int64)
        self._sums = np.zeros(len(WORDS))
        self._lowest = np.ones(len(WORDS))

    def add(self, texts: Sequence[str], leaf: FloatArray, teacher: FloatArray) -> None:
        """Adds the vectors of some texts, each of shape ``(len(texts), dim)``."""
        cosines = np.clip(vectors.cosine(leaf, teacher), -1, 1).astype(np.float64)
        buckets = np.digitize([len(text.split()) for text in texts], WORDS) - 1
        bins = np.minimum(((cosines + 1) / 2 * BINS).astype(np.int64), BINS - 1)
        np.add.at(self._counts, (buckets, bins), 1)
        np.add.at(self._sums, buckets, cosines)
        np.minimum.at(self._lowest, buckets, cosines)

    def rows(self) -> list[CosineRow]:
        """Returns one row for all lengths together, then one for each length that occurred."""
        found = [i for i in range(len(WORDS)) if self._counts[i].any()]
        if not found:
            return []
        return [self._row("all", found), *(self._row(_label(i), [i]) for i in found)]

    def _row(self, words: str, which: list[int]) -> CosineRow:
        counts = self._counts[which].sum(axis=0)
        total = int(counts.sum())
        below = np.cumsum(counts)
        p5, p50 = ((np.searchsorted(below, share * total) + 0.5) / BINS * 2 - 1 for share in (0.05, 0.5))
        mean = float(self._sums[which].sum() / total)
        return CosineRow(self.role, words, total, mean, float(p5), float(p50), float(self._lowest[which].min()))

    def histogram(self) -> list[float]:
        """Returns the shares of the texts in bars of 0.02 from 0 to 1, negative ones in the first; shape ``(50,)``."""
        counts = self._counts.sum(axis=0)
        bars = counts[BINS // 2 :].reshape(SHOWN, -1).sum(axis=1)
        bars[0] += counts[: BINS // 2].sum()
        return [round(float(bar / max(counts.sum(), 1)), 5) for bar in bars]


def _label(bucket: int) -> str:
    start = max(WORDS[bucket], 1)
    return f"{start}-{WORDS[bucket + 1] - 1}" if bucket + 1 < len(WORDS) else f"{start}+"


def top_overlap(leaf: NDArray[np.intp], teacher: NDArray[np.intp]) -> float:
    """Returns the mean over the queries of the share of the teacher's best documents that are among the leaf's best.

    Args:
        leaf: Rows of the best documents, shape ``(queries, k)``, -1 where a ranking is shorter.
        teacher: The same of the teacher.
    """
    shares = [
        len(np.intersect1d(ours, theirs := row[row >= 0])) / max(len(theirs), 1)
        for ours, row in zip(leaf, teacher, strict=True)
    ]
    return float(np.mean(shares))
