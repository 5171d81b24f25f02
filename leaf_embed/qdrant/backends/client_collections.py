"""Calls about collections as such: which there are, what they say, what the engine holds, and their aliases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from leaf_embed.errors import CollectionError, CollectionExistsError
from leaf_embed.qdrant.backends.client_calls import Call, client_models
from leaf_embed.qdrant.schema.layout import StoredVector, read_layout
from leaf_embed.qdrant.schema.metadata import METADATA_KEY, CollectionMetadata

__all__ = [
    "aliases_call",
    "describe_info",
    "is_local",
    "layout_call",
    "names_call",
    "read_call",
    "require_free",
    "require_kept",
    "switch_call",
    "write_call",
]


def is_local(client: Any) -> bool:
    """Whether a client is in local mode, of either kind."""
    return "Local" in type(client._client).__name__


def names_call() -> Call[list[str]]:
    """Every collection, sorted."""
    return Call("get_collections", {}, "listing the collections", lambda a: sorted(c.name for c in a.collections))


def aliases_call() -> Call[dict[str, str]]:
    """Every alias with the collection it stands for."""
    return Call(
        "get_aliases", {}, "listing the aliases", lambda a: {x.alias_name: x.collection_name for x in a.aliases}
    )


def read_call(name: str) -> Call[Any]:
    """What a collection says about itself, unchecked."""

    def read(info: Any) -> Any:
        return (info.config.metadata or {}).get(METADATA_KEY)

    return Call("get_collection", {"collection_name": name}, f"reading the metadata of {name!r}", read)


def write_call(metadata: CollectionMetadata) -> Call[None]:
    """Replace what a collection says about itself; other metadata stays."""
    change = {"collection_name": metadata.name, "metadata": {METADATA_KEY: metadata.to_dict()}}
    return Call("update_collection", change, f"describing {metadata.name!r}", lambda _: None)


def layout_call(name: str, *, local: bool) -> Call[dict[str, StoredVector]]:
    """Each named vector as the engine has it; local mode has no codes, whatever it was told."""

    def read(info: Any) -> dict[str, StoredVector]:
        config = info.config.model_dump(mode="json")
        params = config["params"]
        codes, sparse = config["quantization_config"], params["sparse_vectors"]
        stored = read_layout(params["vectors"] or {}, config["hnsw_config"], codes, sparse)
        if local:
            return {key: replace(vector, quantization=None, datatype=None) for key, vector in stored.items()}
        return stored

    return Call("get_collection", {"collection_name": name}, f"reading the configuration of {name!r}", read)


def switch_call(alias: str, name: str, *, replace: bool) -> Call[None]:
    """Let an alias stand for a collection, in one step for whoever searches."""
    models = client_models()
    create = models.CreateAlias(collection_name=name, alias_name=alias)
    actions = [models.CreateAliasOperation(create_alias=create)]
    if replace:
        actions.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
    change = {"change_aliases_operations": actions}
    return Call("update_collection_aliases", change, f"switching the alias {alias!r}", lambda _: None)


def require_free(name: str, names: Sequence[str]) -> None:
    """Refuse a name that is taken."""
    if name in names:
        raise CollectionExistsError(
            f"the collection {name!r} exists already; choose another name, or remove it yourself"
        )


def require_kept(name: str, stored: Any) -> None:
    """Refuse a server that does not keep what a collection says about itself."""
    if stored is None:
        raise CollectionError(
            f"the server made the collection {name!r} but did not keep its metadata, which says which model "
            "writes its vectors. Qdrant keeps it since version 1.16: update the server, then remove this empty "
            "collection and create it again."
        )


def describe_info(info: Any) -> dict[str, Any]:
    """The state of a collection behind a client, as JSON values."""
    return {
        "backend": "client",
        "segments": int(info.segments_count),
        "indexed_vectors": int(info.indexed_vectors_count or 0),
    }
