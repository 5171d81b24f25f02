"""Configurations, searches and filters as values of the embedded engine."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from leaf_embed._extras import require
from leaf_embed.qdrant.backends.base import Selection
from leaf_embed.qdrant.schema.documents import PAYLOAD
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import BM25, CollectionSpec, mrl_name

__all__ = [
    "edge_config",
    "edge_filter",
    "edge_index_operations",
    "edge_request",
    "engine",
    "quantization_config",
]

OPTIONS = {
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
    """Returns the module of the embedded engine, imported on first use."""
    return require("qdrant_edge", "qdrant", "A collection in a directory")


def edge_config(edge: Any, metadata: CollectionMetadata) -> Any:
    """Returns the whole configuration of a shard."""
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
        sparse_vectors=_bm25_config(edge, spec),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=spec.index_from_kb),
        payload_memory=_memory(edge, spec.payload_memory),
    )


def _bm25_config(edge: Any, spec: CollectionSpec) -> dict[str, Any] | None:
    """Returns the configuration of the BM25 vector, which the engine weighs by how rare words are."""
    if not spec.has_bm25:
        return None
    memory = _memory(edge, spec.graph_memory)
    return {BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, memory=memory)}


def _mrl_config(edge: Any, spec: CollectionSpec, dim: int) -> Any:
    # Quantization is set per vector: set for the whole collection it would cover the full vectors too.
    # Once a vector is quantized, its originals are not read.
    quantized = quantization_config(edge, spec)
    graph = edge.HnswIndexConfig(
        m=spec.m,
        ef_construct=spec.ef_construct,
        full_scan_threshold=spec.index_from_kb,
        memory=_memory(edge, spec.graph_memory),
    )
    return edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Cosine,
        memory=_memory(edge, "cold" if quantized else spec.codes_memory),
        hnsw_config=graph,
        quantization_config=quantized,
    )


def quantization_config(edge: Any, spec: CollectionSpec) -> Any:
    """Returns the quantization of the truncated vectors; ``None`` for none."""
    chosen = quantization(spec.quantization)
    memory = _memory(edge, spec.codes_memory)
    if chosen.family == "scalar":
        return edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, memory=memory)
    if chosen.family == "turbo":
        bits = getattr(edge.TurboQuantBitSize, OPTIONS[chosen.option])
        return edge.TurboQuantQuantizationConfig(bits=bits, memory=memory)
    if chosen.family == "binary":
        return edge.BinaryQuantizationConfig(
            encoding=getattr(edge.BinaryQuantizationEncoding, OPTIONS[chosen.option]),
            query_encoding=getattr(edge.BinaryQuantizationQueryEncoding, OPTIONS[spec.binary_query]),
            memory=memory,
        )
    if chosen.family == "product":
        ratio = getattr(edge.CompressionRatio, chosen.option.upper())
        return edge.ProductQuantizationConfig(compression=ratio, memory=memory)
    return None


def edge_index_operations(edge: Any, spec: CollectionSpec) -> list[Any]:
    """Returns the operations that create an index for each field that filters use."""
    return [
        edge.UpdateOperation.create_field_index(
            f"{PAYLOAD}.{field}", getattr(edge.PayloadSchemaType, kind.capitalize())
        )
        for field, kind in spec.index_kinds.items()
    ]


def edge_request(edge: Any, search: dict[str, Any]) -> Any:
    """Converts a search from Qdrant's REST form, as a plan has it."""
    rest = {
        name: search[name] for name in ("offset", "score_threshold", "with_payload", "with_vector") if name in search
    }
    return edge.QueryRequest(**_stage(edge, search), **rest)


def _stage(edge: Any, stage: dict[str, Any]) -> dict[str, Any]:
    """Converts what a search and a prefetch have in common."""
    inner = stage.get("prefetch", [])
    inner = [inner] if isinstance(inner, dict) else inner
    return {
        "limit": stage["limit"],
        "query": _query(edge, stage["query"], stage.get("using")),
        "prefetches": [edge.Prefetch(**_stage(edge, first)) for first in inner] or None,
        "filter": edge_filter(edge, stage.get("filter")),
        "params": _params(edge, stage["params"]) if "params" in stage else None,
    }


def _query(edge: Any, query: Any, using: str | None) -> Any:
    if "nearest" not in query:
        return edge.Fusion.Rrf(**query["rrf"]) if "rrf" in query else edge.Fusion.Dbsf()
    nearest = query["nearest"]
    return edge.Query.Nearest(nearest if isinstance(nearest, list) else edge.SparseVector(**nearest), using=using)


def _params(edge: Any, params: dict[str, Any]) -> Any:
    return edge.SearchParams(**{**params, "quantization": edge.QuantizationSearchParams(**params["quantization"])})


def edge_filter(edge: Any, where: Selection) -> Any:
    """Converts a filter from Qdrant's REST form; one of the engine's own, and ``None``, stay as they are."""
    if not isinstance(where, dict):
        return where
    return edge.Filter(**{clause: [_condition(edge, part) for part in parts] for clause, parts in where.items()})


def _condition(edge: Any, part: dict[str, Any]) -> Any:
    if "is_empty" in part:
        return edge.IsEmptyCondition(part["is_empty"]["key"])
    if "range" in part:
        dates = any(isinstance(bound, str) for bound in part["range"].values())
        kind = edge.RangeDateTime if dates else edge.RangeFloat
        return edge.FieldCondition(part["key"], range=kind(**part["range"]))
    if "match" in part:
        return edge.FieldCondition(part["key"], match=_match(edge, part["match"]))
    return edge_filter(edge, part)


def _match(edge: Any, match: dict[str, Any]) -> Any:
    if "text" in match:
        return edge.MatchText(match["text"])
    if "any" in match:
        return edge.MatchAny(match["any"])
    value = match["value"]
    return edge.MatchValue(_Truth(value) if isinstance(value, bool) else value)


class _Truth:
    """A boolean that the engine (0.9.0) does not take for a number, as it does Python's and that of NumPy 1.

    The engine recognises a boolean by the name of NumPy's type, set below, and then calls ``bool``.
    """

    __module__ = "numpy"

    def __init__(self, value: bool) -> None:
        self._value = value

    def __bool__(self) -> bool:
        return self._value


_Truth.__name__ = _Truth.__qualname__ = "bool_"


def _memory(edge: Any, tier: str) -> Any:
    return getattr(edge.Memory, tier.capitalize())
