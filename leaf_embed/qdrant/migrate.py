"""Migrations of a collection in use: the teacher is never called, and searches go on.

The embedded engine migrates a copy, which takes the collection's place with its metadata when it is complete; behind a
client the metadata is changed last. If the process is killed before that, the collection answers as before, and the
migration can be run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.progress import Progress, no_progress
from leaf_embed.qdrant.backends.base import PointId, Points, Record, Selection, read_pages
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import mrl_name

__all__ = ["backfill", "with_mrl", "with_quantization"]


def with_mrl(metadata: CollectionMetadata, dim: int, *, first: bool) -> CollectionMetadata:
    """Returns the metadata of a collection with one more truncated vector.

    Raises:
        InputError: The dimension does not fit, or the collection's only vector has no name.
    """
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise InputError(f"the dimensions of a truncated vector are a whole number; got {dim!r:.80}")
    if not metadata.spec.full_name:
        raise InputError(
            f"the collection {metadata.name!r} was made with one vector without a name; Qdrant cannot add another. "
            "Make a new collection and copy: new.index_vectors(old.iter_documents(with_vectors=True))"
        )
    others = tuple(d for d in metadata.spec.mrl if d != dim)
    mrl = metadata.spec.mrl if dim in metadata.spec.mrl and not first else (dim, *others) if first else (*others, dim)
    return replace(metadata, spec=replace(metadata.spec, mrl=mrl))


def with_quantization(metadata: CollectionMetadata, name: str) -> CollectionMetadata:
    """Returns the metadata of a collection with another quantization of its truncated vectors.

    Raises:
        InputError: There is no such quantization, or nothing to quantize.
    """
    quantization(name)
    if not metadata.spec.mrl:
        raise InputError(f"the collection {metadata.name!r} has no truncated vector; add one with add_mrl")
    return replace(metadata, spec=replace(metadata.spec, quantization=name))


def backfill(
    points: Points, dim: int, page_size: int, progress: Progress | None = None, where: Selection = None
) -> None:
    """Fills a truncated vector of every point, or of those chosen, from its full one, one page at a time."""
    total, done = points.count(where), 0
    for records in read_pages(points, page_size, where, vector=True):
        if rows := _truncated(records, dim):
            points.update_vectors(rows)
        done += len(records)
        (progress or no_progress)("add_mrl", done, total, "")


def _truncated(records: list[Record], dim: int) -> Mapping[PointId, Mapping[str, list[float]]]:
    """Returns the truncated vector of each record that has a full one, by point id."""
    known = [(record.id, record.vector) for record in records if record.vector is not None]
    if not known:
        return {}
    rows = vectors.truncate(np.asarray([row for _, row in known], dtype=np.float32), dim).tolist()
    return {point: {mrl_name(dim): row} for (point, _), row in zip(known, rows, strict=True)}
