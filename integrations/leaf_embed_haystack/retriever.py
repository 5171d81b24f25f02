"""LeafQdrantRetriever: Haystack's retriever over a collection."""

from __future__ import annotations

import asyncio
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy
from haystack.document_stores.types.filter_policy import apply_filter_policy

from leaf_embed.errors import InputError
from leaf_embed_haystack.convert import document_of, where_of
from leaf_embed_haystack.store import LeafQdrantDocumentStore

__all__ = ["LeafQdrantRetriever"]


@component
class LeafQdrantRetriever:
    """Retriever of the documents nearest to a query, which the collection's own leaf encodes, not the teacher."""

    def __init__(
        self,
        document_store: LeafQdrantDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
        search_options: dict[str, Any] | None = None,
    ) -> None:
        """Sets the store and the options of every query.

        Args:
            document_store: Document store to search.
            filters: Haystack's filters, for every query.
            top_k: Documents to return.
            filter_policy: Whether a query's own filters replace these or are merged with them.
            search_options: Options of :meth:`leaf_embed.qdrant.LeafCollection.search`, such as ``{"exact": True}``.
        """
        self.document_store, self.filters, self.top_k = document_store, filters, top_k
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy
        self.search_options = dict(search_options or {})

    def warm_up(self) -> None:
        """Opens the collection, if it is not open."""
        _ = self.document_store.collection

    def to_dict(self) -> dict[str, Any]:
        """Returns the form for a pipeline file."""
        return default_to_dict(
            self,
            document_store=self.document_store,
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
            search_options=self.search_options,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LeafQdrantRetriever:
        """Reads the form in a pipeline file."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, Any]:
        """Returns the nearest documents with their scores, as ``documents``.

        Args:
            query: A text; pass it or ``query_embedding``.
            query_embedding: A vector of the collection's space, as :class:`LeafTextEmbedder` returns it.
            filters: Haystack's filters.
            top_k: Documents to return.

        Raises:
            InputError: Not exactly one of query and query_embedding.
            FilterError: A filter that a collection cannot express.
        """
        if (query is None) == (query_embedding is None):
            raise InputError("give either query (a text) or query_embedding (a vector of the collection's space)")
        asked: Any = query if query is not None else query_embedding
        where = where_of(apply_filter_policy(self.filter_policy, self.filters, filters))
        limit = self.top_k if top_k is None else top_k
        hits = self.document_store.collection.search(asked, limit=limit, where=where, **self.search_options)
        return {"documents": [document_of(hit) for hit in hits]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, Any]:
        """:meth:`run` in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, query, query_embedding, filters, top_k)
