"""How vectors are stored, simulated: rotated, truncated, quantized.

Search is exhaustive, so a number here is a property of the vectors alone; what an engine's index and its own
quantization add is measured where the engine is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.evaluation.topk import DOCUMENT_BLOCK, search, search_rescored
from leaf_embed.vectors import FloatArray

__all__ = ["OVERSAMPLING", "EngineSearch", "Quantization", "Storage", "quantize"]

Quantization: TypeAlias = Literal["float32", "int8", "binary", "binary-rescored"]

EngineSearch: TypeAlias = Callable[[FloatArray, FloatArray, int], NDArray[np.intp]]  # queries, documents, k -> rows

OVERSAMPLING = 4  # binary candidates for each place of the ranking; the facts of engines name 2 to 16


@dataclass(frozen=True, eq=False)
class Storage:
    """One way to store document vectors, and to search them.

    Attributes:
        dim: Matryoshka truncation of both sides.
        quantization: Of the document vectors; queries stay float32.
        rotation: Orthogonal matrix applied to both sides before truncation, shape ``(full, full)``; ``None`` for none.
        engine: Who compresses and searches the reduced vectors instead; ``quantization`` is then only a name.
    """

    dim: int
    quantization: str = "float32"
    rotation: FloatArray | None = None
    engine: EngineSearch | None = None

    def __post_init__(self) -> None:
        if self.engine is None:
            _check(self.quantization)

    def search(self, queries: FloatArray, documents: FloatArray, k: int) -> NDArray[np.intp]:
        """Rows of the best documents of each query as this storage ranks them, shape ``(queries, min(k, n))``.

        Args:
            queries: Shape ``(q, full)``.
            documents: Shape ``(n, full)``; may be memory-mapped, a block is looked at at a time.
            k: How many.
        """
        asked = self.reduce(queries)
        if self.engine is not None:
            return self.engine(asked, self._reduced(documents), k)
        if self.quantization == "binary-rescored":
            return search_rescored(
                asked, documents, k, OVERSAMPLING, coarse=lambda b: _signs(self.reduce(b)), fine=self.reduce
            )[0]
        scale = self._scale(documents) if self.quantization == "int8" else None
        view = lambda block: quantize(self.reduce(block), self.quantization, scale)  # noqa: E731
        return search(asked, documents, k, view=view)[0]

    def reduce(self, matrix: FloatArray) -> FloatArray:
        """Rotated and truncated, unit norm, shape ``(n, dim)``."""
        turned = matrix if self.rotation is None else vectors.rotate(matrix, self.rotation)
        return vectors.truncate(turned, self.dim)

    def _reduced(self, documents: FloatArray) -> FloatArray:
        """All documents, block by block into a matrix of ``dim`` columns."""
        matrix = np.empty((len(documents), self.dim), dtype=np.float32)
        for start in range(0, len(documents), DOCUMENT_BLOCK):
            matrix[start : start + DOCUMENT_BLOCK] = self.reduce(documents[start : start + DOCUMENT_BLOCK])
        return matrix

    def _scale(self, documents: FloatArray) -> float:
        """The largest absolute value of all documents, found block by block."""
        starts = range(0, len(documents), DOCUMENT_BLOCK)
        return max(float(np.abs(self.reduce(documents[i : i + DOCUMENT_BLOCK])).max(initial=0)) for i in starts)


def quantize(documents: FloatArray, quantization: str, largest: float | None = None) -> FloatArray:
    """What is left of document vectors after quantization, as float32 again.

    A simulation of the information that is lost, with float32 queries:

    * ``"int8"``: one scale for all documents, the largest absolute value becomes 127; rounded to the nearest of
      255 steps. (Engines may clip at a quantile and quantize the query too.)
    * ``"binary"``: the sign of each dimension, +1 or -1; zero counts as +1. The query keeps its float values, so
      a score is the sum of its dimensions under the document's signs. (Engines may binarise the query too.)
    * ``"binary-rescored"``: the same signs; they choose :data:`OVERSAMPLING` times as many documents as are wanted,
      and the float32 vectors rank these.

    Args:
        documents: Shape ``(n, dim)``, unit norm.
        quantization: One of the above, or ``"float32"`` for none.
        largest: The value that becomes 127; ``None`` takes the largest of these documents.

    Raises:
        InputError: An unknown quantization.
    """
    if quantization == "float32":
        return documents
    if quantization == "int8":
        largest = float(np.abs(documents).max(initial=0.0)) if largest is None else largest
        scale = np.float32(largest / 127) or np.float32(1)
        return np.asarray(np.rint(documents / scale) * scale, dtype=np.float32)
    _check(quantization)
    return _signs(documents)


def _check(quantization: str) -> None:
    if quantization not in get_args(Quantization):
        raise InputError(f"unknown quantization {quantization!r}; expected one of {', '.join(get_args(Quantization))}")


def _signs(documents: FloatArray) -> FloatArray:
    return np.where(documents >= 0, np.float32(1), np.float32(-1))
