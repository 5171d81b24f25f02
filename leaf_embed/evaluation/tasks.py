"""Similarity and classification, for leaves that are to do more than retrieval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.evaluation.bootstrap import RESAMPLES, Retention
from leaf_embed.evaluation.task_sets import ClassificationSet, OtherSet, SimilaritySet
from leaf_embed.vectors import FloatArray

__all__ = ["TaskReport", "evaluate_task"]

Scorer: TypeAlias = Callable[[NDArray[np.intp]], float]

SEED = 0


@dataclass(frozen=True)
class TaskReport:
    """What leaf and teacher score on a set that is no retrieval set.

    Attributes:
        name: Of the set.
        kind: ``"spearman"`` of cosine and human score, or ``"accuracy"`` of a logistic regression on the vectors.
        items: Pairs or texts judged.
        teacher: Score of the teacher.
        leaf: Score of the leaf alone.
        kept: Its share of the teacher's, with an interval over the items; ``None`` if the teacher has nothing.
    """

    name: str
    kind: Literal["spearman", "accuracy"]
    items: int
    teacher: float
    leaf: float
    kept: Retention | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        scores = {"teacher": round(self.teacher, 5), "leaf": round(self.leaf, 5)}
        share = None if self.kept is None else self.kept.to_dict()
        return {"name": self.name, "kind": self.kind, "items": self.items, **scores, "retention": share}

    def __str__(self) -> str:
        share = "" if self.kept is None else f", kept {self.kept}"
        return f"{self.name}: {self.kind} of the teacher {self.teacher:.4f}, of the leaf {self.leaf:.4f}{share}"


def evaluate_task(leaf: Encoder, teacher: Encoder, dataset: OtherSet) -> TaskReport:
    """What a leaf keeps when it embeds both sides, as such tasks ask.

    Texts are embedded as queries, by each model alone. Classes are learned by scikit-learn's logistic regression, once
    on the teacher's vectors and once on the leaf's.

    Args:
        leaf: The student; of a :class:`LeafEncoder` the query encoder is taken.
        teacher: The teacher of the same space.
        dataset: From :func:`~leaf_embed.evaluation.task_sets.load_sts` or ``load_classification``.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    student = leaf.query_encoder if isinstance(leaf, LeafEncoder) else leaf
    kind: Literal["spearman", "accuracy"]
    if isinstance(dataset, SimilaritySet):
        kind = "spearman"
        ours, theirs = (_similarity(encoder, dataset) for encoder in (student, teacher))
    else:
        kind = "accuracy"
        ours, theirs = (_classification(encoder, dataset) for encoder in (student, teacher))
    count = len(dataset.texts)
    everything = np.arange(count)
    return TaskReport(dataset.name, kind, count, theirs(everything), ours(everything), _kept(ours, theirs, count))


def _similarity(encoder: Encoder, dataset: SimilaritySet) -> Scorer:
    """Spearman's rank correlation over some of the pairs."""
    stats: Any = require("scipy.stats", "eval", "Measuring similarity")
    cosines = vectors.cosine(encoder.encode_query(dataset.first), encoder.encode_query(dataset.second))
    scores = np.asarray(dataset.scores)
    return lambda places: float(stats.spearmanr(cosines[places], scores[places]).statistic)


def _classification(encoder: Encoder, dataset: ClassificationSet) -> Scorer:
    """Accuracy over some of the test texts."""
    linear: Any = require("sklearn.linear_model", "eval", "Measuring classification")

    def embed(rows: Sequence[tuple[str, str]]) -> FloatArray:
        return encoder.encode_query([text for text, _ in rows])

    model = linear.LogisticRegression(max_iter=1000).fit(embed(dataset.train), [label for _, label in dataset.train])
    right = model.predict(embed(dataset.test)) == np.array([label for _, label in dataset.test])
    return lambda places: float(right[places].mean())


def _kept(leaf: Scorer, teacher: Scorer, count: int) -> Retention | None:
    """Paired bootstrap over the items: both scores of the same ones."""
    everything = np.arange(count)
    whole = teacher(everything)
    if not whole > 0:
        return None
    generator = np.random.default_rng(SEED)
    draws = (generator.integers(count, size=count) for _ in range(RESAMPLES))
    pairs = np.array([(leaf(draw), teacher(draw)) for draw in draws])
    pairs = pairs[np.isfinite(pairs).all(axis=1) & (pairs[:, 1] > 0)]  # a draw of one single score ranks nothing
    low, high = np.percentile(pairs[:, 0] / pairs[:, 1], [2.5, 97.5])
    return Retention(leaf(everything) / whole, float(low), float(high))
