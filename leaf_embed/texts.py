"""Texts and their roles, and the protocol of anything that encodes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from leaf_embed.vectors import FloatArray

__all__ = ["Role", "Text", "TextEncoder", "clean"]

Role: TypeAlias = Literal["query", "document"]


@dataclass(frozen=True)
class Text:
    """One text with its role.

    Attributes:
        text: The text, title included, prompt not included.
        kind: The role, which decides the prompt.
    """

    text: str
    kind: Role = "document"


class TextEncoder(Protocol):
    """Anything that turns texts of both roles into vectors; :class:`leaf_embed.Encoder` also names its space."""

    def encode_query(self, texts: Sequence[str], /) -> FloatArray:
        """Returns the vectors of n questions, shape ``(n, dim)``, float32."""
        ...

    def encode_document(self, texts: Sequence[str], /) -> FloatArray:
        """Returns the vectors of n passages, shape ``(n, dim)``, float32."""
        ...


def clean(text: str) -> str:
    """Replaces lone surrogates, which no tokenizer can read, by the replacement character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
