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

import numpy as np

from leaf_embed._extras import require
from leaf_embed._files import write_json
from leaf_embed.errors import CollectionError, CollectionExistsError
from leaf_embed.qdrant.backend import Point, ScoredPoint, mapped_errors
from leaf_embed.qdrant.metadata import CollectionMetadata
from leaf_embed.qdrant.search import Condition, SearchPlan
from leaf_embed.qdrant.spec import FULL, mrl_name

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
        edge = _engine()
        target = self._root / metadata.name
        if target.exists():
            raise CollectionExistsError(f"{target} exists already; choose another name, or remove it yourself")
        temporary = self._root / f".{metadata.name}.{uuid.uuid4().hex}.tmp"
        try:
            with mapped_errors(f"creating the collection {metadata.name!r} in {self.place}"):
                (temporary / SHARD).mkdir(parents=True)
                edge.EdgeShard.create(str(temporary / SHARD), _config(edge, metadata)).close()
                write_json(temporary / SIDE_CAR, metadata.to_dict())
                temporary.rename(target)  # fails if somebody else has filled the name meanwhile
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self.open(metadata)

    def open(self, metadata: CollectionMetadata) -> EdgePoints:
        edge = _engine()
        directory = self._root / metadata.name
        try:
            return EdgePoints(edge, edge.EdgeShard.load(str(directory / SHARD)), metadata.name)
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

    def __init__(self, edge: ModuleType, shard: Any, name: str) -> None:
        self._edge = edge
        self._shard = shard
        self._name = name

    def upsert(self, points: Sequence[Point]) -> None:
        rows = [self._edge.Point(p.id, dict(p.vectors), p.payload) for p in points]
        with mapped_errors(f"writing {len(rows)} points to {self._name!r}"):
            self._shard.update(self._edge.UpdateOperation.upsert_points(rows))

    def overwrite_payloads(self, payloads: Mapping[str, dict[str, Any]]) -> None:
        with mapped_errors(f"writing {len(payloads)} payloads to {self._name!r}"):
            for point, payload in payloads.items():
                self._shard.update(self._edge.UpdateOperation.overwrite_payload([point], payload))

    def payloads(self, ids: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        with mapped_errors(f"reading {len(ids)} points of {self._name!r}"):
            records = self._shard.retrieve(list(ids), list(keys), False)
        return {str(record.id): record.payload or {} for record in records}

    def query(self, plan: SearchPlan) -> list[ScoredPoint]:
        with mapped_errors(f"searching {self._name!r}"):
            found = self._shard.query(_request(self._edge, plan))
        return [ScoredPoint(str(point.id), float(point.score), point.payload or {}) for point in found]

    def count(self) -> int:
        with mapped_errors(f"counting {self._name!r}"):
            return int(self._shard.count(self._edge.CountRequest(exact=True)))

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


def _engine() -> ModuleType:
    return require("qdrant_edge", "qdrant", "A collection in a directory")


def _config(edge: Any, metadata: CollectionMetadata) -> Any:
    spec, space = metadata.spec, metadata.space
    distance = edge.Distance.Dot if spec.distance_for(space) == "dot" else edge.Distance.Cosine
    no_graph = edge.HnswIndexConfig(m=0, ef_construct=spec.ef_construct, full_scan_threshold=spec.index_from_kb)
    graph = edge.HnswIndexConfig(m=spec.m, ef_construct=spec.ef_construct, full_scan_threshold=spec.index_from_kb)
    codes = None
    if spec.quantization == "int8":
        codes = edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, memory=edge.Memory.Pinned)
    # Quantization is set per vector: set for the whole collection it would cover the full vectors too.
    params = {
        FULL: edge.EdgeVectorParams(size=space.dim, distance=distance, memory=edge.Memory.Cold, hnsw_config=no_graph)
    }
    for dim in spec.mrl:
        params[mrl_name(dim)] = edge.EdgeVectorParams(
            size=dim,
            distance=edge.Distance.Cosine,
            memory=edge.Memory.Cold if codes else None,  # with codes in memory the originals are not read
            hnsw_config=graph,
            quantization_config=codes,
        )
    return edge.EdgeConfig(vectors=params, optimizers=edge.EdgeOptimizersConfig(indexing_threshold=spec.index_from_kb))


def _request(edge: Any, plan: SearchPlan) -> Any:
    conditions = edge.Filter(must=[_condition(edge, c) for c in plan.conditions]) if plan.conditions else None
    prefetches = None
    if plan.prefetch is not None:
        nearest = edge.Query.Nearest(plan.prefetch.vector, using=plan.prefetch.using)
        prefetches = [edge.Prefetch(limit=plan.prefetch.limit, query=nearest, filter=conditions)]
    return edge.QueryRequest(
        limit=plan.limit,
        offset=plan.offset,
        query=edge.Query.Nearest(plan.vector, using=FULL),
        prefetches=prefetches,
        filter=conditions,
        with_payload=True,
        with_vector=False,
        params=edge.SearchParams(exact=plan.prefetch is None, quantization=edge.QuantizationSearchParams(ignore=True)),
    )


def _condition(edge: Any, condition: Condition) -> Any:
    # The engine (0.9.0) reads Python's True as the number 1, which equals no stored true; NumPy's it reads rightly.
    values = [np.bool_(value) if isinstance(value, bool) else value for value in condition.values]
    match = edge.MatchValue(values[0]) if len(values) == 1 else edge.MatchAny(values)
    return edge.FieldCondition(key=condition.key, match=match)
