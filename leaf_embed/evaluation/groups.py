"""Where a leaf loses: retention by length, rarest word and kind of the queries, and what routing some of them brings.

Routing sends some queries to the teacher instead of the leaf. Each order of routing uses only what is known of a query
before it is encoded, apart from ``"largest loss first"``, which no router can know and which bounds every one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.evaluation.intervals import Retention, retention

__all__ = ["QueryGroup", "kind_of", "query_groups", "routing"]

LENGTHS = (1, 3, 6, 11, 21)  # where each group of lengths begins, in words
RARITIES = ((0.0, "in no document"), (0.001, "in up to 0.1 % of documents"), (0.01, "in up to 1 %"), (1.0, "in more"))
SAMPLE = 16384  # documents whose words are counted
BLOCK = 1024  # of them in memory at a time
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
SENTENCE = 8  # words
ASKING = frozenset(
    "who whom whose what which when where why how "
    "is are was were do does did can could should would will has have".split()
)


@dataclass(frozen=True)
class QueryGroup:
    """Queries that have something in common.

    Attributes:
        by: ``"length"`` in words, ``"rarity"`` of the rarest word, or ``"kind"``.
        group: Which of them.
        queries: Number of queries.
        teacher: Mean nDCG@10 of the teacher.
        leaf: Mean nDCG@10 of leaf queries on teacher documents.
        retention: Leaf divided by teacher; ``None`` if the teacher has 0.
    """

    by: str
    group: str
    queries: int
    teacher: float
    leaf: float
    retention: Retention | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "by": self.by,
            "group": self.group,
            "queries": self.queries,
            "teacher": round(self.teacher, 5),
            "leaf": round(self.leaf, 5),
            "retention": None if self.retention is None else self.retention.to_dict(),
        }


def query_groups(
    dataset: RetrievalSet, leaf: NDArray[np.float64], teacher: NDArray[np.float64]
) -> tuple[QueryGroup, ...]:
    """Returns the groups that occur, by length, rarity and kind.

    Args:
        dataset: The set; the words of its first 16,384 documents are counted.
        leaf: nDCG@10 of each query, shape ``(queries,)``.
        teacher: The same of the teacher.
    """
    lengths = [f"{_length(text)}" for text in dataset.queries]
    rarities = [_rarity(share) for share in rarest_words(dataset)]
    kinds = [kind_of(text) for text in dataset.queries]
    order = {"length": [_label(i) for i in range(len(LENGTHS))], "rarity": [name for _, name in RARITIES]}
    found = []
    for by, names in (("length", lengths), ("rarity", rarities), ("kind", kinds)):
        for name in order.get(by, sorted(set(names))):
            which = np.array([one == name for one in names])
            if which.any():
                ours, theirs = leaf[which], teacher[which]
                means = float(theirs.mean()), float(ours.mean())
                found.append(QueryGroup(by, name, int(which.sum()), *means, retention(ours, theirs)))
    return tuple(found)


def routing(
    dataset: RetrievalSet, leaf: NDArray[np.float64], teacher: NDArray[np.float64]
) -> Mapping[str, list[tuple[float, float]]]:
    """Returns for each order of routing the share of queries sent to the teacher and the retention then reached.

    Args:
        dataset: The set.
        leaf: nDCG@10 of each query, shape ``(queries,)``.
        teacher: The same of the teacher.

    Returns:
        By the name of the order: ``(share, retention)`` from no query to all; empty if the teacher has 0.
    """
    if not teacher.any():
        return {}
    words = np.array([len(text.split()) for text in dataset.queries])
    orders = {
        "rarest word first": rarest_words(dataset),
        "longest first": -words,
        "shortest first": words,
        "largest loss first": leaf - teacher,
    }
    curves = {}
    for name, signal in orders.items():
        rows = np.argsort(signal, kind="stable")
        gains = np.concatenate([[0.0], np.cumsum((teacher - leaf)[rows])])
        sent = [round(share * len(rows)) for share in SHARES]
        curves[name] = [
            (share, float((leaf.sum() + gains[count]) / teacher.sum()))
            for share, count in zip(SHARES, sent, strict=True)
        ]
    return curves


def kind_of(text: str) -> str:
    """Returns ``"question"``, ``"sentence"`` or ``"keywords"``, by English question words, ``?`` and eight words."""
    words = _words(text)
    if text.rstrip().endswith(("?", "\uff1f")) or (words and words[0] in ASKING):
        return "question"
    return "sentence" if len(words) >= SENTENCE else "keywords"


def rarest_words(dataset: RetrievalSet) -> NDArray[np.float64]:
    """Returns of each query the share of the documents that hold its rarest word, shape ``(queries,)``."""
    asked = [set(_words(text)) for text in dataset.queries]
    wanted = set().union(*asked)
    sample = min(SAMPLE, len(dataset.documents))
    counts: Counter[str] = Counter()
    for start in range(0, sample, BLOCK):  # a corpus in a file is read a block at a time
        for text in dataset.documents[start : min(start + BLOCK, sample)]:
            counts.update(wanted.intersection(_words(text)))
    return np.array([min((counts[word] for word in words), default=0) / sample for words in asked])


def _words(text: str) -> Sequence[str]:
    return re.findall(r"\w+", text.casefold())


def _length(text: str) -> str:
    return _label(max(int(np.searchsorted(LENGTHS, len(text.split()), side="right")) - 1, 0))


def _label(bucket: int) -> str:
    start = LENGTHS[bucket]
    return f"{start}-{LENGTHS[bucket + 1] - 1} words" if bucket + 1 < len(LENGTHS) else f"{start}+ words"


def _rarity(share: float) -> str:
    return next(name for most, name in RARITIES if share <= most)
