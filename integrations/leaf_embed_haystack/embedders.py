"""Haystack's two embedders over a leaf: LeafTextEmbedder for queries, LeafDocumentEmbedder for documents."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_to_dict

from leaf_embed import Encoder
from leaf_embed.encoders import DocumentSource, LeafSource, Variant, encode_lists, open_leaf
from leaf_embed_haystack.convert import plain

__all__ = ["LeafDocumentEmbedder", "LeafTextEmbedder"]


class Opening:
    """Base of the embedders: loads the leaf once, on first use."""

    leaf: LeafSource
    document: DocumentSource = None
    variant: Variant
    threads: int
    revision: str | None
    _encoder: Encoder | None = None

    def warm_up(self) -> None:
        """Loads the leaf, if it is not loaded; a teacher is loaded with the first documents."""
        self._open()

    def _open(self) -> Encoder:
        if isinstance(self.leaf, Encoder):
            return self.leaf
        if self._encoder is None:
            self._encoder = open_leaf(
                self.leaf, document=self.document, variant=self.variant, threads=self.threads, revision=self.revision
            )
        return self._encoder


@component
class LeafTextEmbedder(Opening):
    """Embedder of queries by the leaf; the teacher is never loaded."""

    def __init__(
        self, leaf: LeafSource, *, variant: Variant = "auto", threads: int = 1, revision: str | None = None
    ) -> None:
        """Names a leaf, which is loaded by :meth:`warm_up` or the first query.

        Args:
            leaf: A leaf directory or hub id; or an encoder, which no pipeline file can hold.
            variant: Graph to run; see :func:`leaf_embed.load`.
            threads: Threads of ONNX Runtime.
            revision: Hub commit, branch or tag.
        """
        self.leaf, self.variant, self.threads, self.revision = leaf, variant, threads, revision

    def to_dict(self) -> dict[str, Any]:
        """Returns the form for a pipeline file."""
        return default_to_dict(
            self, leaf=plain(self.leaf), variant=self.variant, threads=self.threads, revision=self.revision
        )

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Returns the query's vector, ``dim`` floats, as ``embedding``."""
        if not isinstance(text, str):
            raise TypeError(
                f"LeafTextEmbedder takes one text; got {type(text).__name__}. "
                "Documents are embedded by LeafDocumentEmbedder."
            )
        return {"embedding": encode_lists(self._open().encode_query, [text])[0]}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, Any]:
        """:meth:`run` in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, text)


@component
class LeafDocumentEmbedder(Opening):
    """Embedder of documents by the teacher, which is loaded with the first document."""

    def __init__(
        self,
        leaf: LeafSource,
        *,
        document: DocumentSource = "teacher",
        variant: Variant = "auto",
        threads: int = 1,
        revision: str | None = None,
        batch_size: int = 1024,
        progress_bar: bool = False,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        """Names a leaf, which is loaded by :meth:`warm_up` or the first documents.

        Args:
            leaf: A leaf directory or hub id; or an encoder, which no pipeline file can hold.
            document: The document encoder: ``"teacher"``, ``"leaf"`` (symmetric use), the teacher's path or hub id.
            variant: Graph to run; see :func:`leaf_embed.load`.
            threads: Threads of ONNX Runtime.
            revision: Hub commit, branch or tag.
            batch_size: Documents per call of the document encoder.
            progress_bar: Whether to show a progress bar on standard error.
            meta_fields_to_embed: Fields of ``meta`` that are put before the content.
            embedding_separator: Text between them.
        """
        self.leaf, self.document, self.variant, self.threads, self.revision = leaf, document, variant, threads, revision
        self.batch_size, self.progress_bar = batch_size, progress_bar
        self.meta_fields_to_embed, self.embedding_separator = list(meta_fields_to_embed or []), embedding_separator

    def to_dict(self) -> dict[str, Any]:
        """Returns the form for a pipeline file."""
        return default_to_dict(
            self,
            leaf=plain(self.leaf),
            document=plain(self.document),
            variant=self.variant,
            threads=self.threads,
            revision=self.revision,
            batch_size=self.batch_size,
            progress_bar=self.progress_bar,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Returns copies of the documents with their vectors, as ``documents``."""
        if not isinstance(documents, list) or not all(isinstance(item, Document) for item in documents):
            raise TypeError(
                f"LeafDocumentEmbedder takes a list of Documents; got {type(documents).__name__}. "
                "A query is embedded by LeafTextEmbedder."
            )
        texts = [self._text(document) for document in documents]
        encode = self._open().encode_document
        rows = encode_lists(encode, texts, batch_size=self.batch_size, progress=self.progress_bar)
        return {"documents": [replace(d, embedding=row) for d, row in zip(documents, rows, strict=True)]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """:meth:`run` in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, documents)

    def _text(self, document: Document) -> str:
        fields = [document.meta.get(field) for field in self.meta_fields_to_embed]
        return self.embedding_separator.join([str(f) for f in fields if f is not None] + [document.content or ""])
