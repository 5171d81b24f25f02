"""AsyncLeafCollection: the collection for asyncio, over ``qdrant_client.AsyncQdrantClient``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from leaf_embed import _telemetry
from leaf_embed.encoders.base import Encoder
from leaf_embed.progress import Progress
from leaf_embed.qdrant.backends.base import require_page_size
from leaf_embed.qdrant.backends.client_calls import AsyncSender, is_local
from leaf_embed.qdrant.backends.client_collections import (
    aliases_call,
    creating,
    creation_calls,
    describe_info,
    layout_call,
    names_call,
    read_call,
    require_free,
    require_metadata,
)
from leaf_embed.qdrant.backends.client_points import PointCalls
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.backends.stores import require_found
from leaf_embed.qdrant.identity import CollectionIdentity, new_metadata, require_leaf
from leaf_embed.qdrant.index import IndexRun, VectorSource, encoder_source, given_source
from leaf_embed.qdrant.query.filters import Filter
from leaf_embed.qdrant.query.spans import search_span
from leaf_embed.qdrant.schema.documents import Document, Hit, IndexReport, StoredDocument
from leaf_embed.qdrant.schema.layout import check_layout
from leaf_embed.qdrant.schema.metadata import CollectionMetadata, check_name
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.qdrant.translator import Query, Translator
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient
    from typing_extensions import Unpack

    from leaf_embed.qdrant.query.plan import SearchOptions

__all__ = ["AsyncLeafCollection"]


class AsyncLeafCollection(CollectionIdentity):
    """:class:`LeafCollection` for asyncio: the same names, arguments, results and errors.

    Requests go through the client's own event loop. Texts are encoded in a thread, so that the loop is not blocked::

        docs = await AsyncLeafCollection.open("docs", leaf, client=AsyncQdrantClient("http://localhost:6333"))
        hits = await docs.search("why is the sky blue?")

    The client stays open. The embedded engine has no async form, since it holds the interpreter's lock. To adopt or
    migrate a collection, open it with :class:`LeafCollection`.
    """

    def __init__(self, sender: AsyncSender, metadata: CollectionMetadata, leaf: Encoder) -> None:
        """Called by :meth:`create` and :meth:`open`, which check the arguments."""
        super().__init__(metadata, leaf)
        self._sender = sender
        self._calls = PointCalls(metadata.name, metadata.spec.full_name)
        self._translator = Translator(metadata, leaf)

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
        """Creates an empty collection of the leaf's space; see :meth:`LeafCollection.create`."""
        sender = AsyncSender(client, retry or Retry())
        metadata = await asyncio.to_thread(new_metadata, name, leaf, spec, canaries=check_canaries)
        require_free(name, await sender.send(names_call()))
        with creating(name):
            await sender.send_all(creation_calls(metadata))
        require_metadata(name, await sender.send(read_call(name)))
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
        """Opens a collection if the leaf belongs to it; see :meth:`LeafCollection.open`."""
        sender = AsyncSender(client, retry or Retry())
        names = await sender.send(names_call())
        resolved = None if check_name(name) in names else (await sender.send(aliases_call())).get(name)
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
        """Adds or updates documents; see :meth:`LeafCollection.index`."""
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
        """:meth:`index` with existing vectors; see :meth:`LeafCollection.index_vectors`."""
        documents, source = given_source(docs, vectors, space, self._metadata)
        return await self._index(IndexRun(self._metadata, documents, batch_size, progress), source)

    async def _index(self, run: IndexRun, source: VectorSource) -> IndexReport:
        self._require_open()
        for batch in run.batches():
            changes = run.changes(batch, await self._sender.send(self._calls.payloads(list(batch), run.compared)))
            points = await asyncio.to_thread(run.points, changes, source)
            with _telemetry.span("leaf_embed.upsert", points=len(points)):
                await self._sender.send_all(self._calls.upsert(points))
            await self._sender.send_all(self._calls.overwrite_payloads(run.payloads(changes)))
            run.done(changes)
        run.require_any()
        return run.report()

    async def delete(self, ids: Iterable[str | int]) -> int:
        """Deletes documents and returns how many existed; see :meth:`LeafCollection.delete`."""
        self._require_open()
        existing = list(await self._sender.send(self._calls.payloads(self._translator.point_ids(ids), ())))
        await self._sender.send_all(self._calls.delete(existing))
        return len(existing)

    async def search(self, query: Query, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Returns the documents nearest to a query; see :meth:`LeafCollection.search`."""
        return (await self.search_batch([query], **options))[0]

    async def search_batch(self, queries: Sequence[Query], **options: Unpack[SearchOptions]) -> list[list[Hit]]:
        """Returns the hits of each query; see :meth:`LeafCollection.search_batch`."""
        self._require_open()
        groups = await asyncio.to_thread(self._translator.plans, queries, options)
        answers = []
        for plans in groups:
            with search_span(plans):
                answers += await self._sender.send(self._calls.query(plans))
        return self._translator.pages(answers, options)

    async def search_mmr(
        self, query: Query, *, limit: int = 10, fetch: int = 50, diversity: float = 0.5, where: Filter | None = None
    ) -> list[Hit]:
        """Returns hits that differ from each other; see :meth:`LeafCollection.search_mmr`."""
        self._require_open()
        plan = await asyncio.to_thread(self._translator.mmr_plan, query, limit, fetch, where)
        with search_span([plan]):
            found = await self._sender.send(self._calls.query([plan]))
        return self._translator.mmr_hits(found[0], plan, limit, diversity)

    async def get(self, ids: Iterable[str | int], *, with_vectors: bool = False) -> list[StoredDocument]:
        """Returns documents by their ids; see :meth:`LeafCollection.get`."""
        self._require_open()
        points = self._translator.point_ids(ids)
        records = await self._sender.send(self._calls.records(points, vector=with_vectors))
        return self._translator.documents(points, records)

    async def iter_documents(
        self, *, with_vectors: bool = False, where: Filter | None = None, page_size: int = 256
    ) -> AsyncIterator[StoredDocument]:
        """Yields every document, one page at a time; see :meth:`LeafCollection.iter_documents`."""
        self._require_open()
        require_page_size(page_size)
        selected, after, more = self._translator.filter(where), None, True
        while more:
            page = await self._sender.send(self._calls.page(after, page_size, selected, vector=with_vectors))
            for record in page.records:
                yield self._translator.document(record)
            after, more = page.after, page.after is not None

    async def count(self, where: Filter | None = None) -> int:
        """Returns the exact number of documents; see :meth:`LeafCollection.count`."""
        self._require_open()
        return await self._sender.send(self._calls.count(self._translator.filter(where)))

    async def describe(self) -> dict[str, Any]:
        """Returns the state of the collection as JSON values; see :meth:`LeafCollection.describe`."""
        self._require_open()
        info = await self._sender.send(self._calls.info())
        return {**self._translator.description(), "points": await self.count(), **describe_info(info)}

    async def close(self) -> None:
        """Closes the collection; the client stays open."""
        self._closed = True

    async def __aenter__(self) -> AsyncLeafCollection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
