"""Conversion between LangChain's documents and those of a collection."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from leaf_embed import Encoder
from leaf_embed.errors import InputError
from leaf_embed.qdrant import Document as LeafDocument
from leaf_embed.qdrant import Hit, StoredDocument
from leaf_embed_langchain.embeddings import LeafEmbeddings

__all__ = ["document_of", "encoder_of", "leaf_documents", "required", "scored"]


def encoder_of(embedding: Embeddings | Encoder) -> Encoder:
    """Returns the encoder of LangChain's object.

    Raises:
        InputError: The object is of another model, whose space is unknown.
    """
    if isinstance(embedding, LeafEmbeddings):
        return embedding.encoder
    if isinstance(embedding, Encoder):
        return embedding
    raise InputError(
        f"expected LeafEmbeddings, since a collection belongs to one embedding space; got {type(embedding).__name__}. "
        "If this is the leaf's teacher, use LeafEmbeddings('my-leaf', document=it)."
    )


def leaf_documents(
    texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None, ids: Sequence[str | None] | None
) -> list[LeafDocument]:
    """Returns documents to index, with a random id where none is passed.

    Raises:
        InputError: Not one metadata or one id per text, or a value that cannot be stored.
    """
    contents = [texts] if isinstance(texts, str) else list(texts)
    for name, given in (("metadatas", metadatas), ("ids", ids)):
        if given is not None and len(given) != len(contents):
            raise InputError(f"{len(given)} {name} came with {len(contents)} texts; expected one per text")
    return [
        LeafDocument(name or str(uuid.uuid4()), text, payload=metadata or {})
        for text, metadata, name in zip(
            contents, metadatas or [{}] * len(contents), ids or [None] * len(contents), strict=True
        )
    ]


def document_of(found: Hit | StoredDocument) -> Document:
    """Returns LangChain's document; a title joins the metadata."""
    title = {"title": found.title} if found.title else {}
    return Document(id=str(found.id), page_content=found.text, metadata={**title, **found.payload})


def scored(hits: Iterable[Hit]) -> list[tuple[Document, float]]:
    """Returns documents with their scores."""
    return [(document_of(hit), hit.score) for hit in hits]


def required(ids: list[str] | None) -> list[str]:
    """Returns the ids to delete.

    Raises:
        InputError: ``None``, which in some stores means everything.
    """
    if ids is None:
        raise InputError("delete needs ids: a list such as ['a'] (everything is never deleted by leaving them out)")
    return ids
