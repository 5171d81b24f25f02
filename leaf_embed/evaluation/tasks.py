"""Similarity and classification sets: reading them, and the scores of leaf and teacher."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from leaf_embed.evaluation.intervals import LEAST_QUERIES, Retention, retention
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
DRAWS = 1000
NOISE = 1e-6  # of a float32 cosine
ENOUGH = 0.95  # share of the draws that have a quotient, below which no interval is given
VALIDATION = ("validation", "valid", "dev")
UNUSED = "validation texts, used for nothing"
REPEATED = "training texts that are test texts too"


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
        left_out: By reason the number of rows that are in neither.
    """

    name: str
    train: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

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
    rows = list(_rows(Path(path), ("sentence1", "sentence2", "score")))
    first, second = (tuple(_text(row, side, where) for where, row in rows) for side in ("sentence1", "sentence2"))
    return SimilaritySet(Path(path).stem, first, second, tuple(_score(row["score"], where) for where, row in rows))


def load_classification(path: str | os.PathLike[str]) -> ClassificationSet:
    """Reads ``.jsonl``, ``.csv`` or ``.tsv`` with the fields ``text``, ``label`` and optionally ``split``.

    A ``.tsv`` has no quoting: each line is a text, and a quotation mark is a character like any other.
    ``split`` is ``"train"`` or ``"test"``, or one of ``"validation"``, ``"valid"`` and ``"dev"``, which are counted and
    used for nothing. Without it three texts in ten are kept for the test, the same ones every time. A text that is to
    be learned from and tested on is tested only: what the classes are learned from holds no test text.

    Raises:
        CorpusError: The file is missing, malformed (the message names the line), has rows with a split and rows
            without one, or has fewer than two classes.
    """
    rows = [
        (where, _text(row, "text", where), _label(row["label"], where), row.get("split"))
        for where, row in _rows(Path(path), ("text", "label"))
    ]
    splits = _splits([(where, split) for where, _, _, split in rows]) or _drawn([text for _, text, _, _ in rows])
    kept = tuple((text, label) for (_, text, label, _), split in zip(rows, splits, strict=True) if split == "test")
    tested = {text for text, _ in kept}
    learned = [(text, label) for (_, text, label, _), split in zip(rows, splits, strict=True) if split == "train"]
    train = tuple(row for row in learned if row[0] not in tested)
    left_out = {UNUSED: splits.count(None), REPEATED: len(learned) - len(train)}
    return ClassificationSet(Path(path).stem, train, kept, {reason: n for reason, n in left_out.items() if n})


def _splits(given: Sequence[tuple[str, Any]]) -> list[str | None]:
    """``"train"``, ``"test"`` or ``None`` for each row; ``[]`` if no row names a split."""
    names = [str(split or "").strip().lower() for _, split in given]
    if not any(names):
        return []
    for (where, split), name in zip(given, names, strict=True):
        if name not in ("train", "test", *VALIDATION):
            raise CorpusError(
                f"{where} has the split {split!r}; expected train, test or {', '.join(VALIDATION)} in every row, or no "
                "split at all"
            )
    return [None if name in VALIDATION else name for name in names]


def _drawn(texts: Sequence[str]) -> list[str | None]:
    """``"test"`` for three texts in ten; all rows of one text are on one side."""
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    test = np.random.default_rng(SEED).random(len(place)) < TEST_SHARE
    return ["test" if test[place[text]] else "train" for text in texts]


def _rows(file: Path, wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields file and number of each record, and the record, which has every wanted field."""
    check_file(file, FORMATS, CorpusError)
    for number, record in read_records(file, CorpusError):
        if record == "":
            continue
        given = record if isinstance(record, dict) else {}
        if missing := [name for name in wanted if given.get(name) is None]:
            has = f"it has {', '.join(map(str, given)) or 'none'}"
            raise CorpusError(
                f"{file}:{number} lacks {missing}; expected the fields {', '.join(wanted)}, none of them null; {has}"
            )
        yield f"{file}:{number}", given


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    if not isinstance(row[name], str):
        raise CorpusError(f"{where}: {name} is {row[name]!r:.80}; expected a text, in quotation marks")
    return str(row[name])


def _label(value: Any, where: str) -> str:
    if not isinstance(value, str | int):
        raise CorpusError(f"{where}: the label is {value!r:.80}; expected a text or a whole number")
    return str(value)


def _score(value: Any, where: str) -> float:
    try:
        if isinstance(value, bool) or not math.isfinite(number := float(value)):
            raise ValueError(f"got {value!r}")
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{where}: the score is no number ({error}); expected such as 3.5") from error
    return number


@dataclass(frozen=True)
class TaskReport:
    """The scores of leaf and teacher on a similarity or classification set.

    Attributes:
        name: Of the set.
        kind: ``"spearman"`` of cosine and human score, or ``"accuracy"`` of a logistic regression on the vectors.
        items: Pairs or texts judged.
        teacher: Score of the teacher.
        leaf: Score of the leaf alone. Both are ``nan``, and ``null`` in JSON, if an encoder gives every pair the same
            cosine, which ranks nothing.
        retention: Leaf divided by teacher, with an interval over the items; ``None`` if the teacher's score is not
            above 0, or one of the two is ``nan``.
        left_out: By reason the number of rows of the file that were not used.
    """

    name: str
    kind: Literal["spearman", "accuracy"]
    items: int
    teacher: float
    leaf: float
    retention: Retention | None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        scores = {
            who: round(score, 5) if math.isfinite(score) else None
            for who, score in (("teacher", self.teacher), ("leaf", self.leaf))
        }
        share = None if self.retention is None else self.retention.to_dict()
        counts = {"left_out": dict(self.left_out)}
        return {"name": self.name, "kind": self.kind, "items": self.items, **scores, "retention": share, **counts}

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
    scores = (theirs(everything), ours(everything))
    left_out = dataset.left_out if isinstance(dataset, ClassificationSet) else {}
    return TaskReport(dataset.name, kind, count, *scores, _retention(kind, ours, theirs, count), left_out)


def _similarity(encoder: Encoder, dataset: SimilaritySet) -> Scorer:
    """Spearman's rank correlation over some of the pairs."""
    stats: Any = require("scipy.stats", "eval", "Measuring similarity")
    cosines = vectors.cosine(encoder.encode_query(dataset.first), encoder.encode_query(dataset.second))
    scores = np.asarray(dataset.scores)

    def correlation(places: NDArray[np.intp]) -> float:
        some, human = cosines[places], scores[places]
        if np.ptp(some) < NOISE or np.ptp(human) == 0:  # ranks nothing
            return math.nan
        return float(stats.spearmanr(some, human).statistic)

    return correlation


def _classification(encoder: Encoder, dataset: ClassificationSet) -> Scorer:
    """Accuracy over some of the test texts."""
    linear: Any = require("sklearn.linear_model", "eval", "Measuring classification")

    def embed(rows: Sequence[tuple[str, str]]) -> FloatArray:
        return encoder.encode_query([text for text, _ in rows])

    model = linear.LogisticRegression(max_iter=1000).fit(embed(dataset.train), [label for _, label in dataset.train])
    right = model.predict(embed(dataset.test)) == np.array([label for _, label in dataset.test])
    return lambda places: float(right[places].mean())


def _retention(kind: str, leaf: Scorer, teacher: Scorer, count: int) -> Retention | None:
    """Returns the quotient of both scores with an interval over the items.

    Of an accuracy, which is a mean, it is that of every other mean score. Of a correlation it is a paired bootstrap,
    that of ``scipy.stats.bootstrap``, which has no interval if one draw has no quotient.
    """
    everything = np.arange(count)
    whole, value = teacher(everything), leaf(everything)
    if not whole > 0 or not math.isfinite(value):
        return None
    if kind == "accuracy":
        ours, theirs = (np.array([scorer(place) for place in everything[:, None]]) for scorer in (leaf, teacher))
        return retention(ours, theirs)
    if count < LEAST_QUERIES:
        return Retention(value / whole)
    generator = np.random.default_rng(SEED)
    draws = (generator.integers(count, size=count) for _ in range(DRAWS))
    pairs = np.array([(leaf(draw), teacher(draw)) for draw in draws])
    pairs = pairs[np.isfinite(pairs).all(axis=1) & (pairs[:, 1] > 0)]  # a draw of one single score ranks nothing
    if len(pairs) < DRAWS * ENOUGH:
        return Retention(value / whole)
    low, high = np.percentile(pairs[:, 0] / pairs[:, 1], [2.5, 97.5])
    return Retention(value / whole, float(low), float(high))
