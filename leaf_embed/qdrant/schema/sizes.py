"""How much memory and disk a collection will take, before it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace

__all__ = ["Estimate", "estimate"]

IDS = 40  # bytes a point in memory: its UUID, its place, its version
OWN_PAYLOAD = 300  # bytes a point on disk: our field names, id and hash
WORD = 8  # bytes in memory of one word of one document: its place and its weight
TEXT_PER_WORD = 12  # bytes of text for each different word that is no stop word: DBpedia 12, SQuAD 14, SciFact 16
FILL = 0.7  # share of a graph's 2m places at its lowest level that hold a neighbour; measured .66 in clusters


@dataclass(frozen=True)
class Estimate:
    """Bytes that a collection of so many documents takes.

    Attributes:
        documents: How many.
        codes: The truncated vectors as stage one reads them, in memory.
        graph: The graphs over them, in memory.
        ids: The engine's list of points, in memory.
        disk: Everything on disk, texts included.
        float32: What an ordinary collection would hold in memory: every full vector as float32.
        words: The words of hybrid searches, in memory.
    """

    documents: int
    codes: int
    graph: int
    ids: int
    disk: int
    float32: int
    words: int = 0

    @property
    def pinned(self) -> int:
        """Bytes of vectors and graphs in memory."""
        return self.codes + self.graph

    @property
    def memory(self) -> int:
        """All bytes in memory."""
        return self.pinned + self.ids + self.words

    @property
    def bytes_per_vector(self) -> float:
        """Bytes in memory of one document's codes and links."""
        return self.pinned / self.documents

    def __str__(self) -> str:
        words = f", {_size(self.words)} words" if self.words else ""
        share = f"1/{self.float32 / self.pinned:.0f} of float32" if self.pinned else "nothing but what is asked for"
        return (
            f"{self.documents:,} documents: about {_size(self.memory)} of memory "
            f"({_size(self.codes)} codes, {_size(self.graph)} graph, {_size(self.ids)} ids{words}; codes and graph are "
            f"{self.bytes_per_vector:.0f} bytes a vector, {share}) and {_size(self.disk)} of disk"
        )


def estimate(spec: CollectionSpec, space: EmbeddingSpace, documents: int, *, text_bytes: int = 1000) -> Estimate:
    """Estimate a collection's size; see :class:`Estimate`.

    Args:
        spec: What it stores.
        space: Whose vectors.
        documents: How many.
        text_bytes: Mean bytes of a document's text and payload.

    Raises:
        InputError: Fewer than one document, or dimensions that do not fit the space.
    """
    if documents < 1:
        raise InputError(f"an estimate needs at least one document; got {documents}")
    spec.require_fit(space)
    codes = sum(quantization(spec.quantization).size(dim) for dim in spec.mrl)
    link = math.ceil(math.log2(max(documents, 2))) / 8  # Qdrant packs a neighbour's number into as few bits as it needs
    graph = len(spec.mrl) * 2 * spec.m * FILL * link
    full = space.dim * (2 if spec.datatype == "float16" else 4)
    originals = 4 * sum(spec.mrl)
    copies = 0 if spec.quantization == "none" else codes
    words = WORD * text_bytes / TEXT_PER_WORD if spec.has_words else 0
    return Estimate(
        documents=documents,
        codes=codes * documents,
        graph=round(graph * documents),
        ids=IDS * documents,
        disk=round((full + originals + copies + graph + IDS + OWN_PAYLOAD + text_bytes + 2 * words) * documents),
        float32=4 * space.dim * documents,
        words=round(words * documents),
    )


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
