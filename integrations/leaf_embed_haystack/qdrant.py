"""QdrantDocumentStore: ``qdrant_haystack``'s own store, guarded by a leaf; needs ``pip install qdrant-haystack``.

Change the import and pass a leaf; collection, payloads, filters, retrievers and code stay::

    from leaf_embed_haystack import LeafTextEmbedder, QdrantDocumentStore

    store = QdrantDocumentStore("http://localhost:6333", index="docs", embedding_dim=768, leaf="my-leaf")
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from haystack import Document, default_from_dict, default_to_dict
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore as StockStore
from haystack_integrations.document_stores.qdrant.converters import DENSE_VECTORS_NAME

from leaf_embed import Encoder
from leaf_embed.encoders import LeafSource, open_leaf
from leaf_embed.errors import InputError
from leaf_embed.qdrant import (
    AttachedCollection,
    PayloadLayout,
    StagedClient,
    aattach,
    attach,
    check_first_stage,
    compare_with_leaf,
    raw_client,
)
from leaf_embed_haystack.convert import plain

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["QdrantDocumentStore"]

OPTIONS = tuple(inspect.signature(StockStore).parameters)
STOCK_TYPE = f"{StockStore.__module__}.{StockStore.__name__}"  # in pipeline files
OWN = ("leaf", "mrl", "meta_fields_to_embed", "embedding_separator")
LAYOUT = PayloadLayout("content", "meta")


class QdrantDocumentStore(StockStore):
    """The stock store; with a leaf it knows which model its collection belongs to.

    Everything of ``haystack_integrations.document_stores.qdrant.QdrantDocumentStore`` stays: options, payloads, ids,
    filters, errors; its retrievers work on it as they are. Both may work on one collection at the same time. With a
    leaf

    - the collection records the leaf's space, and another model is refused. The teacher is called once, when a
      collection with documents is opened that does not say yet which model wrote it;
    - the first vectors of every call that writes are compared with the leaf's;
    - ``mrl=128`` adds a truncated vector, from which dense and hybrid searches take their candidates.

    Documents are embedded by :class:`LeafDocumentEmbedder`, queries by :class:`LeafTextEmbedder`. Without a leaf it
    does what the stock store does.
    """

    def __init__(
        self,
        *args: Any,
        leaf: LeafSource | None = None,
        mrl: int | None = None,
        meta_fields_to_embed: Sequence[str] = (),
        embedding_separator: str = "\n",
        **options: Any,
    ) -> None:
        """Sets the options; the collection is opened, or created, and the leaf loaded by the first call.

        Args:
            args: Arguments of the stock store, by their places.
            leaf: A leaf directory or hub id; or an encoder, which no pipeline file can hold.
            mrl: Dimensions of a truncated vector to take candidates from; filled from the stored vectors if it is new.
                Needs ``use_sparse_embeddings=True`` (which names the vectors), and a server version 1.18 or later.
            meta_fields_to_embed: Fields of ``meta`` that the documents' embedder puts before the content, as it was
                told: stored vectors are compared with those of the whole text.
            embedding_separator: Text between them.
            options: Arguments of the stock store, by their names.

        Raises:
            InputError: The distance is not one that a leaf can answer, or ``mrl`` comes without a leaf. What needs the
                leaf is checked by the first call, before it makes a collection.
        """
        super().__init__(*args, **options)
        self.leaf, self.mrl = leaf, mrl
        self.meta_fields_to_embed, self.embedding_separator = list(meta_fields_to_embed), embedding_separator
        self._encoder = leaf if isinstance(leaf, Encoder) else None
        self._attached: AttachedCollection | None = None
        if leaf is not None and self.similarity not in ("cosine", "dot_product"):
            raise InputError(
                f"a leaf is aligned to its teacher's cosines and dot products; similarity {self.similarity!r} ranks "
                "otherwise. Use 'cosine' or 'dot_product'"
            )
        if leaf is None:
            self._require_first_stage(None)

    def to_dict(self) -> dict[str, Any]:
        """Returns the form for a pipeline file.

        Raises:
            InputError: The leaf is an encoder.
        """
        options: dict[str, Any] = {name: getattr(self, name) for name in OPTIONS}
        options["api_key"] = self.api_key.to_dict() if self.api_key else None
        if self.leaf is not None:
            options.update({name: getattr(self, name) for name in OWN}, leaf=plain(self.leaf))
        return default_to_dict(self, **options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Reads the form in a pipeline file, the stock store's too."""
        if data.get("type") == STOCK_TYPE:
            data = {**data, "type": f"{cls.__module__}.{cls.__name__}"}
        return default_from_dict(cls, data)

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.FAIL) -> int:
        """Writes documents; arguments and result as in the stock store.

        Raises:
            SpaceMismatchError: The first vectors are of another model; nothing is written.
        """
        self._initialize_client()
        self._compare(documents)
        return super().write_documents(documents, policy)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.FAIL
    ) -> int:
        """Async form of :meth:`write_documents`."""
        await self._initialize_async_client()
        await asyncio.to_thread(self._compare, documents)
        return await super().write_documents_async(documents, policy)

    def _initialize_client(self) -> None:
        if self._client is not None:
            return
        self._check_options()
        try:
            super()._initialize_client()
        except BaseException:
            if self.leaf is not None:  # the next call must not find a client whose collection nobody has checked
                self.close()
            raise

    async def _initialize_async_client(self) -> None:
        if self._async_client is not None:
            return
        await asyncio.to_thread(self._check_options)
        try:
            await super()._initialize_async_client()
        except BaseException:
            if self.leaf is not None:
                await self.close_async()
            raise

    def recreate_collection(self, collection_name: str, *args: Any, **options: Any) -> None:
        """Deletes the collection and creates it again; arguments as in the stock store."""
        super().recreate_collection(collection_name, *args, **options)
        self._guard(collection_name)

    async def recreate_collection_async(self, collection_name: str, *args: Any, **options: Any) -> None:
        """Async form of :meth:`recreate_collection`."""
        await super().recreate_collection_async(collection_name, *args, **options)
        await self._guard_async(collection_name)

    def _set_up_collection(self, collection_name: str, *args: Any, **options: Any) -> None:
        super()._set_up_collection(collection_name, *args, **options)
        self._guard(collection_name)

    async def _set_up_collection_async(self, collection_name: str, *args: Any, **options: Any) -> None:
        await super()._set_up_collection_async(collection_name, *args, **options)
        await self._guard_async(collection_name)

    def _guard(self, collection_name: str) -> None:
        """Opens the collection as the leaf's, and has the client search it in two stages if it is asked to."""
        if self.leaf is None or collection_name != self.index:
            return
        client = raw_client(self._client)
        attached = attach(self.index, self._open_leaf(), client=client, **self._description())
        if self.mrl is not None:
            attached.take_candidates_from(self.mrl)
        self._client = cast("Any", StagedClient(client, attached))

    async def _guard_async(self, collection_name: str) -> None:
        if self.leaf is None or collection_name != self.index:
            return
        client, leaf = raw_client(self._async_client), await asyncio.to_thread(self._open_leaf)
        attached = await aattach(self.index, leaf, client=client, **self._description())
        if self.mrl is not None:
            await asyncio.to_thread(attached.take_candidates_from, self.mrl)
        self._async_client = cast("Any", StagedClient(client, attached))

    def _description(self) -> dict[str, Any]:
        vector = DENSE_VECTORS_NAME if self.use_sparse_embeddings else ""
        return {"vector": vector, "layout": LAYOUT, "text_of": self._text_of}

    def _text_of(self, payload: Mapping[str, Any]) -> str:
        """The text that the documents' embedder embedded; ``""`` for a document without a content."""
        if not payload.get("content"):
            return ""
        fields = [(payload.get("meta") or {}).get(field) for field in self.meta_fields_to_embed]
        return self.embedding_separator.join([str(f) for f in fields if f is not None] + [payload["content"]])

    def _compare(self, documents: list[Document]) -> None:
        if self.leaf is None:
            return
        known = (d for d in documents if isinstance(d, Document) and d.embedding is not None)
        pairs = ((self._text_of({"content": d.content, "meta": d.meta}), d.embedding) for d in known)
        compare_with_leaf(((text, row) for text, row in pairs if text), self._open_leaf(), self.index)

    def _check_options(self) -> None:
        """Loads the leaf and compares it with the options, before a collection is made."""
        if self.leaf is None:
            return
        leaf = self._open_leaf()
        if self.embedding_dim != leaf.space.dim:
            raise InputError(
                f"embedding_dim is {self.embedding_dim}, but the leaf's vectors have {leaf.space.dim} dimensions; pass "
                f"embedding_dim={leaf.space.dim}, or the leaf that belongs to the collection"
            )
        self._require_first_stage(leaf)

    def _require_first_stage(self, leaf: Encoder | None) -> None:
        named = self.use_sparse_embeddings
        check_first_stage(self.mrl, leaf, named=named, advice="Make the collection with use_sparse_embeddings=True")

    def _open_leaf(self) -> Encoder:
        if self._encoder is None:
            self._encoder = open_leaf(cast("LeafSource", self.leaf))
        return self._encoder
