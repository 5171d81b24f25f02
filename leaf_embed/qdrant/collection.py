"""A collection that knows its model: documents by the teacher, queries by a leaf, one space."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from leaf_embed.canaries import TEACHER_FLOOR
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionError
from leaf_embed.qdrant.adopt import adopted_spec, prove_documents
from leaf_embed.qdrant.backend import Page, Points, Store
from leaf_embed.qdrant.collection_base import CollectionBase, Query, require_canaries, require_leaf, with_vectors
from leaf_embed.qdrant.documents import Document, Hit, IndexReport, StoredDocument
from leaf_embed.qdrant.explain import Explanation, explain_plan
from leaf_embed.qdrant.index import IndexRun, Optimize, Progress, encoder_source, index_documents
from leaf_embed.qdrant.layout import check_layout
from leaf_embed.qdrant.metadata import CollectionMetadata
from leaf_embed.qdrant.migrate import truncated_rows, with_mrl, with_quantization
from leaf_embed.qdrant.retry import Retry
from leaf_embed.qdrant.search import Filter
from leaf_embed.qdrant.spec import CollectionSpec
from leaf_embed.qdrant.stores import find_collection, store_of
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from typing_extensions import Unpack

    from leaf_embed.qdrant.search import SearchOptions

__all__ = ["LeafCollection"]


class LeafCollection(CollectionBase):
    """A Qdrant collection of one embedding space.

    Make one with :meth:`create` or :meth:`open`; close it, or use it as a context manager::

        leaf = leaf_embed.load("my-leaf", document="teacher")
        with LeafCollection.create("docs", leaf, path="collections") as docs:
            docs.index([Document(id="a", text="The sky scatters blue light.")])
            docs.search("why is the sky blue?")[0].text

    Nothing here ever drops or recreates a collection.
    """

    def __init__(self, store: Store, points: Points, metadata: CollectionMetadata, leaf: Encoder) -> None:
        """Called by :meth:`create` and :meth:`open`, which check what is given here."""
        super().__init__(metadata, leaf)
        self._store = store
        self._points = points

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
        retry: Retry | None = None,
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
            retry: How often a busy server is asked again; see :class:`~leaf_embed.qdrant.Retry`.

        Raises:
            CollectionExistsError: There is a collection of this name.
            CollectionError: The engine or the server refused.
            InputError: A value that cannot be used, such as truncated dimensions that are not below the space's.
            SpaceMismatchError: The leaf does not write into the space it declares.
        """
        space = leaf.space
        store = store_of(path, client, retry)
        metadata = CollectionMetadata(name, space, spec or CollectionSpec.for_space(space))
        if check_canaries:
            require_canaries(space, leaf)
        return cls(store, store.create(metadata), metadata, leaf)

    @classmethod
    def open(
        cls,
        name: str,
        leaf: Encoder,
        *,
        path: str | os.PathLike[str] | None = None,
        client: QdrantClient | None = None,
        check_canaries: bool = True,
        retry: Retry | None = None,
    ) -> LeafCollection:
        """Open a collection, if the leaf belongs to it. See :meth:`create` for the arguments.

        Behind a client ``name`` may be an alias; the collection then has the name that the alias stands for. The
        engine's own configuration is compared with what the collection says.

        Raises:
            CollectionNotFoundError: There is none of this name; the message lists those that are there.
            CollectionError: It does not say which model wrote it, is open elsewhere, or is damaged.
            SpaceMismatchError: The leaf declares another space, or its vectors of the canaries stored with the
                collection show that it is another model.
        """
        store = store_of(path, client, retry)
        found = find_collection(store, name)
        metadata = CollectionMetadata.from_dict(store.read(found), name=found)
        require_leaf(metadata, leaf, canaries=check_canaries)
        check_layout(metadata, store.layout(found))
        return cls(store, store.open(metadata), metadata, leaf)

    @classmethod
    def adopt(
        cls,
        name: str,
        leaf: Encoder,
        *,
        path: str | os.PathLike[str] | None = None,
        client: QdrantClient | None = None,
        text_key: str = "text",
        vector: str | None = None,
        sample: int = 32,
        floor: float = TEACHER_FLOOR,
        retry: Retry | None = None,
    ) -> LeafCollection:
        """Take over a collection made elsewhere, once its own vectors prove that it belongs to the leaf's space.

        ``sample`` stored texts are embedded again by the document encoder and compared with what is stored. Nothing
        but metadata is written. Afterwards :meth:`open` opens it. Its documents keep their ids and payloads, and
        filters name fields of the payload as they are stored.

        Args:
            name: Its name.
            leaf: A leaf with its teacher, such as ``leaf_embed.load(..., document="teacher")``.
            path: As for :meth:`create`.
            client: As for :meth:`create`.
            text_key: Field of the payload that holds the text that was embedded.
            vector: Name of the full vector (``""`` for the one without a name); found by its size by default.
            sample: Texts to embed again.
            floor: Mean cosine that they have to reach.
            retry: As for :meth:`create`.

        Raises:
            CollectionNotFoundError: There is none of this name.
            CollectionError: It says already which model wrote it, or holds no vector that fits.
            SpaceMismatchError: Its vectors are not those of the document encoder.
            InputError: No text under ``text_key``.
        """
        store = store_of(path, client, retry)
        found = find_collection(store, name)
        if store.read(found) is not None:
            raise CollectionError(f"the collection {found!r} says already which model wrote it; use open")
        spec = adopted_spec(found, store.layout(found), leaf.space, vector)
        metadata = CollectionMetadata(found, leaf.space, spec, text_key=text_key)
        points = store.open(metadata)
        try:
            records = points.page(None, sample, (), vector=True).records
            prove_documents(records, leaf, metadata, floor)
        finally:
            points.close()
        store.write(metadata)
        return cls.open(found, leaf, path=path, client=client, retry=retry)

    def index(
        self,
        docs: Iterable[Document | Mapping[str, Any]],
        *,
        batch_size: int = 256,
        progress: Progress | None = None,
        optimize: Optimize = "here",
    ) -> IndexReport:
        """Bring documents into the collection; those that are there unchanged cost no embedding.

        A batch is checked as a whole before its first write. If one cannot be used, the batches before it are kept
        and the call can be repeated. An unchanged run never loads the teacher.

        Args:
            docs: Documents, or mappings with ``_id``, ``text`` and optionally ``title`` and ``payload``; other keys
                join the payload. A generator is read a batch at a time.
            batch_size: Documents in memory at a time. An id may occur once per batch; in a later batch it replaces.
            progress: Called after each batch with the documents done and, if ``docs`` has a length, their total.
            optimize: Where the embedded engine builds graphs and codes at the end. ``"here"``: in this process, whose
                every thread stands still meanwhile (minutes for some 100,000 documents). ``"child"``: in a child
                process; other threads go on, but those that use the collection wait. ``"later"``: not now; call
                :meth:`optimize` when all is in. A server builds by itself.

        Returns:
            How many documents were new, changed and unchanged.

        Raises:
            InputError: No document at all, one that cannot be used, or two with one id in a batch.
            VectorError: The document encoder gave vectors of a wrong size, or with NaN.
            SpaceMismatchError: The document encoder does not write into the collection's space.
            CollectionError: The engine or the server refused.
        """
        run = IndexRun(self._metadata, docs, batch_size, progress)
        return index_documents(self._open_points, run, encoder_source(self._leaf, self._metadata), optimize)

    def index_vectors(
        self,
        docs: Iterable[Document | Mapping[str, Any]],
        vectors: Iterable[ArrayLike] | Callable[[list[str]], ArrayLike] | None = None,
        *,
        space: EmbeddingSpace | None = None,
        batch_size: int = 256,
        progress: Progress | None = None,
        optimize: Optimize = "here",
    ) -> IndexReport:
        """:meth:`index` with vectors that are there already: the document encoder is never asked.

        Args:
            docs: As for :meth:`index`.
            vectors: Full vectors of the collection's space: one a document in the same order (a matrix of shape
                ``(n, dim)``, or anything that gives rows), or a function from texts to a matrix, which is asked only
                for documents that are new or changed (such as ``TeacherCache.document_vectors``), or ``None`` if
                ``docs`` are :class:`StoredDocument` that carry theirs.
            space: The space that the vectors come from, if known: compared with the collection's. Nothing else can
                tell the vectors of another model from the right ones.
            batch_size: Documents in memory at a time.
            progress: As for :meth:`index`.
            optimize: As for :meth:`index`.

        Raises:
            InputError: As for :meth:`index`, or not one vector a document.
            VectorError: A vector of a wrong size, or with NaN, infinity or only zeros.
            SpaceMismatchError: ``space`` is another than the collection's.
            CollectionError: The engine or the server refused.
        """
        documents, source = with_vectors(docs, vectors, space, self._metadata)
        run = IndexRun(self._metadata, documents, batch_size, progress)
        return index_documents(self._open_points, run, source, optimize)

    def optimize(self, *, child: bool = False) -> None:
        """Build the embedded engine's graphs and codes, here or in a child process; see :meth:`index`."""
        self._open_points.finish(child=child)

    def add_mrl(self, dim: int, *, first: bool = False, page_size: int = 256, progress: Progress | None = None) -> None:
        """Add a truncated vector, filled from the stored full vectors: no teacher is asked.

        Searches go on meanwhile; documents that others write meanwhile need a second call, which does no harm. Killed
        and called again, it goes on. A server needs version 1.18 or later.

        Args:
            dim: Dimensions, below those of the space.
            first: Whether searches take candidates from it by default.
            page_size: Documents in memory at a time.
            progress: Called after each page with the documents done and their total.

        Raises:
            InputError: The dimension does not fit, or the collection's only vector has no name.
            CollectionError: The engine or the server refused.
        """
        points = self._open_points
        metadata = with_mrl(self._metadata, dim, first=first)
        total, done = points.count(), 0
        points.add_vector(metadata, dim)
        page = points.page(None, page_size, (), vector=True)
        while page.records:
            points.update_vectors(truncated_rows(page.records, dim))
            done += len(page.records)
            if progress is not None:
                progress(done, total)
            page = Page([], None) if page.after is None else points.page(page.after, page_size, (), vector=True)
        self._migrated(metadata)

    def change_quantization(self, name: str) -> None:
        """Compress the truncated vectors otherwise; see :class:`CollectionSpec`. The embedded engine rebuilds them now.

        Raises:
            InputError: There is no such quantization, or no truncated vector.
            CollectionError: The engine or the server refused.
        """
        metadata = with_quantization(self._metadata, name)
        self._open_points.configure(metadata)
        self._migrated(metadata)

    def _migrated(self, metadata: CollectionMetadata) -> None:
        self._points.finish()
        self._store.write(metadata)
        self._metadata = metadata

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
    ) -> list[Hit]:
        """The documents nearest to a query.

        Candidates come from a truncated vector and are ranked by the full one, which is never quantized.

        Args:
            query: A text, encoded by the leaf, or a vector of the collection's space, shape ``(dim,)``.
            limit: Hits to return.
            offset: Hits to skip.
            where: Fields of the payload with the value, list of values or range they must have:
                ``{"lang": "en", "year": {"gte": 1990}}``. A dot leads into a nested object. The whole language, with
                any, not and or, is in :mod:`leaf_embed.qdrant.filters`.
            exact: Compare with every full vector: slow and complete.
            mrl: Truncated dimensions to take candidates from; the first of the spec by default.
            candidates: How many to take; ``max(100, 20 * (limit + offset))`` by default, and a multiple of it for
                codes coarser than 4 bits.
            oversampling: Let the first stage take this many times more by its codes and rank them by its own
                unquantized vectors. By default it does not, since the second stage does better.
            hnsw_ef: Width of the walk through the graph; one and a half times the candidates by default.
            score_threshold: Least score of a hit.

        Raises:
            InputError: A value that cannot be used.
            VectorError: A query vector of a wrong size, or with NaN or only zeros.
            CollectionError: The engine or the server refused.
        """
        points = self._open_points
        plan = self._plan(
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
        )
        return [self._hit(found) for found in points.query(plan)]

    def explain(self, query: Query, **options: Unpack[SearchOptions]) -> Explanation:
        """What :meth:`search` would send for this query, and why; ``print`` it. Nothing is sent."""
        return explain_plan(self.name, self.spec, self._plan(self._vectors([query])[0], **options))

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
        return [[self._hit(found) for found in hits] for plans in groups for hits in points.query_batch(plans)]

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
        return self._mmr_hits(self._open_points.query(plan), plan, limit, diversity)

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
        conditions = self._conditions(where)
        page = self._open_points.page(None, page_size, conditions, vector=with_vectors)
        while True:
            yield from map(self._document, page.records)
            if page.after is None:
                return
            page = self._open_points.page(page.after, page_size, conditions, vector=with_vectors)

    def delete(self, ids: Iterable[str | int]) -> int:
        """Remove documents, durably.

        Args:
            ids: Ids as they were given to :meth:`index`; one that is not there is no error.

        Returns:
            How many were there.
        """
        points = self._open_points
        there = list(points.payloads(self._points_of(ids), ()))
        if there:
            points.delete(there)
        return len(there)

    def count(self, where: Filter | None = None) -> int:
        """Number of documents, exact; with a filter, of those that it lets through."""
        return self._open_points.count(self._conditions(where))

    def describe(self) -> dict[str, Any]:
        """What the collection is, as JSON values: name, teacher, fingerprint, vectors, points, state of the engine."""
        points = self._open_points
        return {**self._described(), "points": points.count(), **points.describe()}

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

    @property
    def _open_points(self) -> Points:
        self._require_open()
        return self._points
