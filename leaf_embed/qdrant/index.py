"""Indexing: documents to vectors to points, one checked batch at a time.

The embedded engine applies a part of a batch that it rejects. Everything of a batch (documents, ids, vectors, payloads)
is therefore checked before the first write of that batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from numpy.typing import ArrayLike

from leaf_embed import _telemetry, vectors
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.progress import Progress, no_progress
from leaf_embed.qdrant.backends.base import NewPoint, PointId, Points
from leaf_embed.qdrant.query.bm25 import SparseVector, bm25_documents
from leaf_embed.qdrant.schema.documents import Document, IndexReport, StoredDocument, as_document
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import BM25, mrl_name
from leaf_embed.space import EmbeddingSpace

__all__ = ["Changes", "IndexRun", "Optimize", "VectorSource", "encoder_source", "given_source", "index_documents"]

Optimize: TypeAlias = Literal["here", "child", "later"]
VectorSource: TypeAlias = Callable[[Sequence[Document]], ArrayLike]


@dataclass
class Changes:
    """The documents of a batch that have to be written, by point id."""

    added: dict[PointId, Document] = field(default_factory=dict)
    updated: dict[PointId, Document] = field(default_factory=dict)
    payload_only: dict[PointId, Document] = field(default_factory=dict)
    unchanged: int = 0

    @property
    def to_embed(self) -> dict[PointId, Document]:
        return {**self.added, **self.updated}


class IndexRun:
    """One call of ``index`` without its reads and writes, which differ between sync and async.

    For each of :meth:`batches` the caller reads the stored payloads, passes them to :meth:`changes`, writes the results
    of :meth:`points` and :meth:`payloads`, and calls :meth:`done`.
    """

    def __init__(
        self, metadata: CollectionMetadata, docs: Iterable[Any], batch_size: int, progress: Progress | None
    ) -> None:
        if isinstance(docs, str | bytes | Mapping | Document) or not isinstance(docs, Iterable):
            raise InputError(f"expected an iterable of documents; got a single {type(docs).__name__}")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number of at least 1; got {batch_size!r}")
        self._metadata = metadata
        self._docs = docs
        self._batch_size = batch_size
        self._progress = progress or no_progress
        self._total = len(docs) if isinstance(docs, Sized) else None
        self._started = time.perf_counter()
        self._counts: Counter[str] = Counter()

    def batches(self) -> Iterator[dict[PointId, Document]]:
        """Yields checked documents with different ids, by point id.

        An id that comes again begins a new batch, so that the last document of an id stays wherever batches end.
        """
        batch: dict[PointId, Document] = {}
        for number, value in enumerate(self._docs):
            document = as_document(value, number)
            point = self._metadata.point_id(document.id)
            if point in batch:
                yield batch
                batch = {}
            batch[point] = document
            if len(batch) == self._batch_size:
                yield batch
                batch = {}
        if batch:
            yield batch

    @property
    def compared(self) -> Sequence[str] | None:
        """Fields of the stored payloads that :meth:`changes` needs; ``None`` for all."""
        return self._metadata.payload_layout.compared

    def changes(self, batch: Mapping[PointId, Document], stored: Mapping[PointId, Mapping[str, Any]]) -> Changes:
        """Compares the content of a batch with the stored payloads."""
        fingerprint, layout = self._metadata.space.fingerprint, self._metadata.payload_layout
        changes = Changes()
        for point, document in batch.items():
            if point not in stored:
                changes.added[point] = document
                continue
            change = layout.change(document, stored[point], fingerprint)
            if change == "text":
                changes.updated[point] = document
            elif change == "payload":
                changes.payload_only[point] = document
            else:
                changes.unchanged += 1
        return changes

    def points(self, changes: Changes, source: VectorSource) -> list[NewPoint]:
        """Returns the points to write with vectors, which come from the source."""
        documents = changes.to_embed
        if not documents:
            return []
        spec, space, layout = self._metadata.spec, self._metadata.space, self._metadata.payload_layout
        given = source(list(documents.values()))
        ids = [document.id for document in documents.values()]
        matrix = vectors.as_vectors(given, space.dim, source="the document encoder", ids=ids)
        if len(matrix) != len(documents):
            raise InputError(f"the document encoder returned {len(matrix)} vectors for {len(documents)} documents")
        named = {spec.full_name: matrix, **{mrl_name(d): vectors.truncate(matrix, d) for d in spec.mrl}}
        lists = {name: rows.tolist() for name, rows in named.items()}  # lists travel faster than NumPy rows
        sparse = self._sparse(list(documents.values()))
        return [
            NewPoint(
                point,
                {**{name: rows[i] for name, rows in lists.items()}, **sparse[i]},
                layout.stored(document, point, space.fingerprint),
            )
            for i, (point, document) in enumerate(documents.items())
        ]

    def _sparse(self, documents: list[Document]) -> list[dict[str, SparseVector]]:
        """The BM25 vector of each document by its name; empty without BM25, or if the text has no words."""
        if not self._metadata.spec.has_bm25:
            return [{}] * len(documents)
        found = bm25_documents([d.embedded_text for d in documents], self._metadata.spec.language)
        return [{} if vector is None else {BM25: vector} for vector in found]

    def payloads(self, changes: Changes) -> dict[PointId, dict[str, Any]]:
        """Returns the payloads to write without vectors."""
        fingerprint, stored = self._metadata.space.fingerprint, self._metadata.payload_layout.stored
        return {point: stored(d, point, fingerprint) for point, d in changes.payload_only.items()}

    def done(self, changes: Changes) -> None:
        """Counts a batch that is written and reports the progress."""
        self._counts.update(
            added=len(changes.added),
            updated=len(changes.updated),
            payload_updated=len(changes.payload_only),
            unchanged=changes.unchanged,
        )
        embedded = self._counts["added"] + self._counts["updated"]
        self._progress("index", self._counts.total(), self._total, f"{embedded} embedded, rest known")

    def require_any(self) -> None:
        """Refuses a run without documents."""
        if not self._counts:
            raise InputError("there is no document to index; expected at least one")

    def report(self) -> IndexReport:
        """Returns the counts of all batches."""
        return IndexReport(**self._counts, seconds=time.perf_counter() - self._started)


def index_documents(points: Points, run: IndexRun, source: VectorSource, optimize: Optimize) -> IndexReport:
    """Carries out a run; see :meth:`leaf_embed.qdrant.LeafCollection.index`."""
    if not isinstance(optimize, str) or optimize not in ("here", "child", "later"):
        raise InputError(f"optimize must be 'here', 'child' or 'later'; got {optimize!r:.80}")
    for batch in run.batches():
        changes = run.changes(batch, points.payloads(list(batch), run.compared))
        if rows := run.points(changes, source):
            with _telemetry.span("leaf_embed.upsert", points=len(rows)):
                points.upsert(rows)
        if payloads := run.payloads(changes):
            points.overwrite_payloads(payloads)
        run.done(changes)
    run.require_any()
    if optimize != "later":
        points.finish(child=optimize == "child")  # even if nothing was written: an interrupted run may have left it
    return run.report()


def encoder_source(leaf: Encoder, metadata: CollectionMetadata) -> VectorSource:
    """Returns a source that calls the document encoder, after a check of the canaries before the first document."""
    checked = False

    def encode(documents: Sequence[Document]) -> ArrayLike:
        nonlocal checked
        if not checked:
            metadata.space.require_leaf(leaf, ("document",), "the document encoder")
            checked = True
        return leaf.encode_document([document.embedded_text for document in documents])

    return encode


def given_source(
    docs: Iterable[Any],
    given: Iterable[ArrayLike] | Callable[[list[str]], ArrayLike] | None,
    space: EmbeddingSpace | None,
    metadata: CollectionMetadata,
) -> tuple[Iterable[Any], VectorSource]:
    """Returns documents with a source of vectors that exist; see ``LeafCollection.index_vectors``.

    Raises:
        SpaceMismatchError: ``space`` is not the collection's.
    """
    if space is not None:
        metadata.space.require_same(
            space,
            mine=f"the collection {metadata.name!r}",
            theirs="the vectors",
            advice="Pass vectors of the collection's own teacher, or index them into a new collection.",
        )
    if callable(given):
        lookup = given
        return docs, lambda documents: lookup([document.embedded_text for document in documents])
    if given is None:
        return docs, _carried
    if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
        raise InputError(f"expected one vector per document, such as the rows of a matrix; got {type(given).__name__}")
    return _paired(docs, given), _carried


def _paired(docs: Iterable[Any], given: Iterable[ArrayLike]) -> Iterator[StoredDocument]:
    """Yields each document with its row; the numbers of both must agree."""
    if isinstance(docs, str | bytes | Mapping) or not isinstance(docs, Iterable):
        raise InputError(f"expected an iterable of documents; got a single {type(docs).__name__}")
    rows, number = iter(given), -1
    for number, value in enumerate(docs):
        row = next(rows, None)
        if row is None:
            raise InputError(f"there are {number} vectors but more documents; expected one vector per document")
        yield as_document(value, number).with_vector(row)
    if next(rows, None) is not None:
        raise InputError(f"there are {number + 1} documents but more vectors; expected one vector per document")


def _carried(documents: Sequence[Document]) -> ArrayLike:
    rows = [document.vector if isinstance(document, StoredDocument) else None for document in documents]
    bare = [document.id for document, row in zip(documents, rows, strict=True) if row is None]
    if bare:
        raise InputError(f"document {bare[0]!r:.80} came without a vector ({len(bare)} of {len(documents)} did)")
    return cast(ArrayLike, rows)
