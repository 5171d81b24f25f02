"""QdrantVectorStore: LlamaIndex's own store for Qdrant, guarded by a leaf.

It needs ``pip install llama-index-vector-stores-qdrant``. Change the import and pass a leaf; collection, payloads,
filters and code stay::

    from leaf_embed_llama_index import LeafEmbedding, QdrantVectorStore

    embed_model = LeafEmbedding("my-leaf")
    store = QdrantVectorStore("docs", client=client, leaf=embed_model)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryResult
from llama_index.core.vector_stores.utils import metadata_dict_to_node
from llama_index.vector_stores.qdrant import QdrantVectorStore as StockStore
from qdrant_client import models

from leaf_embed import Encoder
from leaf_embed.encoders import LeafSource, open_leaf
from leaf_embed.errors import InputError
from leaf_embed.qdrant import (
    PayloadLayout,
    StagedClient,
    aattach,
    attach,
    check_first_stage,
    compare_with_leaf,
    raw_client,
)
from leaf_embed_llama_index.embedding import LeafEmbedding

__all__ = ["QdrantVectorStore"]

NODE = "_node_content"  # of a payload: the node as JSON
LAYOUT = PayloadLayout(NODE)
COMPARABLE = (models.Distance.COSINE, models.Distance.DOT)
NAMED = "Make the collection with a named vector (this store does, given mrl, when it creates it)"


class QdrantVectorStore(StockStore):
    """The stock store; with a leaf it knows which model its collection belongs to.

    Everything of ``llama_index.vector_stores.qdrant.QdrantVectorStore`` stays: constructor, payloads, filters, modes,
    errors. Both may work on one collection at the same time. With a leaf

    - the collection records the leaf's space, and another model is refused. The teacher is called once, when a
      collection with nodes is opened that does not say yet which model wrote it;
    - the first vectors of every call that writes are compared with the leaf's;
    - ``mrl=128`` adds a truncated vector, from which searches by the dense vector take their candidates.

    Nodes and queries are embedded by the index: give it a :class:`LeafEmbedding` as its ``embed_model``. Without a leaf
    it does what the stock store does.
    """

    leaf: str | None = Field(default=None, description="Leaf directory or hub id, if it was given by one.")
    mrl: int | None = Field(default=None, description="Dimensions of the first stage.")
    _encoder: Encoder | None = PrivateAttr(default=None)
    _checked: bool = PrivateAttr(default=False)
    _achecked: bool = PrivateAttr(default=False)

    def __init__(
        self,
        collection_name: str,
        *args: Any,
        leaf: LeafSource | LeafEmbedding | None = None,
        mrl: int | None = None,
        **options: Any,
    ) -> None:
        """Opens a collection if it exists; else the first nodes create it. Other arguments are the stock store's.

        Args:
            collection_name: Name of the collection.
            args: Further arguments of the stock store, by their places.
            leaf: A leaf directory, a hub id, a :class:`LeafEmbedding` or an encoder.
            mrl: Dimensions of a truncated vector to take candidates from; filled from the stored vectors if it is new.
                The collection's vector needs a name, and a server version 1.18 or later.
            options: Further arguments of the stock store, by their names.

        Raises:
            SpaceMismatchError: The collection belongs to another model.
            CollectionError: Its vector is not compared by cosine or dot product.
            InputError: ``mrl`` does not fit, or comes without a leaf.
        """
        encoder = leaf.encoder if isinstance(leaf, LeafEmbedding) else None if leaf is None else open_leaf(leaf)
        check_first_stage(mrl, encoder, named=True, advice=NAMED)
        super().__init__(collection_name, *args, **options)
        self.leaf = os.fspath(leaf) if isinstance(leaf, (str, os.PathLike)) else None
        self.mrl, self._encoder = mrl, encoder
        distance = models.Distance.COSINE if self._dense_config is None else self._dense_config.distance
        if encoder is not None and distance not in COMPARABLE:
            raise InputError(
                f"a leaf is aligned to its teacher's cosines and dot products; distance {distance!s} ranks otherwise. "
                "Use Distance.COSINE or Distance.DOT in dense_config"
            )
        self._open()

    @property
    def client(self) -> Any:
        """The Qdrant client."""
        return raw_client(self._client)

    def add(self, nodes: list[BaseNode], *args: Any, **options: Any) -> list[str]:  # type: ignore[override]
        """Adds nodes with their vectors; arguments and result as in the stock store.

        Raises:
            SpaceMismatchError: The first vectors are of another model; nothing is created or written.
        """
        self._open()
        self._compare(nodes)
        return super().add(nodes, *args, **options)

    async def async_add(self, nodes: list[BaseNode], *args: Any, **options: Any) -> list[str]:  # type: ignore[override]
        """Async form of :meth:`add`."""
        await self._aopen()
        await asyncio.to_thread(self._compare, nodes)
        return await super().async_add(nodes, *args, **options)

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Returns the nearest nodes; arguments as in the stock store."""
        self._open()
        return super().query(query, **options)

    async def aquery(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Async form of :meth:`query`."""
        await self._aopen()
        return await super().aquery(query, **options)

    def clear(self) -> None:
        """Deletes the collection; the next nodes create it again."""
        super().clear()
        self._checked = self._achecked = False

    async def aclear(self) -> None:
        """Async form of :meth:`clear`."""
        await super().aclear()
        self._checked = self._achecked = False

    def _create_collection(self, collection_name: str, vector_size: int) -> None:
        self._prepare(vector_size)
        super()._create_collection(collection_name, vector_size)
        self._checked = False
        self._open()

    async def _acreate_collection(self, collection_name: str, vector_size: int) -> None:
        self._prepare(vector_size)
        await super()._acreate_collection(collection_name, vector_size)
        self._achecked = False
        await self._aopen()

    def _prepare(self, vector_size: int) -> None:
        """Compares what is to be created with the leaf, and names its vector if a second one is to stand beside it."""
        if self._encoder is None:
            return
        if vector_size != self._encoder.space.dim:
            raise InputError(
                f"the nodes' vectors have {vector_size} dimensions, the leaf's {self._encoder.space.dim}; embed them "
                "by the leaf's own teacher: VectorStoreIndex(..., embed_model=LeafEmbedding(...))"
            )
        if self.mrl is not None and not self.enable_hybrid and not isinstance(self._dense_config, dict):
            config = self._dense_config or models.VectorParams(size=vector_size, distance=models.Distance.COSINE)
            self._dense_config = cast("Any", {self.dense_vector_name: config})  # passed on as it is

    def _open(self) -> None:
        """Opens the collection as the leaf's, if it exists, and has the client search it in two stages if asked to."""
        name, leaf = self.collection_name, self._encoder
        if leaf is None or self._checked or self._client is None or not self._collection_exists(name):
            return
        self._detect_vector_format(name)
        check_first_stage(self.mrl, leaf, named=bool(self.dense_vector_name), advice=NAMED)
        client = raw_client(self._client)
        attached = attach(name, leaf, client=client, vector=self.dense_vector_name, layout=LAYOUT, text_of=self._text)
        if self.mrl is not None:
            attached.take_candidates_from(self.mrl)
        self._client = cast("Any", StagedClient(client, attached))
        self._checked = True

    async def _aopen(self) -> None:
        name, leaf = self.collection_name, self._encoder
        if leaf is None or self._achecked or self._aclient is None or not await self._acollection_exists(name):
            return
        await self._adetect_vector_format(name)
        check_first_stage(self.mrl, leaf, named=bool(self.dense_vector_name), advice=NAMED)
        client, vector = raw_client(self._aclient), self.dense_vector_name
        attached = await aattach(name, leaf, client=client, vector=vector, layout=LAYOUT, text_of=self._text)
        if self.mrl is not None:
            await asyncio.to_thread(attached.take_candidates_from, self.mrl)
        self._aclient = cast("Any", StagedClient(client, attached))
        self._achecked = True

    def _text(self, payload: Mapping[str, Any]) -> str:
        """The text that the index embedded for a stored node, its metadata included."""
        if NODE in payload:
            return metadata_dict_to_node(dict(payload)).get_content(MetadataMode.EMBED)
        return str(payload.get(self.text_key or "") or "")

    def _compare(self, nodes: Sequence[BaseNode]) -> None:
        if self._encoder is not None:
            pairs = ((node.get_content(MetadataMode.EMBED), node.embedding) for node in nodes)
            compare_with_leaf(((text, row) for text, row in pairs if text), self._encoder, self.collection_name)
