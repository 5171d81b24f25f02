"""Estimates of a collection's memory and disk, before it is created."""

from __future__ import annotations

import math
from dataclasses import dataclass

from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace

__all__ = ["Estimate", "estimate"]

IDS = 40  # bytes per point in memory: its UUID, offset and version
OWN_PAYLOAD = 300  # bytes per point on disk: our field names, id and hash
POSTING = 8  # bytes in memory per different word of a document: offset and weight
TEXT_PER_WORD = 12  # bytes of text per different word that is no stop word: DBpedia 12, SQuAD 14, SciFact 16
FILL = 0.7  # share of a graph's 2m links at its lowest level that are used; measured .66 in clusters


@dataclass(frozen=True)
class Estimate:
    """The estimated size of a collection, in bytes.

    Attributes:
        documents: Number of documents.
        quantized: Truncated vectors as stage one reads them, in memory.
        graph: Graphs over them, in memory.
        ids: The engine's list of points, in memory.
        disk: Everything on disk, texts included.
        float32: Memory of an ordinary collection: every full vector as float32.
        bm25: BM25 vectors for hybrid searches, in memory.
    """

    documents: int
    quantized: int
    graph: int
    ids: int
    disk: int
    float32: int
    bm25: int = 0

    @property
    def pinned(self) -> int:
        """Bytes of truncated vectors and graphs in memory."""
        return self.quantized + self.graph

    @property
    def memory(self) -> int:
        """All bytes in memory."""
        return self.pinned + self.ids + self.bm25

    @property
    def bytes_per_vector(self) -> float:
        """Bytes of truncated vectors and graph per document in memory."""
        return self.pinned / self.documents

    def __str__(self) -> str:
        bm25 = f", {_size(self.bm25)} BM25" if self.bm25 else ""
        share = f"1/{self.float32 / self.pinned:.0f} of float32" if self.pinned else "all vectors are on disk"
        return (
            f"{self.documents:,} documents: about {_size(self.memory)} of memory "
            f"({_size(self.quantized)} vectors, {_size(self.graph)} graph, {_size(self.ids)} ids{bm25}; vectors and "
            f"graph are {self.bytes_per_vector:.0f} bytes per vector, {share}) and {_size(self.disk)} of disk"
        )


def estimate(spec: CollectionSpec, space: EmbeddingSpace, documents: int, *, text_bytes: int = 1000) -> Estimate:
    """Estimates the size of a collection.

    Args:
        spec: Its vectors.
        space: Space of its vectors.
        documents: Number of documents.
        text_bytes: Mean bytes of a document's text and payload.

    Raises:
        InputError: Fewer than one document, or dimensions that do not fit the space.
    """
    if documents < 1:
        raise InputError(f"an estimate needs at least one document; got {documents}")
    spec.require_fit(space)
    quantized = sum(quantization(spec.quantization).size(dim) for dim in spec.mrl)
    link = math.ceil(math.log2(max(documents, 2))) / 8  # Qdrant packs a neighbour's number into as few bits as it needs
    graph = len(spec.mrl) * 2 * spec.m * FILL * link
    full = space.dim * (2 if spec.datatype == "float16" else 4)
    originals = 4 * sum(spec.mrl)
    copies = 0 if spec.quantization == "none" else quantized
    bm25 = POSTING * text_bytes / TEXT_PER_WORD if spec.has_bm25 else 0
    return Estimate(
        documents=documents,
        quantized=quantized * documents,
        graph=round(graph * documents),
        ids=IDS * documents,
        disk=round((full + originals + copies + graph + IDS + OWN_PAYLOAD + text_bytes + 2 * bm25) * documents),
        float32=4 * space.dim * documents,
        bm25=round(bm25 * documents),
    )


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
