"""LeafEmbeddings: LangChain's ``Embeddings`` over a leaf."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict, PrivateAttr

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

__all__ = ["LeafEmbeddings"]


class LeafEmbeddings(Serializable, Embeddings):
    """Embeddings whose documents are encoded by the teacher and queries by the leaf, in one space.

    The teacher is loaded with the first document; a process that only embeds queries never loads it. Some vector
    stores embed a dummy document when they are created (langchain_qdrant.QdrantVectorStore 1.1.0 does): in a query-only
    process pass ``document=None``, and such a call fails at once instead of loading the teacher.
    :class:`LeafQdrantVectorStore` embeds documents only when documents are added.

    Created from a path or hub id it survives ``langchain_core.load.dumps`` and ``loads``.

    ``CacheBackedEmbeddings`` caches vectors by the text alone, so pass the space as ``namespace``
    (``embeddings.encoder.space.fingerprint``), and never ``query_embedding_cache=True``: queries and documents would
    share entries, and the teacher's vector be returned for the query of the same text, or the leaf's for the document.
    A separate store is right: ``query_embedding_cache=another_store``.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    leaf: Any
    document: Any = "teacher"
    variant: Variant = "auto"
    threads: int = 1
    revision: str | None = None
    batch_size: int = 1024
    show_progress: bool = False
    _encoder: Encoder = PrivateAttr()

    def __init__(
        self,
        leaf: LeafSource,
        *,
        document: DocumentSource | Embeddings = "teacher",
        variant: Variant = "auto",
        threads: int = 1,
        revision: str | None = None,
        batch_size: int = 1024,
        show_progress: bool = False,
    ) -> None:
        """Loads a leaf, or wraps an encoder.

        Args:
            leaf: A leaf directory, a hub id, or an encoder such as :func:`leaf_embed.load` returns.
            document: The document encoder: ``"teacher"``, ``"leaf"`` (symmetric use), the teacher's path or hub id, an
                encoder, or any LangChain ``Embeddings`` of the teacher (which adds the teacher's prompts itself).
                ``None`` loads none, so only queries can be embedded.
            variant: Graph to run; see :func:`leaf_embed.load`.
            threads: Threads of ONNX Runtime.
            revision: Hub commit, branch or tag.
            batch_size: Documents per call of the document encoder.
            show_progress: Whether to show a progress bar for documents on standard error.

        Raises:
            NotALeafError: There is no leaf.
            InputError: An encoder was passed together with an option of loading.
            SpaceMismatchError: ``document`` does not belong to the leaf's space; an ``Embeddings`` object is checked
                by the space's canaries before the first document.
        """
        super().__init__(
            leaf=leaf,
            document=document,
            variant=variant,
            threads=threads,
            revision=revision,
            batch_size=batch_size,
            show_progress=show_progress,
        )
        source: Any = document
        if isinstance(document, Embeddings):
            query = one_by_one(document.embed_query)
            source = partial(FunctionEncoder, document=document.embed_documents, query=query)
        self._encoder = open_leaf(leaf, document=source, variant=variant, threads=threads, revision=revision)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether LangChain may serialize it: yes."""
        return True

    @property
    def encoder(self) -> Encoder:
        """The encoder that embeds documents and queries."""
        return self._encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Returns the vectors of documents, ``dim`` floats each."""
        encode = self._encoder.encode_document
        return encode_lists(encode, texts, batch_size=self.batch_size, progress=self.show_progress)

    def embed_query(self, text: str) -> list[float]:
        """Returns the vector of a query, ``dim`` floats."""
        return encode_lists(self._encoder.encode_query, [text])[0]  # a batch of one, so that a list is refused

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """:meth:`embed_documents` in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """:meth:`embed_query` in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.embed_query, text)

    def __repr__(self) -> str:
        return f"LeafEmbeddings({self._encoder.space.describe()})"
