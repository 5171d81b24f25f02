"""LangChain's ``Embeddings`` over a leaf: documents by the teacher, queries by the leaf."""

from __future__ import annotations

import asyncio
import os
from typing import Literal

from langchain_core.embeddings import Embeddings

from leaf_embed import Encoder, load
from leaf_embed.errors import InputError

__all__ = ["LeafEmbeddings"]


class LeafEmbeddings(Embeddings):
    """Embeds documents by the teacher and queries by the leaf, in one space.

    The teacher is loaded when the first document comes; a process that only asks questions never loads it. Beware of
    vector stores that embed a dummy document when they are made (langchain_qdrant.QdrantVectorStore 1.1.0 does): in a
    query-only process give ``document=None``, and such a call fails at once instead of loading the teacher.
    """

    def __init__(
        self,
        leaf: str | os.PathLike[str] | Encoder,
        *,
        document: Literal["teacher", "leaf"] | Encoder | str | os.PathLike[str] | None = "teacher",
        variant: Literal["auto", "int8", "float32", "torch"] = "auto",
        threads: int = 1,
        revision: str | None = None,
    ) -> None:
        """Open a leaf, or take one that is open.

        Args:
            leaf: A leaf directory, a hub id, or an encoder such as what :func:`leaf_embed.load` gives.
            document: Who encodes documents: ``"teacher"``, ``"leaf"`` (symmetric use), the teacher's path or hub id,
                an encoder, or ``None`` for nobody. Like all that follow, for a leaf that is loaded here.
            variant: Graph to run; see :func:`leaf_embed.load`.
            threads: Threads of ONNX Runtime.
            revision: Hub commit, branch or tag.

        Raises:
            NotALeafError: There is no leaf.
            InputError: An encoder came together with an option of loading.
            SpaceMismatchError: ``document`` does not belong to the leaf's space.
        """
        if not isinstance(leaf, Encoder):
            self._encoder: Encoder = load(leaf, document=document, variant=variant, threads=threads, revision=revision)
            return
        if (document, variant, threads, revision) != ("teacher", "auto", 1, None):
            raise InputError(
                "document, variant, threads and revision say how to load a leaf, but an encoder came that is loaded. "
                "Give the leaf's path, or give them to leaf_embed.load(...) and its result here."
            )
        self._encoder = leaf

    @property
    def encoder(self) -> Encoder:
        """The encoder behind it."""
        return self._encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of passages, ``dim`` floats each."""
        if isinstance(texts, str):
            raise InputError("embed_documents takes a list of texts; got one text. Use [text], or embed_query")
        rows: list[list[float]] = self._encoder.encode_document(list(texts)).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question, ``dim`` floats."""
        row: list[float] = self._encoder.encode_query([text])[0].tolist()  # a batch of one: a list is refused
        return row

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """:meth:`embed_documents` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """:meth:`embed_query` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.embed_query, text)

    def __repr__(self) -> str:
        return f"LeafEmbeddings({self._encoder.space.describe()})"
