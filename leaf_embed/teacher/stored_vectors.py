"""Vectors that exist already, as a teacher, so that no text has to be embedded again.

The space is declared by the user; its dimensions and norm are measured on the vectors, and a few of the texts with
their vectors become its canaries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain, islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.canaries import TEACHER_FLOOR, Canaries
from leaf_embed.encoders.base import BaseEncoder, Encoder
from leaf_embed.errors import CorpusError, InputError, VectorError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.embed import check_pairs, shown
from leaf_embed.texts import Role, Text, clean
from leaf_embed.vectors import FloatArray

__all__ = ["StoredVectors", "TextAndVector"]

TextAndVector: TypeAlias = tuple["Text | str", ArrayLike]
"""A text with its vector ``(dim,)``; a ``str`` is a document."""

PROBE = 512  # pairs that are read to measure the space
CANARIES = 8
CANARY_CHARACTERS = 400  # preferred maximum, since canaries are stored with every leaf


class StoredVectors(BaseEncoder):
    """Texts with the vectors that a teacher wrote, and the space that the user declares for them.

    Takes the place of a teacher in :func:`leaf_embed.distill.distill`::

        stored = StoredVectors(VectorFiles(["docs.parquet"]), "text-embedding-3-small")
        distill(stored, None, "sentence-transformers/all-MiniLM-L6-v2", "my-leaf")

    The texts are not cut, since their vectors stand for the whole texts. Eight of them become the canaries of the space
    and are stored, readable, in every leaf and collection of it.
    """

    def __init__(
        self,
        pairs: Iterable[TextAndVector],
        teacher: str | EmbeddingSpace | Encoder,
        *,
        revision: str | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
        max_tokens: int | None = None,
    ) -> None:
        """Reads the first pairs and measures the space.

        Args:
            pairs: Texts with vectors: :class:`~leaf_embed.distill.VectorFiles`, ``leaf_embed.qdrant.CollectionPairs``,
                or any iterable. An iterator can be used once.
            teacher: The model that wrote the vectors: its name; its space, if known; or the teacher itself, which is
                checked to return some of the vectors again, and can embed further texts, such as queries.
            revision: Revision of the model, if known. Like all that follow, only beside a name.
            query_prompt: Text that the teacher puts before queries; the leaf will, too.
            document_prompt: Text that it put before these documents; not part of the texts.
            max_tokens: Number of tokens that the teacher reads, if known.

        Raises:
            CorpusError: There are no pairs.
            InputError: Prompts came together with a space or a teacher that has its own.
            VectorError: A vector of NaN or zeros, of another size than the first, or that does not fit the space.
            SpaceMismatchError: The teacher did not write these vectors.
        """
        declared = {
            "revision": revision,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
            "max_tokens": max_tokens,
        }
        self._pairs = pairs
        self._encoder = None if isinstance(teacher, str | EmbeddingSpace) else teacher
        head = self._head()
        if isinstance(teacher, str):
            probe = _matrix(head)
            self._space = EmbeddingSpace(
                teacher,
                int(probe.shape[1]),
                unit_norm=vectors.is_unit_norm(probe),
                **declared,  # type: ignore[arg-type]
            )
        elif any(declared.values()):
            raise InputError(
                f"{_plain(declared)} came beside a teacher that has a space; give its name alone, or leave them"
            )
        else:
            self._space = teacher if isinstance(teacher, EmbeddingSpace) else teacher.space
            probe = check_pairs(head, self._space)
        if self._encoder is not None or self._space.canaries is None:
            self._space = self._space.with_canaries(_canaries([text for text, _ in head], probe))
        if self._encoder is not None:
            self._space.verify(self._encoder, floor=TEACHER_FLOOR, roles=_roles(self._space), name="the teacher given")

    def _head(self) -> list[tuple[Text, ArrayLike]]:
        """The first pairs; those of an iterator are stored for the one reading that it allows."""
        iterator = iter(self._pairs)
        head = [(_as_text(text), vector) for text, vector in islice(iterator, PROBE)]
        self._once = chain(head, iterator) if iterator is self._pairs else None
        if self._once is None and hasattr(iterator, "close"):
            iterator.close()  # it may hold a collection open
        if not head:
            raise CorpusError(f"there is not one text with a vector in {_named(self._pairs)}{_why(self.skipped)}")
        return head

    @property
    def space(self) -> EmbeddingSpace:
        """The declared space, with the measured dimensions and norm, and with canaries."""
        return self._space

    @property
    def encoder(self) -> Encoder | None:
        """The teacher itself, if it was given."""
        return self._encoder

    @property
    def skipped(self) -> Counter[str]:
        """Number of texts that the source left out, by reason."""
        found = getattr(self._pairs, "skipped", None)
        return found if isinstance(found, Counter) else Counter()

    @property
    def total(self) -> int | None:
        """Number of pairs, if the source knows it."""
        return len(self._pairs) if isinstance(self._pairs, Sized) else None

    @property
    def cut(self) -> int | None:
        """Number of tokens that the texts were cut to before they were embedded; ``None`` if they are whole."""
        found: int | None = getattr(self._pairs, "cut", None)
        return found

    def __iter__(self) -> Iterator[tuple[Text, ArrayLike]]:
        """Yields every text with its vector.

        Raises:
            InputError: The pairs came from an iterator, which is used up.
        """
        if self._once is None and iter(self._pairs) is self._pairs:
            raise InputError(
                "these pairs came from an iterator, which was read already; give a list, or another iterable"
            )
        pairs, self._once = (self._once, None) if self._once is not None else (iter(self._pairs), None)
        return ((_as_text(text), vector) for text, vector in pairs)

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        if self._encoder is None:
            raise InputError(
                f"the vectors of {self.space.teacher} are stored, and no encoder is given to embed "
                f"{shown(texts[0])!r}. To learn from further texts, give the teacher: StoredVectors(pairs, encoder)."
            )
        return self._encoder.encode_query(texts) if role == "query" else self._encoder.encode_document(texts)


def _as_text(text: Any) -> Text:
    if isinstance(text, Text):
        return text
    if not isinstance(text, str):
        raise InputError(f"expected pairs of a text and its vector; got {type(text).__name__} for a text")
    return Text(clean(text))


def _matrix(pairs: Sequence[tuple[Text, ArrayLike]]) -> FloatArray:
    """The vectors of the first pairs, all of the first one's size, shape ``(n, dim)``."""
    rows = [np.asarray(vector) for _, vector in pairs]
    names = [shown(text.text) for text, _ in pairs]
    for name, row in zip(names, rows, strict=True):
        if row.ndim != 1 or row.shape != rows[0].shape:
            raise VectorError(f"the vector of {name!r} has shape {row.shape}; expected {rows[0].shape or '(dim,)'}")
    return vectors.as_vectors(rows, source="the source of stored vectors", ids=names)


def _canaries(texts: Sequence[Text], rows: FloatArray) -> Canaries:
    """Some of the texts with their vectors, short ones preferred, spread over those that were read."""
    distinct = list({text: place for place, text in reversed(list(enumerate(texts))) if text.text.strip()}.values())
    short = sorted(p for p in distinct if len(texts[p].text) <= CANARY_CHARACTERS)
    if len(short) < CANARIES:
        short = sorted(distinct, key=lambda place: len(texts[place].text))[:CANARIES]
    chosen = [short[i] for i in np.linspace(0, len(short) - 1, min(CANARIES, len(short))).round().astype(int)]
    return Canaries(tuple((texts[p].kind, texts[p].text) for p in chosen), rows[chosen])


def _roles(space: EmbeddingSpace) -> tuple[Role, ...]:
    return tuple(sorted({role for role, _ in space.canaries.texts})) if space.canaries else ()


def _plain(declared: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in declared.items() if value)


def _named(pairs: Any) -> str:
    return str(pairs) if "__str__" in vars(type(pairs)) else f"the given {type(pairs).__name__}"


def _why(skipped: Counter[str]) -> str:
    return "".join(f"; {count} left out: {reason}" for reason, count in skipped.items())
