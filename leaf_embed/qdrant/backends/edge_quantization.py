"""Exhaustive search over quantized vectors: no graph, and rescoring only where it is asked for.

For measurements: it uses the embedded engine's own quantization, and leaves out everything else a collection does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.qdrant.backends.base import mapped_errors
from leaf_embed.qdrant.backends.edge_requests import engine, quantization_config
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.vectors import FloatArray

__all__ = ["OVERSAMPLING", "engine_search", "search_quantized"]

NAME = "quantized"
BATCH = 1024
RESCORED = "-rescored"  # ends a name
OVERSAMPLING = 4  # candidates per result where a name says "rescored"; engines recommend 2 to 16
PAGE = 10  # results of the first search where vectors are rescored


def engine_search(name: str) -> Callable[[FloatArray, FloatArray, int], NDArray[np.intp]]:
    """Returns :func:`search_quantized` for a name such as ``"turbo4"`` or ``"binary-rescored"``.

    Raises:
        InputError: There is no such quantization.
    """
    stored = name.removesuffix(RESCORED)
    CollectionSpec(quantization=stored)  # refuses an unknown name
    oversampling = OVERSAMPLING if stored != name else None
    return partial(search_quantized, quantization=stored, oversampling=oversampling)


def search_quantized(
    queries: FloatArray, documents: FloatArray, k: int, *, quantization: str, oversampling: int | None = None
) -> NDArray[np.intp]:
    """Returns the best documents of each query by cosine with the engine's quantized vectors.

    The engine quantizes here from one kilobyte of vectors on; in a collection it does so for ``"int8"`` and the
    products only from :attr:`CollectionSpec.index_from_kb` on, and other codes change there.

    With ``oversampling`` the quantized vectors choose that many candidates per result, which float32 vectors rank. The
    first ten are those of a search for ten; the others follow as a search for ``k`` finds them, which has more
    candidates.

    Args:
        queries: Shape ``(q, dim)``.
        documents: Shape ``(n, dim)``; may be memory-mapped, they are written to a temporary collection on disk.
        k: Documents per query.
        quantization: As in :class:`CollectionSpec`: ``"turbo4"``, ``"int8"``, ``"product16"``...
        oversampling: Candidates per result; ``None`` ranks by the quantized vectors alone.

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
            found = [_ranking(edge, shard, query, k, oversampling) for query in queries]
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
    at_once = edge.EdgeOptimizersConfig(indexing_threshold=1)  # kilobytes
    return edge.EdgeConfig(vectors={NAME: params}, optimizers=at_once)


def _fill(edge: Any, shard: Any, documents: FloatArray) -> None:
    for start in range(0, len(documents), BATCH):
        rows = enumerate(documents[start : start + BATCH].tolist(), start)
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(i, {NAME: row}, {}) for i, row in rows]))
    shard.optimize()  # quantized vectors do not exist before
    shard.flush()


def _ranking(edge: Any, shard: Any, query: FloatArray, k: int, oversampling: int | None) -> list[int]:
    if oversampling is None or k <= PAGE:
        return _search(edge, shard, query, k, oversampling)
    first = _search(edge, shard, query, PAGE, oversampling)
    more = _search(edge, shard, query, k, oversampling)
    return list(dict.fromkeys([*first, *more]))[: len(more)]


def _search(edge: Any, shard: Any, query: FloatArray, limit: int, oversampling: int | None) -> list[int]:
    # exact would mean: by the vectors themselves
    rescore = oversampling is not None
    stored = edge.QuantizationSearchParams(ignore=False, rescore=rescore, oversampling=oversampling)
    request = edge.QueryRequest(
        limit=limit,
        query=edge.Query.Nearest(query.tolist(), using=NAME),
        with_payload=False,
        params=edge.SearchParams(exact=False, quantization=stored),
    )
    return [point.id for point in shard.query(request)]
