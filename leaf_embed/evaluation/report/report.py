"""The report of an evaluation: values, JSON, Markdown and HTML."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from leaf_embed import __version__
from leaf_embed._files import write_json, write_text
from leaf_embed.canaries import CanaryReport
from leaf_embed.evaluation.agreement import AgreementReport
from leaf_embed.evaluation.intervals import Pair, Retention, mean_retention, ratio_of_means
from leaf_embed.evaluation.latency import Latency
from leaf_embed.evaluation.report.page import html_page
from leaf_embed.evaluation.report.results import Mode, SetReport
from leaf_embed.evaluation.report.tables import grid_row
from leaf_embed.evaluation.retrieval import METRICS
from leaf_embed.evaluation.size import ModelSize, ProcessCosts, per_million
from leaf_embed.evaluation.tasks import TaskReport
from leaf_embed.evaluation.verdict import ACCEPT, Verdict, judge
from leaf_embed.reports import FORMAT, VERSION, markdown
from leaf_embed.space import EmbeddingSpace

__all__ = ["EvaluationReport", "report_schema"]

LONG = 24  # rows a person reads through
HEADER = ("set", "dims", "stored as", "teacher", "asymmetric", "retention (95 %)", "symmetric", "retention (95 %)")


def report_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of the report's JSON form, of this version of the format."""
    file = resources.files("leaf_embed.evaluation.report").joinpath(f"report-{VERSION}.schema.json")
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


@dataclass(frozen=True)
class EvaluationReport:
    """The report of a leaf against its teacher.

    Attributes:
        space: The space that both write into.
        sets: One per retrieval set.
        latency: One query by leaf and teacher on this machine; ``None`` if it was not measured.
        canaries: The leaf's vectors of the space's canaries; ``None`` if the space has none.
        sizes: Of ``"leaf"`` and ``"teacher"`` on disk, as far as known.
        costs: Of a process that asks the leaf; ``None`` if they were not measured.
        name: Of the leaf.
        tasks: Similarity and classification sets.
        agreement: With the teacher on questions without judgements; ``None`` if there were none.
        accept: The share of the teacher's quality that the verdict asks for.
        provenance: When and how it was measured: ``date``, ``leaf_precision``, ``teacher_precision``, ``options``.
    """

    space: EmbeddingSpace
    sets: tuple[SetReport, ...]
    latency: Latency | None = None
    canaries: CanaryReport | None = None
    sizes: Mapping[str, ModelSize] = field(default_factory=dict)
    costs: ProcessCosts | None = None
    name: str = ""
    tasks: tuple[TaskReport, ...] = ()
    agreement: AgreementReport | None = None
    accept: float = ACCEPT
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def mean(self, mode: Mode, point: int = 0, metric: str = "nDCG@10") -> float:
        """Mean score over the sets, every set weighing the same."""
        return float(np.mean([one.points[point].results[mode].metrics[metric] for one in self.sets]))

    def retention(self, mode: Mode, point: int = 0) -> Retention | None:
        """The headline: mean of the sets' retentions of nDCG@10; ``None`` if the teacher has 0 on one of them."""
        return mean_retention(self._pairs(mode, point))

    def ratio_of_means(self, mode: Mode, point: int = 0) -> Retention | None:
        """Mean nDCG@10 over the sets divided by the teacher's; ``None`` if the teacher has 0."""
        return ratio_of_means(self._pairs(mode, point))

    def verdict(self) -> Verdict | None:
        """Whether leaf queries on teacher documents are shown to keep the share asked for; ``None`` without sets."""
        pairs = {one.name: pair for one, pair in zip(self.sets, self._pairs("asymmetric", 0), strict=True)}
        return judge(pairs, self.accept) if pairs else None

    def _pairs(self, mode: Mode, point: int) -> list[Pair]:
        results = [one.points[point].results for one in self.sets]
        return [(result[mode].per_query, result["teacher"].per_query) for result in results]

    def to_dict(self) -> dict[str, Any]:
        """The versioned JSON form, described by :func:`report_schema`."""
        verdict = self.verdict()
        return {
            "format": FORMAT,
            "version": VERSION,
            "release": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "leaf": self.name,
            "fingerprint": self.space.fingerprint,
            "teacher": self.space.teacher,
            "dim": self.space.dim,
            "provenance": dict(self.provenance),
            "verdict": None if verdict is None else verdict.to_dict(),
            "sets": [one.to_dict() for one in self.sets],
            "mean": [self._mean_dict(number) for number in range(len(self.sets[0].points) if self.sets else 0)],
            "tasks": [one.to_dict() for one in self.tasks],
            "agreement": None if self.agreement is None else self.agreement.to_dict(),
            "latency": None if self.latency is None else self.latency.to_dict(),
            "sizes": {who: size.to_dict() for who, size in self.sizes.items()},
            "costs": self._costs(),
            "canaries": None if self.canaries is None else _canaries(self.canaries),
        }

    def _costs(self) -> dict[str, Any] | None:
        """The costs of a process, and of a million single queries by leaf and teacher."""
        if self.costs is None:
            return None
        found, latency = self.costs.to_dict(), self.latency
        times = {} if latency is None else {"leaf": latency.leaf_cpu, "teacher": latency.teacher_cpu}
        prices = {who: round(per_million(cpu, self.costs.price), 6) for who, cpu in times.items()}
        return {**found, "per_million_one_by_one": prices}

    def _mean_dict(self, number: int) -> dict[str, Any]:
        point = self.sets[0].points[number]
        modes: dict[str, dict[str, Any]] = {}
        for mode in point.results:
            modes[mode] = {metric: round(self.mean(mode, number, metric), 5) for metric in METRICS}
            shares = {"retention": self.retention(mode, number), "ratio_of_means": self.ratio_of_means(mode, number)}
            if mode != "teacher":
                modes[mode] |= {name: share.to_dict() for name, share in shares.items() if share is not None}
        return {"dim": point.dim, "quantization": point.quantization, "rotated": point.rotated, "modes": modes}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the JSON form, atomically."""
        write_json(path, self.to_dict())

    def save_all(self, path: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
        """Writes the report for machines (JSON), for the terminal (``.md``) and for a browser (``.html``).

        Args:
            path: Of the JSON file; the others stand beside it.

        Returns:
            The three files.

        Raises:
            MissingExtraError: The extra ``eval`` is not installed; the JSON and the Markdown were written.
        """
        target = Path(path)
        written = self.to_dict()
        write_json(target, written)
        text, page = (target.with_suffix(suffix) for suffix in (".md", ".html"))
        write_text(text, self.markdown())
        write_text(page, html_page(written))
        return target, text, page

    def markdown(self) -> str:
        """The text that the terminal shows, then the cosines by length and the queries that lose most."""
        found = [f"# {self.name or 'A leaf'} against its teacher", str(self)]
        found += ["## Every set at every point", self.table()] if self._is_long else []
        found += [one.details() for one in self.sets]
        found += [] if self.agreement is None else [self.agreement.details()]
        return "\n\n".join(found) + "\n"

    def table(self, *, whole: bool = True) -> str:
        """nDCG@10 as a Markdown table with aligned columns, which reads as plain text too.

        Args:
            whole: Every set at every point; else every set at the first point, and the means at every point.
        """
        shown = [(one.name, point) for one in self.sets for point in (one.points if whole else one.points[:1])]
        rows: list[Sequence[str]] = [HEADER, *([name, *grid_row(point.to_dict())] for name, point in shown)]
        if len(self.sets) > 1:
            label, count = f"mean of {len(self.sets)}", len(self.sets[0].points)
            rows += [[label, *grid_row(self._mean_dict(number))] for number in range(count)]
        return markdown(rows, left=(0, 2))

    @property
    def _is_long(self) -> bool:
        """True if every set at every point would be too long for a terminal."""
        return len(self.sets) > 1 and sum(len(one.points) for one in self.sets) > LONG

    def _summary(self) -> list[str]:
        """The verdict, and how the mean over several sets is meant."""
        verdict = self.verdict()
        if verdict is None:
            return []
        if len(self.sets) == 1:
            return [str(verdict), ""]
        ratio = self.ratio_of_means("asymmetric")
        other = "the teacher finds nothing" if ratio is None else str(ratio)
        meant = (
            f"Retention over {len(self.sets)} sets is the mean of the sets' retentions; the ratio of means is {other}"
        )
        return [str(verdict), "", meant, ""]

    def __str__(self) -> str:
        head = f"nDCG@10 in {self.space.describe()}"
        lines = [head, "", self.table(whole=not self._is_long)] if self.sets else [self.space.describe()]
        lines = [*self._summary(), *lines]
        lines += [line for one in self.sets for line in _oddities(one)]
        lines += ["", *(line for one in self.sets if (line := _alignment(one)))]
        lines += [
            str(found) for found in (*self.tasks, self.agreement, self.canaries, self.latency) if found is not None
        ]
        lines += [f"{who}: {size}" for who, size in self.sizes.items()]
        lines += [] if self.costs is None else [str(self.costs)]
        return "\n".join(lines)


def _oddities(one: SetReport) -> list[str]:
    """One line for each kind of line, query or judgement that was odd or not evaluated."""
    unknown = "judgements name documents that the corpus lacks; they count as missed"
    counts = {unknown: one.unknown_documents, **one.left_out}
    return [f"{one.name}: {count:,} {what}" for what, count in counts.items() if count]


def _alignment(one: SetReport) -> str:
    """One line on how near the leaf is to the teacher on a set."""
    parts = [f"{row.role} {row.mean:.4f} (p5 {row.p5:.3f})" for row in one.cosines if row.words == "all"]
    shares = [f"{mode} {share:.1%}" for mode, share in one.overlap.items()]
    return (
        f"{one.name}: cosine {', '.join(parts)}; of the teacher's top ten found: {', '.join(shares)}" if parts else ""
    )


def _canaries(found: CanaryReport) -> dict[str, Any]:
    return {"mean": round(found.mean, 5), "lowest": round(min(found.cosines), 5), "passed": found.passed}
