"""Exhaustive search over quantized vectors alone: no graph, no rescoring.

For measurements: it uses the embedded engine's own quantization, and leaves out everything else a collection does.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.qdrant.backends.base import mapped_errors
from leaf_embed.qdrant.backends.edge_requests import engine, quantization_config
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.vectors import FloatArray

__all__ = ["search_quantized"]

NAME = "quantized"
BATCH = 1024


def search_quantized(queries: FloatArray, documents: FloatArray, k: int, *, quantization: str) -> NDArray[np.intp]:
    """Returns the best documents of each query by cosine with the engine's quantized vectors.

    Args:
        queries: Shape ``(q, dim)``.
        documents: Shape ``(n, dim)``; may be memory-mapped, they are written to a temporary collection on disk.
        k: Documents per query.
        quantization: As in :class:`CollectionSpec`: ``"turbo4"``, ``"int8"``, ``"product16"``...

    Returns:
        Rows, best first, shape ``(q, min(k, n))``.

    Raises:
        InputError: There is no such quantization.
        MissingExtraError: The extra ``qdrant`` is not installed.
        CollectionError: The engine refused.
    """
    spec = CollectionSpec(quantization=quantization)
    edge = engine()
    with (
        tempfile.TemporaryDirectory(prefix="leaf-embed-quantized-") as directory,
        mapped_errors("ranking by quantized vectors"),
    ):
        shard = edge.EdgeShard.create(directory, _config(edge, spec, queries.shape[1]))
        try:
            _fill(edge, shard, documents)
            found = [_ranking(edge, shard, query, k) for query in queries]
        finally:
            shard.close()
    return np.array(found, dtype=np.intp).reshape(len(queries), -1)


def _config(edge: Any, spec: CollectionSpec, dim: int) -> Any:
    no_graph = edge.HnswIndexConfig(m=0, ef_construct=spec.ef_construct, full_scan_threshold=spec.index_from_kb)
    params = edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Cosine,
        hnsw_config=no_graph,
        quantization_config=quantization_config(edge, spec),
    )
    return edge.EdgeConfig(vectors={NAME: params})


def _fill(edge: Any, shard: Any, documents: FloatArray) -> None:
    for start in range(0, len(documents), BATCH):
        rows = enumerate(documents[start : start + BATCH].tolist(), start)
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(i, {NAME: row}, {}) for i, row in rows]))
    shard.optimize()  # quantized vectors do not exist before
    shard.flush()


def _ranking(edge: Any, shard: Any, query: FloatArray, k: int) -> list[int]:
    # exact would mean: by the vectors themselves
    stored = edge.QuantizationSearchParams(ignore=False, rescore=False, oversampling=None)
    request = edge.QueryRequest(
        limit=k,
        query=edge.Query.Nearest(query.tolist(), using=NAME),
        with_payload=False,
        params=edge.SearchParams(exact=False, quantization=stored),
    )
    return [point.id for point in shard.query(request)]
