"""A collection that knows its model: documents by the teacher, queries by a leaf, one space."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from leaf_embed import vectors
from leaf_embed.canaries import LEAF_FLOOR, CanaryReport
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionError
from leaf_embed.qdrant.backend import Points
from leaf_embed.qdrant.documents import Document, Hit, IndexReport, hit
from leaf_embed.qdrant.index import Progress, index_documents
from leaf_embed.qdrant.metadata import CollectionMetadata
from leaf_embed.qdrant.search import Filter, plan_search
from leaf_embed.qdrant.spec import CollectionSpec
from leaf_embed.qdrant.stores import read_metadata, store_of
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["LeafCollection"]


class LeafCollection:
    """A Qdrant collection of one embedding space.

    Make one with :meth:`create` or :meth:`open`; close it, or use it as a context manager::

        leaf = leaf_embed.load("my-leaf", document="teacher")
        with LeafCollection.create("docs", leaf, path="collections") as docs:
            docs.index([Document(id="a", text="The sky scatters blue light.")])
            docs.search("why is the sky blue?")[0].text

    Nothing here ever drops or recreates a collection.
    """

    def __init__(self, points: Points, metadata: CollectionMetadata, leaf: Encoder) -> None:
        """Called by :meth:`create` and :meth:`open`, which check what is given here."""
        self._points = points
        self._metadata = metadata
        self._leaf = leaf
        self._closed = False

    @classmethod
    def create(
        cls,
        name: str,
        leaf: Encoder,
        *,
        path: str | os.PathLike[str] | None = None,
        client: QdrantClient | None = None,
        spec: CollectionSpec | None = None,
        check_canaries: bool = True,
    ) -> LeafCollection:
        """Make an empty collection of the leaf's space.

        Args:
            name: Its name.
            leaf: Encodes documents and queries; usually a :class:`~leaf_embed.LeafEncoder`.
            path: Directory that holds collections of the embedded engine, each in a subdirectory of its name.
            client: A client of a server, or in local mode. Give either ``path`` or ``client``.
            spec: Which vectors to store; :meth:`CollectionSpec.for_space` by default.
            check_canaries: Whether the leaf has to prove by the canaries of its space (four short queries) that it
                writes into it. A space without canaries cannot be asked; the fingerprint alone guards it.

        Raises:
            CollectionExistsError: There is a collection of this name.
            CollectionError: The engine or the server refused.
            InputError: A value that cannot be used, such as truncated dimensions that are not below the space's.
            SpaceMismatchError: The leaf does not write into the space it declares.
        """
        space = leaf.space
        store = store_of(path, client)
        metadata = CollectionMetadata(name, space, spec or CollectionSpec.for_space(space))
        if check_canaries:
            _check_canaries(space, leaf)
        return cls(store.create(metadata), metadata, leaf)

    @classmethod
    def open(
        cls,
        name: str,
        leaf: Encoder,
        *,
        path: str | os.PathLike[str] | None = None,
        client: QdrantClient | None = None,
        check_canaries: bool = True,
    ) -> LeafCollection:
        """Open a collection, if the leaf belongs to it. See :meth:`create` for the arguments.

        Raises:
            CollectionNotFoundError: There is none of this name; the message lists those that are there.
            CollectionError: It does not say which model wrote it, is open elsewhere, or is damaged.
            SpaceMismatchError: The leaf declares another space, or its vectors of the canaries stored with the
                collection show that it is another model.
        """
        store = store_of(path, client)
        metadata = read_metadata(name, path=path, client=client)
        metadata.space.require_same(
            leaf.space,
            mine=f"the collection {name!r}",
            theirs="the leaf",
            advice="Open it with a leaf of the collection's space, or index the documents into a new collection.",
        )
        if check_canaries:
            _check_canaries(metadata.space, leaf)
        return cls(store.open(metadata), metadata, leaf)

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

    def index(
        self,
        docs: Iterable[Document | Mapping[str, Any]],
        *,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Bring documents into the collection; those that are there unchanged cost no embedding.

        A batch is checked as a whole before its first write. If one cannot be used, the batches before it are kept
        and the call can be repeated. An unchanged run never loads the teacher.

        Args:
            docs: Documents, or mappings with ``_id``, ``text`` and optionally ``title`` and ``payload``; other keys
                join the payload. A generator is read a batch at a time.
            batch_size: Documents in memory at a time. An id may occur once per batch; in a later batch it replaces.
            progress: Called after each batch with the documents done and, if ``docs`` has a length, their total.

        Returns:
            How many documents were new, changed and unchanged.

        Raises:
            InputError: No document at all, one that cannot be used, or two with one id in a batch.
            VectorError: The document encoder gave vectors of a wrong size, or with NaN.
            SpaceMismatchError: The document encoder does not write into the collection's space.
            CollectionError: The engine or the server refused.
        """
        return index_documents(
            self._open_points, self._metadata, self._leaf, docs, batch_size=batch_size, progress=progress
        )

    def search(
        self,
        query: str | Sequence[float] | FloatArray,
        *,
        limit: int = 10,
        offset: int = 0,
        where: Filter | None = None,
        exact: bool = False,
        mrl: int | None = None,
        candidates: int | None = None,
    ) -> list[Hit]:
        """The documents nearest to a query.

        Candidates come from a truncated vector and are ranked by the full one, which is never quantized.

        Args:
            query: A text, encoded by the leaf, or a vector of the collection's space, shape ``(dim,)``.
            limit: Hits to return.
            offset: Hits to skip.
            where: Fields of the payload with the value, or list of values, they must have: ``{"lang": "en"}``.
                A dot leads into a nested object.
            exact: Compare with every full vector: slow and complete.
            mrl: Truncated dimensions to take candidates from; the first of the spec by default.
            candidates: How many to take; ``max(50, 10 * (limit + offset))`` by default.

        Raises:
            InputError: A value that cannot be used.
            VectorError: A query vector of a wrong size, or with NaN or only zeros.
            CollectionError: The engine or the server refused.
        """
        points = self._open_points
        vector = self._vector(query)
        plan = plan_search(
            vector, self.spec, limit=limit, offset=offset, exact=exact, mrl=mrl, candidates=candidates, where=where
        )
        return [hit(found.id, found.score, found.payload) for found in points.query(plan)]

    def count(self) -> int:
        """Number of documents, exact."""
        return self._open_points.count()

    def verify(self) -> CanaryReport:
        """Prove with the stored canaries that the leaf's query side writes into the collection's space.

        Raises:
            SpaceMismatchError: It does not.
            InputError: The collection's space has no canaries.
        """
        return self.space.verify(self._leaf, floor=LEAF_FLOOR, roles=("query",), name="the leaf")

    def describe(self) -> dict[str, Any]:
        """What the collection is, as JSON values: name, teacher, fingerprint, vectors, points, state of the engine."""
        points = self._open_points
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
            "points": points.count(),
            **points.describe(),
        }

    def close(self) -> None:
        """Let go of the collection, so that another process may open it; the client, if any, stays open."""
        if not self._closed:
            self._closed = True
            self._points.close()

    def __enter__(self) -> LeafCollection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"LeafCollection({self.name!r}, {self.space.describe()}{state})"

    def _vector(self, query: str | Sequence[float] | FloatArray) -> FloatArray:
        """A checked query vector, shape ``(dim,)``, float32."""
        source = "the query encoder" if isinstance(query, str) else "the query"
        rows: list[Any] = [self._leaf.encode_query(query) if isinstance(query, str) else query]
        checked: FloatArray = vectors.as_vectors(rows, self.space.dim, source=source)[0]
        return checked

    @property
    def _open_points(self) -> Points:
        if self._closed:
            raise CollectionError(f"the collection {self.name!r} is closed; open it again with LeafCollection.open")
        return self._points


def _check_canaries(space: EmbeddingSpace, leaf: Encoder) -> None:
    if space.canaries is not None and any(role == "query" for role, _ in space.canaries.texts):
        space.verify(leaf, floor=LEAF_FLOOR, roles=("query",), name="the leaf")
