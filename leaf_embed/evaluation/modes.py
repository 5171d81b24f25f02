"""A leaf against its teacher in the three ways they can be used, each side encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from leaf_embed._extras import require
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.errors import InputError
from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.evaluation.latency import measure_latency
from leaf_embed.evaluation.report import EvaluationReport, Mode, Point, SetReport
from leaf_embed.evaluation.retrieval import Quantization, Retention, evaluate_retrieval, quantize, retention
from leaf_embed.vectors import FloatArray

__all__ = ["Progress", "evaluate"]

Progress: TypeAlias = Callable[[str, int, int], object]  # what is encoded, texts done, texts in all

ENCODE_BLOCK = 1024  # texts between two progress reports; also bounds what an encoder tokenises at a time
LATENCY_QUERIES = 50


def evaluate(
    leaf: Encoder,
    teacher: Encoder,
    sets: Sequence[RetrievalSet],
    dims: Sequence[int] = (),
    quantization: Sequence[Quantization] = ("float32",),
    progress: Progress | None = None,
    *,
    latency_queries: int = LATENCY_QUERIES,
) -> EvaluationReport:
    """Measure what a leaf keeps of its teacher's retrieval quality.

    Args:
        leaf: The student. Of a :class:`LeafEncoder` the query encoder is taken, on both sides: documents by the
            leaf itself are what the symmetric mode is about.
        teacher: The teacher of the same space.
        sets: From :func:`load_beir`, or made in the process.
        dims: Matryoshka dimensions to measure besides the full ones.
        quantization: What the document vectors are reduced to; each is combined with each of the dimensions.
            Full dimensions in float32 are always measured, and come first.
        progress: Hears ``(what is encoded, texts done, texts in all)``.
        latency_queries: How many queries of the first set to time; 0 for none.

    Raises:
        SpaceMismatchError: Leaf and teacher live in different spaces.
        InputError: No sets, two sets of one name, dimensions or a quantization that cannot be.
        MissingExtraError: The extra ``eval`` is not installed.
    """
    leaf.space.require_same(
        teacher.space,
        mine="the leaf",
        theirs="the teacher",
        advice="Evaluate against the teacher that the leaf was distilled from, with the same prompts and length.",
    )
    student = leaf.query_encoder if isinstance(leaf, LeafEncoder) else leaf
    grid = _grid(leaf.space.dim, dims, quantization)
    _check_sets(sets)
    require("ir_measures", "eval", "Measuring retrieval")  # before hours of encoding, not after
    reports = tuple(_evaluate_set(student, teacher, one, grid, progress) for one in sets)
    texts = sets[0].queries[:latency_queries]
    return EvaluationReport(leaf.space, reports, measure_latency(student, teacher, texts) if texts else None)


def _grid(full: int, dims: Sequence[int], quantization: Sequence[Quantization]) -> list[tuple[int, Quantization]]:
    """Every (dims, quantization) to measure, the full float32 point first, none twice."""
    for dim in dims:
        if not 1 <= dim <= full:
            raise InputError(f"cannot evaluate at {dim} dimensions; the space has {full}")
    for name in quantization:
        quantize(np.zeros((1, 1), dtype=np.float32), name)  # refuses an unknown name
    wanted = [(dim, name) for dim in (full, *dims) for name in quantization]
    return list(dict.fromkeys([(full, "float32"), *wanted]))


def _check_sets(sets: Sequence[RetrievalSet]) -> None:
    names = [one.name for one in sets]
    if not names:
        raise InputError("evaluation needs at least one retrieval set; got none")
    if len(set(names)) != len(names):
        raise InputError(f"two retrieval sets have the same name ({', '.join(names)}); rename one directory")


def _evaluate_set(
    student: Encoder,
    teacher: Encoder,
    dataset: RetrievalSet,
    grid: Sequence[tuple[int, Quantization]],
    progress: Progress | None,
) -> SetReport:
    def encode(encode_texts: Callable[[Sequence[str]], FloatArray], texts: Sequence[str], who: str) -> FloatArray:
        return _encode(encode_texts, texts, f"{dataset.name}: {who}", progress)

    leaf_queries = encode(student.encode_query, dataset.queries, "queries, leaf")
    teacher_queries = encode(teacher.encode_query, dataset.queries, "queries, teacher")
    leaf_documents = encode(student.encode_document, dataset.documents, "documents, leaf")
    teacher_documents = encode(teacher.encode_document, dataset.documents, "documents, teacher")
    sides: dict[Mode, tuple[FloatArray, FloatArray]] = {
        "teacher": (teacher_queries, teacher_documents),
        "asymmetric": (leaf_queries, teacher_documents),
        "symmetric": (leaf_queries, leaf_documents),
    }
    points = tuple(_measure(dataset, sides, dim, name) for dim, name in grid)
    return SetReport(dataset.name, dataset.query_ids, len(dataset.documents), dataset.unknown_documents, points)


def _encode(
    encode: Callable[[Sequence[str]], FloatArray], texts: Sequence[str], label: str, progress: Progress | None
) -> FloatArray:
    """Vectors of all texts, shape ``(n, dim)``, a block at a time."""
    blocks = []
    for start in range(0, len(texts), ENCODE_BLOCK):
        blocks.append(encode(texts[start : start + ENCODE_BLOCK]))
        if progress is not None:
            progress(label, min(start + ENCODE_BLOCK, len(texts)), len(texts))
    return np.concatenate(blocks)


def _measure(
    dataset: RetrievalSet,
    sides: dict[Mode, tuple[FloatArray, FloatArray]],
    dim: int,
    quantization: Quantization,
) -> Point:
    results = {
        mode: evaluate_retrieval(dataset, queries, documents, dim=dim, quantization=quantization)
        for mode, (queries, documents) in sides.items()
    }
    teacher = results["teacher"].per_query
    kept: dict[Mode, Retention | None] = {
        mode: retention(result.per_query, teacher) for mode, result in results.items() if mode != "teacher"
    }
    return Point(dim, quantization, results, kept)
