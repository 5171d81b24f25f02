"""What a ranking scores. Metrics come from ir-measures (extra ``eval``), that is from trec_eval's own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed._extras import require
from leaf_embed.evaluation.beir import RetrievalSet

__all__ = ["METRICS", "RetrievalResult", "score"]

IR_MEASURES_NAMES = {"nDCG@10": "nDCG@10", "Recall@100": "R@100", "MRR@10": "RR@10", "MAP@100": "AP@100"}
METRICS = tuple(IR_MEASURES_NAMES)


@dataclass(frozen=True)
class RetrievalResult:
    """What one pair of encoders scores on one set.

    Attributes:
        metrics: Mean over the queries of each of :data:`METRICS`, 0 to 1.
        per_query: nDCG@10 of each query, in the set's order, shape ``(queries,)``, float64.
        top: Rows of the ten best documents of each query, best first, shape ``(queries, <= 10)``; -1 fills up a
            ranking that is shorter.
    """

    metrics: Mapping[str, float]
    per_query: NDArray[np.float64]
    top: NDArray[np.intp]

    @property
    def ndcg(self) -> float:
        """Mean nDCG@10."""
        return self.metrics["nDCG@10"]


def score(dataset: RetrievalSet, rows: NDArray[np.intp], k: int) -> RetrievalResult:
    """Metrics of rankings.

    Args:
        dataset: The set; a document that has the id of the query is dropped from that query's ranking, as in BEIR.
        rows: Document rows of each query, best first, shape ``(queries, >= k)``, one more than k if it can be.
        k: Depth of a ranking.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    ir_measures: Any = require("ir_measures", "eval", "Measuring retrieval")
    run = {}
    top = np.full((len(rows), min(10, k, rows.shape[1])), -1, dtype=np.intp)
    names = {row: dataset.document_ids[row] for row in np.unique(rows).tolist()}
    for place, (query, ranking) in enumerate(zip(dataset.query_ids, rows.tolist(), strict=True)):
        kept = [row for row in ranking if names[row] != query][:k]
        run[query] = {names[row]: float(k - rank) for rank, row in enumerate(kept)}  # our order also among equals
        top[place, : len(kept)] = kept[: top.shape[1]]
    qrels = {query: dict(dataset.qrels[query]) for query in dataset.query_ids}
    measures = {ir_measures.parse_measure(name): ours for ours, name in IR_MEASURES_NAMES.items()}
    place_of = {query: place for place, query in enumerate(dataset.query_ids)}
    values = {ours: np.zeros(len(place_of)) for ours in METRICS}
    for metric in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[metric.measure]][place_of[metric.query_id]] = metric.value
    return RetrievalResult({name: float(column.mean()) for name, column in values.items()}, values["nDCG@10"], top)
