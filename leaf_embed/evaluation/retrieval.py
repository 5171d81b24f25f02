"""Exact dense retrieval in bounded memory, and what it scores.

Search is exhaustive, so a number here is a property of the vectors alone; what an engine's index and its own
quantization add is measured where the engine is. Metrics come from ir-measures (extra ``eval``), that is from
trec_eval's code: nDCG@10 (BEIR's main one), Recall@100 and MRR@10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.vectors import FloatArray

__all__ = [
    "METRICS",
    "Quantization",
    "Retention",
    "RetrievalResult",
    "evaluate_retrieval",
    "quantize",
    "retention",
    "search",
]

Quantization: TypeAlias = Literal["float32", "int8", "binary"]

METRICS = ("nDCG@10", "Recall@100", "MRR@10")
IR_MEASURES_NAMES = {"nDCG@10": "nDCG@10", "Recall@100": "R@100", "MRR@10": "RR@10"}
DOCUMENT_BLOCK = 8192  # with the query block: 32 MiB of scores at a time
QUERY_BLOCK = 1024
RESAMPLES = 1000


@dataclass(frozen=True)
class RetrievalResult:
    """What one pair of encoders scores on one set.

    Attributes:
        metrics: Mean over the queries of each of :data:`METRICS`, 0 to 1.
        per_query: nDCG@10 of each query, in the set's order, shape ``(queries,)``, float64.
    """

    metrics: Mapping[str, float]
    per_query: NDArray[np.float64]

    @property
    def ndcg(self) -> float:
        """Mean nDCG@10."""
        return self.metrics["nDCG@10"]


@dataclass(frozen=True)
class Retention:
    """The share of the teacher's score that a leaf keeps.

    Attributes:
        value: Mean score of the leaf divided by that of the teacher; 1.0 is no loss.
        low: 2.5th percentile of the paired bootstrap.
        high: 97.5th percentile.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def evaluate_retrieval(
    dataset: RetrievalSet,
    queries: Encoder | FloatArray,
    documents: Encoder | FloatArray,
    *,
    dim: int | None = None,
    quantization: Quantization = "float32",
    k: int = 100,
) -> RetrievalResult:
    """Score one pair of encoders, or of matrices that they made before.

    Args:
        dataset: The set; a document that has the id of the query is dropped from that query's ranking, as in BEIR.
        queries: Who encodes queries, or their vectors, shape ``(queries, dim)``.
        documents: Who encodes documents, or their vectors, shape ``(documents, dim)``.
        dim: Matryoshka truncation of both sides; ``None`` keeps all dimensions.
        quantization: What the document vectors are reduced to, see :func:`quantize`.
        k: Depth of a ranking; Recall@100 needs 100.

    Raises:
        InputError: ``k`` below 1, or an unknown quantization.
        VectorError: Vectors that do not fit the set or each other.
        MissingExtraError: The extra ``eval`` is not installed.
    """
    if k < 1:
        raise InputError(f"k must be at least 1; got {k}")
    left = queries if isinstance(queries, np.ndarray) else queries.encode_query(dataset.queries)
    right = documents if isinstance(documents, np.ndarray) else documents.encode_document(dataset.documents)
    left = vectors.as_vectors(left, source="the query encoder", ids=dataset.query_ids)
    right = vectors.as_vectors(right, left.shape[1], source="the document encoder", ids=dataset.document_ids)
    for matrix, ids, what in ((left, dataset.query_ids, "queries"), (right, dataset.document_ids, "documents")):
        if len(matrix) != len(ids):
            raise InputError(f"{len(matrix)} vectors came for the {len(ids)} {what} of {dataset.name!r}")
    dim = left.shape[1] if dim is None else dim
    left, right = vectors.truncate(left, dim), quantize(vectors.truncate(right, dim), quantization)
    rows, _ = search(left, right, k + 1)  # one spare place for the query itself
    return _score(dataset, rows, k)


def quantize(documents: FloatArray, quantization: Quantization) -> FloatArray:
    """What is left of document vectors after quantization, as float32 again.

    A simulation of the information that is lost, with float32 queries and no rescoring:

    * ``"int8"``: one scale for the whole matrix, the largest absolute value becomes 127; rounded to the nearest of
      255 steps. (Engines may clip at a quantile and quantize the query too.)
    * ``"binary"``: the sign of each dimension, +1 or -1; zero counts as +1. The query keeps its float values, so
      a score is the sum of its dimensions under the document's signs. (Engines may binarise the query and rescore.)

    Args:
        documents: Shape ``(n, dim)``, unit norm.
        quantization: One of the above, or ``"float32"`` for none.

    Raises:
        InputError: An unknown quantization.
    """
    if quantization == "float32":
        return documents
    if quantization == "int8":
        scale = np.float32(np.abs(documents).max(initial=0.0) / 127) or np.float32(1)
        return np.asarray(np.rint(documents / scale) * scale, dtype=np.float32)
    if quantization == "binary":
        return np.where(documents >= 0, np.float32(1), np.float32(-1))
    raise InputError(f"unknown quantization {quantization!r}; expected one of {', '.join(get_args(Quantization))}")


def search(
    queries: FloatArray, documents: FloatArray, k: int, *, block: int = DOCUMENT_BLOCK
) -> tuple[NDArray[np.intp], FloatArray]:
    """The k largest dot products of each query, found block by block.

    Args:
        queries: Shape ``(q, dim)``.
        documents: Shape ``(n, dim)``; may be memory-mapped, ``block`` rows are looked at at a time.
        k: How many; fewer come back if there are fewer documents.
        block: Documents at a time.

    Returns:
        Row numbers and scores, each of shape ``(q, min(k, n))``, best first. Of equal scores the lower row comes
        first, whatever the block size.
    """
    found = [_search(queries[i : i + QUERY_BLOCK], documents, k, block) for i in range(0, len(queries), QUERY_BLOCK)]
    return np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])


def _search(queries: FloatArray, documents: FloatArray, k: int, block: int) -> tuple[NDArray[np.intp], FloatArray]:
    rows = np.empty((len(queries), 0), dtype=np.intp)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(documents), block):
        new = queries @ documents[start : start + block].T
        columns = _top(new, k)
        rows = np.hstack([rows, columns + start])
        scores = np.hstack([scores, np.take_along_axis(new, columns, axis=1)])
        best = _top(scores, k)  # earlier blocks stand further left, so ties still go to the lower row
        rows, scores = np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)
    return rows, scores


def _top(scores: FloatArray, k: int) -> NDArray[np.intp]:
    """Columns of the k largest values of each row, best first, the lower column first among equals.

    ``argpartition`` alone would take any of several equal values at the border.
    """
    count, width = scores.shape
    k = min(k, width)
    border = np.partition(scores, width - k, axis=1)[:, width - k, None]
    row, column = np.nonzero(scores >= border)
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    first = np.searchsorted(row, np.arange(count))
    return np.asarray(column[first[:, None] + np.arange(k)], dtype=np.intp)


def _score(dataset: RetrievalSet, rows: NDArray[np.intp], k: int) -> RetrievalResult:
    """Metrics of rankings, given as document rows, best first."""
    ir_measures: Any = require("ir_measures", "eval", "Measuring retrieval")
    run = {}
    for query, ranking in zip(dataset.query_ids, rows, strict=True):
        names = [dataset.document_ids[row] for row in ranking]
        names = [name for name in names if name != query][:k]
        run[query] = {name: float(k - place) for place, name in enumerate(names)}  # our order also among equals
    qrels = {query: dict(dataset.qrels[query]) for query in dataset.query_ids}
    measures = {ir_measures.parse_measure(name): ours for ours, name in IR_MEASURES_NAMES.items()}
    place_of = {query: place for place, query in enumerate(dataset.query_ids)}
    values = {ours: np.zeros(len(place_of)) for ours in METRICS}
    for metric in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[metric.measure]][place_of[metric.query_id]] = metric.value
    return RetrievalResult({name: float(column.mean()) for name, column in values.items()}, values["nDCG@10"])


def retention(
    leaf: NDArray[np.float64], teacher: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Retention | None:
    """Mean score of the leaf divided by that of the teacher, with a 95 % interval.

    The bootstrap is paired: a resample draws queries, and takes both scores of each. Only the queries are treated
    as a sample; documents and training run are fixed.

    Args:
        leaf: Score of each query, shape ``(queries,)``.
        teacher: Score of the same queries, shape ``(queries,)``.
        resamples: How many times the queries are drawn again.
        seed: Of the draws.

    Returns:
        ``None`` if the teacher scores nothing, so that there is nothing to keep.

    Raises:
        InputError: The two do not belong to the same queries.
    """
    if leaf.shape != teacher.shape or leaf.ndim != 1 or not len(leaf):
        raise InputError(f"retention needs two scores a query; got shapes {leaf.shape} and {teacher.shape}")
    if not teacher.any():
        return None
    generator = np.random.default_rng(seed)
    draws = (generator.integers(len(leaf), size=len(leaf)) for _ in range(resamples))
    sums = np.array([(leaf[draw].sum(), teacher[draw].sum()) for draw in draws])
    ratios = sums[sums[:, 1] > 0, 0] / sums[sums[:, 1] > 0, 1]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Retention(float(leaf.sum() / teacher.sum()), float(low), float(high))
