"""qdrant_client.QdrantClient: a server, or the client's local mode.

Tested on local mode, which keeps metadata and answers like a server but ignores quantization, graphs and search
parameters, and takes one writer at a time: calls of several threads are therefore put in a row. What a server is sent
is tested against Qdrant's OpenAPI; no live server took part. It needs version 1.16 or later, which keeps a
collection's metadata.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from leaf_embed._extras import require
from leaf_embed.errors import InputError
from leaf_embed.qdrant.backends.base import Page, Point, PointId, Record, ScoredPoint, mapped_errors
from leaf_embed.qdrant.backends.client_calls import Call, PointCalls
from leaf_embed.qdrant.backends.client_collections import (
    aliases_call,
    describe_info,
    is_local,
    layout_call,
    names_call,
    read_call,
    require_free,
    require_kept,
    switch_call,
    write_call,
)
from leaf_embed.qdrant.backends.client_config import configure_call, creation_calls, new_vector_call
from leaf_embed.qdrant.backends.retry import Retry
from leaf_embed.qdrant.query.filters import Part
from leaf_embed.qdrant.query.plan import SearchPlan
from leaf_embed.qdrant.schema.layout import StoredVector
from leaf_embed.qdrant.schema.metadata import CollectionMetadata

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["ClientStore"]

T = TypeVar("T")

# We send search parameters on purpose: local mode needs none, a server does.
warnings.filterwarnings(
    "ignore", "Local mode performs exact", UserWarning, module=r"(leaf_embed|qdrant_client\.local)\."
)

_LOCKS: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()  # one a local client, however often it is given


class Sender:
    """Carries out calls by a client: again if the server is busy, one at a time in local mode."""

    def __init__(self, client: QdrantClient, retry: Retry) -> None:
        self._client = client
        self._retry = retry
        self.local = is_local(client)
        self._lock = _LOCKS.setdefault(client, threading.RLock()) if self.local else nullcontext()

    def send(self, call: Call[T]) -> T:
        retry = self._retry if call.repeatable else Retry(attempts=1)
        with mapped_errors(call.action, call.hint), self._lock:
            method = getattr(self._client, call.method)
            return call.read(retry.call(lambda: method(**call.kwargs)))

    def send_all(self, calls: Iterable[Call[None]]) -> None:
        for call in calls:
            self.send(call)


class ClientStore:
    """The collections that a client sees. The client stays its owner's: it is never closed here."""

    def __init__(self, client: QdrantClient, retry: Retry | None = None) -> None:
        kind = require("qdrant_client", "qdrant", "A collection behind a client").QdrantClient
        if not isinstance(client, kind):
            raise InputError(f"client must be a qdrant_client.QdrantClient; got {type(client).__name__}")
        self._sender = Sender(client, retry or Retry())

    @property
    def place(self) -> str:
        return "this Qdrant client"

    def names(self) -> list[str]:
        return self._sender.send(names_call())

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
        for call in creation_calls(metadata):
            self._sender.send(call)
        require_kept(metadata.name, self.read(metadata.name))
        return self.open(metadata)

    def open(self, metadata: CollectionMetadata) -> ClientPoints:
        return ClientPoints(self._sender, metadata)


class ClientPoints:
    """The points of one collection behind a client."""

    def __init__(self, sender: Sender, metadata: CollectionMetadata) -> None:
        self._sender = sender
        self._calls = PointCalls(metadata)

    def upsert(self, points: Sequence[Point]) -> None:
        self._sender.send_all(self._calls.upsert(points))

    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> None:
        self._sender.send_all(self._calls.overwrite_payloads(payloads))

    def delete(self, ids: Sequence[PointId]) -> None:
        self._sender.send_all(self._calls.delete(ids))

    def payloads(self, ids: Sequence[PointId], keys: Sequence[str]) -> dict[PointId, Mapping[str, Any]]:
        return self._sender.send(self._calls.payloads(ids, keys))

    def records(self, ids: Sequence[PointId], *, vector: bool) -> list[Record]:
        return self._sender.send(self._calls.records(ids, vector=vector))

    def page(self, after: PointId | None, size: int, conditions: tuple[Part, ...], *, vector: bool) -> Page:
        return self._sender.send(self._calls.page(after, size, conditions, vector=vector))

    def query(self, plan: SearchPlan) -> list[ScoredPoint]:
        return self._sender.send(self._calls.query(plan))

    def query_batch(self, plans: Sequence[SearchPlan]) -> list[list[ScoredPoint]]:
        return self._sender.send(self._calls.query_batch(plans))

    def count(self, conditions: tuple[Part, ...] = ()) -> int:
        return self._sender.send(self._calls.count(conditions))

    def update_vectors(self, rows: Mapping[PointId, Mapping[str, list[float]]]) -> None:
        self._sender.send_all(self._calls.update_vectors(rows))

    def add_vector(self, metadata: CollectionMetadata, dim: int) -> None:
        self._sender.send(new_vector_call(metadata, dim))
        self.configure(metadata)

    def configure(self, metadata: CollectionMetadata) -> None:
        self._sender.send(configure_call(metadata))

    def finish(self, *, child: bool = False) -> None:
        """Nothing: every write was waited for, and a server builds its graphs by itself."""

    def describe(self) -> dict[str, Any]:
        return describe_info(self._sender.send(self._calls.info()))

    def close(self) -> None:
        """Nothing: the client belongs to whoever made it."""
