"""Storage of document vectors, rotated, truncated and quantized, and exhaustive search in bounded memory.

``int8`` and ``binary`` are Qdrant's, computed in NumPy: queries are quantized too, and the ten best documents are those
of the embedded engine. Search is exhaustive, so a score is a property of the vectors alone; the effects of an engine's
graph, of rescoring and of its other quantizations are measured with the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.vectors import FloatArray

__all__ = ["EngineSearch", "StorageName", "Storage", "View", "quantize", "search"]

StorageName: TypeAlias = Literal["float32", "int8", "binary"]

EngineSearch: TypeAlias = Callable[[FloatArray, FloatArray, int], NDArray[np.intp]]  # queries, documents, k -> rows

View: TypeAlias = Callable[[FloatArray], FloatArray]  # a block of document vectors, as an index would store them

DOCUMENT_BLOCK = 8192  # with the query block: 32 MiB of scores at a time
QUERY_BLOCK = 1024
STEPS = 127  # of int8: the engine uses seven bits


@dataclass(frozen=True, eq=False)
class Storage:
    """A way to store document vectors and to search them.

    Attributes:
        dim: Matryoshka truncation of both sides.
        quantization: Of the vectors of both sides.
        rotation: Orthogonal matrix applied to both sides before truncation, shape ``(full, full)``; ``None`` for none.
        engine: A function that compresses and searches the reduced vectors instead; ``quantization`` is then its name.
    """

    dim: int
    quantization: str = "float32"
    rotation: FloatArray | None = None
    engine: EngineSearch | None = None

    def __post_init__(self) -> None:
        if self.engine is None:
            _check(self.quantization)

    def search(
        self, queries: FloatArray, documents: FloatArray, k: int, ids: Sequence[str] | None = None
    ) -> NDArray[np.intp]:
        """Returns the rows of the best documents of each query in this storage, shape ``(queries, min(k, n))``.

        Args:
            queries: Shape ``(q, full)``.
            documents: Shape ``(n, full)``; may be memory-mapped, one block is read at a time.
            k: Number of results per query.
            ids: Of the documents, which order equal scores as in :func:`search`; an engine has its own order.
        """
        reduced = self.reduce(queries)
        if self.engine is not None:
            return self.engine(reduced, self._reduced(documents), k)
        interval = self._interval(documents) if self.quantization == "int8" else None
        stored = lambda rows: quantize(self.reduce(rows), self.quantization, interval)  # noqa: E731
        return search(quantize(reduced, self.quantization, interval), documents, k, view=stored, ids=ids)[0]

    def reduce(self, matrix: FloatArray) -> FloatArray:
        """Rotated and truncated, unit norm, shape ``(n, dim)``."""
        rotated = matrix if self.rotation is None else vectors.rotate(matrix, self.rotation)
        return vectors.truncate(rotated, self.dim)

    def _reduced(self, documents: FloatArray) -> FloatArray:
        """All documents, block by block into a matrix of ``dim`` columns."""
        matrix = np.empty((len(documents), self.dim), dtype=np.float32)
        for start in range(0, len(documents), DOCUMENT_BLOCK):
            matrix[start : start + DOCUMENT_BLOCK] = self.reduce(documents[start : start + DOCUMENT_BLOCK])
        return matrix

    def _interval(self, documents: FloatArray) -> tuple[float, float]:
        """The smallest and the largest value of all documents, found block by block."""
        low, high = np.inf, -np.inf
        for start in range(0, len(documents), DOCUMENT_BLOCK):
            block = self.reduce(documents[start : start + DOCUMENT_BLOCK])
            low, high = min(low, float(block.min())), max(high, float(block.max()))
        return low, high


def quantize(rows: FloatArray, quantization: str, interval: tuple[float, float] | None = None) -> FloatArray:
    """Returns vectors of documents or queries quantized as Qdrant does, and restored to float32.

    * ``"int8"``: the interval of all documents' values in 127 steps, seven bits; rounded to the nearest. What lies
      outside, as a query's values may, becomes the end of the interval. A score is the dot product.
    * ``"binary"``: +1 for values above zero, else -1. A score is the number of equal signs minus that of different
      ones.

    Args:
        rows: Shape ``(n, dim)``, unit norm.
        quantization: One of the above, or ``"float32"`` for none.
        interval: Smallest and largest value of all documents; ``None`` takes those of these rows.

    Raises:
        InputError: An unknown quantization.
    """
    if quantization == "float32":
        return rows
    if quantization == "int8":
        low, high = (rows.min(initial=0.0), rows.max(initial=0.0)) if interval is None else interval
        step = np.float32((high - low) / STEPS) or np.float32(1)
        steps = np.clip(np.rint((rows - np.float32(low)) / step), 0, STEPS)
        return np.asarray(steps * step + np.float32(low), dtype=np.float32)
    _check(quantization)
    return np.where(rows > 0, np.float32(1), np.float32(-1))


def _check(quantization: str) -> None:
    if quantization not in get_args(StorageName):
        raise InputError(
            f"unknown quantization {quantization!r}; expected one of {', '.join(get_args(StorageName))}, or one that "
            "an engine computes, given as engines="
        )


def search(
    queries: FloatArray,
    documents: FloatArray,
    k: int,
    *,
    block: int = DOCUMENT_BLOCK,
    view: View | None = None,
    ids: Sequence[str] | None = None,
) -> tuple[NDArray[np.intp], FloatArray]:
    """Returns the k largest dot products of each query, found block by block.

    Args:
        queries: Shape ``(q, dim)``.
        documents: Shape ``(n, dim)``; may be memory-mapped, ``block`` rows are read at a time.
        k: Number of results per query; fewer if there are fewer documents.
        block: Documents at a time.
        view: Applied to each block before it is compared; ``None`` for nothing.
        ids: Of the documents. Of equal scores the larger id comes first, as in trec_eval, so that a ranking does not
            depend on the order of the file; ``None``: the lower row.

    Returns:
        Row numbers and scores, each of shape ``(q, min(k, n))``, best first, the same for every block size.
    """
    best = _Best(len(queries), k, ids)
    for start in range(0, len(documents), block):
        part = documents[start : start + block]
        best.merge_block(queries, part if view is None else view(part), start)
    return best.rows, best.scores


class _Best:
    """The best rows so far, with their scores."""

    def __init__(self, queries: int, k: int, ids: Sequence[str] | None = None) -> None:
        self.k = k
        self.ids = ids
        self.rows = np.empty((queries, 0), dtype=np.intp)
        self.scores = np.empty((queries, 0), dtype=np.float32)

    def merge_block(self, queries: FloatArray, documents: FloatArray, start: int) -> None:
        """Compares with documents ``start`` and following, and keeps the best of old and new."""
        parts = [self._merged(queries, slice(i, i + QUERY_BLOCK), documents, start) for i in _steps(len(queries))]
        self.rows, self.scores = (np.concatenate(values) for values in zip(*parts, strict=True))

    def _merged(
        self, queries: FloatArray, which: slice, documents: FloatArray, start: int
    ) -> tuple[NDArray[np.intp], FloatArray]:
        new = queries[which] @ documents.T
        columns = _top(new, self.k, np.arange(start, start + new.shape[1])[None], self.ids)
        rows = np.hstack([self.rows[which], columns + start])
        scores = np.hstack([self.scores[which], np.take_along_axis(new, columns, axis=1)])
        best = _top(scores, self.k, rows, self.ids)  # earlier blocks stand further left: the lower row without ids
        return np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)


def _steps(count: int) -> range:
    return range(0, max(count, 1), QUERY_BLOCK)


def _top(scores: FloatArray, k: int, rows: NDArray[np.intp], ids: Sequence[str] | None) -> NDArray[np.intp]:
    """Columns of the k largest values of each row, best first; among equals the larger id, or the lower column.

    ``argpartition`` alone would take any of several equal values at the border.

    Args:
        scores: Shape ``(q, n)``.
        k: Columns per row.
        rows: The document of each column, shape ``(q, n)`` or ``(1, n)``.
        ids: Of all documents.
    """
    count, width = scores.shape
    k = min(k, width)
    border = np.partition(scores, width - k, axis=1)[:, width - k, None]
    row, column = np.nonzero(scores >= border)
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    if ids is not None:
        _order_equals(row, column, scores, np.broadcast_to(rows, scores.shape), ids)
    first = np.searchsorted(row, np.arange(count))
    return np.asarray(column[first[:, None] + np.arange(k)], dtype=np.intp)


def _order_equals(
    row: NDArray[np.intp], column: NDArray[np.intp], scores: FloatArray, rows: NDArray[np.intp], ids: Sequence[str]
) -> None:
    """Sorts each run of columns with equal scores by descending id, in place."""
    values = scores[row, column]
    equal = (values[1:] == values[:-1]) & (row[1:] == row[:-1])
    steps = np.diff(np.concatenate([[0], equal.astype(np.int8), [0]]))
    for start, end in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) + 1, strict=True):
        run = column[start:end].tolist()
        column[start:end] = sorted(run, key=lambda c: ids[rows[row[start], c]], reverse=True)
