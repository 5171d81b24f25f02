"""How a collection's spec is told to a Qdrant client when the collection is made or changed."""

from __future__ import annotations

from typing import Any

from leaf_embed.qdrant.backends.client_calls import THERE, Call, client_models
from leaf_embed.qdrant.query.bm25 import BM25
from leaf_embed.qdrant.schema.documents import PAYLOAD
from leaf_embed.qdrant.schema.metadata import METADATA_KEY, CollectionMetadata
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import CollectionSpec, mrl_name

__all__ = ["configure_call", "creation_calls", "new_vector_call", "vectors_config"]


def creation_calls(metadata: CollectionMetadata) -> list[Call[Any]]:
    """What makes a collection: itself, then an index for each field that filters use, before any point is there."""
    models, spec, name = client_models(), metadata.spec, metadata.name
    cold = spec.payload_memory == "cold"
    creation = {
        "collection_name": name,
        "vectors_config": vectors_config(metadata),
        "sparse_vectors_config": _sparse_config(spec),
        "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=spec.index_from_kb),
        "on_disk_payload": cold,
        "metadata": {METADATA_KEY: metadata.to_dict()},
        "shard_number": spec.shard_number,
        "replication_factor": spec.replication_factor,
        "write_consistency_factor": spec.write_consistency_factor,
    }
    action = f"creating the collection {name!r}"
    calls: list[Call[Any]] = [Call("create_collection", creation, action, lambda _: None, THERE, repeatable=False)]
    for field, kind in spec.index_kinds.items():
        index = {"collection_name": name, "field_name": f"{PAYLOAD}.{field}", "field_schema": kind, "wait": True}
        calls.append(Call("create_payload_index", index, f"indexing the field {field!r} of {name!r}", lambda _: None))
    return calls


def vectors_config(metadata: CollectionMetadata) -> dict[str, Any]:
    """Every named vector with its size, distance, memory, graph and codes."""
    models, spec, space = client_models(), metadata.spec, metadata.space
    distance = models.Distance.DOT if spec.distance_for(space) == "dot" else models.Distance.COSINE
    full = models.VectorParams(
        size=space.dim,
        distance=distance,
        datatype=None if spec.datatype == "float32" else models.Datatype.FLOAT16,
        hnsw_config=models.HnswConfigDiff(m=0),
        **_memory(models, spec.full_memory),
    )
    return {spec.full_name: full, **{mrl_name(dim): _mrl(spec, dim) for dim in spec.mrl}}


def _sparse_config(spec: CollectionSpec) -> dict[str, Any] | None:
    """The words, which the engine weighs by how rare they are."""
    if not spec.has_bm25:
        return None
    models = client_models()
    index = models.SparseIndexParams(**_memory(models, spec.graph_memory))
    return {BM25: models.SparseVectorParams(modifier=models.Modifier.IDF, index=index)}


def _mrl(spec: CollectionSpec, dim: int) -> Any:
    """One truncated vector."""
    models = client_models()
    # Quantization is set per vector: set for the whole collection it would cover the full vectors too.
    codes = _codes(spec)
    graph = models.HnswConfigDiff(
        m=spec.m,
        ef_construct=spec.ef_construct,
        full_scan_threshold=spec.index_from_kb,
        **_memory(models, spec.graph_memory),
    )
    # With codes in memory the originals are not read.
    originals = "cold" if codes else "cached" if spec.codes_memory == "pinned" else spec.codes_memory
    return models.VectorParams(
        size=dim,
        distance=models.Distance.COSINE,
        hnsw_config=graph,
        quantization_config=codes,
        **_memory(models, originals),
    )


def new_vector_call(metadata: CollectionMetadata, dim: int) -> Call[None]:
    """What makes a truncated vector in a collection that is there; needs a server of 1.18 or later."""
    models, name = client_models(), metadata.name
    config = models.DenseVectorNameConfig(dense=models.DenseVectorConfig(size=dim, distance=models.Distance.COSINE))
    new = {"collection_name": name, "vector_name": mrl_name(dim), "vector_name_config": config, "wait": True}
    hint = "A server needs version 1.18 or later for it."
    return Call("create_vector_name", new, f"adding {mrl_name(dim)!r} to {name!r}", lambda _: None, hint)


def configure_call(metadata: CollectionMetadata) -> Call[None]:
    """What changes graphs and codes of the truncated vectors; a server then rebuilds them while it answers."""
    models, spec = client_models(), metadata.spec
    params = {mrl_name(dim): _mrl(spec, dim) for dim in spec.mrl}
    changes = {
        name: models.VectorParamsDiff(
            hnsw_config=new.hnsw_config,
            quantization_config=new.quantization_config or models.Disabled.DISABLED,
            on_disk=new.on_disk,
            memory=new.memory,
        )
        for name, new in params.items()
    }
    change = {"collection_name": metadata.name, "vectors_config": changes}
    return Call("update_collection", change, f"changing the configuration of {metadata.name!r}", lambda _: None)


def _codes(spec: CollectionSpec) -> Any:
    """The quantization of the truncated vectors; ``None`` for none."""
    models, chosen = client_models(), quantization(spec.quantization)
    tier = {"always_ram": spec.codes_memory == "pinned", "memory": spec.codes_memory}
    if chosen.family == "scalar":
        return models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=chosen.option, **tier))
    if chosen.family == "turbo":
        return models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(bits=chosen.option, **tier))
    if chosen.family == "binary":
        config = models.BinaryQuantizationConfig(encoding=chosen.option, query_encoding=spec.binary_query, **tier)
        return models.BinaryQuantization(binary=config)
    if chosen.family == "product":
        return models.ProductQuantization(product=models.ProductQuantizationConfig(compression=chosen.option, **tier))
    return None


def _memory(models: Any, tier: str) -> dict[str, Any]:
    """The tier for servers since 1.19, which read ``memory``, and for earlier ones, which read ``on_disk``."""
    return {"on_disk": tier == "cold", "memory": models.Memory(tier)}
