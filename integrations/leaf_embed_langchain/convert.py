"""Between LangChain's documents and ours."""

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
    """The encoder behind LangChain's object.

    Raises:
        InputError: Another model's: nobody could say which space it writes into.
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
    """Documents to index, with a random id where none is given.

    Raises:
        InputError: Not one metadata or one id a text, or something that cannot be stored.
    """
    contents = [texts] if isinstance(texts, str) else list(texts)
    for name, given in (("metadatas", metadatas), ("ids", ids)):
        if given is not None and len(given) != len(contents):
            raise InputError(f"{len(given)} {name} came with {len(contents)} texts; expected one a text")
    return [
        LeafDocument(name or str(uuid.uuid4()), text, payload=metadata or {})
        for text, metadata, name in zip(
            contents, metadatas or [{}] * len(contents), ids or [None] * len(contents), strict=True
        )
    ]


def document_of(found: Hit | StoredDocument) -> Document:
    """LangChain's document; a title joins the metadata."""
    title = {"title": found.title} if found.title else {}
    return Document(id=str(found.id), page_content=found.text, metadata={**title, **found.payload})


def scored(hits: Iterable[Hit]) -> list[tuple[Document, float]]:
    """Documents with their scores."""
    return [(document_of(hit), hit.score) for hit in hits]


def required(ids: list[str] | None) -> list[str]:
    """Ids of a deletion.

    Raises:
        InputError: ``None``, which in some stores means everything.
    """
    if ids is None:
        raise InputError("delete needs ids: a list such as ['a'] (everything is never deleted by leaving them out)")
    return ids
