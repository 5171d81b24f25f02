"""What is sent to a Qdrant client, as values: one list of calls for the blocking and for the async client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from leaf_embed._extras import require
from leaf_embed.qdrant.backends.base import Page, Point, PointId, Record, ScoredPoint
from leaf_embed.qdrant.query.bm25 import BM25, Hybrid, SparseVector
from leaf_embed.qdrant.query.filters import Part, filter_json
from leaf_embed.qdrant.query.plan import Prefetch, SearchPlan, StageParams, vector_selector
from leaf_embed.qdrant.schema.metadata import CollectionMetadata

__all__ = ["Call", "PointCalls", "client_models"]

T = TypeVar("T")
Answer = TypeVar("Answer", covariant=True)

FLOATS_PER_REQUEST = 250_000  # about 3 MB of JSON; a server refuses bodies above 32 MB
THERE = "Is the server there?"
AGAIN = "Do the same again to go on where it stopped."


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One call of a client's method.

    Attributes:
        method: Its name.
        kwargs: Its arguments.
        action: What is done, for a message: ``"counting 'docs'"``.
        read: Turns the method's answer into ours.
        hint: What to do if it fails.
        repeatable: Whether a second time does no harm.
    """

    method: str
    kwargs: dict[str, Any]
    action: str
    read: Callable[[Any], Answer]
    hint: str = THERE
    repeatable: bool = True


def client_models() -> Any:
    """The client's request classes, imported on first use."""
    return require("qdrant_client.models", "qdrant", "A collection behind a client")


class PointCalls:
    """Calls for the points of one collection."""

    def __init__(self, metadata: CollectionMetadata) -> None:
        self._models = client_models()
        self._name = metadata.name
        self._full = metadata.spec.full_name
        floats = sum(metadata.spec.vector_dims(metadata.space).values())
        self._rows = max(1, FLOATS_PER_REQUEST // floats)

    def upsert(self, points: Sequence[Point]) -> Iterator[Call[None]]:
        struct = self._models.PointStruct
        rows = [struct(id=p.id, vector=self._vectors_of(p), payload=p.payload) for p in points]
        for part in _parts(rows, self._rows):
            yield self._write("upsert", f"writing {len(rows)} points", points=part)

    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> Iterator[Call[None]]:
        set_payload, operation = self._models.SetPayload, self._models.OverwritePayloadOperation
        operations = [
            operation(overwrite_payload=set_payload(payload=payload, points=[point]))
            for point, payload in payloads.items()
        ]
        for part in _parts(operations, self._rows):
            yield self._write("batch_update_points", f"writing {len(operations)} payloads", update_operations=part)

    def update_vectors(self, rows: Mapping[PointId, Mapping[str, list[float]]]) -> Iterator[Call[None]]:
        points = [self._models.PointVectors(id=point, vector=dict(named)) for point, named in rows.items()]
        for part in _parts(points, self._rows):
            yield self._write("update_vectors", f"writing {len(points)} vectors", points=part)

    def delete(self, ids: Sequence[PointId]) -> Iterator[Call[None]]:
        for part in _parts(list(ids), 1000):
            selector = self._models.PointIdsList(points=part)
            yield self._write("delete", f"deleting {len(ids)} points", points_selector=selector)

    def payloads(self, ids: Sequence[PointId], keys: Sequence[str]) -> Call[dict[PointId, Mapping[str, Any]]]:
        return self._call(
            "retrieve",
            f"reading {len(ids)} points",
            lambda records: {record.id: record.payload or {} for record in records},
            ids=list(ids),
            with_payload=list(keys),
            with_vectors=False,
        )

    def records(self, ids: Sequence[PointId], *, vector: bool) -> Call[list[Record]]:
        return self._call(
            "retrieve",
            f"reading {len(ids)} points",
            lambda records: [self._record(record) for record in records],
            ids=list(ids),
            with_payload=True,
            with_vectors=vector and vector_selector(self._full),
        )

    def page(self, after: PointId | None, size: int, conditions: tuple[Part, ...], *, vector: bool) -> Call[Page]:
        return self._call(
            "scroll",
            "reading",
            lambda answer: Page([self._record(record) for record in answer[0]], answer[1]),
            scroll_filter=self._filter(conditions),
            limit=size,
            offset=after,
            with_payload=True,
            with_vectors=vector and vector_selector(self._full),
        )

    def query(self, plan: SearchPlan) -> Call[list[ScoredPoint]]:
        return self._call(
            "query_points",
            "searching",
            lambda found: [self._scored(point) for point in found.points],
            **self._ranking(plan, query_filter="query_filter", params="search_params"),
            score_threshold=plan.score_threshold,
            limit=plan.limit,
            offset=plan.offset,
            with_payload=True,
            with_vectors=plan.with_vector and vector_selector(self._full),
        )

    def query_batch(self, plans: Sequence[SearchPlan]) -> Call[list[list[ScoredPoint]]]:
        return self._call(
            "query_batch_points",
            f"searching {len(plans)} times in",
            lambda answers: [[self._scored(point) for point in answer.points] for answer in answers],
            requests=[self._query_request(plan) for plan in plans],
        )

    def count(self, conditions: tuple[Part, ...] = ()) -> Call[int]:
        return self._call(
            "count",
            "counting",
            lambda answer: int(answer.count),
            count_filter=self._filter(conditions),
            exact=True,
        )

    def info(self) -> Call[Any]:
        return self._call("get_collection", "asking for the state of", lambda info: info)

    def _call(self, method: str, action: str, read: Callable[[Any], T], **kwargs: Any) -> Call[T]:
        return Call(method, {"collection_name": self._name, **kwargs}, f"{action} {self._name!r}", read)

    def _write(self, method: str, action: str, **kwargs: Any) -> Call[None]:
        sent = {"collection_name": self._name, "wait": True, **kwargs}
        return Call(method, sent, f"{action} in {self._name!r}", lambda _: None, AGAIN)

    def _query_request(self, plan: SearchPlan) -> Any:
        return self._models.QueryRequest(
            **self._ranking(plan, query_filter="filter", params="params"),
            score_threshold=plan.score_threshold,
            limit=plan.limit,
            offset=plan.offset,
            with_payload=True,
            with_vector=plan.with_vector and vector_selector(self._full),
        )

    def _ranking(self, plan: SearchPlan, *, query_filter: str, params: str) -> dict[str, Any]:
        """What is searched how; the two ways to send it call the filter and the parameters by other names."""
        if plan.hybrid is not None:
            return self._fused(plan, plan.hybrid)
        return {
            "query": plan.vector,
            "using": plan.using or None,
            "prefetch": self._prefetch(plan.prefetch, plan),
            query_filter: self._filter(plan.conditions),
            params: self._params(plan.params),
        }

    def _fused(self, plan: SearchPlan, hybrid: Hybrid) -> dict[str, Any]:
        """Both rankings, each with the filter, and what fuses them."""
        dense = self._ranking(replace(plan, hybrid=None), query_filter="filter", params="params")
        rankings = [self._models.Prefetch(**dense, limit=hybrid.depth)]
        if hybrid.words is not None:
            words, conditions = self._sparse(hybrid.words), self._filter(plan.conditions)
            rankings.append(self._models.Prefetch(query=words, using=BM25, filter=conditions, limit=hybrid.depth))
        query = self._models.RrfQuery if hybrid.fusion == "rrf" else self._models.FusionQuery
        return {"prefetch": rankings, "query": query.model_validate(hybrid.fusion_json())}

    def _vectors_of(self, point: Point) -> Any:
        """Vectors by name, or the only one if it has none."""
        named = {k: self._sparse(v) if isinstance(v, SparseVector) else v for k, v in point.vectors.items()}
        return named.get("") or named

    def _sparse(self, vector: SparseVector) -> Any:
        return self._models.SparseVector.model_validate(vector.to_json())

    def _prefetch(self, stage: Prefetch | None, plan: SearchPlan) -> Any:
        return stage and self._models.Prefetch(
            query=stage.vector,
            using=stage.using,
            limit=stage.limit,
            params=self._params(stage.params),
            filter=self._filter(plan.conditions),
        )

    def _params(self, params: StageParams) -> Any:
        return self._models.SearchParams.model_validate(params.to_json())

    def _filter(self, conditions: tuple[Part, ...]) -> Any:
        value = filter_json(conditions)
        return value and self._models.Filter.model_validate(value)

    def _record(self, record: Any) -> Record:
        return Record(record.id, record.payload or {}, self._vector(record.vector))

    def _scored(self, point: Any) -> ScoredPoint:
        return ScoredPoint(point.id, point.payload or {}, self._vector(point.vector), float(point.score))

    def _vector(self, value: Any) -> list[float] | None:
        row: list[float] | None = value.get(self._full) if isinstance(value, dict) else value
        return row


def _parts(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
