"""LeafEmbedding: LlamaIndex's ``BaseEmbedding`` over a leaf."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from leaf_embed import Encoder
from leaf_embed.encoders import (
    DocumentSource,
    FunctionEncoder,
    LeafSource,
    Variant,
    encode_lists,
    one_by_one,
    open_leaf,
)

__all__ = ["LeafEmbedding"]


class LeafEmbedding(BaseEmbedding):
    """An embedding whose texts are encoded by the teacher and queries by the leaf, in one space.

    The teacher is loaded with the first text. ``model_name`` is the space with its fingerprint. An ``embeddings_cache``
    is used for texts alone: LlamaIndex would look up queries in it by the same key, and return the teacher's vector of
    a text for the query of the same text, or store the leaf's for the text.

    Created from a path or hub id, it survives ``to_dict`` and ``from_dict``.
    """

    leaf: Any = Field(description="Leaf directory, hub id or encoder.")
    document: Any = Field(default="teacher", description="The encoder of texts.")
    variant: Variant = Field(default="auto", description="Graph to run.")
    threads: int = Field(default=1, description="Threads of ONNX Runtime.")
    revision: str | None = Field(default=None, description="Hub commit, branch or tag.")
    _encoder: Encoder = PrivateAttr()

    def __init__(
        self,
        leaf: LeafSource,
        *,
        document: DocumentSource | BaseEmbedding = "teacher",
        variant: Variant = "auto",
        threads: int = 1,
        revision: str | None = None,
        **options: Any,
    ) -> None:
        """Loads a leaf, or wraps an encoder.

        Args:
            leaf: A leaf directory, a hub id, or an encoder such as :func:`leaf_embed.load` returns.
            document: The encoder of texts: ``"teacher"``, ``"leaf"`` (symmetric use), the teacher's path or hub id, an
                encoder, or any LlamaIndex embedding of the teacher (which adds the teacher's prompts itself). ``None``
                loads none, so only queries can be embedded.
            variant: Graph to run; see :func:`leaf_embed.load`.
            threads: Threads of ONNX Runtime.
            revision: Hub commit, branch or tag.
            options: Those of ``BaseEmbedding``, such as ``embed_batch_size``.

        Raises:
            NotALeafError: There is no leaf.
            InputError: An encoder was passed together with an option of loading.
            SpaceMismatchError: ``document`` does not belong to the leaf's space; a LlamaIndex embedding is checked by
                the space's canaries before the first text.
        """
        source: Any = document
        if isinstance(document, BaseEmbedding):
            query = one_by_one(document.get_query_embedding)
            source = partial(FunctionEncoder, document=document.get_text_embedding_batch, query=query)
        encoder = open_leaf(leaf, document=source, variant=variant, threads=threads, revision=revision)
        own: dict[str, Any] = {"leaf": leaf, "document": document}
        own = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in own.items()}
        own.update(variant=variant, threads=threads, revision=revision)
        super().__init__(**{"model_name": encoder.space.describe(), **options, **own})
        self._encoder = encoder

    @classmethod
    def class_name(cls) -> str:
        """Returns the name in serialized form."""
        return "LeafEmbedding"

    @property
    def encoder(self) -> Encoder:
        """The encoder that embeds texts and queries."""
        return self._encoder

    def get_query_embedding(self, query: str) -> Embedding:
        """Returns the vector of a query, ``dim`` floats; never from ``embeddings_cache``."""
        return BaseEmbedding.get_query_embedding(self._without_cache(), query)

    async def aget_query_embedding(self, query: str) -> Embedding:
        """:meth:`get_query_embedding` in a thread, so that the event loop is not blocked."""
        return await BaseEmbedding.aget_query_embedding(self._without_cache(), query)

    def _without_cache(self) -> LeafEmbedding:
        return self if self.embeddings_cache is None else self.model_copy(update={"embeddings_cache": None})

    def _get_query_embedding(self, query: str) -> Embedding:
        return encode_lists(self._encoder.encode_query, [query])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return encode_lists(self._encoder.encode_document, texts)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
