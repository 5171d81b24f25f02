"""Similarity and classification sets: reading them, and the scores of leaf and teacher."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed._records import check_file, read_records
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.errors import CorpusError
from leaf_embed.evaluation.bootstrap import RESAMPLES, Retention
from leaf_embed.vectors import FloatArray

__all__ = [
    "ClassificationSet",
    "OtherSet",
    "SimilaritySet",
    "TaskReport",
    "evaluate_task",
    "load_classification",
    "load_sts",
]

Scorer: TypeAlias = Callable[[NDArray[np.intp]], float]

FORMATS = (".jsonl", ".csv", ".tsv")
TEST_SHARE = 0.3
SEED = 0


@dataclass(frozen=True)
class SimilaritySet:
    """Pairs of texts with the similarity that people see in them.

    Attributes:
        name: Name of the set in a report.
        first: One text per pair.
        second: The other one.
        scores: Higher for more similar pairs, on any scale.
    """

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(set(self.scores)) < 2:
            raise CorpusError(f"the set {self.name!r} needs at least two different scores to rank by")

    @property
    def texts(self) -> tuple[str, ...]:
        """One text of each pair."""
        return self.first


@dataclass(frozen=True)
class ClassificationSet:
    """Texts with their classes, split into training and test texts.

    Attributes:
        name: Name of the set in a report.
        train: ``(text, label)`` to learn the classes from.
        test: ``(text, label)`` to be judged by.
    """

    name: str
    train: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        labels = {label for _, label in self.train}
        if len(labels) < 2 or not self.test:
            raise CorpusError(
                f"the set {self.name!r} has {len(labels)} classes to learn and {len(self.test)} texts to judge; "
                "expected two classes or more, and texts"
            )

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to judge."""
        return tuple(text for text, _ in self.test)


OtherSet: TypeAlias = SimilaritySet | ClassificationSet


def load_sts(path: str | os.PathLike[str]) -> SimilaritySet:
    """Reads pairs from ``.jsonl``, ``.csv`` or ``.tsv`` with the fields ``sentence1``, ``sentence2`` and ``score``.

    A ``.tsv`` has no quoting: each line is a pair, and a quotation mark is a character like any other.

    Raises:
        CorpusError: The file is missing, malformed (the message names the line) or ranks nothing.
    """
    rows = list(_fields(Path(path), ("sentence1", "sentence2", "score")))
    scores = []
    for number, (_, _, score) in rows:
        try:
            scores.append(float(score))
        except ValueError as error:
            raise CorpusError(f"{path}:{number}: the score is no number ({error}); expected such as 3.5") from error
    first, second = (tuple(row[side] for _, row in rows) for side in (0, 1))
    return SimilaritySet(Path(path).stem, first, second, tuple(scores))


def load_classification(path: str | os.PathLike[str]) -> ClassificationSet:
    """Reads ``.jsonl``, ``.csv`` or ``.tsv`` with the fields ``text``, ``label`` and optionally ``split``.

    A ``.tsv`` has no quoting: each line is a text, and a quotation mark is a character like any other.
    Without ``split`` (``"train"`` or ``"test"``) three texts in ten are kept for the test, the same ones every time.

    Raises:
        CorpusError: The file is missing, malformed (the message names the line) or has fewer than two classes.
    """
    rows = [row for _, row in _fields(Path(path), ("text", "label"), ("split",))]
    if any(split for _, _, split in rows):
        chosen = [split == "test" for _, _, split in rows]
    else:
        chosen = (np.random.default_rng(SEED).random(len(rows)) < TEST_SHARE).tolist()
    train = tuple((text, label) for (text, label, _), test in zip(rows, chosen, strict=True) if not test)
    kept = tuple((text, label) for (text, label, _), test in zip(rows, chosen, strict=True) if test)
    return ClassificationSet(Path(path).stem, train, kept)


def _fields(file: Path, wanted: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields the number of each record and its fields as text, ``""`` for an optional one that is missing."""
    check_file(file, FORMATS, CorpusError)
    for number, record in read_records(file, CorpusError):
        if record == "":
            continue
        given = record if isinstance(record, dict) else {}
        missing = [name for name in wanted if given.get(name) is None]
        if missing or any(given.get(None) or ()):
            found = f"lacks {missing}" if missing else "has more fields than the header"
            raise CorpusError(f"{file}:{number} {found}; expected the fields {', '.join(wanted)}, none of them null")
        yield number, (*(str(given[name]) for name in wanted), *(str(given.get(name) or "") for name in optional))


@dataclass(frozen=True)
class TaskReport:
    """The scores of leaf and teacher on a similarity or classification set.

    Attributes:
        name: Of the set.
        kind: ``"spearman"`` of cosine and human score, or ``"accuracy"`` of a logistic regression on the vectors.
        items: Pairs or texts judged.
        teacher: Score of the teacher.
        leaf: Score of the leaf alone.
        retention: Leaf divided by teacher, with an interval over the items; ``None`` if the teacher's score is not
            above 0.
    """

    name: str
    kind: Literal["spearman", "accuracy"]
    items: int
    teacher: float
    leaf: float
    retention: Retention | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        scores = {"teacher": round(self.teacher, 5), "leaf": round(self.leaf, 5)}
        share = None if self.retention is None else self.retention.to_dict()
        return {"name": self.name, "kind": self.kind, "items": self.items, **scores, "retention": share}

    def __str__(self) -> str:
        share = "" if self.retention is None else f", retention {self.retention}"
        return f"{self.name}: {self.kind} of the teacher {self.teacher:.4f}, of the leaf {self.leaf:.4f}{share}"


def evaluate_task(leaf: Encoder, teacher: Encoder, dataset: OtherSet) -> TaskReport:
    """Scores leaf and teacher on a set whose texts each embeds alone, on both sides.

    Texts are embedded as queries, by each model alone. Classes are learned by scikit-learn's logistic regression, once
    on the teacher's vectors and once on the leaf's.

    Args:
        leaf: The student; of a :class:`LeafEncoder` the query encoder is taken.
        teacher: The teacher of the same space.
        dataset: From :func:`load_sts` or :func:`load_classification`.

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
    return TaskReport(dataset.name, kind, count, theirs(everything), ours(everything), _retention(ours, theirs, count))


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


def _retention(leaf: Scorer, teacher: Scorer, count: int) -> Retention | None:
    """Returns the quotient of both scores with a paired bootstrap interval over the items.

    The interval is that of ``scipy.stats.bootstrap``, which has no interval if one draw has no quotient.
    """
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
