"""What the blocking and the async collection share: everything that needs no engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.canaries import CanaryReport
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionError, InputError
from leaf_embed.qdrant.backends.base import PointId, Record, ScoredPoint
from leaf_embed.qdrant.index import VectorSource
from leaf_embed.qdrant.query.filters import Filter, FilterJson, parse_filter
from leaf_embed.qdrant.query.plan import Search, SearchOptions, SearchPlan, filter_prefix, plan_search
from leaf_embed.qdrant.schema.documents import Document, Hit, StoredDocument, as_document, hit, stored_document
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

__all__ = ["CollectionBase", "Query", "require_canaries", "require_leaf", "with_vectors"]

Query: TypeAlias = "str | Sequence[float] | FloatArray"

BATCH = 64  # searches of one request


class CollectionBase:
    """A collection's metadata and leaf, and the arithmetic between documents, vectors and points."""

    def __init__(self, metadata: CollectionMetadata, leaf: Encoder) -> None:
        self._metadata = metadata
        self._leaf = leaf
        self._closed = False

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._metadata.name

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its vectors, as stored with it."""
        return self._metadata.space

    @property
    def spec(self) -> CollectionSpec:
        """Which vectors it stores."""
        return self._metadata.spec

    @property
    def leaf(self) -> Encoder:
        """The encoder it was opened with."""
        return self._leaf

    def verify(self) -> CanaryReport:
        """Prove with the stored canaries that the leaf's query side writes into the collection's space.

        Raises:
            SpaceMismatchError: It does not.
            InputError: The collection's space has no canaries.
        """
        return self.space.verify_leaf(self._leaf, roles=("query",))

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"{type(self).__name__}({self.name!r}, {self.space.describe()}{state})"

    def _require_open(self) -> None:
        if self._closed:
            raise CollectionError(f"the collection {self.name!r} is closed; open it again with LeafCollection.open")

    def _vectors(self, queries: Sequence[Query]) -> FloatArray:
        """Checked query vectors, shape ``(n, dim)``, float32; all texts are encoded together."""
        texts = [query for query in queries if isinstance(query, str)]
        encoded = iter(self._leaf.encode_query(texts)) if texts else iter(())
        rows: list[Any] = [next(encoded) if isinstance(query, str) else query for query in queries]
        source = "the query encoder" if texts else "the query"
        return vectors.as_vectors(rows, self.space.dim, source=source)

    def _plan(
        self, query: Query, vector: FloatArray, *, with_vector: bool = False, **options: Unpack[SearchOptions]
    ) -> SearchPlan:
        search = Search(**options)
        if search.hybrid is not False:
            self._require_words()
        text = query if isinstance(query, str) else None
        prefix = filter_prefix(self._metadata)
        return plan_search(vector, self.spec, search, text=text, prefix=prefix, with_vector=with_vector)

    def _require_words(self) -> None:
        if not self.spec.has_words:
            raise InputError(
                f"the collection {self.name!r} keeps no words (BM25 vectors), so it cannot be searched for them. "
                "Make a new one with CollectionSpec(sparse='bm25') and copy, no teacher is asked: "
                "new.index_vectors(old.iter_documents(with_vectors=True))"
            )

    def _plans(self, queries: Sequence[Query], options: SearchOptions) -> list[list[SearchPlan]]:
        """Plans in groups of one request each."""
        if isinstance(queries, str):
            raise InputError("search_batch takes a list of queries; got one text. Use [text], or search")
        if not len(queries):
            return []
        vectors_ = self._vectors(queries)
        plans = [self._plan(query, vector, **options) for query, vector in zip(queries, vectors_, strict=True)]
        return [plans[start : start + BATCH] for start in range(0, len(plans), BATCH)]

    def _mmr_plan(self, query: Query, limit: int, fetch: int, where: Filter | None) -> SearchPlan:
        if not 1 <= limit <= fetch:
            raise InputError(f"expected 1 ≤ limit ≤ fetch; got limit={limit} and fetch={fetch}")
        return self._plan(query, self._vectors([query])[0], with_vector=True, limit=fetch, where=where)

    def _mmr_hits(self, found: list[ScoredPoint], plan: SearchPlan, limit: int, diversity: float) -> list[Hit]:
        if not 0 <= diversity <= 1:
            raise InputError(f"diversity must lie between 0 and 1; got {diversity}")
        if not found:
            return []
        rows = [point.vector for point in found]
        chosen = vectors.max_marginal_relevance(plan.vector, np.asarray(rows, np.float32), limit, diversity)
        return [self._hit(found[place]) for place in chosen]

    def _hit(self, point: ScoredPoint) -> Hit:
        return hit(point.id, point.score, point.payload, self._metadata.text_key)

    def _document(self, record: Record) -> StoredDocument:
        vector = None if record.vector is None else np.asarray(record.vector, dtype=np.float32)
        return stored_document(record.id, record.payload, vector, self._metadata.text_key)

    def _in_order(self, points: Sequence[PointId], records: Iterable[Record]) -> list[StoredDocument]:
        found = {record.id: record for record in records}
        return [self._document(found[point]) for point in points if point in found]

    def _points_of(self, ids: Iterable[str | int]) -> list[PointId]:
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise InputError(f"expected a list of document ids; got a single {type(ids).__name__}")
        return [self._metadata.point_id(name) for name in ids]

    def _filter(self, where: Filter | None) -> FilterJson | None:
        return parse_filter(where, filter_prefix(self._metadata))

    def _described(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "teacher": self.space.teacher,
            "fingerprint": self.space.fingerprint,
            "dim": self.space.dim,
            "distance": self.spec.distance_for(self.space),
            "vectors": self.spec.vector_dims(self.space),
            "spec": self.spec.to_dict(),
            "canaries": 0 if self.space.canaries is None else len(self.space.canaries.texts),
            "made_by": self._metadata.made_by,
        }


def with_vectors(
    docs: Iterable[Any],
    given: Iterable[ArrayLike] | Callable[[list[str]], ArrayLike] | None,
    space: EmbeddingSpace | None,
    metadata: CollectionMetadata,
) -> tuple[Iterable[Any], VectorSource]:
    """Documents, and where their vectors come from without an encoder.

    Raises:
        SpaceMismatchError: ``space`` is another than the collection's.
    """
    if space is not None:
        metadata.space.require_same(
            space,
            mine=f"the collection {metadata.name!r}",
            theirs="the vectors",
            advice="Give vectors of the collection's own teacher, or index them into a new collection.",
        )
    if callable(given):
        lookup = given
        return docs, lambda documents: lookup([document.embedded_text for document in documents])
    return (docs if given is None else _paired(docs, given)), _carried


def _paired(docs: Iterable[Any], given: Iterable[ArrayLike]) -> Iterable[StoredDocument]:
    """Each document with its row; as many of the one as of the other."""
    rows, place = iter(given), -1
    for place, value in enumerate(docs):
        row = next(rows, None)
        if row is None:
            raise InputError(f"there are {place} vectors but more documents; expected one vector a document")
        document = as_document(value, place)
        vector = np.asarray(row, dtype=np.float32)
        yield StoredDocument(document.id, document.text, document.title, document.payload, vector)
    if next(rows, None) is not None:
        raise InputError(f"there are {place + 1} documents but more vectors; expected one vector a document")


def _carried(documents: Sequence[Document]) -> ArrayLike:
    rows = [document.vector if isinstance(document, StoredDocument) else None for document in documents]
    bare = [document.id for document, row in zip(documents, rows, strict=True) if row is None]
    if bare:
        raise InputError(f"document {bare[0]!r:.80} came without a vector ({len(bare)} of {len(documents)} did)")
    return cast(ArrayLike, rows)


def require_canaries(space: EmbeddingSpace, leaf: Encoder) -> None:
    """Let nobody search who does not write into the space.

    Raises:
        SpaceMismatchError: The leaf's query side fails the canaries.
    """
    if space.canaries is not None and any(role == "query" for role, _ in space.canaries.texts):
        space.verify_leaf(leaf, roles=("query",))


def require_leaf(metadata: CollectionMetadata, leaf: Encoder, *, canaries: bool) -> None:
    """Refuse a leaf that does not belong to a collection.

    Raises:
        SpaceMismatchError: It declares another space, or fails the canaries.
    """
    metadata.space.require_same(
        leaf.space,
        mine=f"the collection {metadata.name!r}",
        theirs="the leaf",
        advice="Open it with a leaf of the collection's space, or index the documents into a new collection.",
    )
    if canaries:
        require_canaries(metadata.space, leaf)
