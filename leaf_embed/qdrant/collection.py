"""A collection that knows its model: documents by the teacher, queries by a leaf, one space."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from leaf_embed.canaries import TEACHER_FLOOR
from leaf_embed.encoders.base import Encoder
from leaf_embed.qdrant.adopt import adopt_collection
from leaf_embed.qdrant.backends.base import Points, Store
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.backends.stores import find_collection, store_of
from leaf_embed.qdrant.collection_base import require_canaries, require_leaf, with_vectors
from leaf_embed.qdrant.collection_search import SearchableCollection
from leaf_embed.qdrant.index import IndexRun, Optimize, Progress, encoder_source, index_documents
from leaf_embed.qdrant.migrate import backfill, with_mrl, with_quantization
from leaf_embed.qdrant.query.bm25 import require_language
from leaf_embed.qdrant.schema.documents import Document, IndexReport
from leaf_embed.qdrant.schema.layout import check_layout
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


__all__ = ["LeafCollection"]


class LeafCollection(SearchableCollection):
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
        super().__init__(points, metadata, leaf)
        self._store = store

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
        if metadata.spec.has_words:
            require_language(metadata.spec.language)
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
        return cls(store, store.open(found, metadata.spec.full_name), metadata, leaf)

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
        found = adopt_collection(store, name, leaf, text_key, vector, sample, floor)
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
        points.add_vector(metadata, dim)
        backfill(points, dim, page_size, progress)
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

    def __enter__(self) -> LeafCollection:
        return self
