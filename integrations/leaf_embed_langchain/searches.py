"""Searches: the searching methods of LangChain's ``VectorStore`` over a collection, sync and async."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from leaf_embed.errors import InputError
from leaf_embed.qdrant import EitherCollection
from leaf_embed_langchain.convert import document_of, scored

__all__ = ["Searches", "relevance_of_cosine", "require_retriever_options"]


class Searches(VectorStore):
    """The searches of a vector store; queries are encoded by the collection's leaf.

    Options of every search are ``filter`` and, without MMR, those of :meth:`leaf_embed.qdrant.LeafCollection.search`.
    """

    _either: EitherCollection
    _relevance_score_fn: Callable[[float], float] | None

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """Returns a retriever; a search's options, ``filter`` included, go into ``search_kwargs``.

        Raises:
            InputError: An option that no retriever has, which LangChain itself would leave out in silence.
        """
        require_retriever_options(kwargs)
        return super().as_retriever(**kwargs)

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Returns the ``k`` documents nearest to a query."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Async form of :meth:`similarity_search`."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, **kwargs)]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """Returns the ``k`` documents nearest to a vector of the collection's space, ``dim`` floats."""
        return [document for document, _ in self.similarity_search_with_score(embedding, k, **kwargs)]

    async def asimilarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """Async form of :meth:`similarity_search_by_vector`."""
        return [document for document, _ in await self.asimilarity_search_with_score(embedding, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str | list[float], k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Returns the nearest documents with their cosines (or dot products); higher is nearer."""
        return scored(self._either.blocking.search(query, limit=k, **_options(**kwargs)))

    async def asimilarity_search_with_score(
        self, query: str | list[float], k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Async form of :meth:`similarity_search_with_score`."""
        return scored(await self._either.call("search", query, limit=k, **_options(**kwargs)))

    def max_marginal_relevance_search(
        self, query: str | list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Returns documents near to a query and different from each other, chosen among the ``fetch_k`` nearest.

        Stored vectors are compared; only the query is embedded. ``lambda_mult`` 1 is nearness alone.
        """
        options = _mmr_options(k, fetch_k, lambda_mult, **kwargs)
        return [document_of(hit) for hit in self._either.blocking.search_mmr(query, **options)]

    async def amax_marginal_relevance_search(
        self, query: str | list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Async form of :meth:`max_marginal_relevance_search`."""
        options = _mmr_options(k, fetch_k, lambda_mult, **kwargs)
        return [document_of(hit) for hit in await self._either.call("search_mmr", query, **options)]

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """:meth:`max_marginal_relevance_search` for a vector of the collection's space, ``dim`` floats."""
        return self.max_marginal_relevance_search(embedding, k, fetch_k, lambda_mult, **kwargs)

    async def amax_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Async form of :meth:`max_marginal_relevance_search_by_vector`."""
        return await self.amax_marginal_relevance_search(embedding, k, fetch_k, lambda_mult, **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self._relevance_score_fn is not None:
            return self._relevance_score_fn
        described = self._either.described
        if described.spec.distance_for(described.space) != "cosine":
            raise InputError(
                f"the collection {described.name!r} compares by dot product, which has no bounds, so a relevance "
                "between 0 and 1 does not follow from it. Pass relevance_score_fn, or search with score_threshold."
            )
        return relevance_of_cosine


def require_retriever_options(options: Iterable[str]) -> None:
    """Refuses options that no retriever has, which LangChain itself would leave out in silence.

    Raises:
        InputError: There is one.
    """
    unknown = sorted(set(options) - set(VectorStoreRetriever.model_fields))
    if unknown:
        raise InputError(
            f"as_retriever has no option {', '.join(map(repr, unknown))}; the options of a search go into "
            "search_kwargs, such as search_kwargs={'k': 4, 'filter': {'lang': 'en'}}"
        )


def relevance_of_cosine(cosine: float) -> float:
    """Returns a cosine as a relevance between 0 and 1."""
    return min(1.0, max(0.0, (1 + cosine) / 2))  # rounding may leave a cosine a little above 1


def _options(*, filter: Any = None, **options: Any) -> dict[str, Any]:  # noqa: A002  LangChain's own name
    return {"where": filter, **options}


def _mmr_options(limit: int, fetch: int, nearness: float, **kwargs: Any) -> dict[str, Any]:
    return {"limit": limit, "fetch": max(limit, fetch), "diversity": 1 - nearness, **_options(**kwargs)}
