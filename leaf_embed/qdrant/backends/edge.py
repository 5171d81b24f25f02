"""The embedded engine (qdrant-edge-py): one shard per collection, in a directory of its own.

    path/
    └── docs/                      a collection
        ├── leaf-collection.json   its metadata
        └── shard/                 the engine's files, .leaf-embed.lock and .leaf-embed.holder

A migration leaves a shard that another program laid out where it is, and its result in ``shard/``.

The engine never releases the interpreter's lock, so building a graph stops every thread of the process, unless a child
process does it; nothing is built until the end of
:meth:`~leaf_embed.qdrant.LeafCollection.index`; and a shard belongs to one process at a time.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaf_embed._files import read_json, write_json
from leaf_embed.errors import CollectionError, CollectionExistsError, LeafEmbedError
from leaf_embed.qdrant.backends.base import mapped_errors
from leaf_embed.qdrant.backends.edge_lock import in_use
from leaf_embed.qdrant.backends.edge_migration import CONFIG, SHARD, SIDE_CAR, settle
from leaf_embed.qdrant.backends.edge_points import EdgePoints
from leaf_embed.qdrant.backends.edge_requests import edge_config, edge_index_operations, engine
from leaf_embed.qdrant.schema.layout import StoredVector, read_layout
from leaf_embed.qdrant.schema.metadata import CollectionMetadata

__all__ = ["EdgeStore"]


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

    def holds(self, name: str) -> bool:
        return (self._shard(name) / CONFIG).is_file()

    def resolve(self, alias: str) -> str | None:
        """Returns ``None``: the engine has no aliases."""
        return None

    def read(self, name: str) -> Any:
        settle(self._root / name, self._shard(name))
        file = self._root / name / SIDE_CAR
        return _read_json(file) if file.is_file() else None

    def write(self, metadata: CollectionMetadata) -> None:
        with mapped_errors(f"describing {metadata.name!r}"):
            write_json(self._root / metadata.name / SIDE_CAR, metadata.to_dict())

    def layout(self, name: str) -> dict[str, StoredVector]:
        file = self._shard(name) / CONFIG
        if not file.is_file():
            raise CollectionError(
                f"the engine cannot open {file.parent}: it is no shard, since {file.name} is missing. Restore the "
                "directory from a backup, or index the documents again into a new collection."
            )
        config = _read_json(file)
        quantized, sparse = config.get("quantization_config"), config.get("sparse_vectors")
        return read_layout(config.get("vectors") or {}, config.get("hnsw_config"), quantized, sparse)

    def create(self, metadata: CollectionMetadata) -> EdgePoints:
        """Creates the collection under a hidden name and renames it into place, so that half of one is never seen."""
        edge = engine()
        target = self._root / metadata.name
        taken = CollectionExistsError(f"{target} exists already; choose another name, or remove it yourself")
        if target.exists():
            raise taken
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
                try:
                    temporary.rename(target)
                except OSError as error:
                    raise taken if target.exists() else error from error  # somebody else was faster
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self.open(metadata.name, metadata.spec.full_name)

    @contextmanager
    def migration(self, points: EdgePoints, metadata: CollectionMetadata) -> Iterator[EdgePoints]:
        with points.migration(self._root / metadata.name, metadata) as copy:
            yield copy

    def open(self, name: str, vector: str) -> EdgePoints:
        settle(self._root / name, self._shard(name))
        shard = self._shard(name)
        try:
            return EdgePoints.open(shard, name, vector)
        except LeafEmbedError:
            raise
        except Exception as error:  # the engine raises nothing more specific
            if "WouldBlock" in str(error):  # opened by something that takes no lock of ours
                raise in_use(shard) from error
            raise CollectionError(
                f"opening {shard} failed: {error}. Restore the directory from a backup, or index "
                "the documents again into a new collection."
            ) from error

    def _shard(self, name: str) -> Path:
        """Returns the directory of a shard: as leaf-embed lays it out, or a bare one, which may be the root itself."""
        own = self._root / name / SHARD
        return next((path for path in (own, own.parent, self._root) if (path / CONFIG).is_file()), own)


def _read_json(file: Path) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise CollectionError(f"cannot read {file} ({error}); restore it from a backup") from error
