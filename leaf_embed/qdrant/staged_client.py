"""StagedClient: a Qdrant client whose dense searches of one collection take candidates from a truncated vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leaf_embed.qdrant.attach import AttachedCollection
from leaf_embed.qdrant.backends.client_calls import client_models

__all__ = ["StagedClient", "raw_client"]

QDRANT_LIMIT = 10  # what a request without a limit gets
FIELDS = {  # of query_points, by their names in a request
    "using": "using",
    "prefetch": "prefetch",
    "query_filter": "filter",
    "search_params": "params",
    "limit": "limit",
    "offset": "offset",
}


class StagedClient:
    """A ``QdrantClient`` or ``AsyncQdrantClient`` as another library's store of one collection uses it.

    Points that are written get the collection's truncated vectors. A search by a vector takes its candidates from the
    first of them and is ranked by the full vector, also within a fusion. Groups and searches with ``exact`` compare
    every full vector. All else is the client's own. While the collection has no truncated vector, nothing differs.
    """

    def __init__(self, client: Any, collection: AttachedCollection) -> None:
        self.raw, self._collection, self._models = client, collection, client_models()

    def __getattr__(self, name: str) -> Any:
        if name == "raw":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.raw, name)

    def upsert(self, collection_name: str, points: Iterable[Any], **options: Any) -> Any:
        """Writes points with their truncated vectors."""
        return self.raw.upsert(collection_name, [self._completed(point) for point in points], **options)

    def upload_points(self, collection_name: str, points: Iterable[Any], **options: Any) -> Any:
        """Writes points with their truncated vectors, in batches."""
        return self.raw.upload_points(collection_name, [self._completed(point) for point in points], **options)

    def query_points(self, collection_name: str, query: Any = None, **options: Any) -> Any:
        """Searches in two stages if the query is a vector of the collection's space."""
        fields = {FIELDS[name]: value for name, value in options.items() if name in FIELDS}
        staged = self._staged(self._models.QueryRequest.model_construct(query=query, **fields))
        options.update(prefetch=staged.prefetch, search_params=staged.params)
        return self.raw.query_points(collection_name, query, **options)

    def query_batch_points(self, collection_name: str, requests: Iterable[Any], **options: Any) -> Any:
        """Searches several times, each as :meth:`query_points` does."""
        return self.raw.query_batch_points(collection_name, [self._staged(ask) for ask in requests], **options)

    def _completed(self, point: Any) -> Any:
        full = self._collection.spec.full_name
        if not isinstance(point.vector, dict) or full not in point.vector:
            return point
        return point.model_copy(update={"vector": {**point.vector, **self._collection.truncated(point.vector[full])}})

    def _staged(self, ask: Any) -> Any:
        """Returns a ``QueryRequest`` or ``Prefetch`` with a first stage, if it can have one."""
        if ask.prefetch:
            parts = ask.prefetch if isinstance(ask.prefetch, list) else [ask.prefetch]
            return ask.model_copy(update={"prefetch": [self._staged(part) for part in parts]})
        spec = self._collection.spec
        exact = ask.params is not None and ask.params.exact
        if exact or not spec.mrl or not isinstance(ask.query, list) or (ask.using or "") != spec.full_name:
            return ask
        skipped = getattr(ask, "offset", None) or 0
        body = self._collection.explain(ask.query, limit=ask.limit or QDRANT_LIMIT, offset=skipped).request
        first = self._models.Prefetch.model_validate({**body["prefetch"], "filter": ask.filter})
        if ask.params is not None:
            first.params = ask.params
        params = ask.params or self._models.SearchParams.model_validate(body["params"])
        return ask.model_copy(update={"prefetch": first, "params": params})


def raw_client(client: Any) -> Any:
    """Returns the client itself, staged or not."""
    return client.raw if isinstance(client, StagedClient) else client
