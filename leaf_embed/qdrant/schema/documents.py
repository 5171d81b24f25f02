"""Documents and hits: the values that go into a collection and come out of it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed.errors import InputError, VectorError
from leaf_embed.qdrant.schema.payload import plain_json, plain_payload
from leaf_embed.texts import clean
from leaf_embed.vectors import FloatArray

__all__ = [
    "Document",
    "Hit",
    "IndexReport",
    "StoredDocument",
    "as_document",
    "point_id",
]

# Keys of a point's payload; the caller's own payload lies under PAYLOAD, so that no key of theirs meets one of ours.
ID, TITLE, TEXT, HASH, PAYLOAD = "id", "title", "text", "hash", "payload"

NAMESPACE = uuid.UUID("6a1d5b0e-3c52-5e0b-9d6e-6c6561660001")  # fixed for ever: point ids follow from it


@dataclass(frozen=True)
class Document:
    """One document, checked when it is built.

    Attributes:
        id: Any text or whole number; ``1`` and ``"1"`` are different ids. Hits have the same id.
        text: Text to embed, after the title.
        title: ``""`` for none.
        payload: Any JSON values, and those that :mod:`leaf_embed.qdrant.schema.payload` turns into JSON, such as dates;
            stored, returned with the hits and open to filters. A copy is made, as JSON would read it.

    Raises:
        InputError: A field cannot be used.
    """

    id: str | int
    text: str
    title: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.id, bool) or not isinstance(self.id, str | int) or self.id == "":
            raise InputError(f"a document's id must be a text or a whole number; got {self.id!r:.80}")
        if not isinstance(self.text, str) or not isinstance(self.title, str):
            wrong = "text" if not isinstance(self.text, str) else "title"
            raise InputError(
                f"document {self.id!r:.80}: its {wrong} must be a text; got {type(getattr(self, wrong)).__name__}"
            )
        if not isinstance(self.payload, Mapping):
            raise InputError(f"document {self.id!r:.80}: payload must be a mapping; got {type(self.payload).__name__}")
        object.__setattr__(self, "id", plain_json(self.id, f"document {self.id!r:.80}: its id"))
        object.__setattr__(self, "text", clean(self.text))
        object.__setattr__(self, "title", clean(self.title))
        object.__setattr__(self, "payload", plain_payload(self.payload, f"document {self.id!r:.80}"))

    @property
    def embedded_text(self) -> str:
        """Title and text joined by a space, as BEIR does (Thakur et al., arXiv 2104.08663)."""
        return f"{self.title} {self.text}".strip()

    def content_hash(self, fingerprint: str) -> str:
        """Returns 32 hexadecimal digits that change with whatever changes the vector: text, title, or the space."""
        content = json.dumps([fingerprint, self.title, self.text])
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def with_vector(self, vector: ArrayLike | None) -> StoredDocument:
        """Returns the document with its full vector, ``dim`` floats, for ``LeafCollection.index_vectors``."""
        try:
            row = None if vector is None else np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise VectorError(f"document {self.id!r:.80}: its vector is no row of numbers ({error})") from error
        return StoredDocument(self.id, self.text, self.title, self.payload, row)


@dataclass(frozen=True)
class StoredDocument(Document):
    """A document with its vector, as a collection returns it or ``index_vectors`` takes it.

    Attributes:
        vector: Full vector, shape ``(dim,)``, float32; ``None`` if it was not asked for.
    """

    vector: FloatArray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Hit:
    """One result of a search.

    Attributes:
        id: Id of the document, as it was indexed.
        score: Cosine or dot product with the full vector, or the score of the fusion; higher is nearer.
        text: Text of the document.
        title: Title of the document.
        payload: Payload of the document.
    """

    id: str | int
    score: float
    text: str
    title: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexReport:
    """The result of indexing, in numbers of documents.

    Attributes:
        added: Documents with new ids.
        updated: Documents whose text or title differed from the stored one: embedded again.
        payload_updated: Documents of which only the payload differed: written, not embedded again.
        unchanged: Documents equal to the stored ones: not written.
        seconds: Wall time, graphs included.
    """

    added: int
    updated: int
    payload_updated: int
    unchanged: int
    seconds: float

    @property
    def embedded(self) -> int:
        """Number of documents that were embedded."""
        return self.added + self.updated

    @property
    def total(self) -> int:
        """Number of documents passed."""
        return self.embedded + self.payload_updated + self.unchanged


def as_document(value: Any, number: int) -> Document:
    """Returns the document for a :class:`Document`, or for a mapping such as a line of BEIR's corpus.jsonl.

    Args:
        value: A mapping needs ``_id`` (or ``id``) and ``text``; ``title`` and ``payload`` are optional, and any other
            key is put into the payload.
        number: Number of the document in the input, for the message.

    Raises:
        InputError: Neither of them, or a field is missing or cannot be used.
    """
    if isinstance(value, Document):
        return value
    if not isinstance(value, Mapping):
        raise InputError(
            f"document number {number} is of type {type(value).__name__}; expected a Document, or a mapping with "
            "'_id', 'text' and optionally 'title'"
        )
    fields = dict(value)
    key = "id" if "id" in fields and "_id" not in fields else "_id"
    missing = [name for name in (key, "text") if name not in fields]
    if missing:
        raise InputError(
            f"document number {number} lacks {' and '.join(map(repr, missing))}; it has the keys {sorted(fields)}"
        )
    payload, title = _or(fields.pop("payload", None), {}), _or(fields.pop("title", None), "")
    if not isinstance(payload, Mapping):
        raise InputError(f"document number {number}: payload must be a mapping; got {type(payload).__name__}")
    return Document(fields.pop(key), fields.pop("text"), title, {**payload, **fields})


def _or(value: Any, empty: Any) -> Any:
    """Returns ``empty`` for what is false; an array, which is neither, is left to the checks."""
    return value if isinstance(value, np.ndarray) else value or empty


def point_id(document_id: str | int) -> str:
    """Returns the UUID for a document's id, since Qdrant takes only UUIDs and unsigned integers."""
    return str(uuid.uuid5(NAMESPACE, json.dumps(document_id)))
