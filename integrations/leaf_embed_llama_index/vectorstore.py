"""LeafQdrantVectorStore: LlamaIndex's vector store over a collection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from leaf_embed.qdrant import AsyncLeafCollection, EitherCollection, LeafCollection, StoredDocument
from leaf_embed_llama_index.convert import leaf_document, node_of, result_of, search_call, selects, where_of
from leaf_embed_llama_index.embedding import LeafEmbedding

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LeafQdrantVectorStore"]


class LeafQdrantVectorStore(BasePydanticVectorStore):
    """A vector store over a Qdrant collection of one embedding space, searched by the leaf::

        store = LeafQdrantVectorStore(open_or_create("docs", leaf, path="collections"))
        index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)

    Queries are encoded by the collection's own leaf, whatever ``Settings.embed_model`` is. Nodes come with vectors of
    the index: the first ones are compared with the leaf's, to recognise another model. With ``is_embedding_query=True``
    the index encodes queries too (as query transformations such as HyDE need).

    Options of the collection's search are passed through ``vector_store_kwargs``.
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    _check_vectors: bool = PrivateAttr()
    _either: EitherCollection = PrivateAttr()

    def __init__(
        self,
        collection: LeafCollection | None = None,
        *,
        async_collection: AsyncLeafCollection | None = None,
        is_embedding_query: bool = False,
        check_vectors: bool = True,
    ) -> None:
        """Wraps an open collection, which the caller closes.

        Args:
            collection: For the sync methods; the async ones use it in a thread.
            async_collection: For the async methods, over an ``AsyncQdrantClient``.
            is_embedding_query: Whether the index encodes queries, instead of the collection's leaf.
            check_vectors: Whether a random sample of each batch's vectors is compared with the leaf's.

        Raises:
            InputError: No collection, or something else.
        """
        super().__init__(stores_text=True, is_embedding_query=is_embedding_query)
        self._check_vectors = check_vectors
        self._either = EitherCollection(collection, async_collection)

    @classmethod
    def class_name(cls) -> str:
        """Returns the name in serialized form."""
        return "LeafQdrantVectorStore"

    @property
    def client(self) -> LeafCollection:
        """The sync collection."""
        return self._either.blocking

    @property
    def embed_model(self) -> LeafEmbedding:
        """The embedding for the index's nodes."""
        return LeafEmbedding(self._either.described.leaf)

    def close(self) -> None:
        """Closes the sync collection, if there is one; another object that opened the same one is not affected."""
        self._either.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Stores nodes with their vectors.

        Raises:
            InputError: A node has no vector, or cannot be stored.
            SpaceMismatchError: The vectors are not of the collection's space.
        """
        documents = self._checked(nodes)
        if documents:
            self._either.blocking.index_vectors(documents)
        return [node.node_id for node in nodes]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Async form of :meth:`add`."""
        documents = await asyncio.to_thread(self._checked, nodes)
        if documents:
            await self._either.call("index_vectors", documents)
        return [node.node_id for node in nodes]

    def _checked(self, nodes: Sequence[BaseNode]) -> list[StoredDocument]:
        documents = [leaf_document(node) for node in nodes]
        if documents and self._check_vectors:
            self._either.described.verify_vectors(documents)
        return documents

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Returns the nearest nodes, by cosine (or dot product)."""
        method, asked, options = search_call(query, **kwargs)
        return result_of(getattr(self._either.blocking, method)(asked, **options))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Async form of :meth:`query`."""
        method, asked, options = search_call(query, **kwargs)
        return result_of(await self._either.call(method, asked, **options))

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Returns nodes with their vectors, by ids, by a filter, or by both; all without either, none for no ids."""
        if node_ids is not None and not node_ids:
            return []
        where = where_of(filters, nodes=node_ids)
        return [node_of(found) for found in self._either.documents(where, with_vectors=True)]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Async form of :meth:`get_nodes`."""
        if node_ids is not None and not node_ids:
            return []
        where = where_of(filters, nodes=node_ids)
        return [node_of(found) for found in await self._either.adocuments(where, with_vectors=True)]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Deletes the nodes of a document."""
        self._delete(self._either.documents(where_of(None, documents=[ref_doc_id])))

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Async form of :meth:`delete`."""
        await self._adelete(await self._either.adocuments(where_of(None, documents=[ref_doc_id])))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Deletes nodes by their ids, by a filter, or by both; none without either, :meth:`clear` deletes all."""
        if selects(node_ids, filters):
            self._delete(self._either.documents(where_of(filters, nodes=node_ids)))

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Async form of :meth:`delete_nodes`."""
        if selects(node_ids, filters):
            await self._adelete(await self._either.adocuments(where_of(filters, nodes=node_ids)))

    def clear(self) -> None:
        """Deletes every node; the collection stays."""
        self._delete(self._either.documents())

    async def aclear(self) -> None:
        """Async form of :meth:`clear`."""
        await self._adelete(await self._either.adocuments())

    def _delete(self, found: list[StoredDocument]) -> None:
        self._either.blocking.delete([document.id for document in found])

    async def _adelete(self, found: list[StoredDocument]) -> None:
        await self._either.call("delete", [document.id for document in found])
