"""LangChain's ``Embeddings`` over a leaf: documents by the teacher, queries by the leaf."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict, PrivateAttr

from leaf_embed import EmbeddingSpace, Encoder
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
    """Embeds documents by the teacher and queries by the leaf, in one space.

    The teacher is loaded when the first document comes; a process that only asks questions never loads it. Beware of
    vector stores that embed a dummy document when they are made (langchain_qdrant.QdrantVectorStore 1.1.0 does): in a
    query-only process give ``document=None``, and such a call fails at once instead of loading the teacher. Our own
    :class:`LeafQdrantVectorStore` asks for documents only when documents are added.

    Made from a path or hub id it survives ``langchain_core.load.dumps`` and ``loads``.

    ``CacheBackedEmbeddings`` keeps vectors by the text alone, so give it the space as ``namespace``
    (``embeddings.encoder.space.fingerprint``), and never ``query_embedding_cache=True``: queries would share the
    documents' store, and the teacher's vector of a text come back for the query of the same words, or the leaf's be
    stored for the document. A store of their own is right: ``query_embedding_cache=another_store``.
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
        """Open a leaf, or take one that is open.

        Args:
            leaf: A leaf directory, a hub id, or an encoder such as what :func:`leaf_embed.load` gives.
            document: Who encodes documents: ``"teacher"``, ``"leaf"`` (symmetric use), the teacher's path or hub id,
                an encoder, any LangChain ``Embeddings`` of the teacher (it adds the teacher's prompts itself), or
                ``None`` for nobody.
            variant: Graph to run; see :func:`leaf_embed.load`.
            threads: Threads of ONNX Runtime.
            revision: Hub commit, branch or tag.
            batch_size: Documents of one call to the document encoder.
            show_progress: Whether documents draw a bar on standard error.

        Raises:
            NotALeafError: There is no leaf.
            InputError: An encoder came together with an option of loading.
            SpaceMismatchError: ``document`` does not belong to the leaf's space; an ``Embeddings`` object is asked
                for the space's canaries when the first document comes.
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
        source: Any = _maker(document) if isinstance(document, Embeddings) else document
        self._encoder = open_leaf(leaf, document=source, variant=variant, threads=threads, revision=revision)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """LangChain may write it to JSON."""
        return True

    @property
    def encoder(self) -> Encoder:
        """The encoder behind it."""
        return self._encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of passages, ``dim`` floats each."""
        encode = self._encoder.encode_document
        return encode_lists(encode, texts, batch_size=self.batch_size, progress=self.show_progress)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question, ``dim`` floats."""
        return encode_lists(self._encoder.encode_query, [text])[0]  # a batch of one: a list is refused

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """:meth:`embed_documents` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """:meth:`embed_query` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.embed_query, text)

    def __repr__(self) -> str:
        return f"LeafEmbeddings({self._encoder.space.describe()})"


def _maker(teacher: Embeddings) -> Any:
    """Makes the document encoder of a space from LangChain's object when the first document comes."""

    def make(space: EmbeddingSpace) -> Encoder:
        return FunctionEncoder(space, document=teacher.embed_documents, query=one_by_one(teacher.embed_query))

    return make
