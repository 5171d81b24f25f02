"""The points of one shard of the embedded engine."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaf_embed.errors import CollectionError
from leaf_embed.qdrant.backends.base import NewPoint, Page, PointId, Record, ScoredPoint, Selection, mapped_errors
from leaf_embed.qdrant.backends.edge_handle import EdgeHandle
from leaf_embed.qdrant.backends.edge_lock import lent_lock
from leaf_embed.qdrant.backends.edge_migration import migrated_copy
from leaf_embed.qdrant.backends.edge_requests import edge_config, edge_filter, edge_request, engine
from leaf_embed.qdrant.query.plan import SearchPlan, vector_selector
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import mrl_name

__all__ = ["EdgePoints"]

# What a child process runs; it needs the engine alone, so it starts in a tenth of a second.
OPTIMIZE = "import sys, qdrant_edge as e; s = e.EdgeShard.load(sys.argv[1]); s.optimize(); s.flush(); s.close()"
UNFINISHED = "What was written is kept; index again to finish."


class EdgePoints:
    """The points of an open shard. Threads use it one at a time, and wait while a child process has it.

    Several objects of one process share the shard; see :class:`EdgeHandle`.
    """

    def __init__(self, handle: EdgeHandle, name: str, vector: str) -> None:
        self._edge: Any = engine()
        self._handle = handle
        self._name, self._vector = name, vector
        self._leave: Callable[[], object] | None = None

    @classmethod
    def open(cls, directory: Path, name: str, vector: str) -> EdgePoints:
        """Opens a shard, closed at the latest when its last user is forgotten."""
        points = cls(EdgeHandle.of(directory), name, vector)
        leave = weakref.finalize(points, points._handle.release)
        leave.atexit = False
        points._leave = leave
        return points

    @contextmanager
    def migration(self, home: Path, metadata: CollectionMetadata) -> Iterator[EdgePoints]:
        """Yields the points of a copy, which takes this one's place; see :func:`migrated_copy`."""
        with migrated_copy(self._handle, home, metadata.to_dict()) as copy:
            points = EdgePoints(copy, self._name, self._vector)
            yield points
            points.finish()

    @contextmanager
    def _using(self, action: str, hint: str = "") -> Iterator[Any]:
        with self._handle.lock, mapped_errors(f"{action} {self._name!r}", hint):
            yield self._handle.shard

    @contextmanager
    def _changing(self, action: str, hint: str = "") -> Iterator[Any]:
        with self._handle.writing, self._using(action, hint) as shard:
            yield shard

    def upsert(self, points: Sequence[NewPoint]) -> None:
        with self._changing(f"writing {len(points)} points to") as shard:
            rows = [self._edge.Point(p.id, p.named(self._edge.SparseVector), p.payload) for p in points]
            shard.update(self._edge.UpdateOperation.upsert_points(rows))

    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> None:
        with self._changing(f"writing {len(payloads)} payloads to") as shard:
            for point, payload in payloads.items():
                shard.update(self._edge.UpdateOperation.overwrite_payload([point], payload))

    def update_vectors(self, rows: Mapping[PointId, Mapping[str, list[float]]]) -> None:
        with self._changing(f"writing {len(rows)} vectors to") as shard:
            vectors = [self._edge.PointVectors(point, dict(named)) for point, named in rows.items()]
            shard.update(self._edge.UpdateOperation.update_vectors(vectors))

    def delete(self, ids: Sequence[PointId]) -> None:
        with self._changing(f"deleting {len(ids)} points of") as shard:
            shard.update(self._edge.UpdateOperation.delete_points(list(ids)))

    def payloads(self, ids: Sequence[PointId], keys: Sequence[str] | None) -> dict[PointId, Mapping[str, Any]]:
        with self._using(f"reading {len(ids)} points of") as shard:
            records = shard.retrieve(list(ids), True if keys is None else list(keys), False)
        return {_point_id(record.id): record.payload or {} for record in records}

    def records(self, ids: Sequence[PointId], *, vector: bool) -> list[Record]:
        with self._using(f"reading {len(ids)} points of") as shard:
            found = shard.retrieve(list(ids), True, vector and vector_selector(self._vector))
        return [Record.of(record, self._vector) for record in found]

    def page(
        self, after: PointId | None, size: int, where: Selection, *, vector: bool, keys: Sequence[str] | None = None
    ) -> Page:
        with self._using("reading") as shard:
            request = self._edge.ScrollRequest(
                offset=after,
                limit=size,
                filter=edge_filter(self._edge, where),
                with_payload=True if keys is None else list(keys),
                with_vector=vector and vector_selector(self._vector),
            )
            records, following = shard.scroll(request)
        return Page([Record.of(r, self._vector) for r in records], None if following is None else _point_id(following))

    def sample(self, size: int) -> list[Record]:
        selected = vector_selector(self._vector)
        with self._using("sampling") as shard:
            request = self._edge.QueryRequest(
                limit=size, query=self._edge.Sample.Random, with_payload=True, with_vector=selected
            )
            return [Record.of(record, self._vector) for record in shard.query(request)]

    def query(self, plans: Sequence[SearchPlan]) -> list[list[ScoredPoint]]:
        with self._using("searching" if len(plans) == 1 else f"searching {len(plans)} times in") as shard:
            request = self._edge.QueryBatchRequest([edge_request(self._edge, plan.body) for plan in plans])
            answers = shard.query_batch(request)
        return [[ScoredPoint.of(point, self._vector, score=point.score) for point in answer] for answer in answers]

    def count(self, where: Selection = None) -> int:
        with self._using("counting") as shard:
            request = self._edge.CountRequest(exact=True, filter=edge_filter(self._edge, where))
            return int(shard.count(request))

    def finish(self, *, child: bool = False) -> None:
        """Builds graphs and quantized vectors, which do not exist until then, and makes everything durable."""
        with self._changing("optimizing", UNFINISHED) as shard:
            if child:
                self._optimize_in_child()
            else:
                shard.optimize()
                shard.flush()

    def add_vector(self, metadata: CollectionMetadata, dim: int) -> None:
        distance = self._edge.Distance.Cosine
        with self._changing("adding a vector to") as shard:
            shard.update(self._edge.UpdateOperation.create_dense_vector(mrl_name(dim), dim, distance))
        self.configure(metadata)

    def configure(self, metadata: CollectionMetadata) -> None:
        """Opens the shard again with another configuration; :meth:`finish` then builds what it asks for."""
        with self._changing("changing the configuration of") as shard:
            shard.flush()
            shard.close()
            self._handle.shard = self._edge.EdgeShard.load(
                str(self._handle.directory), edge_config(self._edge, metadata)
            )

    def describe(self) -> dict[str, Any]:
        with self._using("asking for the state of") as shard:
            info = shard.info()
        return {
            "backend": "edge",
            "segments": int(info.segments_count),
            "indexed_vectors": int(info.indexed_vectors_count),
        }

    def close(self) -> None:
        with mapped_errors(f"closing {self._name!r}"):
            if self._leave is not None:
                self._leave()

    def _optimize_in_child(self) -> None:
        """Lends the shard to a child process, since the engine holds this interpreter's lock while it builds."""
        self._handle.shard.close()
        try:
            command = [sys.executable, "-c", OPTIMIZE, str(self._handle.directory)]
            with lent_lock(self._handle.directory) as files:
                done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=files)
        finally:
            self._handle.shard = self._edge.EdgeShard.load(str(self._handle.directory))
        if done.returncode:
            raise CollectionError(
                f"the child process that optimizes {self._name!r} ended with code {done.returncode}: "
                f"{done.stderr.strip()[-500:]}. {UNFINISHED}"
            )


def _point_id(value: Any) -> PointId:
    return value if isinstance(value, int) else str(value)
