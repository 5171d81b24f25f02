"""Calls about collections as such: create and configure them, read and write their metadata, list them, aliases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from leaf_embed.errors import CollectionError, CollectionExistsError
from leaf_embed.qdrant.backends.client_calls import THERE, Call, client_models
from leaf_embed.qdrant.schema.documents import PAYLOAD
from leaf_embed.qdrant.schema.layout import StoredVector, read_layout
from leaf_embed.qdrant.schema.metadata import METADATA_KEY, CollectionMetadata
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import BM25, CollectionSpec, mrl_name

__all__ = [
    "aliases_call",
    "configure_call",
    "creating",
    "creation_calls",
    "describe_info",
    "exists_call",
    "layout_call",
    "names_call",
    "new_vector_call",
    "read_call",
    "require_free",
    "require_metadata",
    "switch_call",
    "vectors_config",
    "write_call",
]


def names_call() -> Call[list[str]]:
    """Lists every collection, sorted."""
    return Call("get_collections", {}, "listing the collections", lambda a: sorted(c.name for c in a.collections))


def exists_call(name: str) -> Call[bool]:
    """Asks whether there is a collection, or an alias, of this name."""
    return Call("collection_exists", {"collection_name": name}, f"looking for the collection {name!r}", bool)


def aliases_call() -> Call[dict[str, str]]:
    """Lists every alias with the collection that it stands for."""
    return Call(
        "get_aliases", {}, "listing the aliases", lambda a: {x.alias_name: x.collection_name for x in a.aliases}
    )


def read_call(name: str) -> Call[Any]:
    """Reads the metadata of a collection, unchecked."""

    def read(info: Any) -> Any:
        return (info.config.metadata or {}).get(METADATA_KEY)

    return Call("get_collection", {"collection_name": name}, f"reading the metadata of {name!r}", read)


def write_call(metadata: CollectionMetadata) -> Call[None]:
    """Replaces the metadata that leaf-embed keeps with a collection; other metadata stays."""
    change = {"collection_name": metadata.name, "metadata": {METADATA_KEY: metadata.to_dict()}}
    return Call("update_collection", change, f"describing {metadata.name!r}", lambda _: None)


def layout_call(name: str, *, local: bool) -> Call[dict[str, StoredVector]]:
    """Reads each named vector as the engine has it; local mode has no quantization, whatever it was asked for."""

    def read(info: Any) -> dict[str, StoredVector]:
        config = info.config.model_dump(mode="json")
        params = config["params"]
        quantized, sparse = config["quantization_config"], params["sparse_vectors"]
        stored = read_layout(params["vectors"] or {}, config["hnsw_config"], quantized, sparse)
        if local:
            return {key: replace(vector, quantization=None, datatype=None) for key, vector in stored.items()}
        return stored

    return Call("get_collection", {"collection_name": name}, f"reading the configuration of {name!r}", read)


def switch_call(alias: str, name: str, *, replace: bool) -> Call[None]:
    """Points an alias to a collection, atomically for searches."""
    models = client_models()
    create = models.CreateAlias(collection_name=name, alias_name=alias)
    actions = [models.CreateAliasOperation(create_alias=create)]
    if replace:
        actions.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
    change = {"change_aliases_operations": actions}
    return Call("update_collection_aliases", change, f"switching the alias {alias!r}", lambda _: None)


def require_free(name: str, names: Sequence[str]) -> None:
    """Refuses a name that is taken."""
    if name in names:
        raise _taken(name)


@contextmanager
def creating(name: str) -> Iterator[None]:
    """Tells a name that was taken since it was looked for from other failures to create a collection."""
    try:
        yield
    except CollectionError as error:
        if "exists" in str(error).lower():  # in the words of the server, of gRPC and of local mode
            raise _taken(name) from error
        raise


def _taken(name: str) -> CollectionExistsError:
    return CollectionExistsError(f"the collection {name!r} exists already; choose another name, or remove it yourself")


def require_metadata(name: str, stored: Any) -> None:
    """Refuses a server that does not keep the metadata of a collection."""
    if stored is None:
        raise CollectionError(
            f"the server made the collection {name!r} but did not keep its metadata, which says which model "
            "writes its vectors. Qdrant keeps it since version 1.16: update the server, then remove this empty "
            "collection and create it again."
        )


def describe_info(info: Any) -> dict[str, Any]:
    """Returns the state of a collection behind a client, as JSON values."""
    return {
        "backend": "client",
        "segments": int(info.segments_count),
        "indexed_vectors": int(info.indexed_vectors_count or 0),
    }


def creation_calls(metadata: CollectionMetadata) -> list[Call[Any]]:
    """Creates a collection, then an index for each field that filters use, before any point is there."""
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
    """Returns every named vector with its size, distance, memory, graph and quantization."""
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
    """Returns the configuration of the BM25 vector, which the engine weighs by how rare words are."""
    if not spec.has_bm25:
        return None
    models = client_models()
    index = models.SparseIndexParams(**_memory(models, spec.graph_memory))
    return {BM25: models.SparseVectorParams(modifier=models.Modifier.IDF, index=index)}


def _mrl(spec: CollectionSpec, dim: int) -> Any:
    """Returns the configuration of one truncated vector."""
    models = client_models()
    # Quantization is set per vector: set for the whole collection it would cover the full vectors too.
    quantized = _quantization(spec)
    graph = models.HnswConfigDiff(
        m=spec.m,
        ef_construct=spec.ef_construct,
        full_scan_threshold=spec.index_from_kb,
        **_memory(models, spec.graph_memory),
    )
    # Once a vector is quantized, its originals are not read.
    originals = "cold" if quantized else "cached" if spec.codes_memory == "pinned" else spec.codes_memory
    return models.VectorParams(
        size=dim,
        distance=models.Distance.COSINE,
        hnsw_config=graph,
        quantization_config=quantized,
        **_memory(models, originals),
    )


def new_vector_call(metadata: CollectionMetadata, dim: int) -> Call[None]:
    """Adds a truncated vector to a collection that is there; needs a server of 1.18 or later."""
    models, name = client_models(), metadata.name
    config = models.DenseVectorNameConfig(dense=models.DenseVectorConfig(size=dim, distance=models.Distance.COSINE))
    new = {"collection_name": name, "vector_name": mrl_name(dim), "vector_name_config": config, "wait": True}
    hint = "A server needs version 1.18 or later for it."
    return Call("create_vector_name", new, f"adding {mrl_name(dim)!r} to {name!r}", lambda _: None, hint)


def configure_call(metadata: CollectionMetadata) -> Call[None]:
    """Changes graphs and quantization of the truncated vectors; a server then rebuilds them while it answers."""
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


def _quantization(spec: CollectionSpec) -> Any:
    """Returns the quantization of the truncated vectors; ``None`` for none."""
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
    """Returns the tier for servers since 1.19, which read ``memory``, and for earlier ones, which read ``on_disk``."""
    return {"on_disk": tier == "cold", "memory": models.Memory(tier)}
