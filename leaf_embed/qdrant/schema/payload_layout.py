"""The layout of a point's payload: our own, or another program's, which we read and write as that program does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.documents import HASH, ID, PAYLOAD, TEXT, TITLE, Document

__all__ = ["LANGCHAIN", "OWN", "Change", "PayloadLayout", "find_layout"]

Change: TypeAlias = Literal["text", "payload", "none"]

# What another program's payload has no place for. Its own reader does not look at them.
THEIR_ID, THEIR_TITLE = "leaf_id", "leaf_title"


@dataclass(frozen=True)
class PayloadLayout:
    """Where the payload of a point holds what.

    Attributes:
        text_key: Field that holds the text; ``None`` for our own layout.
        payload_key: Field that holds the caller's payload, in another program's layout; ``None`` if it lies around the
            text.
    """

    text_key: str | None = None
    payload_key: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is leaf-embed's own."""
        return self.text_key is None

    @property
    def filter_prefix(self) -> str:
        """What stands before the name of a field of the caller's payload in a filter."""
        key = PAYLOAD if self.is_own else self.payload_key
        return f"{key}." if key else ""

    @property
    def compared(self) -> Sequence[str] | None:
        """Fields that show whether a document changed; ``None`` for all of them."""
        if self.text_key is None:
            return HASH, PAYLOAD
        return None if self.payload_key is None else (self.text_key, self.payload_key, THEIR_TITLE)

    def stored(self, document: Document, point: str | int, fingerprint: str) -> dict[str, Any]:
        """Returns the payload of a document's point.

        Raises:
            InputError: Another program's layout has no place for it, or a field of the payload has the text's name.
        """
        if self.text_key is None:
            return {
                ID: document.id,
                TITLE: document.title,
                TEXT: document.text,
                HASH: document.content_hash(fingerprint),
                PAYLOAD: dict(document.payload),
            }
        self._require_writable(document)
        inner = dict(document.payload)
        theirs = inner if self.payload_key is None else {self.payload_key: inner}
        more = {THEIR_TITLE: document.title} if document.title else {}
        if not _same_id(document.id, point):
            more[THEIR_ID] = str(document.id)
        return {**theirs, self.text_key: document.text, **more}

    def change(self, document: Document, stored: Mapping[str, Any], fingerprint: str) -> Change:
        """Compares a document with the payload that is stored for it."""
        if self.text_key is None:
            same = stored.get(HASH) == document.content_hash(fingerprint)
        else:
            same = (stored.get(self.text_key), stored.get(THEIR_TITLE, "")) == (document.text, document.title)
        if not same:
            return "text"
        return "none" if _canonical(self._payload(stored)) == _canonical(document.payload) else "payload"

    def fields(self, point: str | int, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Returns id, text, title and payload of the document that a point stands for."""
        if self.text_key is None or (ID in stored and HASH in stored):  # ours, also within another program's
            payload = stored.get(PAYLOAD) or {}
            return {"id": stored[ID], "text": stored.get(TEXT, ""), "title": stored.get(TITLE, ""), "payload": payload}
        text = _node_text(stored) if self.text_key == LLAMA_INDEX else stored.get(self.text_key)
        return {
            "id": stored.get(THEIR_ID, point),
            "text": "" if text is None else str(text),
            "title": str(stored.get(THEIR_TITLE, "")),
            "payload": self._payload(stored),
        }

    def embedded_text(self, stored: Mapping[str, Any]) -> str:
        """Returns the text that was embedded, ``""`` if there is none."""
        title, text = (TITLE, TEXT) if self.text_key is None else (THEIR_TITLE, self.text_key)
        parts = stored.get(title, ""), stored.get(text)
        return " ".join(part for part in parts if isinstance(part, str)).strip()

    def _payload(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        key = PAYLOAD if self.text_key is None else self.payload_key
        if key is None:
            return {k: v for k, v in stored.items() if k not in (self.text_key, THEIR_ID, THEIR_TITLE)}
        inner = stored.get(key)
        return inner if isinstance(inner, Mapping) else {}

    def _require_writable(self, document: Document) -> None:
        if self.text_key == LLAMA_INDEX or (self.text_key, self.payload_key) == HAYSTACK:
            whose = "LlamaIndex" if self.text_key == LLAMA_INDEX else "Haystack"
            raise InputError(
                f"this collection is in {whose}'s layout, which holds more than a document here has. It can be "
                f"searched; write it with {whose}'s own store"
            )
        if self.payload_key is None and self.text_key in document.payload:
            raise InputError(
                f"document {document.id!r:.80}: its payload has a field {self.text_key!r}, which in this collection is "
                "the name of the text"
            )


OWN = PayloadLayout()
LANGCHAIN = PayloadLayout("page_content", "metadata")
HAYSTACK = ("content", "meta")
LLAMA_INDEX = "_node_content"


def find_layout(payloads: Sequence[Mapping[str, Any]], text_key: str | None, payload_key: str | None) -> PayloadLayout:
    """Finds the layout of stored payloads.

    Args:
        payloads: Payloads of some points.
        text_key: Field of the text, if the caller knows it.
        payload_key: Field of the caller's own payload, if the caller knows it; ``""`` if it lies around the text.

    Raises:
        InputError: It is LlamaIndex's, which is read and written by LlamaIndex's store alone.
    """
    keys = {key for payload in payloads for key in payload}
    if text_key is None and {ID, TEXT, HASH, PAYLOAD} <= keys:
        return OWN
    if text_key is None and LLAMA_INDEX in keys:
        raise InputError(
            f"the points hold LlamaIndex's nodes (under {LLAMA_INDEX!r}). Open the collection with "
            "leaf_embed_llama_index.QdrantVectorStore, or name the field of the embedded text with text_key=..."
        )
    known = [(LANGCHAIN.text_key, LANGCHAIN.payload_key), HAYSTACK]
    if text_key is None:
        text_key = next((text for text, inner in known if {text, inner} <= keys), TEXT)
    if payload_key is None:
        payload_key = next((inner for text, inner in known if text == text_key and inner in keys), None)
    return PayloadLayout(text_key, payload_key or None)


def _node_text(stored: Mapping[str, Any]) -> str | None:
    """Returns the text of one of LlamaIndex's nodes, without its metadata."""
    try:
        node = json.loads(stored[LLAMA_INDEX])
    except (KeyError, TypeError, ValueError):
        return None
    return node.get("text") if isinstance(node, dict) else None


def _same_id(document_id: str | int, point: str | int) -> bool:
    return str(document_id).replace("-", "").lower() == str(point).replace("-", "").lower()


def _canonical(payload: Mapping[str, Any]) -> str:
    """A text that is equal for equal JSON alone; Python's ``==`` would take 1 and true for equal."""
    return json.dumps(payload, sort_keys=True)
