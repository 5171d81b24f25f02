"""Reading a whole collection page by page, whoever made it: behind a client, or in a directory of the engine."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from leaf_embed._extras import require
from leaf_embed.errors import CollectionNotFoundError, InputError
from leaf_embed.qdrant.backends.base import mapped_errors
from leaf_embed.qdrant.backends.edge_lock import lock_shard
from leaf_embed.qdrant.backends.edge_requests import edge_filter
from leaf_embed.qdrant.query.filters import filter_json, parse_filter

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["Page", "Scroll", "scroll_of"]

Page: TypeAlias = list[tuple[str, Mapping[str, Any], Any]]
"""Points as (id, payload, vectors): vectors by name, or a list of numbers if there is one without a name."""

RETRY_HINT = "Run it again to go on where it stopped."


class Scroll(Protocol):
    """A collection that can be read from end to end."""

    def pages(self, keys: Sequence[str], vector: str | None, where: Any, size: int) -> Generator[Page, None, None]:
        """All points with these payload keys and this vector (all vectors for ``None``), ``size`` at once."""
        ...

    def count(self, where: Any) -> int:
        """Number of points, exact."""
        ...

    def payload_keys(self) -> list[str]:
        """Top keys of a few points' payloads, for a message."""
        ...


def scroll_of(
    collection: str, *, client: QdrantClient | None = None, path: str | os.PathLike[str] | None = None
) -> Scroll:
    """A collection behind a client or in a directory; exactly one must be given.

    Raises:
        CollectionNotFoundError: It is not there; the message says what is.
        InputError: Neither or both were given.
    """
    if client is not None and path is None:
        return _ClientScroll(client, collection)
    if path is not None and client is None:
        return _EdgeScroll(_shard(Path(path), collection), collection)
    raise InputError("give either path= (a directory, for the embedded engine) or client= (a QdrantClient)")


class _ClientScroll:
    def __init__(self, client: QdrantClient, collection: str) -> None:
        kind = require("qdrant_client", "qdrant", "A collection behind a client").QdrantClient
        if not isinstance(client, kind):
            raise InputError(f"client must be a qdrant_client.QdrantClient; got {type(client).__name__}")
        self._client, self._collection = client, collection
        self._models: Any = require("qdrant_client.models", "qdrant", "A collection behind a client")
        with mapped_errors(f"looking for the collection {collection!r}", "Is the server there?"):
            if not client.collection_exists(collection):
                there = sorted(c.name for c in client.get_collections().collections)
                raise CollectionNotFoundError(f"this Qdrant client has no collection {collection!r}; it has {there}")

    def pages(self, keys: Sequence[str], vector: str | None, where: Any, size: int) -> Generator[Page, None, None]:
        after: Any = None
        while True:
            with mapped_errors(f"reading the collection {self._collection!r}", RETRY_HINT):
                points, after = self._client.scroll(
                    self._collection,
                    scroll_filter=_filter(self._models, where),
                    limit=size,
                    offset=after,
                    with_payload=list(keys),
                    with_vectors=[vector] if vector else True,
                )
            yield [(str(point.id), point.payload or {}, point.vector) for point in points]
            if after is None:
                return

    def count(self, where: Any) -> int:
        with mapped_errors(f"counting {self._collection!r}", "Is the server there?"):
            counted = self._client.count(self._collection, count_filter=_filter(self._models, where), exact=True)
        return int(counted.count)

    def payload_keys(self) -> list[str]:
        points, _ = self._client.scroll(self._collection, limit=10, with_payload=True, with_vectors=False)
        return sorted({key for point in points for key in point.payload or {}})


class _EdgeScroll:
    def __init__(self, shard: Path, collection: str) -> None:
        self._edge: Any = require("qdrant_edge", "qdrant", "A collection in a directory")
        self._shard, self._collection = shard, collection

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The shard, which belongs to one process at a time: held only while it is read."""
        lock = lock_shard(self._shard)
        try:
            with mapped_errors(f"opening {self._shard}", "Is it open in another process?"):
                shard = self._edge.EdgeShard.load(str(self._shard))
            try:
                yield shard
            finally:
                shard.close()
        finally:
            lock.release()

    def pages(self, keys: Sequence[str], vector: str | None, where: Any, size: int) -> Generator[Page, None, None]:
        after: Any = None
        with self._open() as shard:
            while True:
                request = self._edge.ScrollRequest(
                    offset=after,
                    limit=size,
                    filter=_filter(self._edge, where),
                    with_payload=list(keys),
                    with_vector=[vector] if vector else True,
                )
                with mapped_errors(f"reading {self._shard}", RETRY_HINT):
                    points, after = shard.scroll(request)
                yield [(str(point.id), point.payload or {}, point.vector) for point in points]
                if after is None:
                    return

    def count(self, where: Any) -> int:
        with self._open() as shard, mapped_errors(f"counting {self._shard}"):
            return int(shard.count(self._edge.CountRequest(exact=True, filter=_filter(self._edge, where))))

    def payload_keys(self) -> list[str]:
        with self._open() as shard:
            points, _ = shard.scroll(self._edge.ScrollRequest(limit=10, with_payload=True, with_vector=False))
        return sorted({key for point in points for key in point.payload or {}})


def _shard(root: Path, collection: str) -> Path:
    """The shard's directory: as leaf-embed lays it out, or bare."""
    tried = [root / collection / "shard", root / collection, root]
    found = next((path for path in tried if (path / "edge_config.json").is_file()), None)
    if found is None:
        raise CollectionNotFoundError(
            f"{root} holds no collection {collection!r} of the embedded engine: no edge_config.json in "
            f"{', '.join(map(str, tried))}. For the directory of QdrantClient(path=...), give that client instead."
        )
    return found


def _filter(models: Any, where: Any) -> Any:
    """A filter of ours in the engine's words; a filter of the engine's own as it is."""
    if where is None or not isinstance(where, Mapping):
        return where
    parts = parse_filter(where, "")
    if models.__name__ == "qdrant_edge":
        return edge_filter(models, parts)
    value = filter_json(parts)
    return value and models.Filter.model_validate(value)
