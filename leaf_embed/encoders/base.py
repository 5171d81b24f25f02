"""The protocol of encoders, and the base class that all of ours share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np

from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role, TextEncoder, clean
from leaf_embed.vectors import FloatArray

__all__ = ["BaseEncoder", "Counting", "CountingEncoder", "Encoder", "Metered", "check_texts", "count_tokens"]


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


class BaseEncoder(ABC):
    """An encoder that checks texts and handles one or many; a subclass encodes clean texts of one role.

    Attributes:
        canary_cosines: Of a leaf, what it reached on the canaries when it was made, by role; empty if unknown.
    """

    canary_cosines: Mapping[Role, float] = MappingProxyType({})

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

    def encode_query(self, texts: str | Sequence[str]) -> FloatArray:
        """Returns vectors of queries.

        Args:
            texts: One text, or a sequence of n texts. An empty text is allowed.

        Returns:
            Shape ``(dim,)`` for one text, ``(n, dim)`` for a sequence; float32, unit norm if the space has it.

        Raises:
            InputError: An item that is no text.
        """
        return self._encode_any(texts, "query")

    def encode_document(self, texts: str | Sequence[str]) -> FloatArray:
        """Returns vectors of documents; see :meth:`encode_query` for shapes and errors."""
        return self._encode_any(texts, "document")

    async def aencode_query(self, texts: str | Sequence[str]) -> FloatArray:
        """:meth:`encode_query` in a thread of its own, so that the event loop is not blocked."""
        return await _in_thread(self.encode_query, texts)

    async def aencode_document(self, texts: str | Sequence[str]) -> FloatArray:
        """:meth:`encode_document` in a thread of its own; see :meth:`aencode_query`."""
        return await _in_thread(self.encode_document, texts)

    def _encode_any(self, texts: str | Sequence[str], role: Role) -> FloatArray:
        if isinstance(texts, str):
            row: FloatArray = self._encode([clean(texts)], role)[0]
            return row
        checked = check_texts(texts)
        if not checked:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._encode(checked, role)


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


def check_role(role: Any) -> Role:
    """Returns a role.

    Raises:
        InputError: Neither ``"query"`` nor ``"document"``.
    """
    if role not in ("query", "document"):
        raise InputError(f"expected the role 'query' or 'document'; got {role!r}")
    found: Role = role
    return found


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
