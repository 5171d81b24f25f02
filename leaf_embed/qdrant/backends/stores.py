"""The store that a path or a client stands for, the collections in it, and their aliases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from leaf_embed._extras import require
from leaf_embed.errors import CollectionNotFoundError, InputError
from leaf_embed.qdrant.backends.base import Store
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.schema.metadata import CollectionMetadata, check_name

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = [
    "connect",
    "find_any",
    "find_collection",
    "is_client_directory",
    "list_collections",
    "read_metadata",
    "require_found",
    "store_of",
    "switch_alias",
]


def store_of(path: str | os.PathLike[str] | None, client: QdrantClient | None, retry: Retry | None = None) -> Store:
    """Returns the backend, imported now; exactly one of path and client must be given."""
    if client is not None and path is None:
        from leaf_embed.qdrant.backends.client import ClientStore

        return ClientStore(client, retry)
    if path is not None and client is None:
        directory = _directory(path)
        if is_client_directory(directory):
            raise InputError(
                f"{os.fspath(path)} is a directory of QdrantClient(path=...), not of the embedded engine; give such a "
                f"client: client=QdrantClient(path={os.fspath(path)!r})"
            )
        from leaf_embed.qdrant.backends.edge import EdgeStore

        return EdgeStore(directory)
    raise InputError("give either path= (a directory, for the embedded engine) or client= (a QdrantClient)")


def _directory(path: str | os.PathLike[str]) -> Path:
    """Refuses what stands for another place than a directory, which would be made under that name."""
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(name, str):
        raise InputError(f"path must name a directory; got {path!r:.80}")
    if name == ":memory:":
        raise InputError(
            "path names a directory for the embedded engine, which has no collections in memory; for one in memory "
            'pass client=QdrantClient(":memory:")'
        )
    if "://" in name:
        raise InputError(
            f"path names a directory for the embedded engine; got the URL {name!r:.80}. For a server pass "
            "client=QdrantClient(url)"
        )
    return Path(name)


def is_client_directory(path: str | os.PathLike[str]) -> bool:
    """Returns whether a directory belongs to the local mode of a client, ``QdrantClient(path=...)``."""
    return (Path(path) / "meta.json").is_file()


def connect(url: str | Path, api_key: str | None = None) -> QdrantClient:
    """Returns a client of the server at a URL, or of its local mode for ``":memory:"`` or the path of a directory.

    Raises:
        MissingExtraError: The extra ``qdrant`` is not installed.
        InputError: Another program has the directory open.
    """
    engine = require("qdrant_client", "qdrant", "A Qdrant server")
    client: QdrantClient
    if not isinstance(url, Path):
        client = engine.QdrantClient(url, api_key=api_key)
        return client
    try:
        client = engine.QdrantClient(path=str(url))
    except RuntimeError as error:  # its lock
        raise InputError(
            f"another program has {url} open ({error}); close its QdrantClient, or use a server for several programs"
        ) from error
    return client


def list_collections(*, path: str | os.PathLike[str] | None = None, client: QdrantClient | None = None) -> list[str]:
    """Lists the names of the collections in a directory or behind a client, sorted."""
    return store_of(path, client).names()


def read_metadata(
    name: str, *, path: str | os.PathLike[str] | None = None, client: QdrantClient | None = None
) -> CollectionMetadata:
    """Reads the metadata of a collection, without a leaf and without opening it.

    Args:
        name: Its name, or an alias behind a client: the metadata then has the name that the alias stands for.
        path: A directory of collections.
        client: A client.

    Raises:
        CollectionNotFoundError: There is none of this name; the message lists those that are there.
        CollectionError: It has no metadata, or some that this release cannot read.
    """
    store = store_of(path, client)
    found = find_collection(store, name)
    return CollectionMetadata.from_dict(store.read(found), name=found)


def find_collection(store: Store, name: str) -> str:
    """Returns the name of a collection that is there, aliases resolved.

    Raises:
        CollectionNotFoundError: There is none of this name; the message lists those that are there.
    """
    names = store.names()
    resolved = None if check_name(name) in names else store.resolve(name)
    return require_found(store.place, name, names, resolved)


def find_any(store: Store, name: str) -> str:
    """Returns the name of a collection that is there, also one that another program made, aliases resolved.

    Raises:
        CollectionNotFoundError: There is none of this name; the message lists those that are there.
    """
    if store.holds(name):
        return name
    return require_found(store.place, name, store.names(), store.resolve(name), "Is the name right?")


def require_found(
    place: str,
    name: str,
    names: list[str],
    resolved: str | None,
    advice: str = "Make one: leaf-embed index, or LeafCollection.create.",
) -> str:
    """Returns the collection of a name or alias, or raises an error that lists the collections.

    Raises:
        CollectionNotFoundError: It stands for nothing.
    """
    if resolved is not None or name in names:
        return resolved or name
    there = ", ".join(map(repr, names)) or "none"
    raise CollectionNotFoundError(f"{place} holds no collection {name!r}; collections there: {there}. {advice}")


def switch_alias(alias: str, name: str, *, client: QdrantClient) -> None:
    """Points an alias to another collection, atomically for searches: the last step of a model change.

    Index the documents into a new collection with the new leaf, try it, then switch. The old collection stays.
    Searchers must open the alias again with the new leaf; with the old one they are refused.

    Args:
        alias: Made if there is none of this name.
        name: A collection made by leaf-embed.
        client: A client. The embedded engine has no aliases.

    Raises:
        CollectionNotFoundError: There is no collection of this name.
        CollectionError: It does not say which model wrote it, or the server refused.
        InputError: A collection has the alias for its name.
    """
    from leaf_embed.qdrant.backends.client import ClientStore

    store = ClientStore(client)
    if check_name(alias) in store.names():
        raise InputError(f"there is a collection called {alias!r}; an alias needs a name of its own")
    metadata = read_metadata(name, client=client)
    store.switch_alias(alias, metadata.name)
