"""qdrant_client.QdrantClient: a server, or the client's local mode.

Tested on local mode, which keeps metadata and answers like a server but ignores quantization, graphs and search
parameters, and takes one writer at a time: calls of several threads are therefore put in a row. What a server is sent
is tested against Qdrant's OpenAPI; no live server took part. It needs version 1.16 or later, which keeps a
collection's metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from leaf_embed.qdrant.backends.base import NewPoint, Page, PointId, Record, ScoredPoint, Selection
from leaf_embed.qdrant.backends.client_calls import LoopSender, Sender
from leaf_embed.qdrant.backends.client_collections import (
    aliases_call,
    configure_call,
    creating,
    creation_calls,
    describe_info,
    exists_call,
    layout_call,
    names_call,
    new_vector_call,
    read_call,
    require_free,
    require_metadata,
    switch_call,
    write_call,
)
from leaf_embed.qdrant.backends.client_points import PointCalls
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.query.plan import SearchPlan
from leaf_embed.qdrant.schema.layout import StoredVector
from leaf_embed.qdrant.schema.metadata import CollectionMetadata

if TYPE_CHECKING:
    import asyncio

    from qdrant_client import AsyncQdrantClient, QdrantClient

__all__ = ["ClientPoints", "ClientStore", "LoopStore"]


class ClientStore:
    """The collections that a client sees. The client stays its owner's: it is never closed here."""

    def __init__(self, client: QdrantClient, retry: Retry | None = None) -> None:
        self._sender = Sender(client, retry or Retry())

    @property
    def place(self) -> str:
        return "this Qdrant client"

    def names(self) -> list[str]:
        return self._sender.send(names_call())

    def holds(self, name: str) -> bool:
        return self._sender.send(exists_call(name))

    def resolve(self, alias: str) -> str | None:
        return self._sender.send(aliases_call()).get(alias)

    def read(self, name: str) -> Any:
        return self._sender.send(read_call(name))

    def write(self, metadata: CollectionMetadata) -> None:
        self._sender.send(write_call(metadata))

    def layout(self, name: str) -> dict[str, StoredVector]:
        return self._sender.send(layout_call(name, local=self._sender.local))

    def switch_alias(self, alias: str, name: str) -> None:
        there = alias in self._sender.send(aliases_call())
        self._sender.send(switch_call(alias, name, replace=there))

    def create(self, metadata: CollectionMetadata) -> ClientPoints:
        require_free(metadata.name, self.names())
        with creating(metadata.name):
            self._sender.send_all(creation_calls(metadata))
        require_metadata(metadata.name, self.read(metadata.name))
        return self.open(metadata.name, metadata.spec.full_name)

    @contextmanager
    def migration(self, points: ClientPoints, metadata: CollectionMetadata) -> Iterator[ClientPoints]:
        yield points
        self.write(metadata)

    def open(self, name: str, vector: str) -> ClientPoints:
        return ClientPoints(self._sender, name, vector)


class LoopStore(ClientStore):
    """The collections that an async client sees, for another thread than that of its event loop."""

    def __init__(self, client: AsyncQdrantClient, loop: asyncio.AbstractEventLoop, retry: Retry | None = None) -> None:
        self._sender = LoopSender(client, retry or Retry(), loop)


class ClientPoints:
    """The points of one collection behind a client."""

    def __init__(self, sender: Sender, name: str, vector: str) -> None:
        self._sender = sender
        self._calls = PointCalls(name, vector)

    def upsert(self, points: Sequence[NewPoint]) -> None:
        self._sender.send_all(self._calls.upsert(points))

    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> None:
        self._sender.send_all(self._calls.overwrite_payloads(payloads))

    def delete(self, ids: Sequence[PointId]) -> None:
        self._sender.send_all(self._calls.delete(ids))

    def payloads(self, ids: Sequence[PointId], keys: Sequence[str] | None) -> dict[PointId, Mapping[str, Any]]:
        return self._sender.send(self._calls.payloads(ids, keys))

    def records(self, ids: Sequence[PointId], *, vector: bool) -> list[Record]:
        return self._sender.send(self._calls.records(ids, vector=vector))

    def page(
        self, after: PointId | None, size: int, where: Selection, *, vector: bool, keys: Sequence[str] | None = None
    ) -> Page:
        return self._sender.send(self._calls.page(after, size, where, vector=vector, keys=keys))

    def sample(self, size: int) -> list[Record]:
        return self._sender.send(self._calls.sample(size))

    def query(self, plans: Sequence[SearchPlan]) -> list[list[ScoredPoint]]:
        return self._sender.send(self._calls.query(plans))

    def count(self, where: Selection = None) -> int:
        return self._sender.send(self._calls.count(where))

    def update_vectors(self, rows: Mapping[PointId, Mapping[str, list[float]]]) -> None:
        self._sender.send_all(self._calls.update_vectors(rows))

    def add_vector(self, metadata: CollectionMetadata, dim: int) -> None:
        self._sender.send(new_vector_call(metadata, dim))
        self.configure(metadata)

    def configure(self, metadata: CollectionMetadata) -> None:
        self._sender.send(configure_call(metadata))

    def finish(self, *, child: bool = False) -> None:
        """Does nothing: every write was waited for, and a server builds its graphs by itself."""

    def describe(self) -> dict[str, Any]:
        return describe_info(self._sender.send(self._calls.info()))

    def close(self) -> None:
        """Does nothing: the client belongs to its owner."""
