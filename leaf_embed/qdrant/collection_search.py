"""The reading half of a collection: search it, read it, count it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from leaf_embed.encoders.base import Encoder
from leaf_embed.qdrant.backends.base import Points, read_pages
from leaf_embed.qdrant.collection_base import CollectionBase, Query
from leaf_embed.qdrant.query.bm25 import Fusion
from leaf_embed.qdrant.query.explain import Explanation, explain_plan
from leaf_embed.qdrant.query.filters import Filter
from leaf_embed.qdrant.schema.documents import Hit, StoredDocument
from leaf_embed.qdrant.schema.metadata import CollectionMetadata

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from leaf_embed.qdrant.query.plan import SearchOptions

__all__ = ["SearchableCollection"]


class SearchableCollection(CollectionBase):
    """What :class:`LeafCollection` answers."""

    def __init__(self, points: Points, metadata: CollectionMetadata, leaf: Encoder) -> None:
        super().__init__(metadata, leaf)
        self._points = points

    def search(
        self,
        query: Query,
        *,
        limit: int = 10,
        offset: int = 0,
        where: Filter | None = None,
        exact: bool = False,
        mrl: int | None = None,
        candidates: int | None = None,
        oversampling: float | None = None,
        hnsw_ef: int | None = None,
        score_threshold: float | None = None,
        hybrid: bool | Fusion = False,
        words: str | None = None,
    ) -> list[Hit]:
        """The documents nearest to a query.

        Candidates come from a truncated vector and are ranked by the full one, which is never quantized.

        Args:
            query: A text, encoded by the leaf, or a vector of the collection's space, shape ``(dim,)``.
            limit: Hits to return.
            offset: Hits to skip.
            where: Fields of the payload with the value, list of values or range they must have:
                ``{"lang": "en", "year": {"gte": 1990}}``. A dot leads into a nested object. The whole language, with
                any, not and or, is in :mod:`leaf_embed.qdrant.query.filters`.
            exact: Compare with every full vector: slow and complete.
            mrl: Truncated dimensions to take candidates from; the first of the spec by default.
            candidates: How many to take; ``max(400, 10 * (limit + offset))`` by default, and a multiple of it for
                quantization coarser than 4 bits.
            oversampling: Let the first stage take this many times more by its quantized vectors and rank them by
                its own unquantized ones. By default it does not, since the second stage does better.
            hnsw_ef: Size of the candidate list while the graph is searched; one and a half times the candidates by
                default.
            score_threshold: Least score of a hit.
            hybrid: Search by BM25 too, and fuse both rankings: ``"rrf"`` (or ``True``) by ranks, ``"dbsf"`` by scaled
                scores. The collection must have BM25 vectors: ``CollectionSpec(sparse="bm25")``. The score of a hit
                is then that of the fusion, no cosine.
            words: Text for BM25; the query itself by default.

        Raises:
            InputError: A value that cannot be used, or a hybrid search without BM25 vectors.
            VectorError: A query vector of a wrong size, or with NaN or only zeros.
            CollectionError: The engine or the server refused.
        """
        points = self._open_points
        plan = self._plan(
            query,
            self._vectors([query])[0],
            limit=limit,
            offset=offset,
            where=where,
            exact=exact,
            mrl=mrl,
            candidates=candidates,
            oversampling=oversampling,
            hnsw_ef=hnsw_ef,
            score_threshold=score_threshold,
            hybrid=hybrid,
            words=words,
        )
        return [self._hit(found) for found in points.query([plan])[0]]

    def explain(self, query: Query, **options: Unpack[SearchOptions]) -> Explanation:
        """What :meth:`search` would send for this query, and why; ``print`` it. Nothing is sent."""
        return explain_plan(self.name, self.spec, self._plan(query, self._vectors([query])[0], **options))

    def search_batch(self, queries: Sequence[Query], **options: Unpack[SearchOptions]) -> list[list[Hit]]:
        """:meth:`search` for several queries: texts are encoded together, searches travel together.

        Args:
            queries: Texts or vectors, or both.
            options: Those of :meth:`search`, for all of them.

        Returns:
            The hits of each query, in the order of the queries.
        """
        points = self._open_points
        groups = self._plans(queries, options)
        return [[self._hit(found) for found in hits] for plans in groups for hits in points.query(plans)]

    def search_mmr(
        self,
        query: Query,
        *,
        limit: int = 10,
        fetch: int = 50,
        diversity: float = 0.5,
        where: Filter | None = None,
    ) -> list[Hit]:
        """Hits that are near to the query and different from each other (maximal marginal relevance).

        The full vectors of ``fetch`` hits are read from the engine; the document encoder is never asked.

        Args:
            query: As for :meth:`search`.
            limit: Hits to return, in the order in which they were chosen.
            fetch: Nearest hits to choose from.
            diversity: 0 chooses by nearness to the query alone, 1 by distance from what was chosen alone.
            where: As for :meth:`search`.
        """
        plan = self._mmr_plan(query, limit, fetch, where)
        return self._mmr_hits(self._open_points.query([plan])[0], plan, limit, diversity)

    def get(self, ids: Iterable[str | int], *, with_vectors: bool = False) -> list[StoredDocument]:
        """Documents by their ids, in the order asked for; those that are not there are left out.

        Args:
            ids: Ids as they were given to :meth:`index`.
            with_vectors: Whether to read the full vectors too.
        """
        points = self._points_of(ids)
        return self._in_order(points, self._open_points.records(points, vector=with_vectors))

    def iter_documents(
        self, *, with_vectors: bool = False, where: Filter | None = None, page_size: int = 256
    ) -> Iterator[StoredDocument]:
        """Every document, in no particular order, read a page at a time.

        What is written meanwhile may or may not come.

        Args:
            with_vectors: Whether to read the full vectors too.
            where: As for :meth:`search`.
            page_size: Documents in memory at a time.
        """
        pages = read_pages(self._open_points, page_size, self._filter(where), vector=with_vectors)
        for records in pages:
            yield from map(self._document, records)

    def count(self, where: Filter | None = None) -> int:
        """Number of documents, exact; with a filter, of those that it lets through."""
        return self._open_points.count(self._filter(where))

    def describe(self) -> dict[str, Any]:
        """What the collection is, as JSON values: name, teacher, fingerprint, vectors, points, state of the engine."""
        points = self._open_points
        return {**self._described(), "points": points.count(), **points.describe()}

    def close(self) -> None:
        """Let go of the collection, so that another process may open it; the client, if any, stays open."""
        if not self._closed:
            self._closed = True
            self._points.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _open_points(self) -> Points:
        self._require_open()
        return self._points
