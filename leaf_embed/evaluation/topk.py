"""Exhaustive search in bounded memory: the best documents of each query, merged block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed.vectors import FloatArray

__all__ = ["DOCUMENT_BLOCK", "View", "search", "search_rescored"]

View: TypeAlias = Callable[[FloatArray], FloatArray]  # a block of document vectors, as an index would store them

DOCUMENT_BLOCK = 8192  # with the query block: 32 MiB of scores at a time
QUERY_BLOCK = 1024


def search(
    queries: FloatArray, documents: FloatArray, k: int, *, block: int = DOCUMENT_BLOCK, view: View | None = None
) -> tuple[NDArray[np.intp], FloatArray]:
    """The k largest dot products of each query, found block by block.

    Args:
        queries: Shape ``(q, dim)``.
        documents: Shape ``(n, dim)``; may be memory-mapped, ``block`` rows are looked at at a time.
        k: How many; fewer come back if there are fewer documents.
        block: Documents at a time.
        view: What each block is turned into before it is compared; ``None`` leaves it as it is.

    Returns:
        Row numbers and scores, each of shape ``(q, min(k, n))``, best first. Of equal scores the lower row comes
        first, whatever the block size.
    """
    best = _Best(len(queries), k)
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
) -> tuple[NDArray[np.intp], FloatArray]:
    """The best ``k * oversampling`` by a coarse view, of which the k best by a finer one: what engines call rescoring.

    Args:
        queries: Shape ``(q, dim)``.
        documents: Shape ``(n, dim)``; may be memory-mapped.
        k: How many come back.
        oversampling: How many times k are looked at closely.
        coarse: The view that chooses candidates.
        fine: The view that ranks them.
        block: Documents at a time.

    Returns:
        Row numbers and fine scores, each of shape ``(q, min(k, n))``, best first; ties go to the lower row.
    """
    best = _Best(len(queries), k * oversampling)
    for start in range(0, len(documents), block):
        part = documents[start : start + block]
        best.merge_block(queries, coarse(part), fine(part), start)
    by_row = np.argsort(best.rows, axis=1)  # so that among equals the lower column is the lower row
    rows = np.take_along_axis(best.rows, by_row, axis=1)
    exact = np.take_along_axis(best.exact, by_row, axis=1)
    columns = _top(exact, k)
    return np.take_along_axis(rows, columns, axis=1), np.take_along_axis(exact, columns, axis=1)


class _Best:
    """The best rows so far, each with the score that chose it and an exact one that is carried along."""

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self.rows = np.empty((queries, 0), dtype=np.intp)
        self.scores = np.empty((queries, 0), dtype=np.float32)
        self.exact = self.scores

    def merge_block(self, queries: FloatArray, coarse: FloatArray, fine: FloatArray, start: int) -> None:
        """Compare with documents ``start`` and following, and keep the best of old and new."""
        parts = [self._merged(queries, slice(i, i + QUERY_BLOCK), coarse, fine, start) for i in _steps(len(queries))]
        self.rows, self.scores, self.exact = (np.concatenate(values) for values in zip(*parts, strict=True))

    def _merged(
        self, queries: FloatArray, which: slice, coarse: FloatArray, fine: FloatArray, start: int
    ) -> tuple[NDArray[np.intp], FloatArray, FloatArray]:
        new = queries[which] @ coarse.T
        columns = _top(new, self.k)
        found = np.take_along_axis(new, columns, axis=1)
        exact = found if fine is coarse else np.take_along_axis(queries[which] @ fine.T, columns, axis=1)
        rows = np.hstack([self.rows[which], columns + start])
        scores = np.hstack([self.scores[which], found])
        exacts = np.hstack([self.exact[which], exact])
        best = _top(scores, self.k)  # earlier blocks stand further left, so ties still go to the lower row
        return (
            np.take_along_axis(rows, best, axis=1),
            np.take_along_axis(scores, best, axis=1),
            np.take_along_axis(exacts, best, axis=1),
        )


def _steps(count: int) -> range:
    return range(0, max(count, 1), QUERY_BLOCK)


def _top(scores: FloatArray, k: int) -> NDArray[np.intp]:
    """Columns of the k largest values of each row, best first, the lower column first among equals.

    ``argpartition`` alone would take any of several equal values at the border.
    """
    count, width = scores.shape
    k = min(k, width)
    border = np.partition(scores, width - k, axis=1)[:, width - k, None]
    row, column = np.nonzero(scores >= border)
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    first = np.searchsorted(row, np.arange(count))
    return np.asarray(column[first[:, None] + np.arange(k)], dtype=np.intp)
