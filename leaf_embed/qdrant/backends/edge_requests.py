"""Our values in the words of the embedded engine: configurations, searches and filters."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from leaf_embed._extras import require
from leaf_embed.qdrant.query.bm25 import BM25, RRF_K, Hybrid, SparseVector
from leaf_embed.qdrant.query.filters import Contains, DateRange, Empty, Group, Part, Range
from leaf_embed.qdrant.query.plan import SearchPlan, StageParams, vector_selector
from leaf_embed.qdrant.schema.documents import PAYLOAD
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import CollectionSpec, mrl_name

__all__ = [
    "edge_codes",
    "edge_config",
    "edge_filter",
    "edge_index_operations",
    "edge_request",
    "edge_vectors",
    "engine",
]

CODES = {
    "bits8": "Bits8",
    "bits4": "Bits4",
    "bits2": "Bits2",
    "bits1_5": "Bits1_5",
    "bits1": "Bits1",
    "one_bit": "OneBit",
    "one_and_half_bits": "OneAndHalfBits",
    "two_bits": "TwoBits",
    "default": "Default",
    "binary": "Binary",
    "scalar4bits": "Scalar4Bits",
    "scalar8bits": "Scalar8Bits",
}


def engine() -> ModuleType:
    """The embedded engine, imported on first use."""
    return require("qdrant_edge", "qdrant", "A collection in a directory")


def edge_config(edge: Any, metadata: CollectionMetadata) -> Any:
    """The whole configuration of a shard."""
    spec, space = metadata.spec, metadata.space
    distance = edge.Distance.Dot if spec.distance_for(space) == "dot" else edge.Distance.Cosine
    no_graph = edge.HnswIndexConfig(m=0, ef_construct=spec.ef_construct, full_scan_threshold=spec.index_from_kb)
    full = edge.EdgeVectorParams(
        size=space.dim,
        distance=distance,
        memory=_memory(edge, spec.full_memory),
        datatype=None if spec.datatype == "float32" else edge.VectorStorageDatatype.Float16,
        hnsw_config=None if spec.full_graph else no_graph,  # one made elsewhere stays as it is
    )
    return edge.EdgeConfig(
        vectors={spec.full_name: full, **{mrl_name(dim): _mrl_config(edge, spec, dim) for dim in spec.mrl}},
        sparse_vectors=_words_config(edge, spec),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=spec.index_from_kb),
        payload_memory=_memory(edge, spec.payload_memory),
    )


def _words_config(edge: Any, spec: CollectionSpec) -> dict[str, Any] | None:
    """The words, which the engine weighs by how rare they are."""
    if not spec.has_bm25:
        return None
    memory = _memory(edge, spec.graph_memory)
    return {BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, memory=memory)}


def edge_vectors(edge: Any, vectors: Mapping[str, list[float] | SparseVector]) -> Any:
    """Vectors by name, or the only one if it has none."""
    named = {name: _words(edge, v) if isinstance(v, SparseVector) else v for name, v in vectors.items()}
    return named.get("") or named


def _words(edge: Any, vector: SparseVector) -> Any:
    return edge.SparseVector(list(vector.indices), list(vector.values))


def _mrl_config(edge: Any, spec: CollectionSpec, dim: int) -> Any:
    # Quantization is set per vector: set for the whole collection it would cover the full vectors too.
    codes = edge_codes(edge, spec)
    graph = edge.HnswIndexConfig(
        m=spec.m,
        ef_construct=spec.ef_construct,
        full_scan_threshold=spec.index_from_kb,
        memory=_memory(edge, spec.graph_memory),
    )
    return edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Cosine,
        memory=_memory(edge, "cold" if codes else spec.codes_memory),  # with codes in memory originals are not read
        hnsw_config=graph,
        quantization_config=codes,
    )


def edge_codes(edge: Any, spec: CollectionSpec) -> Any:
    """How a vector is compressed; ``None`` for not at all."""
    chosen = quantization(spec.quantization)
    memory = _memory(edge, spec.codes_memory)
    if chosen.family == "scalar":
        return edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, memory=memory)
    if chosen.family == "turbo":
        bits = getattr(edge.TurboQuantBitSize, CODES[chosen.option])
        return edge.TurboQuantQuantizationConfig(bits=bits, memory=memory)
    if chosen.family == "binary":
        return edge.BinaryQuantizationConfig(
            encoding=getattr(edge.BinaryQuantizationEncoding, CODES[chosen.option]),
            query_encoding=getattr(edge.BinaryQuantizationQueryEncoding, CODES[spec.binary_query]),
            memory=memory,
        )
    if chosen.family == "product":
        ratio = getattr(edge.CompressionRatio, chosen.option.upper())
        return edge.ProductQuantizationConfig(compression=ratio, memory=memory)
    return None


def edge_index_operations(edge: Any, spec: CollectionSpec) -> list[Any]:
    """What makes an index for each field that filters use."""
    return [
        edge.UpdateOperation.create_field_index(
            f"{PAYLOAD}.{field}", getattr(edge.PayloadSchemaType, kind.capitalize())
        )
        for field, kind in spec.index_kinds.items()
    ]


def edge_request(edge: Any, plan: SearchPlan) -> Any:
    """A search as the engine takes it."""
    rest: dict[str, Any] = {
        "limit": plan.limit,
        "offset": plan.offset,
        "score_threshold": plan.score_threshold,
        "with_payload": True,
        "with_vector": plan.with_vector and vector_selector(plan.using),
    }
    ranking = _dense(edge, plan) if plan.hybrid is None else _fused(edge, plan, plan.hybrid)
    return edge.QueryRequest(**ranking, **rest)


def _fused(edge: Any, plan: SearchPlan, hybrid: Hybrid) -> dict[str, Any]:
    """Both rankings, each with the filter, and what fuses them."""
    rankings = [edge.Prefetch(**_dense(edge, plan), limit=hybrid.depth)]
    if hybrid.words is not None:
        query, conditions = edge.Query.Nearest(_words(edge, hybrid.words), using=BM25), plan.conditions
        rankings.append(edge.Prefetch(query=query, filter=edge_filter(edge, conditions), limit=hybrid.depth))
    fusion = edge.Fusion.Rrf(k=RRF_K) if hybrid.fusion == "rrf" else edge.Fusion.Dbsf()
    return {"query": fusion, "prefetches": rankings}


def _dense(edge: Any, plan: SearchPlan) -> dict[str, Any]:
    """The ranking by the full vectors, in two stages or one."""
    conditions = edge_filter(edge, plan.conditions)
    prefetches = None
    if plan.prefetch is not None:
        stage = plan.prefetch
        prefetches = [
            edge.Prefetch(
                limit=stage.limit,
                query=edge.Query.Nearest(stage.vector, using=stage.using),
                params=_params(edge, stage.params),
                filter=conditions,
            )
        ]
    return {
        "query": edge.Query.Nearest(plan.vector, using=plan.using or None),
        "prefetches": prefetches,
        "filter": conditions,
        "params": _params(edge, plan.params),
    }


def _params(edge: Any, params: StageParams) -> Any:
    codes = edge.QuantizationSearchParams(
        ignore=params.ignore_codes, rescore=params.rescore, oversampling=params.oversampling
    )
    return edge.SearchParams(exact=params.exact, hnsw_ef=params.hnsw_ef, quantization=codes)


def edge_filter(edge: Any, conditions: tuple[Part, ...]) -> Any:
    """Parts that must all hold; ``None`` for none."""
    return edge.Filter(must=[_part(edge, part) for part in conditions]) if conditions else None


def _part(edge: Any, part: Part) -> Any:
    if isinstance(part, Group):
        return edge.Filter(**{part.kind: [_part(edge, inner) for inner in part.parts]})
    if isinstance(part, Range):
        return edge.FieldCondition(part.key, range=edge.RangeFloat(**dict(part.bounds)))
    if isinstance(part, DateRange):
        return edge.FieldCondition(part.key, range=edge.RangeDateTime(**dict(part.bounds)))
    if isinstance(part, Empty):
        return edge.IsEmptyCondition(part.key)
    if isinstance(part, Contains):
        return edge.FieldCondition(part.key, match=edge.MatchText(part.text))
    values = [_Truth(value) if isinstance(value, bool) else value for value in part.values]
    match = edge.MatchValue(values[0]) if len(values) == 1 else edge.MatchAny(values)
    return edge.FieldCondition(part.key, match=match)


class _Truth:
    """True or false as the engine (0.9.0) reads it rightly: it takes Python's, and that of NumPy 1, for a number.

    It knows a truth value by the name of NumPy's type, asked for below, and then asks the value itself.
    """

    __module__ = "numpy"

    def __init__(self, value: bool) -> None:
        self._value = value

    def __bool__(self) -> bool:
        return self._value


_Truth.__name__ = _Truth.__qualname__ = "bool_"


def _memory(edge: Any, tier: str) -> Any:
    return getattr(edge.Memory, tier.capitalize())
