"""LeafQdrantVectorStore: LangChain's ``VectorStore`` over a collection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from leaf_embed import Encoder
from leaf_embed.qdrant import (
    AsyncLeafCollection,
    CollectionSpec,
    EitherCollection,
    LeafCollection,
    aopen_or_create,
    open_or_create,
)
from leaf_embed_langchain.convert import document_of, encoder_of, leaf_documents, required
from leaf_embed_langchain.embeddings import LeafEmbeddings
from leaf_embed_langchain.searches import Searches

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient
    from typing_extensions import Self

__all__ = ["LeafQdrantVectorStore"]


class LeafQdrantVectorStore(Searches):
    """A vector store over a Qdrant collection of one embedding space, searched by the leaf.

    Writes the full vector and every truncated one, searches in two stages, and calls the teacher only when documents
    are added: never when it is created, and never for a search, MMR included.

    Searches take ``filter`` (see :mod:`leaf_embed.qdrant.query.filters`; fields are those of ``metadata``) and the
    options of :meth:`leaf_embed.qdrant.LeafCollection.search`, such as ``exact=True`` or ``candidates=200``. Any text
    can be an id. A title in the collection becomes ``metadata["title"]``.
    """

    def __init__(
        self,
        collection: LeafCollection | None = None,
        *,
        async_collection: AsyncLeafCollection | None = None,
        relevance_score_fn: Callable[[float], float] | None = None,
    ) -> None:
        """Wraps an open collection, which the caller closes.

        Args:
            collection: For the sync methods; the async ones use it in a thread.
            async_collection: For the async methods, over an ``AsyncQdrantClient``.
            relevance_score_fn: From a score to a relevance between 0 and 1; for a collection compared by cosine
                ``(1 + cosine) / 2`` by default.

        Raises:
            InputError: No collection, or a value of another type.
        """
        self._either = EitherCollection(collection, async_collection)
        self._relevance_score_fn = relevance_score_fn
        self._embeddings = LeafEmbeddings(self._either.described.leaf)

    @classmethod
    def from_existing_collection(
        cls,
        collection_name: str,
        embedding: LeafEmbeddings | Encoder,
        *,
        path: str | os.PathLike[str] | None = None,
        client: QdrantClient | None = None,
        **options: Any,
    ) -> LeafQdrantVectorStore:
        """Opens a collection if the leaf belongs to it; see :meth:`leaf_embed.qdrant.LeafCollection.open`."""
        return cls(LeafCollection.open(collection_name, encoder_of(embedding), path=path, client=client), **options)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        collection_name: str = "langchain",
        path: str | os.PathLike[str] | None = None,
        client: QdrantClient | None = None,
        spec: CollectionSpec | None = None,
        **options: Any,
    ) -> LeafQdrantVectorStore:
        """Adds texts to a collection, which is created if it does not exist.

        Args:
            texts: Texts; ``[]`` for an empty collection.
            embedding: :class:`LeafEmbeddings`, with a document encoder if there are texts.
            metadatas: One per text.
            ids: One per text; random ones by default.
            collection_name: Name of the collection.
            path: Directory of the embedded engine; pass it or ``client``.
            client: A ``QdrantClient``.
            spec: Vectors to store; see :class:`leaf_embed.qdrant.CollectionSpec`.
            options: For the store itself: ``relevance_score_fn``.
        """
        encoder = encoder_of(embedding)
        collection = open_or_create(collection_name, encoder, path=path, client=client, spec=spec)
        try:
            store = cls(collection, **options)
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            collection.close()  # whoever keeps the error keeps this frame: the directory must not stay in use
            raise
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        async_client: AsyncQdrantClient | None = None,
        **options: Any,
    ) -> LeafQdrantVectorStore:
        """:meth:`from_texts` over an ``AsyncQdrantClient``; without one, :meth:`from_texts` in a thread."""
        if async_client is None:
            return await asyncio.to_thread(cls.from_texts, texts, embedding, metadatas, ids=ids, **options)
        name, spec = options.pop("collection_name", "langchain"), options.pop("spec", None)
        opened = await aopen_or_create(name, encoder_of(embedding), client=async_client, spec=spec)
        store = cls(async_collection=opened, **options)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    @property
    def embeddings(self) -> LeafEmbeddings:
        """The embeddings: documents by the teacher, queries by the leaf."""
        return self._embeddings

    @property
    def collection(self) -> LeafCollection:
        """The sync collection."""
        return self._either.blocking

    def close(self) -> None:
        """Closes the sync collection, if there is one; another object that opened the same one is not affected."""
        self._either.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embeds texts by the teacher, stores them and returns their ids.

        A document of the same id is replaced; an unchanged text is not embedded again.

        Args:
            texts: Texts.
            metadatas: One per text; any JSON values.
            ids: One per text; a random one for ``None``.
            kwargs: Options of :meth:`leaf_embed.qdrant.LeafCollection.index`.
        """
        documents = leaf_documents(texts, metadatas, ids)
        if documents:
            self._either.blocking.index(documents, **kwargs)
        return [str(document.id) for document in documents]

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Async form of :meth:`add_texts`."""
        documents = leaf_documents(texts, metadatas, ids)
        if documents:
            await self._either.call("index", documents, **kwargs)
        return [str(document.id) for document in documents]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Deletes documents by their ids; one that does not exist is no error.

        Raises:
            InputError: No ids: leaving them out never empties a store.
        """
        self._either.blocking.delete(required(ids))
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Async form of :meth:`delete`."""
        await self._either.call("delete", required(ids))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Returns documents by their ids, in that order; missing ones are left out."""
        return [document_of(found) for found in self._either.blocking.get(ids)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Async form of :meth:`get_by_ids`."""
        return [document_of(found) for found in await self._either.call("get", ids)]
