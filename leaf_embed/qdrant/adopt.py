"""Adoption of collections made by other programs, after a check that the document encoder wrote their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from leaf_embed import vectors
from leaf_embed.canaries import TEACHER_FLOOR
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionError, InputError, SpaceMismatchError
from leaf_embed.qdrant.backends.base import Record, Store
from leaf_embed.qdrant.backends.stores import find_any
from leaf_embed.qdrant.identity import require_leaf
from leaf_embed.qdrant.schema.layout import StoredVector, check_layout, truncated_dims
from leaf_embed.qdrant.schema.metadata import CollectionMetadata, check_name
from leaf_embed.qdrant.schema.payload_layout import find_layout
from leaf_embed.qdrant.schema.spec import FULL, CollectionSpec, mrl_name
from leaf_embed.space import EmbeddingSpace

__all__ = ["AdoptOptions", "AdoptReport", "adopt_collection", "adopted_spec", "compare_documents"]

SAMPLE = 32
SPREAD = 0.18  # below the floor of the mean for one text: the same model in another precision is above .99 for each


class AdoptOptions(TypedDict, total=False):
    """Options of :meth:`leaf_embed.qdrant.LeafCollection.adopt`, explained there."""

    text_key: str | None
    payload_key: str | None
    vector: str | None
    sample: int
    floor: float


@dataclass(frozen=True)
class AdoptReport:
    """A comparison of stored vectors with the document encoder's vectors of the same texts.

    Attributes:
        documents: Number of texts that were embedded again.
        mean: Mean cosine.
        lowest: Lowest cosine.
    """

    documents: int
    mean: float
    lowest: float


def adopt_collection(
    store: Store,
    name: str,
    leaf: Encoder,
    *,
    text_key: str | None = None,
    payload_key: str | None = None,
    vector: str | None = None,
    sample: int = SAMPLE,
    floor: float = TEACHER_FLOOR,
) -> str:
    """Checks a collection made by another program, writes its metadata and returns its name, aliases resolved.

    See :meth:`leaf_embed.qdrant.LeafCollection.adopt` for arguments and errors.
    """
    found = find_any(store, check_name(name))
    if store.read(found) is not None:
        raise CollectionError(f"the collection {found!r} says already which model wrote it; use open")
    stored = store.layout(found)
    spec = adopted_spec(found, stored, leaf.space, vector)
    points = store.open(found, spec.full_name)
    try:
        records = points.sample(sample)
        layout = find_layout([record.payload for record in records], text_key, payload_key)
        metadata = CollectionMetadata(found, leaf.space, spec, payload_layout=layout)
        require_leaf(metadata, leaf, canaries=True)
        check_layout(metadata, stored)
        compare_documents(records, leaf, metadata, floor)
    finally:
        points.close()
    store.write(metadata)
    return found


def adopted_spec(
    name: str, layout: Mapping[str, StoredVector], space: EmbeddingSpace, vector: str | None
) -> CollectionSpec:
    """Returns the spec that describes existing vectors.

    Args:
        name: Name of the collection.
        layout: Its vectors as the engine has them.
        space: Space that they should be of.
        vector: Name of the full vector; by default the only one of the space's size.

    Raises:
        CollectionError: No such vector, several, or one with a distance that a leaf cannot answer.
    """
    fitting = [key for key, stored in layout.items() if stored.size == space.dim]
    if vector is None and FULL in fitting:
        vector = FULL
    if vector is None and len(fitting) == 1:
        vector = fitting[0]
    if vector not in fitting:
        sizes = ", ".join(f"{key!r} ({stored.size} d)" for key, stored in layout.items()) or "none"
        raise CollectionError(
            f"the collection {name!r} has the vectors {sizes}; expected one of {space.dim} dimensions for the space "
            f"{space.teacher}. Name it with vector=..., or use the leaf that belongs to the collection."
        )
    full = layout[vector]
    if full.distance not in ("cosine", "dot"):
        raise CollectionError(
            f"the vector {vector!r} of the collection {name!r} is compared by {full.distance}; expected cosine or dot"
        )
    dims = tuple(dim for dim in truncated_dims(layout) if dim < space.dim)
    quantization = layout[mrl_name(dims[0])].quantization if dims else None
    return CollectionSpec(
        mrl=dims,
        quantization=quantization or "none",
        distance="dot" if full.distance == "dot" else "cosine",
        datatype="float16" if full.datatype == "float16" else "float32",
        full_name=vector,
        full_graph=full.graph,
    )


def compare_documents(records: list[Record], leaf: Encoder, metadata: CollectionMetadata, floor: float) -> AdoptReport:
    """Embeds some stored texts again and compares the vectors with the stored ones.

    Raises:
        InputError: No point has a text under the key.
        SpaceMismatchError: The mean cosine is below the floor, or that of one text far below.
    """
    layout = metadata.payload_layout
    pairs = [(layout.embedded_text(record.payload), record.vector) for record in records]
    known = [(text, row) for text, row in pairs if text and row is not None]
    if not known:
        keys = sorted({key for record in records for key in record.payload})
        raise InputError(
            f"none of {len(records)} points of {metadata.name!r} has a text under {layout.text_key!r}; their "
            f"payloads have the keys {keys}. Name the right one with text_key=... (--text-key); an empty collection "
            "proves nothing."
        )
    dim = metadata.space.dim
    mine = vectors.as_vectors(leaf.encode_document([t for t, _ in known]), dim, source="the document encoder")
    stored = vectors.as_vectors([row for _, row in known], dim, source=f"the collection {metadata.name!r}")
    cosines = vectors.cosine(mine, stored)
    report = AdoptReport(len(known), float(np.mean(cosines)), float(np.min(cosines)))
    if report.mean < floor or report.lowest < floor - SPREAD:
        raise SpaceMismatchError(
            f"the collection {metadata.name!r} was not written by this document encoder: {report.documents} of its "
            f"texts embedded again have a mean cosine of {report.mean:.3f} with what is stored, the lowest "
            f"{report.lowest:.3f}; expected at least {floor}, and each {floor - SPREAD:.2f}. Another model or another "
            f"prompt wrote it, or the text under {layout.text_key!r} is not what was embedded. It is left as it was."
        )
    return report
