"""Where collections lie: which backend a path or a client stands for, and what is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from leaf_embed.errors import CollectionNotFoundError, InputError
from leaf_embed.qdrant.backend import Store
from leaf_embed.qdrant.metadata import CollectionMetadata, check_name

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["list_collections", "read_metadata", "store_of"]


def store_of(path: str | os.PathLike[str] | None, client: QdrantClient | None) -> Store:
    """The backend, imported now; exactly one of the two must be given."""
    if client is not None and path is None:
        from leaf_embed.qdrant.backend_client import ClientStore

        return ClientStore(client)
    if path is not None and client is None:
        from leaf_embed.qdrant.backend_edge import EdgeStore

        return EdgeStore(path)
    raise InputError("give either path= (a directory, for the embedded engine) or client= (a QdrantClient)")


def list_collections(*, path: str | os.PathLike[str] | None = None, client: QdrantClient | None = None) -> list[str]:
    """Names of the collections in a directory or behind a client, sorted."""
    return store_of(path, client).names()


def read_metadata(
    name: str, *, path: str | os.PathLike[str] | None = None, client: QdrantClient | None = None
) -> CollectionMetadata:
    """What a collection says about itself, read without a leaf and without opening it.

    Raises:
        CollectionNotFoundError: There is none of this name; the message lists those that are there.
        CollectionError: It says nothing, or something that this release cannot read.
    """
    store = store_of(path, client)
    names = store.names()
    if check_name(name) not in names:
        there = ", ".join(map(repr, names)) or "none"
        raise CollectionNotFoundError(
            f"{store.place} holds no collection {name!r}; collections there: {there}. "
            "Make one with LeafCollection.create (or: leaf-embed index)."
        )
    return CollectionMetadata.from_dict(store.read(name), name=name)
