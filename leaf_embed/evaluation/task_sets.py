"""Similarity and classification sets, and the files they are read from."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from leaf_embed.errors import CorpusError

__all__ = ["ClassificationSet", "OtherSet", "SimilaritySet", "load_classification", "load_sts"]

TEST_SHARE = 0.3
SEED = 0


@dataclass(frozen=True)
class SimilaritySet:
    """Pairs of texts with how alike a person finds them.

    Attributes:
        name: What the set is called in a report.
        first: One text a pair.
        second: The other one.
        scores: The higher the more alike, on any scale.
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
    """Texts with their classes, already divided.

    Attributes:
        name: What the set is called in a report.
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
    """Read pairs from ``.jsonl``, ``.csv`` or ``.tsv`` with the fields ``sentence1``, ``sentence2`` and ``score``.

    A ``.tsv`` has no quoting: each line is a pair, and a quotation mark is a character like any other.

    Raises:
        CorpusError: The file is missing, malformed (the message names the line) or ranks nothing.
    """
    rows = list(_records(Path(path), ("sentence1", "sentence2", "score")))
    scores = []
    for number, (_, _, score) in enumerate(rows, start=1):
        try:
            scores.append(float(score))
        except ValueError as error:
            raise CorpusError(f"record {number} of {path}: the score is no number ({error})") from error
    return SimilaritySet(Path(path).stem, tuple(a for a, _, _ in rows), tuple(b for _, b, _ in rows), tuple(scores))


def load_classification(path: str | os.PathLike[str]) -> ClassificationSet:
    """Read ``.jsonl``, ``.csv`` or ``.tsv`` with the fields ``text``, ``label`` and optionally ``split``.

    A ``.tsv`` has no quoting: each line is a text, and a quotation mark is a character like any other.
    Without ``split`` (``"train"`` or ``"test"``) three texts in ten are kept for the test, the same ones every time.

    Raises:
        CorpusError: The file is missing, malformed (the message names the line) or has fewer than two classes.
    """
    rows = list(_records(Path(path), ("text", "label"), ("split",)))
    if any(split for _, _, split in rows):
        chosen = [split == "test" for _, _, split in rows]
    else:
        chosen = (np.random.default_rng(SEED).random(len(rows)) < TEST_SHARE).tolist()
    train = tuple((text, label) for (text, label, _), test in zip(rows, chosen, strict=True) if not test)
    kept = tuple((text, label) for (text, label, _), test in zip(rows, chosen, strict=True) if test)
    return ClassificationSet(Path(path).stem, train, kept)


def _records(file: Path, wanted: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """The fields of each line as text, ``""`` for an optional one that is not there."""
    done = 0
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            records: Iterable[Any] = csv.DictReader(stream)
            if file.suffix == ".tsv":
                records = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
            elif file.suffix == ".jsonl":
                records = map(json.loads, filter(str.strip, stream))
            for record in records:
                if any(record.get(None) or ()) or any(record[name] is None for name in wanted):
                    raise ValueError("a field too many, too few or null")
                yield (*(str(record[name]) for name in wanted), *(str(record.get(name) or "") for name in optional))
                done += 1
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"cannot read record {done + 1} of {file} ({type(error).__name__}: {error}); expected .jsonl, .csv or .tsv "
            f"with the fields {', '.join(wanted)}"
        ) from error
