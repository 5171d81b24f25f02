"""A leaf against its teacher in the three ways they can be used, each side encoded once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

import numpy as np

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.encoders.base import Encoder, precision_of
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.errors import InputError
from leaf_embed.evaluation.agreement import OwnTexts, measure_agreement
from leaf_embed.evaluation.alignment import top_overlap
from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.evaluation.encoding import EncodedSet, encode_set
from leaf_embed.evaluation.groups import query_groups, routing
from leaf_embed.evaluation.intervals import Retention, retention
from leaf_embed.evaluation.latency import measure_latency
from leaf_embed.evaluation.report.exports import check_ids, run_name, write_run
from leaf_embed.evaluation.report.report import EvaluationReport
from leaf_embed.evaluation.report.results import GridPoint, Mode, SetReport
from leaf_embed.evaluation.retrieval import DEPTH, RetrievalResult, measure, rankings
from leaf_embed.evaluation.storage import EngineSearch, Storage, StorageName
from leaf_embed.evaluation.tasks import OtherSet, evaluate_task
from leaf_embed.evaluation.verdict import ACCEPT, check_accept
from leaf_embed.evaluation.worst_queries import worst_queries
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.progress import Progress, no_progress
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["EvaluateKeywords", "EvaluateOptions", "RotationOption", "evaluate"]

RotationOption: TypeAlias = Literal["none", "fitted"] | FloatArray

OWN = "queries without the document that has their id, as in BEIR"
ROTATION_SAMPLE = 16384  # documents to fit a rotation on


class EvaluateKeywords(TypedDict, total=False):
    """Keywords of :func:`evaluate`, explained by :class:`EvaluateOptions`."""

    rotation: RotationOption
    latency_queries: int
    timed_teacher: Encoder | None
    worst: int
    tasks: Sequence[OtherSet]
    engines: Mapping[str, EngineSearch] | None
    accept: float
    runs: str | os.PathLike[str] | None
    own: tuple[OwnTexts, OwnTexts] | None


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of an evaluation.

    Attributes:
        rotation: Measure each point also with both sides rotated before truncation: ``"fitted"`` on the teacher's
            vectors of each set's first 16,384 documents (no query or judgement is looked at), or by a matrix of
            shape ``(dim, dim)`` from :func:`leaf_embed.vectors.fit_rotation`.
        latency_queries: Number of queries of the first set to time; 0 for none.
        timed_teacher: The teacher to time, if ``teacher`` is one behind a cache, which would answer at once.
        worst: Number of queries per set to list in the report, those that lose most.
        tasks: Similarity and classification sets, on which the leaf embeds both sides.
        engines: What else ``quantization`` may name: functions that compress and search by themselves, such as those
            of :func:`leaf_embed.qdrant.backends.edge_quantization.engine_search`. They are called with the reduced
            documents of a whole set.
        accept: The share of the teacher's quality that the report's verdict asks for.
        runs: Directory for a TREC run file of each set, point and mode; ``None`` for none.
        own: Questions and documents without judgements, see :mod:`leaf_embed.evaluation.agreement`; ``None`` for none.
    """

    rotation: RotationOption = "none"
    latency_queries: int = 50
    timed_teacher: Encoder | None = None
    worst: int = 5
    tasks: Sequence[OtherSet] = ()
    engines: Mapping[str, EngineSearch] | None = None
    accept: float = ACCEPT
    runs: str | os.PathLike[str] | None = None
    own: tuple[OwnTexts, OwnTexts] | None = None

    def __post_init__(self) -> None:
        check_accept(self.accept)

    @property
    def rotates(self) -> bool:
        """Whether the grid has rotated points."""
        return not isinstance(self.rotation, str) or self.rotation == "fitted"

    def matrix(self, documents: FloatArray) -> FloatArray | None:
        """Returns the rotation of a set with these document vectors; ``None`` for none."""
        if not isinstance(self.rotation, str):
            return np.asarray(self.rotation, dtype=np.float32)
        sample = documents[:ROTATION_SAMPLE]
        return vectors.fit_rotation(sample[sample.any(axis=1)]) if self.rotates else None

    def storage(self, dim: int, quantization: str, rotation: FloatArray | None = None) -> Storage:
        """Returns a storage, by one of the engines if the quantization names one; refuses an unknown name."""
        return Storage(dim, quantization, rotation, (self.engines or {}).get(quantization))


def evaluate(
    leaf: Encoder,
    teacher: Encoder,
    sets: Sequence[RetrievalSet],
    dims: Sequence[int] = (),
    quantization: Sequence[StorageName | str] = ("float32",),
    progress: Progress | None = None,
    **options: Unpack[EvaluateKeywords],
) -> EvaluationReport:
    """Measures a leaf's retention: its retrieval quality as a share of its teacher's.

    Vectors of a set lie in a temporary file while it is measured, and documents are read block by block, so memory
    does not grow with a corpus from ``load_beir(..., stream=True)``. With a teacher behind a cache
    (:class:`leaf_embed.distill.CachedEncoder`) the next evaluation needs no teacher pass.

    Args:
        leaf: The student. Of a :class:`LeafEncoder` the query encoder is taken, on both sides: documents by the
            leaf itself are what the symmetric mode is about.
        teacher: The teacher of the same space.
        sets: From :func:`load_beir`, or made in the process.
        dims: Matryoshka dimensions to measure besides the full ones.
        quantization: Of the vectors; each is combined with each of the dimensions. Full dimensions in
            float32 are always measured, and come first.
        progress: Called after each block of texts that one of the encoders has encoded.
        **options: See :class:`EvaluateOptions`.

    Raises:
        SpaceMismatchError: Leaf and teacher live in different spaces.
        VectorError: A matrix that is no rotation of the space.
        InputError: No sets of any kind, two sets of one name, dimensions, a quantization or an ``accept`` that cannot
            be.
        MissingExtraError: The extra ``eval`` is not installed.
        TypeError: An unknown keyword.
    """
    chosen = EvaluateOptions(**options)
    leaf.space.require_same(
        teacher.space,
        mine="the leaf",
        theirs="the teacher",
        advice="Evaluate against the teacher that the leaf was distilled from, with the same prompts and length.",
    )
    student = leaf.query_encoder if isinstance(leaf, LeafEncoder) else leaf
    grid = _grid(leaf.space.dim, dims, quantization, chosen)
    _check_sets(sets, [*sets, *chosen.tasks, *(chosen.own or ())])
    if not isinstance(chosen.rotation, str):
        vectors.rotate(np.zeros((1, leaf.space.dim)), chosen.rotation)  # refuses what is no rotation of this space
    require("ir_measures", "eval", "Measuring retrieval")  # before hours of encoding, not after
    reports = []
    for one in sets if chosen.runs is not None else ():
        check_ids(one.name, one.query_ids, one.document_ids)
    for one in sets:
        with encode_set(student, teacher, one, progress or no_progress) as encoded:
            reports.append(_measure_set(encoded, grid, chosen))
    agreement = measure_agreement(student, teacher, *chosen.own, progress or no_progress) if chosen.own else None
    first = sets[0].queries if sets else chosen.own[0].texts if chosen.own else chosen.tasks[0].texts
    texts = first[: chosen.latency_queries]
    latency = measure_latency(student, chosen.timed_teacher or teacher, texts) if texts else None
    record: LeafRecord = getattr(student, "record", LeafRecord())
    return EvaluationReport(
        leaf.space,
        tuple(reports),
        latency,
        canaries=None if leaf.space.canaries is None else record.check(student, leaf.space.canaries),
        tasks=tuple(evaluate_task(student, teacher, one) for one in chosen.tasks),
        agreement=agreement,
        accept=chosen.accept,
        provenance={
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "leaf_precision": precision_of(student),
            "teacher_precision": precision_of(teacher) or precision_of(chosen.timed_teacher),
            "options": {"dims": list(dims), "quantization": list(quantization), "rotated": chosen.rotates},
        },
    )


@dataclass(frozen=True)
class _Wanted:
    """A point of the grid; the rotation itself is known when the vectors are."""

    dim: int
    quantization: str
    rotated: bool


def _grid(full: int, dims: Sequence[int], quantization: Sequence[str], options: EvaluateOptions) -> list[_Wanted]:
    """Every point to measure, the full float32 one first, none twice."""
    for dim in dims:
        if not 1 <= dim <= full:
            raise InputError(f"cannot evaluate at {dim} dimensions; the space has {full}")
    for name in quantization:
        options.storage(full, name)  # refuses an unknown name
    wanted = [
        _Wanted(dim, name, rotate)
        for rotate in ((False, True) if options.rotates else (False,))
        for dim in (full, *dims)
        for name in quantization
        if not (rotate and dim == full and name == "float32")  # a rotation changes nothing there
    ]
    return list(dict.fromkeys([_Wanted(full, "float32", False), *wanted]))


def _check_sets(sets: Sequence[RetrievalSet], everything: Sequence[object]) -> None:
    names = [one.name for one in sets]
    if not everything:
        raise InputError("evaluation needs at least one retrieval set; got none")
    if len(set(names)) != len(names):
        raise InputError(f"two retrieval sets have the same name ({', '.join(names)}); rename one directory")


def _measure_set(encoded: EncodedSet, grid: Sequence[_Wanted], options: EvaluateOptions) -> SetReport:
    dataset, matrix = encoded.dataset, options.matrix(encoded.teacher_documents)
    points = []
    for wanted in grid:
        storage = options.storage(wanted.dim, wanted.quantization, matrix if wanted.rotated else None)
        results = _results(encoded, storage, options.runs)
        teacher = results["teacher"].per_query
        shares: dict[Mode, Retention | None] = {
            mode: retention(result.per_query, teacher) for mode, result in results.items() if mode != "teacher"
        }
        points.append(GridPoint(wanted.dim, wanted.quantization, results, shares, wanted.rotated))
    first = points[0].results
    modes: tuple[Mode, ...] = ("asymmetric", "symmetric")
    scores = first["asymmetric"].per_query, first["teacher"].per_query
    return SetReport(
        dataset.name,
        dataset.query_ids,
        len(dataset.documents),
        dataset.unknown_documents,
        tuple(points),
        split=dataset.split,
        digest=dataset.digest,
        left_out=_counts(encoded),
        overlap={mode: top_overlap(first[mode].top, first["teacher"].top) for mode in modes},
        cosines=tuple(row for counter in encoded.cosines for row in counter.rows()),
        histograms={counter.role: counter.histogram() for counter in encoded.cosines},
        groups=query_groups(dataset, *scores),
        routing=routing(dataset, *scores),
        worst=worst_queries(dataset, first["asymmetric"], first["teacher"], options.worst),
    )


def _counts(encoded: EncodedSet) -> dict[str, int]:
    """What was odd or not evaluated, by reason."""
    own = encoded.dataset.own_documents
    return {**encoded.dataset.left_out, **({OWN: own} if own else {}), **encoded.zeros}


def _results(encoded: EncodedSet, storage: Storage, runs: str | os.PathLike[str] | None) -> dict[Mode, RetrievalResult]:
    """All modes at one point."""
    sides: dict[Mode, tuple[FloatArray, FloatArray]] = {
        "teacher": (encoded.teacher_queries, encoded.teacher_documents),
        "asymmetric": (encoded.leaf_queries, encoded.teacher_documents),
        "symmetric": (encoded.leaf_queries, encoded.leaf_documents),
    }
    dataset = encoded.dataset
    results: dict[Mode, RetrievalResult] = {}
    for mode, (queries, documents) in sides.items():
        rows = storage.search(queries, documents, dataset.rows_for(DEPTH), dataset.document_ids)
        ranked = rankings(dataset, rows, DEPTH)
        results[mode] = measure(dataset, ranked, DEPTH)
        if runs is not None:
            rotated = storage.rotation is not None
            name = run_name(dataset.name, storage.dim, storage.quantization, rotated, mode)
            write_run(Path(runs) / name, dataset.query_ids, dataset.judged_names, ranked)
    return results
