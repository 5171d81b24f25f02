"""The embedded engine (qdrant-edge-py): one shard per collection, in a directory of its own.

    path/
    └── docs/                      a collection
        ├── leaf-collection.json   what it says about itself
        └── shard/                 the engine's files

What the engine does that a caller must know: it never releases the interpreter's lock, so building a graph stops every
thread of the process; nothing is built until the end of :meth:`~leaf_embed.qdrant.LeafCollection.index`; and a shard
belongs to one process at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from leaf_embed._files import write_json
from leaf_embed.errors import CollectionError, CollectionExistsError
from leaf_embed.qdrant.backend import Page, Point, PointId, Record, ScoredPoint, mapped_errors
from leaf_embed.qdrant.edge_requests import edge_config, edge_filter, edge_index_operations, edge_request, engine
from leaf_embed.qdrant.filters import Part
from leaf_embed.qdrant.metadata import CollectionMetadata
from leaf_embed.qdrant.search import SearchPlan, vector_selector

__all__ = ["EdgeStore"]

SIDE_CAR = "leaf-collection.json"
SHARD = "shard"


class EdgeStore:
    """A directory of collections."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._root = Path(path)

    @property
    def place(self) -> str:
        return f"the directory {self._root}"

    def names(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return sorted(
            child.name
            for child in self._root.iterdir()
            if not child.name.startswith(".") and ((child / SIDE_CAR).is_file() or (child / SHARD).is_dir())
        )

    def read(self, name: str) -> Any:
        file = self._root / name / SIDE_CAR
        if not file.is_file():
            return None
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CollectionError(f"cannot read {file} ({error}); restore it from a backup") from error

    def create(self, metadata: CollectionMetadata) -> EdgePoints:
        """Make the collection under a hidden name and rename it into place, so that half of one is never seen."""
        edge = engine()
        target = self._root / metadata.name
        if target.exists():
            raise CollectionExistsError(f"{target} exists already; choose another name, or remove it yourself")
        temporary = self._root / f".{metadata.name}.{uuid.uuid4().hex}.tmp"
        try:
            with mapped_errors(f"creating the collection {metadata.name!r} in {self.place}"):
                (temporary / SHARD).mkdir(parents=True)
                shard = edge.EdgeShard.create(str(temporary / SHARD), edge_config(edge, metadata))
                for operation in edge_index_operations(edge, metadata.spec):
                    shard.update(operation)
                shard.flush()
                shard.close()
                write_json(temporary / SIDE_CAR, metadata.to_dict())
                temporary.rename(target)  # fails if somebody else has filled the name meanwhile
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self.open(metadata)

    def open(self, metadata: CollectionMetadata) -> EdgePoints:
        edge = engine()
        directory = self._root / metadata.name
        try:
            return EdgePoints(edge, edge.EdgeShard.load(str(directory / SHARD)), metadata)
        except Exception as error:  # the engine raises nothing more specific
            if "WouldBlock" in str(error):
                raise CollectionError(
                    f"the collection in {directory} is open already, in another process or earlier in this one. Close "
                    "it there: the embedded engine gives a collection to one process at a time. For several, use a "
                    "Qdrant server."
                ) from error
            raise CollectionError(
                f"the engine cannot open {directory / SHARD}: {error}. Restore the directory from a backup, or index "
                "the documents again into a new collection."
            ) from error


class EdgePoints:
    """The points of one shard."""

    def __init__(self, edge: ModuleType, shard: Any, metadata: CollectionMetadata) -> None:
        self._edge = edge
        self._shard = shard
        self._name = metadata.name
        self._full = metadata.spec.full_name

    def upsert(self, points: Sequence[Point]) -> None:
        rows = [self._edge.Point(p.id, dict(p.vectors), p.payload) for p in points]
        with mapped_errors(f"writing {len(rows)} points to {self._name!r}"):
            self._shard.update(self._edge.UpdateOperation.upsert_points(rows))

    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> None:
        with mapped_errors(f"writing {len(payloads)} payloads to {self._name!r}"):
            for point, payload in payloads.items():
                self._shard.update(self._edge.UpdateOperation.overwrite_payload([point], payload))

    def delete(self, ids: Sequence[PointId]) -> None:
        with mapped_errors(f"deleting {len(ids)} points of {self._name!r}"):
            self._shard.update(self._edge.UpdateOperation.delete_points(list(ids)))

    def payloads(self, ids: Sequence[PointId], keys: Sequence[str]) -> dict[PointId, Mapping[str, Any]]:
        with mapped_errors(f"reading {len(ids)} points of {self._name!r}"):
            records = self._shard.retrieve(list(ids), list(keys), False)
        return {_point_id(record.id): record.payload or {} for record in records}

    def records(self, ids: Sequence[PointId], *, vector: bool) -> list[Record]:
        with mapped_errors(f"reading {len(ids)} points of {self._name!r}"):
            found = self._shard.retrieve(list(ids), True, vector and vector_selector(self._full))
        return [self._record(record) for record in found]

    def page(self, after: PointId | None, size: int, conditions: tuple[Part, ...], *, vector: bool) -> Page:
        request = self._edge.ScrollRequest(
            offset=after,
            limit=size,
            filter=edge_filter(self._edge, conditions),
            with_payload=True,
            with_vector=vector and vector_selector(self._full),
        )
        with mapped_errors(f"reading {self._name!r}"):
            records, following = self._shard.scroll(request)
        return Page([self._record(r) for r in records], None if following is None else _point_id(following))

    def query(self, plan: SearchPlan) -> list[ScoredPoint]:
        with mapped_errors(f"searching {self._name!r}"):
            return [self._scored(point) for point in self._shard.query(edge_request(self._edge, plan))]

    def query_batch(self, plans: Sequence[SearchPlan]) -> list[list[ScoredPoint]]:
        requests = [edge_request(self._edge, plan) for plan in plans]
        with mapped_errors(f"searching {len(plans)} times in {self._name!r}"):
            answers = self._shard.query_batch(self._edge.QueryBatchRequest(requests))
        return [[self._scored(point) for point in answer] for answer in answers]

    def count(self, conditions: tuple[Part, ...] = ()) -> int:
        request = self._edge.CountRequest(exact=True, filter=edge_filter(self._edge, conditions))
        with mapped_errors(f"counting {self._name!r}"):
            return int(self._shard.count(request))

    def finish(self) -> None:
        with mapped_errors(f"optimizing {self._name!r}", "What was written is kept; index again to finish."):
            self._shard.optimize()  # until then there is no graph and no quantization
            self._shard.flush()

    def describe(self) -> dict[str, Any]:
        with mapped_errors(f"asking for the state of {self._name!r}"):
            info = self._shard.info()
        return {
            "backend": "edge",
            "segments": int(info.segments_count),
            "indexed_vectors": int(info.indexed_vectors_count),
        }

    def close(self) -> None:
        with mapped_errors(f"closing {self._name!r}"):
            self._shard.close()

    def _record(self, record: Any) -> Record:
        return Record(_point_id(record.id), record.payload or {}, self._vector(record.vector))

    def _scored(self, point: Any) -> ScoredPoint:
        return ScoredPoint(_point_id(point.id), point.payload or {}, self._vector(point.vector), float(point.score))

    def _vector(self, value: Any) -> list[float] | None:
        row: list[float] | None = value.get(self._full) if isinstance(value, dict) else value
        return row


def _point_id(value: Any) -> PointId:
    return value if isinstance(value, int) else str(value)
