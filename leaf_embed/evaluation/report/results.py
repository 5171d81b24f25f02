"""The results of one set: every point in all three modes, and how near the vectors are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed.evaluation.alignment import CosineRow
from leaf_embed.evaluation.groups import QueryGroup
from leaf_embed.evaluation.intervals import Retention
from leaf_embed.evaluation.retrieval import METRICS, RetrievalResult
from leaf_embed.evaluation.worst_queries import QueryLoss
from leaf_embed.reports import markdown
from leaf_embed.texts import Role

__all__ = ["GridPoint", "Mode", "SetReport"]

Mode: TypeAlias = Literal["teacher", "asymmetric", "symmetric"]


@dataclass(frozen=True)
class GridPoint:
    """One number of dimensions and one quantization on one set, in all three modes.

    Attributes:
        dim: Dimensions of both sides.
        quantization: What the document vectors are stored as.
        results: By mode: ``teacher`` (teacher on both sides), ``asymmetric`` (leaf queries, teacher documents),
            ``symmetric`` (leaf on both sides).
        retention: By leaf mode: its nDCG@10 as a share of the teacher's; ``None`` where the teacher has 0.
        rotated: Whether both sides were rotated before truncation.
    """

    dim: int
    quantization: str
    results: Mapping[Mode, RetrievalResult]
    retention: Mapping[Mode, Retention | None]
    rotated: bool = False

    @property
    def label(self) -> str:
        """Dimensions, and whether they are rotated ones."""
        return f"{self.dim} rotated" if self.rotated else str(self.dim)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; scores rounded to 5 digits, the per-query scores left out."""
        modes: dict[str, dict[str, Any]] = {}
        for mode, result in self.results.items():
            modes[mode] = {name: round(result.metrics[name], 5) for name in METRICS}
            share = self.retention.get(mode)
            if share is not None:
                modes[mode]["retention"] = share.to_dict()
            if mode != "teacher":
                modes[mode]["queries"] = result.against(self.results["teacher"])
        return {"dim": self.dim, "quantization": self.quantization, "rotated": self.rotated, "modes": modes}


@dataclass(frozen=True)
class SetReport:
    """The results of one set.

    Attributes:
        name: Of the set.
        query_ids: In the order of every ``per_query``.
        documents: Number of documents.
        unknown_documents: Judgements that name a document the corpus lacks; they count as never found.
        points: The first has the full dimensions and float32.
        split: The split that the judgements were read from; ``""`` if unknown.
        digest: Of the queries and judgements evaluated, see :attr:`RetrievalSet.digest`.
        left_out: By reason the number of lines, queries, judgements and vectors that were odd or not evaluated.
        overlap: By leaf mode: share of the teacher's ten best documents that are among the leaf's ten best.
        cosines: Leaf against teacher, by role and by length of the text.
        histograms: By role: shares of the texts in bars of 0.02 of the cosine, from 0 to 1, shape ``(50,)``.
        worst: The queries that lose most, at the first point.
        groups: Where leaf queries on teacher documents lose, at the first point.
        routing: By order of routing: share of queries sent to the teacher, and the retention then reached.
    """

    name: str
    query_ids: tuple[str, ...]
    documents: int
    unknown_documents: int
    points: tuple[GridPoint, ...]
    split: str = ""
    digest: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    overlap: Mapping[Mode, float] = field(default_factory=dict)
    cosines: tuple[CosineRow, ...] = ()
    histograms: Mapping[Role, Sequence[float]] = field(default_factory=dict)
    worst: tuple[QueryLoss, ...] = ()
    groups: tuple[QueryGroup, ...] = ()
    routing: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; nDCG@10 of each query at the first point."""
        first = self.points[0].results
        return {
            "name": self.name,
            "queries": len(self.query_ids),
            "documents": self.documents,
            "unknown_documents": self.unknown_documents,
            "data": {"split": self.split or None, "qrels_digest": self.digest, "counts": dict(self.left_out)},
            "points": [point.to_dict() for point in self.points],
            "overlap@10": {mode: round(share, 4) for mode, share in self.overlap.items()},
            "cosines": [row.to_dict() for row in self.cosines],
            "cosine_histograms": {role: list(bars) for role, bars in self.histograms.items()},
            "worst_queries": [query.to_dict() for query in self.worst],
            "groups": [group.to_dict() for group in self.groups],
            "routing": {
                name: [[share, round(kept, 5)] for share, kept in curve] for name, curve in self.routing.items()
            },
            "per_query": {
                "query_ids": list(self.query_ids),
                **{mode: _rounded(result.per_query) for mode, result in first.items()},
            },
        }

    def details(self) -> str:
        """Cosines by role and length, and the queries that lose most with both rankings, in Markdown."""
        parts = [f"## {self.name}", "Cosine of leaf and teacher:", _cosines(self.cosines)]
        if self.groups:
            parts += ["Where leaf queries on teacher documents lose:", _groups(self.groups)]
        if self.routing:
            parts += ["Retention if some queries are sent to the teacher:", _routes(self.routing)]
        return "\n\n".join([*parts, *map(str, self.worst)])


def _cosines(rows: Sequence[CosineRow]) -> str:
    numbers = [(f"{r.texts:,}", *(f"{value:.3f}" for value in (r.mean, r.p50, r.p5, r.lowest))) for r in rows]
    head = ("role", "words", "texts", "mean", "median", "p5", "lowest")
    return markdown([head, *((r.role, r.words, *cells) for r, cells in zip(rows, numbers, strict=True))], left=(0, 1))


def _groups(groups: Sequence[QueryGroup]) -> str:
    rows = [
        (g.by, g.group, f"{g.queries:,}", f"{g.teacher:.4f}", f"{g.leaf:.4f}", str(g.retention or "-")) for g in groups
    ]
    return markdown([("by", "group", "queries", "teacher", "leaf", "retention (95 %)"), *rows], left=(0, 1))


def _routes(routing: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    shares = [f"{share:.0%}" for share, _ in next(iter(routing.values()))]
    rows = [(name, *(f"{kept:.1%}" for _, kept in curve)) for name, curve in routing.items()]
    return markdown([("sent to the teacher", *shares), *rows])


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 5) for value in values]
