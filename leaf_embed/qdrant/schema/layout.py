"""The layout of an existing collection: the engine's own configuration, compared with the collection's metadata."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leaf_embed.errors import CollectionError
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.quantization import QUANTIZATIONS
from leaf_embed.qdrant.schema.spec import BM25, CollectionSpec, mrl_name

__all__ = ["StoredVector", "check_layout", "read_layout", "truncated_dims"]


@dataclass(frozen=True)
class StoredVector:
    """One named vector in the engine's configuration.

    Attributes:
        size: Dimensions; 0 for a sparse vector.
        distance: ``"cosine"``, ``"dot"``, or another of Qdrant's; ``"sparse, idf"`` or ``"sparse, none"``.
        quantization: A name of :data:`leaf_embed.qdrant.schema.quantization.QUANTIZATIONS`; ``None`` in local mode,
            which ignores quantization.
        datatype: ``"float32"``, ``"float16"``, or another of Qdrant's; ``None`` in local mode.
        graph: Whether it has a graph, or will have one.
    """

    size: int
    distance: str
    quantization: str | None = "none"
    datatype: str | None = "float32"
    graph: bool = True


def read_layout(
    vectors: Mapping[str, Any], hnsw: Any = None, quantization: Any = None, sparse: Mapping[str, Any] | None = None
) -> dict[str, StoredVector]:
    """Reads a configuration in its JSON form, which the server and the embedded engine share.

    Args:
        vectors: Each vector's parameters by its name; the parameters of the only one if it has no name.
        hnsw: Graph parameters of the whole collection, which a vector may override.
        quantization: Quantization of the whole collection, which a vector may override.
        sparse: Each sparse vector's parameters by its name.
    """
    named = {"": vectors} if "size" in vectors else vectors
    dense = {name: _stored(params, hnsw or {}, quantization) for name, params in named.items()}
    return {**dense, **{name: _stored_sparse(params) for name, params in (sparse or {}).items()}}


def _stored_sparse(params: Mapping[str, Any] | None) -> StoredVector:
    modifier = str((params or {}).get("modifier") or "none").lower()
    return StoredVector(0, f"sparse, {modifier}", quantization=None, datatype=None, graph=False)


def _stored(params: Mapping[str, Any], hnsw: Mapping[str, Any], quantization: Any) -> StoredVector:
    own = (params.get("hnsw_config") or {}).get("m")
    return StoredVector(
        size=int(params["size"]),
        distance=str(params["distance"]).lower(),
        quantization=_quantization_name(params.get("quantization_config") or quantization),
        datatype=params.get("datatype") or "float32",
        graph=(hnsw.get("m", 16) if own is None else own) > 0,
    )


def _quantization_name(config: Any) -> str:
    """Returns our name of a quantization in its JSON form, such as ``{"turbo": {"bits": "bits4"}}``."""
    if not isinstance(config, Mapping):
        return "none"
    family = next((name for name in ("scalar", "turbo", "binary", "product") if config.get(name)), None)
    if family is None:
        return "none"
    inner = config[family]
    option = {
        "scalar": inner.get("type"),
        "turbo": inner.get("bits") or "bits4",
        "binary": inner.get("encoding") or "one_bit",
        "product": inner.get("compression"),
    }[family]
    return next((q.name for q in QUANTIZATIONS.values() if (q.family, q.option) == (family, option)), f"{option}")


def truncated_dims(layout: Mapping[str, StoredVector]) -> tuple[int, ...]:
    """Returns the dimensions of the vectors with the names and sizes of leaf-embed, ``mrl_<d>``."""
    found = []
    for name, vector in layout.items():
        match = re.fullmatch(r"mrl_(\d+)", name)
        if match and vector.size == int(match[1]) and vector.distance == "cosine":
            found.append(vector.size)
    return tuple(found)


def check_layout(metadata: CollectionMetadata, layout: Mapping[str, StoredVector]) -> None:
    """Refuses a collection whose engine lacks a vector of the metadata; warns of lesser differences.

    Raises:
        CollectionError: A vector is missing, or of another size or distance.
    """
    _require_vectors(metadata, layout)
    for difference in _differences(metadata.spec, layout):
        warnings.warn(f"collection {metadata.name!r}: {difference}", UserWarning, stacklevel=3)


def _require_vectors(metadata: CollectionMetadata, layout: Mapping[str, StoredVector]) -> None:
    spec, space = metadata.spec, metadata.space
    expected = {n: (d, "cosine") for n, d in spec.vector_dims(space).items()}
    expected[spec.full_name] = (space.dim, spec.distance_for(space))
    if spec.has_bm25:
        expected[BM25] = (0, "sparse, idf")
    for name, (size, distance) in expected.items():
        found = layout.get(name)
        if found is None or (found.size, found.distance) != (size, distance):
            held = "nothing" if found is None else f"{found.size} dimensions under {found.distance}"
            raise CollectionError(
                f"the metadata of the collection {metadata.name!r} says that its vector {name!r} has {size} dimensions "
                f"under {distance}, but the engine holds {held}. It was changed by other means: restore it from a "
                "backup, or index the documents into a new collection."
            )


def _differences(spec: CollectionSpec, layout: Mapping[str, StoredVector]) -> list[str]:
    """Returns the differences from the spec that do not change the order of hits, one sentence each."""
    found = []
    for name in (mrl_name(dim) for dim in spec.mrl):
        actual = layout[name].quantization
        if actual not in (None, spec.quantization):
            found.append(f"{name} is quantized by {actual!r}, not {spec.quantization!r}: call change_quantization")
    full = layout[spec.full_name]
    if full.quantization not in (None, "none") and not spec.full_graph:
        found.append(f"{spec.full_name!r} is quantized by {full.quantization!r}, which no search uses")
    if full.datatype not in (None, spec.datatype):
        found.append(f"{spec.full_name!r} is stored as {full.datatype}, not {spec.datatype}")
    return found
