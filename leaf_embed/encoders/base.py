"""The protocol of encoders, and the base class that all of ours share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex, overload, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.encoders.habits import EncodeOptions, check_role, encode_with, role_of
from leaf_embed.errors import InputError
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role, TextEncoder, clean
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "BaseEncoder",
    "Counting",
    "CountingEncoder",
    "Cutting",
    "Encoder",
    "Metered",
    "check_texts",
    "count_tokens",
    "precision_of",
    "texts_cut",
    "threads_of",
]


@runtime_checkable
class Encoder(TextEncoder, Protocol):
    """Anything that writes vectors into an embedding space.

    One text has shape ``(dim,)``, a sequence of n texts ``(n, dim)`` in the same order; float32, unit norm if the space
    has it. Ten lines make one, for a test or for a model of your own.
    """

    @property
    def space(self) -> EmbeddingSpace:
        """The space that the vectors live in."""
        ...

    @overload
    def encode_query(self, texts: str) -> FloatArray: ...
    @overload
    def encode_query(self, texts: Sequence[str]) -> FloatArray: ...
    def encode_query(self, texts: str | Sequence[str]) -> FloatArray:
        """Returns vectors of queries, with the space's query prompt put before each."""
        ...

    @overload
    def encode_document(self, texts: str) -> FloatArray: ...
    @overload
    def encode_document(self, texts: Sequence[str]) -> FloatArray: ...
    def encode_document(self, texts: str | Sequence[str]) -> FloatArray:
        """Returns vectors of documents, with the space's document prompt put before each."""
        ...


@runtime_checkable
class Metered(Protocol):
    """An encoder whose calls cost money or much time, such as an API.

    A teacher cache requests the texts of one call at a time and keeps each answer, even if the next call fails.
    """

    def call_sizes(self, texts: Sequence[str], role: Role) -> Iterable[int]:
        """Returns how many of these texts, in their order, go into the first call, the second, and so on."""
        ...


@runtime_checkable
class Counting(Protocol):
    """An encoder with a tokenizer, which knows how much of a text it reads."""

    def count_tokens(self, texts: Sequence[str], role: Role) -> list[int]:
        """Returns the number of tokens read of each text, prompt and special tokens included, after truncation."""
        ...


def count_tokens(encoder: Encoder, texts: Sequence[str], role: Role) -> list[int]:
    """Returns the number of tokens that an encoder reads of each text; zeros if it is not :class:`Counting`."""
    return encoder.count_tokens(texts, role) if isinstance(encoder, Counting) else [0] * len(texts)


def precision_of(encoder: object) -> str | None:
    """Returns the precision that an encoder computes in, such as ``"bfloat16"`` or ``"int8"``; ``None`` if unknown."""
    found = getattr(encoder, "precision", None)
    return found if isinstance(found, str) else None


def threads_of(encoder: object) -> int | None:
    """Returns the threads that an encoder computes one text with; ``None`` if unknown."""
    found = getattr(encoder, "threads", None)
    return found if isinstance(found, int) else None


@runtime_checkable
class Cutting(Protocol):
    """An encoder that knows which texts are longer than what it reads."""

    def texts_cut(self, texts: Sequence[str], role: Role) -> list[bool]:
        """Returns of each text whether its end is not read."""
        ...


def texts_cut(encoder: Encoder, texts: Sequence[str], role: Role) -> list[bool]:
    """Returns of each text whether an encoder cuts it; ``False`` if it is not :class:`Cutting`."""
    return encoder.texts_cut(texts, role) if isinstance(encoder, Cutting) else [False] * len(texts)


class BaseEncoder(ABC):
    """An encoder that checks texts and handles one or many; a subclass encodes clean texts of one role.

    Encoders can be pickled and copied, so that a worker process gets one as an argument: those that were opened from a
    directory are opened there again, from the same path.

    Attributes:
        record: Of a leaf, what it computed when it was made; empty if unknown.
        threadsafe: Whether several threads may encode at once.
    """

    record: LeafRecord = LeafRecord()
    threadsafe = False

    @property
    @abstractmethod
    def space(self) -> EmbeddingSpace:
        """The space that the vectors live in."""

    @property
    def dim(self) -> int:
        """Number of dimensions of a vector."""
        return self.space.dim

    @abstractmethod
    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        """Vectors of at least one clean text, prompts not yet added, shape ``(n, dim)``, float32."""

    @property
    def device(self) -> str:
        """The device that computes, as torch names it."""
        return "cpu"

    def _opening(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Arguments that open this encoder again; ``None`` if it travels by its attributes."""
        return None

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        opening = self._opening()
        if opening is None:
            return super().__reduce_ex__(protocol)
        return open_again, (type(self), *opening, self.record)

    def encode_query(self, texts: str | Sequence[str], **options: Unpack[EncodeOptions]) -> FloatArray:
        """Returns vectors of queries.

        Args:
            texts: One text, or a sequence of n texts. An empty text is allowed.
            options: Those of sentence-transformers; see :class:`~leaf_embed.encoders.habits.EncodeOptions`.

        Returns:
            Shape ``(dim,)`` for one text, ``(n, dim)`` for a sequence; float32, unit norm if the space has it. A torch
            tensor of the same with ``convert_to_tensor=True``.

        Raises:
            InputError: An item that is no text, or an option that does not exist.
        """
        return self._encode_any(texts, partial(self._encode, role="query"), options)

    def encode_document(self, texts: str | Sequence[str], **options: Unpack[EncodeOptions]) -> FloatArray:
        """Returns vectors of documents; see :meth:`encode_query` for shapes, options and errors."""
        return self._encode_any(texts, partial(self._encode, role="document"), options)

    def encode(
        self, texts: str | Sequence[str], prompt_name: str | None = None, **options: Unpack[EncodeOptions]
    ) -> FloatArray:
        """Returns vectors as ``SentenceTransformer.encode`` does, for code that was written for one.

        Args:
            texts: One text, or a sequence of n texts.
            prompt_name: ``"query"`` is :meth:`encode_query`, ``"document"`` is :meth:`encode_document`; ``None`` puts
                no prompt before the texts.
            options: As for :meth:`encode_query`, which also names shapes.

        Raises:
            InputError: An item that is no text, an option that does not exist, or no prompt name in a space that has a
                prompt for either role.
        """
        role = role_of(prompt_name, self.space.query_prompt, self.space.document_prompt)
        return self._encode_any(texts, partial(self._encode, role=role), options)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> FloatArray:
        """Returns the cosine of every vector of the one with every vector of the other, shape ``(n, m)``, float32.

        Raises:
            InputError: No numbers, or vectors of different sizes.
        """
        left, right = (vectors.normalize(rows) for rows in _pair(embeddings1, embeddings2))
        product: FloatArray = left @ right.T
        return product

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> FloatArray:
        """Returns the cosine of each vector of the one with the same row of the other, shape ``(n,)``, float32.

        Raises:
            InputError: No numbers, vectors of different sizes, or another number of rows.
        """
        left, right = _pair(embeddings1, embeddings2)
        if len(left) != len(right):
            raise InputError(f"expected as many vectors on both sides; got {len(left)} and {len(right)}")
        return vectors.cosine(left, right)

    async def aencode_query(self, texts: str | Sequence[str]) -> FloatArray:
        """:meth:`encode_query` in a thread of its own, so that the event loop is not blocked."""
        return await _in_thread(self.encode_query, texts)

    async def aencode_document(self, texts: str | Sequence[str]) -> FloatArray:
        """:meth:`encode_document` in a thread of its own; see :meth:`aencode_query`."""
        return await _in_thread(self.encode_document, texts)

    def _encode_any(
        self, texts: str | Sequence[str], encode: Callable[[list[str]], FloatArray], options: EncodeOptions
    ) -> FloatArray:
        single = isinstance(texts, str)
        checked = [clean(texts)] if isinstance(texts, str) else check_texts(texts)
        if options:
            found: Any = encode_with(encode, checked, self.dim, options)
        else:
            found = encode(checked) if checked else np.empty((0, self.dim), dtype=np.float32)
        result: FloatArray = found[0] if single else found
        return result


def open_again(
    kind: type[BaseEncoder], arguments: tuple[Any, ...], options: Mapping[str, Any], record: LeafRecord
) -> BaseEncoder:
    """Opens an encoder that was pickled or copied."""
    encoder = kind(*arguments, **options)
    encoder.record = record
    return encoder


def _pair(left: ArrayLike, right: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Two matrices of vectors of one size; a single vector is a matrix of one row."""
    try:
        one, other = (np.atleast_2d(np.asarray(rows, dtype=np.float32)) for rows in (left, right))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"expected vectors, as NumPy reads them; got something else ({error})") from error
    if one.ndim != 2 or one.shape[1:] != other.shape[1:]:
        raise InputError(f"expected vectors of one size on both sides; got shapes {one.shape} and {other.shape}")
    return one, other


class CountingEncoder(BaseEncoder):
    """An encoder with a tokenizer; see :class:`Counting`."""

    @abstractmethod
    def _count(self, texts: list[str], role: Role) -> list[int]:
        """Tokens read of each clean text, prompts not yet added."""

    def count_tokens(self, texts: Sequence[str], role: Role) -> list[int]:
        """Returns the number of tokens read of each text, prompt and special tokens included, after truncation.

        Raises:
            InputError: An item that is no text.
        """
        checked = check_texts([texts] if isinstance(texts, str) else texts)
        return self._count(checked, check_role(role)) if checked else []


async def _in_thread(encode: Callable[[str | Sequence[str]], FloatArray], texts: str | Sequence[str]) -> FloatArray:
    import asyncio  # here: synchronous processes need not load it

    return await asyncio.to_thread(encode, texts)


def check_texts(texts: Sequence[str]) -> list[str]:
    """Returns clean texts as a list.

    Raises:
        InputError: Not a sequence of ``str``; the message names the first item that is not.
    """
    if isinstance(texts, bytes) or not hasattr(texts, "__iter__"):
        raise InputError(f"expected a text or a sequence of texts; got {type(texts).__name__}")
    checked = []
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"expected texts; item {place} is of type {type(text).__name__}: {text!r:.80}")
        checked.append(clean(text))
    return checked
