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
    """Replaces what no tokenizer, file or server can be trusted with by the replacement character, U+FFFD.

    That is lone surrogates, which have no UTF-8 form, and NUL, which ends a text in C and which databases refuse.
    Every encoder and every reader of texts calls this function, so a text has one form everywhere.
    """
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
