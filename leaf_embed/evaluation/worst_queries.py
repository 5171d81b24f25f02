"""The queries that lose most nDCG@10, with both rankings, so that a person sees what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.evaluation.retrieval import RetrievalResult

__all__ = ["QueryLoss", "RankedDocument", "beginning", "worst_queries"]

SHOWN_HITS = 5
SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class RankedDocument:
    """A document of a ranking.

    Attributes:
        id: Of the document.
        grade: Its judgement, 0 for none.
        text: Its beginning.
    """

    id: str
    grade: int
    text: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"id": self.id, "grade": self.grade, "text": self.text}


@dataclass(frozen=True)
class QueryLoss:
    """A query that the teacher answers better than the leaf.

    Attributes:
        id: Of the query.
        text: Of the query.
        teacher: nDCG@10 of the teacher.
        leaf: nDCG@10 of leaf queries on teacher documents.
        teacher_hits: The teacher's five best documents.
        leaf_hits: The leaf's five best.
    """

    id: str
    text: str
    teacher: float
    leaf: float
    teacher_hits: tuple[RankedDocument, ...]
    leaf_hits: tuple[RankedDocument, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "id": self.id,
            "text": self.text,
            "teacher": round(self.teacher, 4),
            "leaf": round(self.leaf, 4),
            "teacher_hits": [hit.to_dict() for hit in self.teacher_hits],
            "leaf_hits": [hit.to_dict() for hit in self.leaf_hits],
        }

    def __str__(self) -> str:
        """Both rankings in Markdown."""
        head = f"### {self.text} ({self.teacher:.2f} → {self.leaf:.2f})"
        return "\n".join([head, "", *_list("Teacher", self.teacher_hits), *_list("Leaf", self.leaf_hits)]).rstrip()


def _list(name: str, hits: Sequence[RankedDocument]) -> list[str]:
    lines = [
        f"{rank}. {'**relevant** ' if hit.grade > 0 else ''}`{hit.id}` {hit.text}" for rank, hit in enumerate(hits, 1)
    ]
    return [f"{name}:", "", *lines, ""]


def worst_queries(
    dataset: RetrievalSet, leaf: RetrievalResult, teacher: RetrievalResult, count: int
) -> tuple[QueryLoss, ...]:
    """Returns the queries with the largest loss of nDCG@10, the worst first; only those that lose anything.

    Args:
        dataset: The set that both were scored on.
        leaf: Leaf queries on teacher documents.
        teacher: Teacher on both sides.
        count: Number of queries at most.
    """
    loss = teacher.per_query - leaf.per_query
    worst = [int(query) for query in np.argsort(-loss, kind="stable")[:count] if loss[query] > 0]
    return tuple(
        QueryLoss(
            dataset.query_ids[query],
            dataset.queries[query],
            float(teacher.per_query[query]),
            float(leaf.per_query[query]),
            _hits(dataset, query, teacher.top[query]),
            _hits(dataset, query, leaf.top[query]),
        )
        for query in worst
    )


def _hits(dataset: RetrievalSet, query: int, rows: NDArray[np.intp]) -> tuple[RankedDocument, ...]:
    grades = dataset.qrels[dataset.query_ids[query]]
    shown: Sequence[int] = [int(row) for row in rows[:SHOWN_HITS] if row >= 0]
    names = [dataset.document_ids[row] for row in shown]
    return tuple(
        RankedDocument(name, grades.get(dataset.judged_name(name), 0), beginning(dataset.documents[row]))
        for name, row in zip(names, shown, strict=True)
    )


def beginning(text: str) -> str:
    """Returns the first 120 characters of a text on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN_CHARACTERS else f"{flat[: SHOWN_CHARACTERS - 1]}…"
