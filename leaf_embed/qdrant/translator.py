"""The translator between the callers of a collection and its engine: queries to plans, points to hits and documents.

Nothing here reads or writes, so that the sync and the async collection share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from leaf_embed import vectors
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.qdrant.backends.base import PointId, Record, ScoredPoint
from leaf_embed.qdrant.query.filters import Filter, FilterJson, parse_filter
from leaf_embed.qdrant.query.pages import Pages
from leaf_embed.qdrant.query.plan import Search, SearchOptions, SearchPlan, plan_search
from leaf_embed.qdrant.schema.documents import Hit, StoredDocument
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Query", "Translator"]

Query: TypeAlias = "str | Sequence[float] | FloatArray"

BATCH = 64  # searches per request


@dataclass(frozen=True)
class Translator:
    """Translates for one collection.

    Attributes:
        metadata: Metadata of the collection.
        leaf: Encoder of its queries.
    """

    metadata: CollectionMetadata
    leaf: Encoder

    def query_vectors(self, queries: Sequence[Query]) -> FloatArray:
        """Returns checked query vectors, shape ``(n, dim)``, float32; all texts are encoded in one call."""
        texts = [query for query in queries if isinstance(query, str)]
        encoded = iter(self.leaf.encode_query(texts)) if texts else iter(())
        rows: list[Any] = [next(encoded) if isinstance(query, str) else query for query in queries]
        source = "the query encoder" if texts else "the query"
        return vectors.as_vectors(rows, self.metadata.space.dim, source=source)

    def plan(self, query: Query, **options: Unpack[SearchOptions]) -> SearchPlan:
        """Returns the plan of one search; of a page that comes from several rankings, that of the deepest."""
        search = Search(**options)
        depth = Pages(search).searches()[-1][1]
        return self._plan(query, self.query_vectors([query])[0], search, depth=depth)

    def plans(self, queries: Sequence[Query], options: SearchOptions) -> list[list[SearchPlan]]:
        """Returns the plans of several searches, in groups of one request each."""
        if isinstance(queries, str):
            raise InputError("search_batch takes a list of queries; got one text. Use [text], or search")
        if (
            not isinstance(queries, Sequence | np.ndarray)
            or isinstance(queries, bytes)
            or getattr(queries, "shape", None) == ()
        ):
            raise InputError(f"search_batch takes a list of queries; got a single {type(queries).__name__}")
        if not len(queries):
            return []
        searches, rows = Pages(Search(**options)).searches(), self.query_vectors(queries)
        plans = [
            self._plan(query, row, search, depth=depth)
            for query, row in zip(queries, rows, strict=True)
            for search, depth in searches
        ]
        return [plans[start : start + BATCH] for start in range(0, len(plans), BATCH)]

    def pages(self, answers: Sequence[list[ScoredPoint]], options: SearchOptions) -> list[list[Hit]]:
        """Returns the hits of each query out of the answers to all of :meth:`plans`."""
        pages = Pages(Search(**options))
        each = len(pages.searches())
        groups = (answers[start : start + each] for start in range(0, len(answers), each))
        return [self.hits(pages.page(group, lambda point: point.id)) for group in groups]

    def _plan(
        self,
        query: Query,
        vector: FloatArray,
        search: Search,
        *,
        with_vector: bool = False,
        depth: int | None = None,
    ) -> SearchPlan:
        if search.hybrid is not False and not self.metadata.spec.has_bm25:
            raise InputError(
                f"the collection {self.metadata.name!r} has no BM25 vectors, so hybrid searches are not possible. Make "
                "a new one with CollectionSpec(sparse='bm25') and copy, no teacher is asked: "
                "new.index_vectors(old.iter_documents(with_vectors=True))"
            )
        text, prefix = query if isinstance(query, str) else None, self.metadata.payload_layout.filter_prefix
        return plan_search(
            vector, self.metadata.spec, search, text=text, prefix=prefix, with_vector=with_vector, depth=depth
        )

    def mmr_plan(self, query: Query, limit: int, fetch: int, where: Filter | None) -> SearchPlan:
        """Returns the plan of a search whose hits :meth:`mmr_hits` chooses from."""
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (limit, fetch))
        if not whole or not 1 <= limit <= fetch:
            raise InputError(
                f"expected whole numbers 1 ≤ limit ≤ fetch; got limit={limit!r:.80} and fetch={fetch!r:.80}"
            )
        return self._plan(query, self.query_vectors([query])[0], Search(limit=fetch, where=where), with_vector=True)

    def mmr_hits(self, found: list[ScoredPoint], plan: SearchPlan, limit: int, diversity: float) -> list[Hit]:
        """Returns ``limit`` of the hits by maximal marginal relevance, in the order in which they are chosen.

        The engine's own MMR is not used: where ``full`` is compared by dot products it ranks by these, not by cosines,
        and our plan of two stages has no place for it.
        """
        if not isinstance(diversity, Real) or not 0 <= diversity <= 1:
            raise InputError(f"diversity must be a number between 0 and 1; got {diversity!r:.80}")
        if not found:
            return []
        rows = [point.vector for point in found]
        chosen = vectors.max_marginal_relevance(plan.vector, np.asarray(rows, np.float32), limit, diversity)
        return self.hits([found[index] for index in chosen])

    def filter(self, where: Filter | None) -> FilterJson | None:
        """Returns the filter over the stored payload in Qdrant's REST form."""
        return parse_filter(where, self.metadata.payload_layout.filter_prefix)

    def point_ids(self, ids: Iterable[str | int]) -> list[PointId]:
        """Returns the ids of the points of documents."""
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise InputError(f"expected a list of document ids; got a single {type(ids).__name__}")
        names = list(ids)
        for name in names:
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise InputError(f"a document's id is a text or a whole number; got {name!r:.80}")
        return [self.metadata.point_id(name) for name in names]

    def hits(self, found: Iterable[ScoredPoint]) -> list[Hit]:
        """Returns the hits that points of an answer stand for."""
        fields = self.metadata.payload_layout.fields
        return [Hit(score=point.score, **fields(point.id, point.payload)) for point in found]

    def document(self, record: Record) -> StoredDocument:
        """Returns the document that a stored point stands for."""
        vector = None if record.vector is None else np.asarray(record.vector, dtype=np.float32)
        return StoredDocument(vector=vector, **self.metadata.payload_layout.fields(record.id, record.payload))

    def documents(self, points: Sequence[PointId], records: Iterable[Record]) -> list[StoredDocument]:
        """Returns the documents of the records in the order of ``points``; missing ones are left out."""
        found = {record.id: record for record in records}
        return [self.document(found[point]) for point in points if point in found]

    def description(self) -> dict[str, Any]:
        """Returns the metadata of the collection as JSON values."""
        space, spec = self.metadata.space, self.metadata.spec
        return {
            "name": self.metadata.name,
            "teacher": space.teacher,
            "fingerprint": space.fingerprint,
            "dim": space.dim,
            "distance": spec.distance_for(space),
            "vectors": spec.vector_dims(space),
            "spec": spec.to_dict(),
            "canaries": 0 if space.canaries is None else len(space.canaries.texts),
            "made_by": self.metadata.made_by,
        }
