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
from typing import Any, TypeAlias

from leaf_embed import vectors
from leaf_embed.canaries import LEAF_FLOOR
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.qdrant.backend import Point, Points
from leaf_embed.qdrant.documents import HASH, PAYLOAD, Document, IndexReport, as_document, point_id, stored_payload
from leaf_embed.qdrant.metadata import CollectionMetadata
from leaf_embed.qdrant.spec import FULL, mrl_name
from leaf_embed.vectors import FloatArray

__all__ = ["Progress", "index_documents"]

Progress: TypeAlias = Callable[[int, "int | None"], None]


@dataclass
class _Changes:
    """What a batch asks for, by point id."""

    added: dict[str, Document] = field(default_factory=dict)
    updated: dict[str, Document] = field(default_factory=dict)
    payload_only: dict[str, Document] = field(default_factory=dict)
    unchanged: int = 0

    @property
    def to_embed(self) -> dict[str, Document]:
        return {**self.added, **self.updated}


def index_documents(
    points: Points,
    metadata: CollectionMetadata,
    leaf: Encoder,
    docs: Iterable[Document | Mapping[str, Any]],
    *,
    batch_size: int,
    progress: Progress | None,
) -> IndexReport:
    """Bring documents into a collection; see :meth:`leaf_embed.qdrant.LeafCollection.index`."""
    if isinstance(docs, str | bytes | Mapping | Document) or not isinstance(docs, Iterable):
        raise InputError(f"expected an iterable of documents; got a single {type(docs).__name__}")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1; got {batch_size}")
    started = time.perf_counter()
    total = len(docs) if isinstance(docs, Sized) else None
    counts: Counter[str] = Counter()
    proven = False
    for batch in _batches(docs, batch_size):
        changes = _changes(points, metadata, batch)
        if changes.to_embed and not proven:
            _prove(leaf, metadata)
            proven = True
        _write(points, metadata, leaf, changes)
        counts.update(
            added=len(changes.added),
            updated=len(changes.updated),
            payload_updated=len(changes.payload_only),
            unchanged=changes.unchanged,
        )
        if progress is not None:
            progress(counts.total(), total)
    if not counts:
        raise InputError("there is no document to index; expected at least one")
    points.finish()  # even if nothing was written: an interrupted run may have left it undone
    return IndexReport(**counts, seconds=time.perf_counter() - started)


def _batches(docs: Iterable[Any], size: int) -> Iterator[list[Document]]:
    """Batches of checked documents with different ids."""
    stream = iter(docs)
    start = 0
    while raw := list(islice(stream, size)):
        batch = [as_document(value, start + place) for place, value in enumerate(raw)]
        twice = [name for name, times in Counter(point_id(d.id) for d in batch).items() if times > 1]
        if twice:
            names = sorted({repr(d.id) for d in batch if point_id(d.id) in twice})
            raise InputError(
                f"documents {start} to {start + len(batch) - 1} hold {len(names)} ids more than once, such as "
                f"{names[0]}; give each document an id of its own. This batch was not written."
            )
        yield batch
        start += len(batch)


def _changes(points: Points, metadata: CollectionMetadata, batch: Sequence[Document]) -> _Changes:
    """Compare a batch with what is stored, by content."""
    by_point = {point_id(document.id): document for document in batch}
    stored = points.payloads(list(by_point), [HASH, PAYLOAD])
    fingerprint = metadata.space.fingerprint
    changes = _Changes()
    for point, document in by_point.items():
        if point not in stored:
            changes.added[point] = document
        elif stored[point].get(HASH) != document.content_hash(fingerprint):
            changes.updated[point] = document
        elif _canonical(stored[point].get(PAYLOAD) or {}) != _canonical(document.payload):
            changes.payload_only[point] = document
        else:
            changes.unchanged += 1
    return changes


def _canonical(payload: Mapping[str, Any]) -> str:
    """Equal exactly for equal JSON; Python itself would call 1 and true the same."""
    return json.dumps(payload, sort_keys=True)


def _prove(leaf: Encoder, metadata: CollectionMetadata) -> None:
    """Let nobody write documents who does not write into the space."""
    canaries = metadata.space.canaries
    if canaries is not None and any(role == "document" for role, _ in canaries.texts):
        # The floor of a leaf, since a leaf may encode documents as well; LeafEncoder holds a teacher to a higher one.
        metadata.space.verify(leaf, floor=LEAF_FLOOR, roles=("document",), name="the document encoder")


def _write(points: Points, metadata: CollectionMetadata, leaf: Encoder, changes: _Changes) -> None:
    fingerprint = metadata.space.fingerprint
    payloads = {point: stored_payload(d, fingerprint) for point, d in changes.payload_only.items()}
    embedded = changes.to_embed
    if embedded:
        matrix = _embed(leaf, metadata, list(embedded.values()))
        named = {FULL: matrix, **{mrl_name(d): vectors.truncate(matrix, d) for d in metadata.spec.mrl}}
        lists = {name: rows.tolist() for name, rows in named.items()}  # lists travel faster than NumPy rows
        points.upsert(
            [
                Point(point, {name: rows[i] for name, rows in lists.items()}, stored_payload(document, fingerprint))
                for i, (point, document) in enumerate(embedded.items())
            ]
        )
    if payloads:
        points.overwrite_payloads(payloads)


def _embed(leaf: Encoder, metadata: CollectionMetadata, documents: Sequence[Document]) -> FloatArray:
    """Vectors of documents, shape ``(n, dim)``, float32, checked."""
    matrix = vectors.as_vectors(
        leaf.encode_document([d.embedded_text for d in documents]),
        metadata.space.dim,
        source="the document encoder",
        ids=[d.id for d in documents],
    )
    if len(matrix) != len(documents):
        raise InputError(f"the document encoder gave {len(matrix)} vectors for {len(documents)} documents")
    return matrix
