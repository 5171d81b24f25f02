"""What an evaluation found, as numbers, as JSON and as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed._files import write_json
from leaf_embed.evaluation.latency import Latency
from leaf_embed.evaluation.retrieval import METRICS, Quantization, Retention, RetrievalResult
from leaf_embed.space import EmbeddingSpace

__all__ = ["EvaluationReport", "Mode", "Point", "SetReport"]

Mode: TypeAlias = Literal["teacher", "asymmetric", "symmetric"]

FORMAT = "leaf-embed/evaluation"
VERSION = 1
HEADER = ("set", "dims", "stored as", "teacher", "asymmetric", "kept (95 %)", "symmetric", "kept (95 %)")


@dataclass(frozen=True)
class Point:
    """One number of dimensions and one quantization on one set, in all three modes.

    Attributes:
        dim: Dimensions of both sides.
        quantization: What the document vectors are stored as.
        results: By mode: ``teacher`` (teacher on both sides), ``asymmetric`` (leaf queries, teacher documents),
            ``symmetric`` (leaf on both sides).
        kept: By leaf mode: the share of the teacher's nDCG@10 at the same point; ``None`` where the teacher has 0.
    """

    dim: int
    quantization: Quantization
    results: Mapping[Mode, RetrievalResult]
    kept: Mapping[Mode, Retention | None]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; scores rounded to 5 digits, the per-query scores left out."""
        modes: dict[str, dict[str, Any]] = {}
        for mode, result in self.results.items():
            modes[mode] = {name: round(result.metrics[name], 5) for name in METRICS}
            kept = self.kept.get(mode)
            if kept is not None:
                shares = {"value": kept.value, "low": kept.low, "high": kept.high}
                modes[mode]["retention"] = {name: round(value, 5) for name, value in shares.items()}
        return {"dim": self.dim, "quantization": self.quantization, "modes": modes}


@dataclass(frozen=True)
class SetReport:
    """Everything measured on one set.

    Attributes:
        name: Of the set.
        query_ids: In the order of every ``per_query``.
        documents: Number of documents.
        unknown_documents: Judgements that name a document the corpus lacks; they count as never found.
        points: The first has the full dimensions and float32.
    """

    name: str
    query_ids: tuple[str, ...]
    documents: int
    unknown_documents: int
    points: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; nDCG@10 of each query at the first point."""
        first = self.points[0].results
        return {
            "name": self.name,
            "queries": len(self.query_ids),
            "documents": self.documents,
            "unknown_documents": self.unknown_documents,
            "points": [point.to_dict() for point in self.points],
            "per_query": {
                "query_ids": list(self.query_ids),
                **{mode: _rounded(result.per_query) for mode, result in first.items()},
            },
        }


@dataclass(frozen=True)
class EvaluationReport:
    """A leaf against its teacher.

    Attributes:
        space: The space that both write into.
        sets: One a retrieval set.
        latency: One query by leaf and teacher on this machine; ``None`` if it was not measured.
    """

    space: EmbeddingSpace
    sets: tuple[SetReport, ...]
    latency: Latency | None = None

    def mean(self, mode: Mode, point: int = 0) -> float:
        """Mean nDCG@10 over the sets, every set weighing the same."""
        return float(np.mean([one.points[point].results[mode].ndcg for one in self.sets]))

    def kept(self, mode: Mode, point: int = 0) -> float | None:
        """Mean nDCG@10 over the sets as a share of the teacher's; ``None`` if the teacher has 0."""
        teacher = self.mean("teacher", point)
        return self.mean(mode, point) / teacher if teacher > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """The versioned JSON form."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.space.fingerprint,
            "teacher": self.space.teacher,
            "dim": self.space.dim,
            "sets": [one.to_dict() for one in self.sets],
            "latency": None if self.latency is None else self.latency.to_dict(),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON form, atomically."""
        write_json(path, self.to_dict())

    def table(self) -> str:
        """nDCG@10 as a Markdown table with aligned columns, which reads as plain text too."""
        rows: list[Sequence[str]] = [HEADER, *(_row(one.name, point) for one in self.sets for point in one.points)]
        if len(self.sets) > 1:
            rows += [self._mean_row(place) for place in range(len(self.sets[0].points))]
        return _markdown(rows)

    def _mean_row(self, place: int) -> Sequence[str]:
        point = self.sets[0].points[place]
        cells = [f"mean of {len(self.sets)}", str(point.dim), point.quantization, f"{self.mean('teacher', place):.4f}"]
        modes: tuple[Mode, ...] = ("asymmetric", "symmetric")
        for mode in modes:
            kept = self.kept(mode, place)
            cells += [f"{self.mean(mode, place):.4f}", "-" if kept is None else f"{kept:.1%}"]
        return cells

    def __str__(self) -> str:
        lines = [f"nDCG@10 in {self.space.describe()}", "", self.table()]
        lines += [
            f"{one.name}: {one.unknown_documents} judgements name documents that the corpus lacks; they count as missed"
            for one in self.sets
            if one.unknown_documents
        ]
        if self.latency is not None:
            lines += ["", str(self.latency)]
        return "\n".join(lines)


def _row(name: str, point: Point) -> Sequence[str]:
    cells = [name, str(point.dim), point.quantization, f"{point.results['teacher'].ndcg:.4f}"]
    modes: tuple[Mode, ...] = ("asymmetric", "symmetric")
    for mode in modes:
        kept = point.kept[mode]
        cells += [f"{point.results[mode].ndcg:.4f}", "-" if kept is None else str(kept)]
    return cells


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is the header; names to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(w) if i in (0, 2) else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    rule = [f":{'-' * (w - 1)}" if i in (0, 2) else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in values]
