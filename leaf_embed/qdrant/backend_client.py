"""qdrant_client.QdrantClient: a server, or the client's local mode.

Tested on local mode, which keeps metadata and answers like a server but ignores quantization, graphs and search
parameters, and takes one writer at a time. A server needs version 1.16 or later, which keeps a collection's metadata.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leaf_embed._extras import require
from leaf_embed.errors import CollectionError, CollectionExistsError, InputError
from leaf_embed.qdrant.backend import Point, ScoredPoint, mapped_errors
from leaf_embed.qdrant.metadata import METADATA_KEY, CollectionMetadata
from leaf_embed.qdrant.search import Condition, SearchPlan
from leaf_embed.qdrant.spec import FULL, mrl_name

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["ClientStore"]

FLOATS_PER_REQUEST = 250_000  # about 3 MB of JSON; a server refuses bodies above 32 MB

# We send search parameters on purpose: local mode needs none, a server does.
warnings.filterwarnings("ignore", "Local mode performs exact", UserWarning, module=r"leaf_embed\.qdrant\.")


class ClientStore:
    """The collections that a client sees. The client stays its owner's: it is never closed here."""

    def __init__(self, client: QdrantClient) -> None:
        kind = require("qdrant_client", "qdrant", "A collection behind a client").QdrantClient
        if not isinstance(client, kind):
            raise InputError(f"client must be a qdrant_client.QdrantClient; got {type(client).__name__}")
        self._client = client
        self._models: Any = require("qdrant_client.models", "qdrant", "A collection behind a client")

    @property
    def place(self) -> str:
        return "this Qdrant client"

    def names(self) -> list[str]:
        with mapped_errors("listing the collections", "Is the server there?"):
            return sorted(collection.name for collection in self._client.get_collections().collections)

    def read(self, name: str) -> Any:
        with mapped_errors(f"reading the metadata of {name!r}", "Is the server there?"):
            metadata = self._client.get_collection(name).config.metadata
        return (metadata or {}).get(METADATA_KEY)

    def create(self, metadata: CollectionMetadata) -> ClientPoints:
        name = metadata.name
        with mapped_errors(f"creating the collection {name!r}", "Is the server there?"):
            if self._client.collection_exists(name):
                raise CollectionExistsError(
                    f"the collection {name!r} exists already; choose another name, or remove it yourself"
                )
            self._client.create_collection(
                name,
                vectors_config=_vectors_config(self._models, metadata),
                optimizers_config=self._models.OptimizersConfigDiff(indexing_threshold=metadata.spec.index_from_kb),
                metadata={METADATA_KEY: metadata.to_dict()},
            )
        if self.read(name) is None:
            raise CollectionError(
                f"the server made the collection {name!r} but did not keep its metadata, which says which model "
                "writes its vectors. Qdrant keeps it since version 1.16: update the server, then remove this empty "
                "collection and create it again."
            )
        return self.open(metadata)

    def open(self, metadata: CollectionMetadata) -> ClientPoints:
        floats = sum(metadata.spec.vector_dims(metadata.space).values())
        return ClientPoints(self._client, self._models, metadata.name, max(1, FLOATS_PER_REQUEST // floats))


class ClientPoints:
    """The points of one collection behind a client."""

    def __init__(self, client: QdrantClient, models: Any, name: str, rows_per_request: int) -> None:
        self._client = client
        self._models = models
        self._name = name
        self._rows = rows_per_request

    def upsert(self, points: Sequence[Point]) -> None:
        rows = [self._models.PointStruct(id=p.id, vector=dict(p.vectors), payload=p.payload) for p in points]
        with mapped_errors(f"writing {len(rows)} points to {self._name!r}", "Index again to go on where it stopped."):
            for part in _parts(rows, self._rows):
                self._client.upsert(self._name, points=part, wait=True)

    def overwrite_payloads(self, payloads: Mapping[str, dict[str, Any]]) -> None:
        set_payload, operation = self._models.SetPayload, self._models.OverwritePayloadOperation
        operations = [
            operation(overwrite_payload=set_payload(payload=payload, points=[point]))
            for point, payload in payloads.items()
        ]
        with mapped_errors(f"writing {len(operations)} payloads to {self._name!r}"):
            for part in _parts(operations, self._rows):
                self._client.batch_update_points(self._name, update_operations=part, wait=True)

    def payloads(self, ids: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        with mapped_errors(f"reading {len(ids)} points of {self._name!r}", "Is the server there?"):
            records = self._client.retrieve(self._name, ids=list(ids), with_payload=list(keys), with_vectors=False)
        return {str(record.id): record.payload or {} for record in records}

    def query(self, plan: SearchPlan) -> list[ScoredPoint]:
        models = self._models
        conditions = models.Filter(must=[_condition(models, c) for c in plan.conditions]) if plan.conditions else None
        prefetch = None
        if plan.prefetch is not None:
            stage = plan.prefetch
            prefetch = models.Prefetch(query=stage.vector, using=stage.using, limit=stage.limit, filter=conditions)
        with mapped_errors(f"searching {self._name!r}", "Is the server there?"):
            found = self._client.query_points(
                self._name,
                query=plan.vector,
                using=FULL,
                prefetch=prefetch,
                query_filter=conditions,
                search_params=models.SearchParams(
                    exact=plan.prefetch is None, quantization=models.QuantizationSearchParams(ignore=True)
                ),
                limit=plan.limit,
                offset=plan.offset,
                with_payload=True,
                with_vectors=False,
            )
        return [ScoredPoint(str(point.id), float(point.score), point.payload or {}) for point in found.points]

    def count(self) -> int:
        with mapped_errors(f"counting {self._name!r}", "Is the server there?"):
            return int(self._client.count(self._name, exact=True).count)

    def finish(self) -> None:
        """Nothing: every write was waited for, and a server builds its graphs by itself."""

    def describe(self) -> dict[str, Any]:
        with mapped_errors(f"asking for the state of {self._name!r}", "Is the server there?"):
            info = self._client.get_collection(self._name)
        return {
            "backend": "client",
            "segments": int(info.segments_count),
            "indexed_vectors": int(info.indexed_vectors_count or 0),
        }

    def close(self) -> None:
        """Nothing: the client belongs to whoever made it."""


def _vectors_config(models: Any, metadata: CollectionMetadata) -> dict[str, Any]:
    spec, space = metadata.spec, metadata.space
    distance = models.Distance.DOT if spec.distance_for(space) == "dot" else models.Distance.COSINE
    codes = None
    if spec.quantization == "int8":
        scalar = models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, always_ram=True, memory=models.Memory.PINNED
        )
        codes = models.ScalarQuantization(scalar=scalar)
    # on_disk and always_ram say to servers before 1.19 what memory says to later ones, which prefer memory.
    # Quantization is set per vector: set for the whole collection it would cover the full vectors too.
    cold = {"on_disk": True, "memory": models.Memory.COLD}
    config = {
        FULL: models.VectorParams(size=space.dim, distance=distance, hnsw_config=models.HnswConfigDiff(m=0), **cold)
    }
    graph = models.HnswConfigDiff(m=spec.m, ef_construct=spec.ef_construct, full_scan_threshold=spec.index_from_kb)
    for dim in spec.mrl:
        config[mrl_name(dim)] = models.VectorParams(
            size=dim,
            distance=models.Distance.COSINE,
            hnsw_config=graph,
            quantization_config=codes,
            **(cold if codes else {}),  # with codes in memory the originals are not read
        )
    return config


def _condition(models: Any, condition: Condition) -> Any:
    values = condition.values
    match = models.MatchValue(value=values[0]) if len(values) == 1 else models.MatchAny(any=list(values))
    return models.FieldCondition(key=condition.key, match=match)


def _parts(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
