"""LeafCollection: a collection of one embedding space, documents encoded by the teacher and queries by a leaf."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from leaf_embed.encoders.base import Encoder
from leaf_embed.progress import Progress
from leaf_embed.qdrant.adopt import AdoptOptions, adopt_collection
from leaf_embed.qdrant.backends.base import Points, Store, read_pages, require_page_size
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.backends.stores import find_collection, store_of
from leaf_embed.qdrant.identity import CollectionIdentity, new_metadata, require_leaf
from leaf_embed.qdrant.index import IndexRun, Optimize, encoder_source, given_source, index_documents
from leaf_embed.qdrant.migrate import backfill, with_mrl, with_quantization
from leaf_embed.qdrant.query.explain import Explanation, explain_plan
from leaf_embed.qdrant.query.filters import Filter
from leaf_embed.qdrant.query.plan import SearchOptions
from leaf_embed.qdrant.query.spans import search_span
from leaf_embed.qdrant.schema.documents import Document, Hit, IndexReport, StoredDocument
from leaf_embed.qdrant.schema.layout import check_layout
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.qdrant.translator import Query, Translator
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from typing_extensions import Self, Unpack

__all__ = ["LeafCollection"]


class LeafCollection(CollectionIdentity):
    """A Qdrant collection of one embedding space; close it, or use it as a context manager::

        leaf = leaf_embed.load("my-leaf", document="teacher")
        with LeafCollection.create("docs", leaf, path="collections") as docs:
            docs.index([Document(id="a", text="The sky scatters blue light.")])
            docs.search("why is the sky blue?")[0].text

    No method ever drops or recreates a collection. Any method raises ``CollectionError`` if the engine or the server
    refused, or if the collection is closed.
    """

    def __init__(self, store: Store, points: Points, metadata: CollectionMetadata, leaf: Encoder) -> None:
        """Called by :meth:`create` and :meth:`open`, which check the arguments."""
        super().__init__(metadata, leaf)
        self._store = store
        self._points = points
        self._translator = Translator(metadata, leaf)

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
    ) -> Self:
        """Creates an empty collection of the leaf's space.

        Args:
            name: Name of the collection.
            leaf: Encoder of documents and queries; usually a :class:`~leaf_embed.LeafEncoder`.
            path: Directory that holds collections of the embedded engine, each in a subdirectory of its name.
            client: Client of a server, or in local mode. Pass either ``path`` or ``client``.
            spec: Vectors to store; :meth:`CollectionSpec.for_space` by default.
            check_canaries: Whether the leaf has to show by the canaries of its space (some short texts) that it
                writes into it. A space without canaries is guarded by the fingerprint alone.
            retry: How often a request to a busy server is repeated; see :class:`~leaf_embed.qdrant.Retry`.

        Raises:
            CollectionExistsError: There is a collection of this name.
            InputError: A value cannot be used, such as truncated dimensions that are not below the space's.
            SpaceMismatchError: The leaf does not write into the space it declares.
        """
        store = store_of(path, client, retry)
        metadata = new_metadata(name, leaf, spec, canaries=check_canaries)
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
    ) -> Self:
        """Opens a collection if the leaf belongs to it. See :meth:`create` for the arguments.

        Behind a client ``name`` may be an alias; the collection then has the name that the alias stands for.

        Raises:
            CollectionNotFoundError: There is none of this name; the message lists those that exist.
            CollectionError: It has no metadata of leaf-embed, is open elsewhere, or is damaged.
            SpaceMismatchError: The leaf declares another space, or its vectors of the canaries stored with the
                collection show that it is another model.
        """
        store = store_of(path, client, retry)
        found = find_collection(store, name)
        metadata = CollectionMetadata.from_dict(store.read(found), name=found)
        require_leaf(metadata, leaf, canaries=check_canaries)
        check_layout(metadata, store.layout(found))
        return cls(store, store.open(found, metadata.spec.full_name), metadata, leaf)

    @classmethod
    def adopt(
        cls,
        name: str,
        leaf: Encoder,
        *,
        path: str | os.PathLike[str] | None = None,
        client: QdrantClient | None = None,
        retry: Retry | None = None,
        **options: Unpack[AdoptOptions],
    ) -> Self:
        """Adopts a collection made by another program if its vectors show that it belongs to the leaf's space.

        Texts drawn at random are embedded again by the document encoder and compared with their stored vectors. Only
        metadata is written; afterwards :meth:`open` opens the collection. Ids and payloads stay as they are.

        Args:
            name: Name of the collection.
            leaf: A leaf with its teacher, such as ``leaf_embed.load(..., document="teacher")``.
            path, client, retry: As for :meth:`create`.
            options: ``text_key``, the field of the payload that holds the embedded text, and ``payload_key``, that of
                the caller's own payload (``""``: around the text); found by default if they are LangChain's, Haystack's
                or ``"text"``. ``vector``, the
                name of the full vector (``""`` for one without a name); found by its size by default. ``sample`` (32),
                the number of texts to embed again. ``floor``, the mean cosine to reach (each text: .18 less).

        Raises:
            CollectionNotFoundError: There is none of this name.
            CollectionError: It has metadata of leaf-embed already, or holds no vector that fits.
            SpaceMismatchError: Its vectors are not those of the document encoder.
            InputError: No text under ``text_key``.
        """
        store = store_of(path, client, retry)
        found = adopt_collection(store, name, leaf, **options)
        return cls.open(found, leaf, path=path, client=client, retry=retry)

    def index(
        self,
        docs: Iterable[Document | Mapping[str, Any]],
        *,
        batch_size: int = 256,
        progress: Progress | None = None,
        optimize: Optimize = "here",
    ) -> IndexReport:
        """Adds or updates documents and returns their numbers; an unchanged document is not embedded again.

        A batch is checked as a whole before its first write: after an error, the batches before it are stored, and the
        call can be repeated. If no document changed, the teacher is not loaded.

        Args:
            docs: Documents, or mappings with ``_id``, ``text`` and optionally ``title`` and ``payload``; other keys
                join the payload. A generator is read one batch at a time.
            batch_size: Documents in memory at a time. Of several documents with one id the last one stays.
            progress: Called after each batch with the stage ``"index"``.
            optimize: Where the embedded engine builds graphs and quantized vectors at the end: ``"here"`` (blocks all
                threads of this process, for minutes with 100,000 documents), ``"child"`` (a child process, which
                blocks those that use the collection) or ``"later"`` (:meth:`optimize`). A server does it by itself.

        Raises:
            InputError: No document at all, or one that cannot be used.
            VectorError: The document encoder returned vectors of a wrong size, or with NaN.
            SpaceMismatchError: The document encoder does not write into the collection's space.
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
        """:meth:`index` with existing vectors: the document encoder is never called.

        Args:
            docs: As for :meth:`index`.
            vectors: Full vectors of the collection's space: one per document in the same order (a matrix of shape
                ``(n, dim)``, or any iterable of rows), or a function from texts to a matrix, which is called only with
                new or changed documents (such as ``TeacherCache.document_vectors``), or ``None`` if ``docs`` are
                :class:`StoredDocument` with vectors.
            space: Space of the vectors, if known: compared with the collection's. Without it the vectors of another
                model of the same size are not recognised; see :meth:`verify_vectors`.
            batch_size, progress, optimize: As for :meth:`index`.

        Raises:
            InputError: As for :meth:`index`, or not one vector per document.
            VectorError: A vector of a wrong size, or with NaN, infinity or only zeros.
            SpaceMismatchError: ``space`` is not the collection's.
        """
        documents, source = given_source(docs, vectors, space, self._metadata)
        run = IndexRun(self._metadata, documents, batch_size, progress)
        return index_documents(self._open_points, run, source, optimize)

    def optimize(self, *, child: bool = False) -> None:
        """Builds the embedded engine's graphs and quantized vectors, here or in a child process; see :meth:`index`."""
        self._open_points.finish(child=child)

    def add_mrl(self, dim: int, *, first: bool = False, page_size: int = 256, progress: Progress | None = None) -> None:
        """Adds a truncated vector, filled from the stored full vectors; the document encoder is never called.

        Searches go on meanwhile. The embedded engine works on a copy, which takes as much disk as the collection, and
        writes wait for the end; killed at any moment, the collection is as before or as after. Behind a client a
        second call adds the vector to documents written meanwhile; a server needs version 1.18 or later.

        Args:
            dim: Dimensions, below those of the space.
            first: Whether searches take candidates from it by default.
            page_size: Documents in memory at a time.
            progress: Called after each page with the stage ``"add_mrl"``.

        Raises:
            InputError: The dimension does not fit, or the collection's only vector has no name.
        """
        require_page_size(page_size)
        metadata = with_mrl(self._metadata, dim, first=first)
        with self._store.migration(self._open_points, metadata) as points:
            points.add_vector(metadata, dim)
            backfill(points, dim, page_size, progress)
        self._migrated(metadata)

    def change_quantization(self, name: str) -> None:
        """Changes the truncated vectors' quantization (see :class:`CollectionSpec`), on a copy like :meth:`add_mrl`.

        Raises:
            InputError: There is no such quantization, or no truncated vector.
        """
        metadata = with_quantization(self._metadata, name)
        with self._store.migration(self._open_points, metadata) as points:
            points.configure(metadata)
        self._migrated(metadata)

    def _migrated(self, metadata: CollectionMetadata) -> None:
        self._metadata, self._translator = metadata, Translator(metadata, self._leaf)

    def delete(self, ids: Iterable[str | int]) -> int:
        """Deletes documents by the ids of :meth:`index`, durably, and returns how many existed."""
        points = self._open_points
        existing = list(points.payloads(self._translator.point_ids(ids), ()))
        if existing:
            points.delete(existing)
        return len(existing)

    def search(self, query: Query, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Returns the documents nearest to a query, nearest first.

        Candidates come from a truncated vector and are ranked by the full one, which is never quantized.

        Args:
            query: A text, encoded by the leaf, or a vector of the collection's space, shape ``(dim,)``.
            options: Keywords, explained in :class:`~leaf_embed.qdrant.Search`: ``limit=10``, ``offset=0``, ``where`` (a
                filter over the payload), ``exact=False``, ``mrl``, ``candidates``, ``oversampling``, ``hnsw_ef``,
                ``score_threshold``, ``hybrid=False`` and ``words``.

        Raises:
            InputError: A value that cannot be used, or a hybrid search in a collection without BM25 vectors.
            VectorError: A query vector of a wrong size, or with NaN or only zeros.
        """
        return self.search_batch([query], **options)[0]

    def explain(self, query: Query, **options: Unpack[SearchOptions]) -> Explanation:
        """Returns the request that :meth:`search` would send, with reasons, for ``print``. Nothing is sent."""
        return explain_plan(self.name, self.spec, self._translator.plan(query, **options))

    def search_batch(self, queries: Sequence[Query], **options: Unpack[SearchOptions]) -> list[list[Hit]]:
        """Returns the hits of :meth:`search` for each query; texts are encoded and searches sent together."""
        points = self._open_points
        answers = []
        for plans in self._translator.plans(queries, options):
            with search_span(plans):
                answers += points.query(plans)
        return self._translator.pages(answers, options)

    def search_mmr(
        self, query: Query, *, limit: int = 10, fetch: int = 50, diversity: float = 0.5, where: Filter | None = None
    ) -> list[Hit]:
        """Returns hits near to the query and different from each other (maximal marginal relevance).

        The full vectors of ``fetch`` hits are read from the engine; the document encoder is never called.

        Args:
            query, where: As for :meth:`search`.
            limit: Hits to return, in the order in which they were chosen.
            fetch: Nearest hits to choose from.
            diversity: 0 chooses by nearness to the query alone, 1 by distance from the hits chosen before alone.
        """
        plan = self._translator.mmr_plan(query, limit, fetch, where)
        with search_span([plan]):
            found = self._open_points.query([plan])[0]
        return self._translator.mmr_hits(found, plan, limit, diversity)

    def get(self, ids: Iterable[str | int], *, with_vectors: bool = False) -> list[StoredDocument]:
        """Returns documents by the ids of :meth:`index`, in that order; missing ones are left out."""
        points = self._translator.point_ids(ids)
        return self._translator.documents(points, self._open_points.records(points, vector=with_vectors))

    def iter_documents(
        self, *, with_vectors: bool = False, where: Filter | None = None, page_size: int = 256
    ) -> Iterator[StoredDocument]:
        """Yields every document that matches ``where``, in no particular order, ``page_size`` in memory at a time.

        Documents written meanwhile may or may not be among them.
        """
        for records in read_pages(self._open_points, page_size, self._translator.filter(where), vector=with_vectors):
            yield from map(self._translator.document, records)

    def count(self, where: Filter | None = None) -> int:
        """Returns the exact number of documents; with a filter, of those that match it."""
        return self._open_points.count(self._translator.filter(where))

    def describe(self) -> dict[str, Any]:
        """Returns name, teacher, fingerprint, vectors, points and the state of the engine as JSON values."""
        return {**self._translator.description(), "points": self.count(), **self._open_points.describe()}

    def close(self) -> None:
        """Releases the collection, so that another process may open it; the client, if any, stays open."""
        if not self._closed:
            self._closed = True
            self._points.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _open_points(self) -> Points:
        self._require_open()
        return self._points
