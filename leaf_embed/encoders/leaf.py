"""The encoder of a leaf: queries through the student, documents through the teacher, into one vector space."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from leaf_embed import _telemetry
from leaf_embed.canaries import CanaryReport
from leaf_embed.encoders.base import Counting, CountingEncoder, Encoder, count_tokens, texts_cut
from leaf_embed.encoders.checks import check_callable, check_kind
from leaf_embed.encoders.habits import EncodeOptions, role_of
from leaf_embed.encoders.rotation import RotatedEncoder, Rotation
from leaf_embed.errors import InputError
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["DocumentMaker", "LeafEncoder"]

DocumentMaker: TypeAlias = Callable[[EmbeddingSpace], Encoder]
"""Makes the document encoder from the teacher's own space, when the first document comes."""


class LeafEncoder(CountingEncoder):
    """Pairs an encoder of queries with an encoder of documents.

    The document encoder is made on first use, so that a process that only encodes queries never loads the teacher.
    Its space and its canaries are checked before it returns its first vector.
    """

    def __init__(
        self,
        query: Encoder,
        document: Encoder | Callable[[], Encoder] | None = None,
        *,
        rotation: Rotation | None = None,
    ) -> None:
        """Pair two encoders.

        Args:
            query: The student.
            document: The teacher, or a function that loads it, or ``None`` for a leaf that encodes queries only.
            rotation: The rotation of the leaf's space, if it is rotated; then the vectors of a teacher that is not
                rotated are rotated after encoding.

        Raises:
            SpaceMismatchError: ``document`` is an encoder of another space.
        """
        check_kind("the student", query, Encoder)
        check_kind("rotation", rotation, Rotation, optional=True)
        if not isinstance(document, Encoder):
            check_callable("the document encoder, or what makes it,", document, optional=True)
        self._query = query
        self.rotation = rotation
        self._lock = threading.Lock()
        self._document: Encoder | None = None
        self._make_document: Callable[[], Encoder] | None = None
        if document is None or isinstance(document, Encoder):
            self._document = None if document is None else self._checked(document)
        else:
            self._make_document = document

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the lock; a document encoder that was made on first use is made again on first use."""
        state = self.__dict__.copy()
        del state["_lock"]
        if self._make_document is not None:
            state["_document"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def space(self) -> EmbeddingSpace:
        return self._query.space

    @property
    def record(self) -> LeafRecord:  # type: ignore[override]
        """What the student computed when it was made."""
        known: LeafRecord = getattr(self._query, "record", LeafRecord())
        return replace(known, of_documents=self.is_symmetric)

    @property
    def teacher_space(self) -> EmbeddingSpace:
        """The space that the teacher itself writes into: the leaf's own, before any rotation and truncation."""
        return self.space if self.rotation is None else self.rotation.plain(self.space)

    def rotated(self, teacher: Encoder) -> Encoder:
        """Returns a teacher of :attr:`teacher_space` as an encoder of the leaf's space: rotated if the leaf is."""
        if self.rotation is None or teacher.space.rotation is not None:
            return teacher
        return RotatedEncoder(teacher, self.rotation, self.space.dim)

    @property
    def query_encoder(self) -> Encoder:
        """The student."""
        return self._query

    @property
    def can_encode_documents(self) -> bool:
        """Whether there is a document encoder, loaded or not."""
        return self._document is not None or self._make_document is not None

    @property
    def is_symmetric(self) -> bool:
        """Whether the student encodes documents too."""
        return self._document is self._query

    @property
    def document_encoder(self) -> Encoder:
        """The teacher, loaded on first use.

        Raises:
            InputError: The leaf was loaded for queries only.
            SpaceMismatchError: What was loaded is not the teacher of this leaf's space.
        """
        with self._lock:
            if self._document is None:
                if self._make_document is None:
                    raise InputError(
                        "this leaf was loaded for queries only, so it cannot encode documents. Load it with "
                        f"document='teacher' (teacher: {self.space.teacher}), or with document='leaf' to encode "
                        "documents by the leaf itself, which costs some quality."
                    )
                self._document = self._checked(self._make_document())
            return self._document

    def _checked(self, document: Encoder) -> Encoder:
        if document is self._query:
            return document
        document = self.rotated(document)
        self.space.require_same(
            document.space,
            mine="the leaf",
            theirs="the document encoder",
            advice="Use the teacher that the leaf was distilled from, with the same prompts.",
        )
        if self.space.canaries is not None:
            self.space.verify(document, name="the document encoder")
        return document

    def verify(self) -> CanaryReport:
        """Checks that the query side computes what it did when it was made, in the space that it was made for.

        Raises:
            SpaceMismatchError: It does not.
            InputError: The space has no canaries.
        """
        return self.space.verify_leaf(self._query)

    @property
    def device(self) -> str:
        """The device of the student."""
        return str(getattr(self._query, "device", "cpu"))

    def encode(
        self, texts: str | Sequence[str], prompt_name: str | None = None, **options: Unpack[EncodeOptions]
    ) -> FloatArray:
        """Returns vectors as ``SentenceTransformer(directory).encode`` does; see :meth:`BaseEncoder.encode`.

        Without a prompt name the leaf itself encodes, whatever the texts are, as a ``SentenceTransformer`` of its
        directory would; ``"document"`` is :meth:`encode_document`, by the document encoder.
        """
        if prompt_name is not None:
            return super().encode(texts, prompt_name, **options)
        role = role_of(None, self.space.query_prompt, self.space.document_prompt)
        encode = self._query.encode_query if role == "query" else self._query.encode_document
        return self._encode_any(texts, encode, options)

    def _count(self, texts: list[str], role: Role) -> list[int]:
        """By the leaf's tokenizer, if the teacher is not loaded or has none."""
        document = self._document if role == "document" else None
        return count_tokens(document if isinstance(document, Counting) else self._query, texts, role)

    def texts_cut(self, texts: Sequence[str], role: Role) -> list[bool]:
        """Returns of each text whether its encoder does not read its end; ``False`` where that is not known."""
        document = self._document if role == "document" else None
        return texts_cut(document or self._query, texts, role)

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        with _telemetry.span("leaf_embed.encode", role=role, texts=len(texts)):
            if role == "query":
                return self._query.encode_query(texts)
            return self.document_encoder.encode_document(texts)
