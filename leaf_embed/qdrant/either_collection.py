"""Collections for frameworks: sync and async calls on one object, created or opened in one call."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionExistsError, CollectionNotFoundError, InputError
from leaf_embed.qdrant.async_collection import AsyncLeafCollection
from leaf_embed.qdrant.collection import LeafCollection
from leaf_embed.qdrant.identity import CollectionIdentity
from leaf_embed.qdrant.query.filters import Filter
from leaf_embed.qdrant.schema.documents import StoredDocument
from leaf_embed.qdrant.schema.spec import CollectionSpec

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient

__all__ = ["EitherCollection", "aopen_or_create", "open_or_create"]


class EitherCollection:
    """A sync collection, an async one, or both over the same documents.

    Async calls go through the async collection; without one, through the sync collection in a thread, so that the event
    loop is not blocked.
    """

    def __init__(
        self, collection: LeafCollection | None = None, async_collection: AsyncLeafCollection | None = None
    ) -> None:
        """Wraps one or two open collections.

        Raises:
            InputError: Neither, or a value of another type.
            SpaceMismatchError: The two are of different spaces.
        """
        for value, kind in ((collection, LeafCollection), (async_collection, AsyncLeafCollection)):
            if value is not None and not isinstance(value, kind):
                raise InputError(f"expected a {kind.__name__}, from its create or open; got {type(value).__name__}")
        described = collection or async_collection
        if described is None:
            raise InputError("give a LeafCollection, an AsyncLeafCollection, or both; got neither")
        if async_collection is not None:
            described.space.require_same(
                async_collection.space,
                mine="the sync collection",
                theirs="the async collection",
                advice="Open both over the same collection.",
            )
        self._collection, self._async_collection = collection, async_collection
        self.described: CollectionIdentity = described

    @property
    def blocking(self) -> LeafCollection:
        """The collection for sync calls.

        Raises:
            InputError: There is only an async one.
        """
        if self._collection is None:
            raise InputError("this was made from an AsyncLeafCollection alone; await its async methods instead")
        return self._collection

    def close(self) -> None:
        """Closes the sync collection, if there is one; an async one is closed by awaiting its own ``close``."""
        if self._collection is not None:
            self._collection.close()

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Awaits a method that both kinds have: ``await either.call("search", "a question", limit=3)``."""
        if self._async_collection is not None:
            return await getattr(self._async_collection, method)(*args, **options)
        return await asyncio.to_thread(getattr(self.blocking, method), *args, **options)

    def documents(self, where: Filter | None = None, *, with_vectors: bool = False) -> list[StoredDocument]:
        """Returns the documents that match a filter."""
        return list(self.blocking.iter_documents(where=where, with_vectors=with_vectors))

    async def adocuments(self, where: Filter | None = None, *, with_vectors: bool = False) -> list[StoredDocument]:
        """Async form of :meth:`documents`."""
        if self._async_collection is None:
            return await asyncio.to_thread(self.documents, where, with_vectors=with_vectors)
        found = self._async_collection.iter_documents(where=where, with_vectors=with_vectors)
        return [document async for document in found]


def open_or_create(
    name: str,
    leaf: Encoder,
    *,
    path: str | os.PathLike[str] | None = None,
    client: QdrantClient | None = None,
    spec: CollectionSpec | None = None,
) -> LeafCollection:
    """Opens a collection, or creates it if there is none; see :meth:`LeafCollection.create`.

    Of several that start at once one creates it and the others open it. A collection of the embedded engine stays in
    one process: other processes are refused.

    Raises:
        InputError: It exists with another spec than the one passed.
        SpaceMismatchError: It exists and the leaf does not belong to it.
    """
    try:
        found = LeafCollection.open(name, leaf, path=path, client=client)
    except CollectionNotFoundError:
        try:
            return LeafCollection.create(name, leaf, path=path, client=client, spec=spec)
        except CollectionExistsError:  # somebody else has made it meanwhile
            found = LeafCollection.open(name, leaf, path=path, client=client)
    try:
        _require_spec(found, spec)
    except InputError:
        found.close()
        raise
    return found


async def aopen_or_create(
    name: str, leaf: Encoder, *, client: AsyncQdrantClient, spec: CollectionSpec | None = None
) -> AsyncLeafCollection:
    """Async form of :func:`open_or_create`, over an async client."""
    try:
        found = await AsyncLeafCollection.open(name, leaf, client=client)
    except CollectionNotFoundError:
        try:
            return await AsyncLeafCollection.create(name, leaf, client=client, spec=spec)
        except CollectionExistsError:
            found = await AsyncLeafCollection.open(name, leaf, client=client)
    _require_spec(found, spec)
    return found


def _require_spec(found: CollectionIdentity, spec: CollectionSpec | None) -> None:
    if spec not in (None, found.spec):
        raise InputError(
            f"the collection {found.name!r} exists with {found.spec}; it was asked for with {spec}. "
            "Leave the spec out to use it as it is, or choose another name."
        )
