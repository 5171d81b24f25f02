"""Documents into vectors into points, a checked batch at a time.

The engine never sees a batch that could fail: a rejected batch is partly applied by the embedded engine. Everything of
a batch (documents, ids, vectors, payloads) is therefore settled before the first write of that batch.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeAlias

from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.qdrant.backends.base import NewPoint, PointId, Points
from leaf_embed.qdrant.query.bm25 import SparseVector, bm25_documents
from leaf_embed.qdrant.schema.documents import HASH, PAYLOAD, Document, IndexReport, as_document, stored_payload
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import BM25, mrl_name

__all__ = ["Changes", "IndexRun", "Optimize", "Progress", "VectorSource", "encoder_source", "index_documents"]

Progress: TypeAlias = Callable[[int, "int | None"], None]
Optimize: TypeAlias = Literal["here", "child", "later"]
VectorSource: TypeAlias = Callable[[Sequence[Document]], ArrayLike]

COMPARED = (HASH, PAYLOAD)  # what of the stored payload tells whether a document changed


@dataclass
class Changes:
    """What a batch asks for, by point id."""

    added: dict[PointId, Document] = field(default_factory=dict)
    updated: dict[PointId, Document] = field(default_factory=dict)
    payload_only: dict[PointId, Document] = field(default_factory=dict)
    unchanged: int = 0

    @property
    def to_embed(self) -> dict[PointId, Document]:
        return {**self.added, **self.updated}


class IndexRun:
    """One call of ``index``, without its reads and writes, which differ between blocking and async.

    The caller takes each batch, reads what is stored of it, asks for the changes, writes what they become, and tells.
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
        self._progress = progress
        self._total = len(docs) if isinstance(docs, Sized) else None
        self._started = time.perf_counter()
        self._counts: Counter[str] = Counter()

    def batches(self) -> Iterator[dict[PointId, Document]]:
        """Checked documents with different ids, by point id."""
        stream = iter(self._docs)
        start = 0
        while raw := list(islice(stream, self._batch_size)):
            batch = [as_document(value, start + place) for place, value in enumerate(raw)]
            points = [self._metadata.point_id(document.id) for document in batch]
            by_point = dict(zip(points, batch, strict=True))
            if len(by_point) < len(batch):
                times = Counter(points)
                twice = sorted({repr(d.id) for point, d in zip(points, batch, strict=True) if times[point] > 1})
                raise InputError(
                    f"documents {start} to {start + len(batch) - 1} hold {len(twice)} ids more than once, such as "
                    f"{twice[0]}; give each document an id of its own. This batch was not written."
                )
            yield by_point
            start += len(batch)

    def changes(self, batch: Mapping[PointId, Document], stored: Mapping[PointId, Mapping[str, Any]]) -> Changes:
        """Compare a batch with what is stored, by content."""
        fingerprint = self._metadata.space.fingerprint
        changes = Changes()
        for point, document in batch.items():
            if point not in stored:
                changes.added[point] = document
            elif stored[point].get(HASH) != document.content_hash(fingerprint):
                changes.updated[point] = document
            elif _canonical(stored[point].get(PAYLOAD) or {}) != _canonical(document.payload):
                changes.payload_only[point] = document
            else:
                changes.unchanged += 1
        return changes

    def points(self, changes: Changes, source: VectorSource) -> list[NewPoint]:
        """What has to be written with vectors; asks the source for them."""
        documents = changes.to_embed
        if not documents:
            return []
        spec, space = self._metadata.spec, self._metadata.space
        given = source(list(documents.values()))
        ids = [document.id for document in documents.values()]
        matrix = vectors.as_vectors(given, space.dim, source="the document encoder", ids=ids)
        if len(matrix) != len(documents):
            raise InputError(f"the document encoder gave {len(matrix)} vectors for {len(documents)} documents")
        named = {spec.full_name: matrix, **{mrl_name(d): vectors.truncate(matrix, d) for d in spec.mrl}}
        lists = {name: rows.tolist() for name, rows in named.items()}  # lists travel faster than NumPy rows
        words = self._words(list(documents.values()))
        return [
            NewPoint(
                point,
                {**{name: rows[i] for name, rows in lists.items()}, **words[i]},
                stored_payload(document, space.fingerprint),
            )
            for i, (point, document) in enumerate(documents.items())
        ]

    def _words(self, documents: list[Document]) -> list[dict[str, SparseVector]]:
        """The sparse vector of each document by its name; nothing where none is kept, or the text has no words."""
        if not self._metadata.spec.has_words:
            return [{}] * len(documents)
        found = bm25_documents([d.embedded_text for d in documents], self._metadata.spec.language)
        return [{} if vector is None else {BM25: vector} for vector in found]

    def payloads(self, changes: Changes) -> dict[PointId, dict[str, Any]]:
        """What has to be written without vectors."""
        fingerprint = self._metadata.space.fingerprint
        return {point: stored_payload(d, fingerprint) for point, d in changes.payload_only.items()}

    def done(self, changes: Changes) -> None:
        """Count a batch that is written."""
        self._counts.update(
            added=len(changes.added),
            updated=len(changes.updated),
            payload_updated=len(changes.payload_only),
            unchanged=changes.unchanged,
        )
        if self._progress is not None:
            self._progress(self._counts.total(), self._total)

    def require_any(self) -> None:
        """Refuse a run that had no document."""
        if not self._counts:
            raise InputError("there is no document to index; expected at least one")

    def report(self) -> IndexReport:
        """What became of all documents."""
        return IndexReport(**self._counts, seconds=time.perf_counter() - self._started)


def index_documents(points: Points, run: IndexRun, source: VectorSource, optimize: Optimize) -> IndexReport:
    """Bring documents into a collection; see :meth:`leaf_embed.qdrant.LeafCollection.index`."""
    if optimize not in ("here", "child", "later"):
        raise InputError(f"optimize must be 'here', 'child' or 'later'; got {optimize!r}")
    for batch in run.batches():
        changes = run.changes(batch, points.payloads(list(batch), COMPARED))
        if rows := run.points(changes, source):
            points.upsert(rows)
        if payloads := run.payloads(changes):
            points.overwrite_payloads(payloads)
        run.done(changes)
    run.require_any()
    if optimize != "later":
        points.finish(child=optimize == "child")  # even if nothing was written: an interrupted run may have left it
    return run.report()


def encoder_source(leaf: Encoder, metadata: CollectionMetadata) -> VectorSource:
    """Vectors by the document encoder, which is asked for the canaries before its first document."""
    proven = False

    def encode(documents: Sequence[Document]) -> ArrayLike:
        nonlocal proven
        if not proven:
            _prove(leaf, metadata)
            proven = True
        return leaf.encode_document([document.embedded_text for document in documents])

    return encode


def _canonical(payload: Mapping[str, Any]) -> str:
    """Equal exactly for equal JSON; Python itself would call 1 and true the same."""
    return json.dumps(payload, sort_keys=True)


def _prove(leaf: Encoder, metadata: CollectionMetadata) -> None:
    """Let nobody write documents who does not write into the space."""
    canaries = metadata.space.canaries
    if canaries is not None and any(role == "document" for role, _ in canaries.texts):
        # The floor of a leaf, since a leaf may encode documents as well; LeafEncoder holds a teacher to a higher one.
        metadata.space.verify_leaf(leaf, roles=("document",), name="the document encoder")
