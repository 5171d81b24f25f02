"""Calls about the points of one collection behind a Qdrant client, the same for the blocking and the async client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from leaf_embed.errors import InputError
from leaf_embed.qdrant.backends.base import NewPoint, Page, PointId, Record, ScoredPoint, Selection, mapped_errors
from leaf_embed.qdrant.backends.client_calls import AGAIN, Call, client_models
from leaf_embed.qdrant.query.plan import SearchPlan, vector_selector
from leaf_embed.qdrant.schema.documents import ID

__all__ = ["PointCalls"]

T = TypeVar("T")
SOME_VALUE = "Qdrant does not take one of the values."

BODY = 8 * 2**20  # bytes of a request, about; a server refuses bodies above 32 MiB by default
LARGEST = 30 * 2**20  # bytes of one document that a server still takes
BYTES_PER_NUMBER = 24  # of a float32 in JSON with its comma, at most
OVERHEAD = 128  # bytes of a point's id and of the names of its fields
ROWS_PER_REQUEST = 256
IDS_PER_REQUEST = 1000
# Names of a request's fields among the arguments of query_points.
SINGLE = {"filter": "query_filter", "params": "search_params", "with_vector": "with_vectors"}


P = ParamSpec("P")


def built(method: Callable[P, T]) -> Callable[P, T]:
    """Maps the errors of the client's request classes, which refuse some values before anything is sent."""

    @wraps(method)
    def build(*args: P.args, **kwargs: P.kwargs) -> T:
        with mapped_errors("building a request", SOME_VALUE):
            return method(*args, **kwargs)

    return build


def built_calls(method: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """:func:`built` for several calls."""

    @wraps(method)
    def build(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with mapped_errors("building a request", SOME_VALUE):
            calls = method(*args, **kwargs)
        while True:
            with mapped_errors("building a request", SOME_VALUE):
                call = next(calls, None)
            if call is None:
                return
            yield call

    return build


class PointCalls:
    """Calls for the points of the collection ``name``, whose vector ``vector`` is read."""

    def __init__(self, name: str, vector: str) -> None:
        self._models = client_models()
        self._name, self._vector = name, vector

    @built_calls
    def upsert(self, points: Sequence[NewPoint]) -> Iterator[Call[None]]:
        struct, sparse = self._models.PointStruct, self._models.SparseVector
        rows = [struct(id=p.id, vector=p.named(sparse), payload=p.payload) for p in points]
        for part in bounded(rows, [_point_bytes(point) for point in points]):
            yield self._write("upsert", f"writing {len(rows)} points", points=part)

    @built_calls
    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> Iterator[Call[None]]:
        set_payload, operation = self._models.SetPayload, self._models.OverwritePayloadOperation
        operations = [
            operation(overwrite_payload=set_payload(payload=payload, points=[point]))
            for point, payload in payloads.items()
        ]
        for part in bounded(operations, [_payload_bytes(p, payload) for p, payload in payloads.items()]):
            yield self._write("batch_update_points", f"writing {len(operations)} payloads", update_operations=part)

    @built_calls
    def update_vectors(self, rows: Mapping[PointId, Mapping[str, list[float]]]) -> Iterator[Call[None]]:
        points = [self._models.PointVectors(id=point, vector=dict(named)) for point, named in rows.items()]
        for part in bounded(points, [_vector_bytes(named) for named in rows.values()]):
            yield self._write("update_vectors", f"writing {len(points)} vectors", points=part)

    @built_calls
    def delete(self, ids: Sequence[PointId]) -> Iterator[Call[None]]:
        for part in _parts(list(ids), IDS_PER_REQUEST):
            selector = self._models.PointIdsList(points=part)
            yield self._write("delete", f"deleting {len(ids)} points", points_selector=selector)

    @built
    def payloads(self, ids: Sequence[PointId], keys: Sequence[str] | None) -> Call[dict[PointId, Mapping[str, Any]]]:
        return self._call(
            "retrieve",
            f"reading {len(ids)} points",
            lambda records: {record.id: record.payload or {} for record in records},
            ids=list(ids),
            with_payload=True if keys is None else list(keys),
            with_vectors=False,
        )

    @built
    def records(self, ids: Sequence[PointId], *, vector: bool) -> Call[list[Record]]:
        return self._call(
            "retrieve",
            f"reading {len(ids)} points",
            lambda records: [Record.of(record, self._vector) for record in records],
            ids=list(ids),
            with_payload=True,
            with_vectors=vector and vector_selector(self._vector),
        )

    @built
    def page(
        self, after: PointId | None, size: int, where: Selection, *, vector: bool, keys: Sequence[str] | None = None
    ) -> Call[Page]:
        return self._call(
            "scroll",
            "reading",
            lambda answer: Page([Record.of(record, self._vector) for record in answer[0]], answer[1]),
            scroll_filter=self._filter(where),
            limit=size,
            offset=after,
            with_payload=True if keys is None else list(keys),
            with_vectors=vector and vector_selector(self._vector),
        )

    @built
    def query(self, plans: Sequence[SearchPlan]) -> Call[list[list[ScoredPoint]]]:
        requests = [self._models.QueryRequest.model_validate(plan.body) for plan in plans]
        if len(requests) > 1:
            return self._call(
                "query_batch_points", f"searching {len(plans)} times in", self._answers, requests=requests
            )
        # The client deep-copies the requests of a batch, 0.4 ms for 1,000 floats; a single one is spared that.
        sent = {SINGLE.get(name, name): getattr(requests[0], name) for name in plans[0].body}
        return self._call("query_points", "searching", lambda answer: self._answers([answer]), **sent)

    @built
    def sample(self, size: int) -> Call[list[Record]]:
        query = self._models.SampleQuery(sample=self._models.Sample.RANDOM)
        selected = vector_selector(self._vector)
        return self._call(
            "query_points",
            "sampling",
            lambda answer: [Record.of(point, self._vector) for point in answer.points],
            query=query,
            limit=size,
            with_payload=True,
            with_vectors=selected,
        )

    @built
    def count(self, where: Selection = None) -> Call[int]:
        return self._call(
            "count", "counting", lambda answer: int(answer.count), count_filter=self._filter(where), exact=True
        )

    @built
    def info(self) -> Call[Any]:
        return self._call("get_collection", "asking for the state of", lambda info: info)

    def _call(self, method: str, action: str, read: Callable[[Any], T], **kwargs: Any) -> Call[T]:
        return Call(method, {"collection_name": self._name, **kwargs}, f"{action} {self._name!r}", read)

    def _write(self, method: str, action: str, **kwargs: Any) -> Call[None]:
        sent = {"collection_name": self._name, "wait": True, **kwargs}
        return Call(method, sent, f"{action} in {self._name!r}", lambda _: None, AGAIN)

    def _filter(self, where: Selection) -> Any:
        return self._models.Filter.model_validate(where) if isinstance(where, dict) else where

    def _answers(self, answers: Sequence[Any]) -> list[list[ScoredPoint]]:
        return [
            [ScoredPoint.of(point, self._vector, score=point.score) for point in answer.points] for answer in answers
        ]


def bounded(rows: list[T], sizes: Sequence[int]) -> Iterator[list[T]]:
    """Yields rows in parts of at most :data:`BODY` bytes and :data:`ROWS_PER_REQUEST` rows, a larger row alone."""
    start = total = 0
    for place, size in enumerate(sizes):
        if place > start and (total + size > BODY or place - start == ROWS_PER_REQUEST):
            yield rows[start:place]
            start, total = place, 0
        total += size
    if rows:
        yield rows[start:]


def _point_bytes(point: NewPoint) -> int:
    """Bytes of a point in a request, at most."""
    return _payload_bytes(point.id, point.payload) + _vector_bytes(point.vectors)


def _vector_bytes(vectors: Mapping[str, Any]) -> int:
    entries = sum(len(v) if isinstance(v, list) else 2 * len(v.indices) for v in vectors.values())
    return OVERHEAD + BYTES_PER_NUMBER * entries


def _payload_bytes(point: PointId, payload: Mapping[str, Any]) -> int:
    """Bytes of a payload in a request.

    Raises:
        InputError: A server would refuse it even alone.
    """
    size = len(json.dumps(payload, ensure_ascii=False).encode())
    if size > LARGEST:
        raise InputError(
            f"document {payload.get(ID, point)!r:.80} takes {size / 2**20:.1f} MiB with its text and payload; a Qdrant "
            f"server takes {LARGEST // 2**20} MiB in a request. It was not written; divide it into several."
        )
    return OVERHEAD + size


def _parts(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
