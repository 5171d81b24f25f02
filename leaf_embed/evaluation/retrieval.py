"""Exact dense retrieval of one pair of encoders, and the metrics of a ranking.

Metrics come from ir-measures (extra ``eval``), that is from trec_eval's own code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.evaluation.storage import Storage, StorageName
from leaf_embed.vectors import FloatArray

__all__ = ["DEPTH", "METRICS", "RetrievalResult", "evaluate_retrieval", "measure", "rankings", "score"]

DEPTH = 100  # of a ranking; Recall@100 needs it
IR_MEASURES_NAMES = {"nDCG@10": "nDCG@10", "Recall@100": "R@100", "MRR@10": "RR@10", "MAP@100": "AP@100"}
METRICS = tuple(IR_MEASURES_NAMES)
EQUAL = 1e-9  # of two scores


@dataclass(frozen=True)
class RetrievalResult:
    """The scores of one pair of encoders on one set.

    Attributes:
        metrics: Mean over the queries of each of :data:`METRICS`, 0 to 1.
        per_query: nDCG@10 of each query, in the set's order, shape ``(queries,)``, float64.
        scores: Of each metric the score of each query, in the same form.
        top: Rows of the ten best documents of each query, best first, shape ``(queries, <= 10)``; -1 fills up a
            ranking that is shorter.
    """

    metrics: Mapping[str, float]
    per_query: NDArray[np.float64]
    top: NDArray[np.intp]
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def against(self, teacher: RetrievalResult) -> dict[str, int]:
        """Returns how many queries have lost, kept and gained nDCG@10 against the teacher's."""
        change = self.per_query - teacher.per_query
        changed = {"lost": change < -EQUAL, "equal": np.abs(change) <= EQUAL, "won": change > EQUAL}
        return {name: int(np.count_nonzero(which)) for name, which in changed.items()}

    @property
    def ndcg(self) -> float:
        """Mean nDCG@10."""
        return self.metrics["nDCG@10"]


def score(dataset: RetrievalSet, rows: NDArray[np.intp], k: int) -> RetrievalResult:
    """Returns the metrics of the rankings of :func:`rankings`, which has the same arguments.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    return measure(dataset, rankings(dataset, rows, k), k)


def rankings(dataset: RetrievalSet, rows: NDArray[np.intp], k: int) -> list[list[int]]:
    """Returns the rows of the best k documents of each query, as they are judged.

    Args:
        dataset: The set; where :attr:`RetrievalSet.shares_ids` holds, a document that has the id of a query is dropped
            from that query's ranking, as in BEIR, unless it is judged. Where documents are parts of pages, the best
            document of each page stays.
        rows: Document rows of each query, best first, :meth:`RetrievalSet.rows_for` of them if there are as many.
        k: Depth of a ranking.
    """
    names = {row: dataset.judged_name(dataset.document_ids[row]) for row in np.unique(rows).tolist()}
    found = []
    for query, ranking in zip(dataset.query_ids, rows.tolist(), strict=True):
        dropped = dataset.shares_ids and query not in dataset.qrels[query]
        kept = [row for row in ranking if not (dropped and names[row] == query)]
        found.append((_first_of_each(kept, names) if dataset.pages else kept)[:k])
    return found


def _first_of_each(ranking: Sequence[int], names: Mapping[int, str]) -> list[int]:
    """The first row of each name."""
    best: dict[str, int] = {}
    for row in ranking:
        best.setdefault(names[row], row)
    return list(best.values())


def measure(dataset: RetrievalSet, ranked: Sequence[Sequence[int]], k: int) -> RetrievalResult:
    """Returns the metrics of rankings, of at most k documents each.

    trec_eval gets numbers for ids: its C code reads an id up to a NUL, and crashes on half an emoji.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    ir_measures: Any = require("ir_measures", "eval", "Measuring retrieval")
    run = {}
    top = np.full((len(ranked), min(10, k, len(dataset.document_ids))), -1, dtype=np.intp)
    names = {
        row: dataset.judged_name(dataset.document_ids[row]) for row in {row for ranking in ranked for row in ranking}
    }
    codes: defaultdict[str, str] = defaultdict(lambda: str(len(codes)))
    for number, kept in enumerate(ranked):
        run[str(number)] = {codes[names[row]]: float(k - rank) for rank, row in enumerate(kept)}  # also among equals
        top[number, : len(kept)] = kept[: top.shape[1]]
    judged = (dataset.qrels[query] for query in dataset.query_ids)
    qrels = {str(number): {codes[one]: grade for one, grade in of.items()} for number, of in enumerate(judged)}
    measures = {ir_measures.parse_measure(name): ours for ours, name in IR_MEASURES_NAMES.items()}
    values = {ours: np.zeros(len(dataset.query_ids)) for ours in METRICS}
    for metric in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[metric.measure]][int(metric.query_id)] = metric.value
    means = {name: float(column.mean()) for name, column in values.items()}
    return RetrievalResult(means, values["nDCG@10"], top, values)


def evaluate_retrieval(
    dataset: RetrievalSet,
    queries: Encoder | FloatArray,
    documents: Encoder | FloatArray,
    *,
    dim: int | None = None,
    quantization: StorageName = "float32",
    rotation: FloatArray | None = None,
    k: int = DEPTH,
) -> RetrievalResult:
    """Scores one pair of encoders, or of matrices that they made before.

    Args:
        dataset: The set; see :func:`score` for documents that have the id of a query.
        queries: The encoder of queries, or their vectors, shape ``(queries, dim)``.
        documents: The encoder of documents, or their vectors, shape ``(documents, dim)``.
        dim: Matryoshka truncation of both sides; ``None`` keeps all dimensions.
        quantization: Of the document vectors, see :func:`leaf_embed.evaluation.storage.quantize`.
        rotation: Applied to both sides before truncation; from :func:`leaf_embed.vectors.fit_rotation`.
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
    left = vectors.as_vectors(left, source="the query encoder", ids=dataset.query_ids, zeros=True)
    right = vectors.as_vectors(
        right, left.shape[1], source="the document encoder", ids=dataset.document_ids, zeros=True
    )
    for matrix, ids, what in ((left, dataset.query_ids, "queries"), (right, dataset.document_ids, "documents")):
        if len(matrix) != len(ids):
            raise InputError(f"{len(matrix)} vectors came for the {len(ids)} {what} of {dataset.name!r}")
    storage = Storage(left.shape[1] if dim is None else dim, quantization, rotation)
    return score(dataset, storage.search(left, right, dataset.rows_for(k), dataset.document_ids), k)
