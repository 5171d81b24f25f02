"""Simulated storage of document vectors, rotated, truncated and quantized, and exhaustive search in bounded memory.

Search is exhaustive, so a score is a property of the vectors alone; the effects of an engine's index and of its own
quantization are measured with the engine.
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

__all__ = ["OVERSAMPLING", "EngineSearch", "StorageName", "Storage", "View", "quantize", "search", "search_rescored"]

StorageName: TypeAlias = Literal["float32", "int8", "binary", "binary-rescored"]

EngineSearch: TypeAlias = Callable[[FloatArray, FloatArray, int], NDArray[np.intp]]  # queries, documents, k -> rows

View: TypeAlias = Callable[[FloatArray], FloatArray]  # a block of document vectors, as an index would store them

DOCUMENT_BLOCK = 8192  # with the query block: 32 MiB of scores at a time
QUERY_BLOCK = 1024
OVERSAMPLING = 4  # binary candidates per document of the ranking; engines recommend 2 to 16


@dataclass(frozen=True, eq=False)
class Storage:
    """A way to store document vectors and to search them.

    Attributes:
        dim: Matryoshka truncation of both sides.
        quantization: Of the document vectors; queries stay float32.
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
        if self.quantization == "binary-rescored":
            return search_rescored(
                reduced, documents, k, OVERSAMPLING, coarse=lambda b: _signs(self.reduce(b)), fine=self.reduce, ids=ids
            )[0]
        scale = self._scale(documents) if self.quantization == "int8" else None
        view = lambda block: quantize(self.reduce(block), self.quantization, scale)  # noqa: E731
        return search(reduced, documents, k, view=view, ids=ids)[0]

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

    def _scale(self, documents: FloatArray) -> float:
        """The largest absolute value of all documents, found block by block."""
        starts = range(0, len(documents), DOCUMENT_BLOCK)
        return max(float(np.abs(self.reduce(documents[i : i + DOCUMENT_BLOCK])).max(initial=0)) for i in starts)


def quantize(documents: FloatArray, quantization: str, largest: float | None = None) -> FloatArray:
    """Returns document vectors quantized and restored to float32.

    This simulates the loss of information; queries stay float32:

    * ``"int8"``: one scale for all documents, the largest absolute value becomes 127; rounded to the nearest of
      255 steps. (Engines may clip at a quantile and quantize the query too.)
    * ``"binary"``: the sign of each dimension, +1 or -1; zero counts as +1. The query keeps its float values, so
      a score is the sum of its dimensions under the document's signs. (Engines may binarise the query too.)
    * ``"binary-rescored"``: the same signs; they choose ``k`` times :data:`OVERSAMPLING` candidates, which the
      float32 vectors rank.

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
    if quantization not in get_args(StorageName):
        raise InputError(f"unknown quantization {quantization!r}; expected one of {', '.join(get_args(StorageName))}")


def _signs(documents: FloatArray) -> FloatArray:
    return np.where(documents >= 0, np.float32(1), np.float32(-1))


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
        stored = part if view is None else view(part)
        best.merge_block(queries, stored, stored, start)
    return best.rows, best.scores


def search_rescored(
    queries: FloatArray,
    documents: FloatArray,
    k: int,
    oversampling: int,
    *,
    coarse: View,
    fine: View,
    block: int = DOCUMENT_BLOCK,
    ids: Sequence[str] | None = None,
) -> tuple[NDArray[np.intp], FloatArray]:
    """Searches by a coarse view and ranks the best ``k * oversampling`` by a finer one: what engines call rescoring.

    Args:
        queries: Shape ``(q, dim)``.
        documents: Shape ``(n, dim)``; may be memory-mapped.
        k: Number of results per query.
        oversampling: Candidates per result.
        coarse: The view that chooses candidates.
        fine: The view that ranks them.
        block: Documents at a time.
        ids: Of the documents; they order equal scores as in :func:`search`.

    Returns:
        Row numbers and fine scores, each of shape ``(q, min(k, n))``, best first.
    """
    best = _Best(len(queries), k * oversampling, ids)
    for start in range(0, len(documents), block):
        part = documents[start : start + block]
        best.merge_block(queries, coarse(part), fine(part), start)
    by_row = np.argsort(best.rows, axis=1)  # so that among equals the lower column is the lower row
    rows = np.take_along_axis(best.rows, by_row, axis=1)
    exact = np.take_along_axis(best.exact, by_row, axis=1)
    columns = _top(exact, k, rows, ids)
    return np.take_along_axis(rows, columns, axis=1), np.take_along_axis(exact, columns, axis=1)


class _Best:
    """The best rows so far, each with the score that chose it and an exact one that is carried along."""

    def __init__(self, queries: int, k: int, ids: Sequence[str] | None = None) -> None:
        self.k = k
        self.ids = ids
        self.rows = np.empty((queries, 0), dtype=np.intp)
        self.scores = np.empty((queries, 0), dtype=np.float32)
        self.exact = self.scores

    def merge_block(self, queries: FloatArray, coarse: FloatArray, fine: FloatArray, start: int) -> None:
        """Compares with documents ``start`` and following, and keeps the best of old and new."""
        parts = [self._merged(queries, slice(i, i + QUERY_BLOCK), coarse, fine, start) for i in _steps(len(queries))]
        self.rows, self.scores, self.exact = (np.concatenate(values) for values in zip(*parts, strict=True))

    def _merged(
        self, queries: FloatArray, which: slice, coarse: FloatArray, fine: FloatArray, start: int
    ) -> tuple[NDArray[np.intp], FloatArray, FloatArray]:
        new = queries[which] @ coarse.T
        columns = _top(new, self.k, np.arange(start, start + new.shape[1])[None], self.ids)
        found = np.take_along_axis(new, columns, axis=1)
        exact = found if fine is coarse else np.take_along_axis(queries[which] @ fine.T, columns, axis=1)
        rows = np.hstack([self.rows[which], columns + start])
        scores = np.hstack([self.scores[which], found])
        exacts = np.hstack([self.exact[which], exact])
        best = _top(scores, self.k, rows, self.ids)  # earlier blocks stand further left: the lower row without ids
        return (
            np.take_along_axis(rows, best, axis=1),
            np.take_along_axis(scores, best, axis=1),
            np.take_along_axis(exacts, best, axis=1),
        )


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
