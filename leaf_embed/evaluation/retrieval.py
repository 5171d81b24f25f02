"""Exact dense retrieval of one pair of encoders, and what it scores."""

from __future__ import annotations

import numpy as np

from leaf_embed import vectors
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.evaluation.scoring import RetrievalResult, score
from leaf_embed.evaluation.storage import Quantization, Storage
from leaf_embed.vectors import FloatArray

__all__ = ["DEPTH", "evaluate_retrieval"]

DEPTH = 100  # of a ranking; Recall@100 needs it


def evaluate_retrieval(
    dataset: RetrievalSet,
    queries: Encoder | FloatArray,
    documents: Encoder | FloatArray,
    *,
    dim: int | None = None,
    quantization: Quantization = "float32",
    rotation: FloatArray | None = None,
    k: int = DEPTH,
) -> RetrievalResult:
    """Score one pair of encoders, or of matrices that they made before.

    Args:
        dataset: The set; a document that has the id of the query is dropped from that query's ranking, as in BEIR.
        queries: Who encodes queries, or their vectors, shape ``(queries, dim)``.
        documents: Who encodes documents, or their vectors, shape ``(documents, dim)``.
        dim: Matryoshka truncation of both sides; ``None`` keeps all dimensions.
        quantization: What the document vectors are reduced to, see :func:`leaf_embed.evaluation.storage.quantize`.
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
    left = vectors.as_vectors(left, source="the query encoder", ids=dataset.query_ids)
    right = vectors.as_vectors(right, left.shape[1], source="the document encoder", ids=dataset.document_ids)
    for matrix, ids, what in ((left, dataset.query_ids, "queries"), (right, dataset.document_ids, "documents")):
        if len(matrix) != len(ids):
            raise InputError(f"{len(matrix)} vectors came for the {len(ids)} {what} of {dataset.name!r}")
    storage = Storage(left.shape[1] if dim is None else dim, quantization, rotation)
    return score(dataset, storage.search(left, right, k + 1), k)  # one spare place for the query itself
