"""The collection for asyncio, over qdrant_client.AsyncQdrantClient."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from leaf_embed.encoders.base import Encoder
from leaf_embed.qdrant.backends.client_calls import AsyncSender, is_local
from leaf_embed.qdrant.backends.client_collections import (
    aliases_call,
    creation_calls,
    describe_info,
    layout_call,
    names_call,
    read_call,
    require_free,
    require_kept,
)
from leaf_embed.qdrant.backends.client_points import PointCalls
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.backends.stores import require_found
from leaf_embed.qdrant.collection_base import CollectionBase, Query, require_canaries, require_leaf, with_vectors
from leaf_embed.qdrant.index import COMPARED, IndexRun, Progress, VectorSource, encoder_source
from leaf_embed.qdrant.query.bm25 import require_language
from leaf_embed.qdrant.query.filters import Filter
from leaf_embed.qdrant.schema.documents import Document, Hit, IndexReport, StoredDocument
from leaf_embed.qdrant.schema.layout import check_layout
from leaf_embed.qdrant.schema.metadata import CollectionMetadata, check_name
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient
    from typing_extensions import Unpack

    from leaf_embed.qdrant.query.plan import SearchOptions

__all__ = ["AsyncLeafCollection"]


class AsyncLeafCollection(CollectionBase):
    """:class:`LeafCollection` for asyncio: same names, arguments, answers and errors, to be awaited.

    Requests go through the client's own event loop. Encoding happens in a thread, so that the loop goes on::

        docs = await AsyncLeafCollection.open("docs", leaf, client=AsyncQdrantClient("http://localhost:6333"))
        hits = await docs.search("why is the sky blue?")

    The client stays its owner's. The embedded engine has no async form: it holds the interpreter's lock. To adopt or
    migrate a collection, open it once with :class:`LeafCollection`.
    """

    def __init__(self, sender: AsyncSender, metadata: CollectionMetadata, leaf: Encoder) -> None:
        """Called by :meth:`create` and :meth:`open`, which check what is given here."""
        super().__init__(metadata, leaf)
        self._sender = sender
        self._calls = PointCalls(metadata.name, metadata.spec.full_name)

    @classmethod
    async def create(
        cls,
        name: str,
        leaf: Encoder,
        *,
        client: AsyncQdrantClient,
        spec: CollectionSpec | None = None,
        check_canaries: bool = True,
        retry: Retry | None = None,
    ) -> AsyncLeafCollection:
        """Make an empty collection of the leaf's space; see :meth:`LeafCollection.create`."""
        sender = AsyncSender(client, retry or Retry())
        metadata = CollectionMetadata(name, leaf.space, spec or CollectionSpec.for_space(leaf.space))
        if metadata.spec.has_words:
            require_language(metadata.spec.language)
        if check_canaries:
            await asyncio.to_thread(require_canaries, leaf.space, leaf)
        require_free(name, await sender.send(names_call()))
        for call in creation_calls(metadata):
            await sender.send(call)
        require_kept(name, await sender.send(read_call(name)))
        return cls(sender, metadata, leaf)

    @classmethod
    async def open(
        cls,
        name: str,
        leaf: Encoder,
        *,
        client: AsyncQdrantClient,
        check_canaries: bool = True,
        retry: Retry | None = None,
    ) -> AsyncLeafCollection:
        """Open a collection, if the leaf belongs to it; see :meth:`LeafCollection.open`."""
        sender = AsyncSender(client, retry or Retry())
        names = await sender.send(names_call())
        found = check_name(name)
        if found not in names:
            resolved = (await sender.send(aliases_call())).get(name)
            found = require_found("this Qdrant client", name, names, resolved)
        metadata = CollectionMetadata.from_dict(await sender.send(read_call(found)), name=found)
        await asyncio.to_thread(require_leaf, metadata, leaf, canaries=check_canaries)
        check_layout(metadata, await sender.send(layout_call(found, local=is_local(client))))
        return cls(sender, metadata, leaf)

    async def index(
        self,
        docs: Iterable[Document | Mapping[str, Any]],
        *,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Bring documents into the collection; see :meth:`LeafCollection.index`."""
        run = IndexRun(self._metadata, docs, batch_size, progress)
        return await self._index(run, encoder_source(self._leaf, self._metadata))

    async def index_vectors(
        self,
        docs: Iterable[Document | Mapping[str, Any]],
        vectors: Iterable[ArrayLike] | Callable[[list[str]], ArrayLike] | None = None,
        *,
        space: EmbeddingSpace | None = None,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> IndexReport:
        """:meth:`index` with vectors that are there already; see :meth:`LeafCollection.index_vectors`."""
        documents, source = with_vectors(docs, vectors, space, self._metadata)
        return await self._index(IndexRun(self._metadata, documents, batch_size, progress), source)

    async def _index(self, run: IndexRun, source: VectorSource) -> IndexReport:
        self._require_open()
        for batch in run.batches():
            changes = run.changes(batch, await self._sender.send(self._calls.payloads(list(batch), COMPARED)))
            points = await asyncio.to_thread(run.points, changes, source)
            await self._sender.send_all(self._calls.upsert(points))
            await self._sender.send_all(self._calls.overwrite_payloads(run.payloads(changes)))
            run.done(changes)
        run.require_any()
        return run.report()

    async def search(self, query: Query, **options: Unpack[SearchOptions]) -> list[Hit]:
        """The documents nearest to a query; see :meth:`LeafCollection.search`."""
        self._require_open()
        vector = (await asyncio.to_thread(self._vectors, [query]))[0]
        found = await self._sender.send(self._calls.query([self._plan(query, vector, **options)]))
        return [self._hit(point) for point in found[0]]

    async def search_batch(self, queries: Sequence[Query], **options: Unpack[SearchOptions]) -> list[list[Hit]]:
        """:meth:`search` for several queries; see :meth:`LeafCollection.search_batch`."""
        self._require_open()
        groups = await asyncio.to_thread(self._plans, queries, options)
        answers = [await self._sender.send(self._calls.query(plans)) for plans in groups]
        return [[self._hit(point) for point in hits] for answer in answers for hits in answer]

    async def search_mmr(
        self, query: Query, *, limit: int = 10, fetch: int = 50, diversity: float = 0.5, where: Filter | None = None
    ) -> list[Hit]:
        """Hits that differ from each other; see :meth:`LeafCollection.search_mmr`."""
        self._require_open()
        plan = await asyncio.to_thread(self._mmr_plan, query, limit, fetch, where)
        return self._mmr_hits((await self._sender.send(self._calls.query([plan])))[0], plan, limit, diversity)

    async def get(self, ids: Iterable[str | int], *, with_vectors: bool = False) -> list[StoredDocument]:
        """Documents by their ids; see :meth:`LeafCollection.get`."""
        self._require_open()
        points = self._points_of(ids)
        return self._in_order(points, await self._sender.send(self._calls.records(points, vector=with_vectors)))

    async def iter_documents(
        self, *, with_vectors: bool = False, where: Filter | None = None, page_size: int = 256
    ) -> AsyncIterator[StoredDocument]:
        """Every document, a page at a time; see :meth:`LeafCollection.iter_documents`."""
        self._require_open()
        selected, after = self._filter(where), None
        while True:
            page = await self._sender.send(self._calls.page(after, page_size, selected, vector=with_vectors))
            for record in page.records:
                yield self._document(record)
            after = page.after
            if after is None:
                return

    async def delete(self, ids: Iterable[str | int]) -> int:
        """Remove documents; how many were there. See :meth:`LeafCollection.delete`."""
        self._require_open()
        there = list(await self._sender.send(self._calls.payloads(self._points_of(ids), ())))
        await self._sender.send_all(self._calls.delete(there))
        return len(there)

    async def count(self, where: Filter | None = None) -> int:
        """Number of documents, exact; see :meth:`LeafCollection.count`."""
        self._require_open()
        return await self._sender.send(self._calls.count(self._filter(where)))

    async def describe(self) -> dict[str, Any]:
        """What the collection is, as JSON values; see :meth:`LeafCollection.describe`."""
        self._require_open()
        info = await self._sender.send(self._calls.info())
        return {**self._described(), "points": await self.count(), **describe_info(info)}

    async def close(self) -> None:
        """Let go of the collection; the client stays open."""
        self._closed = True

    async def __aenter__(self) -> AsyncLeafCollection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
