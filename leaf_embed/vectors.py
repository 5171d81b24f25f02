"""All vector arithmetic of the package, in plain NumPy.

Vectors are rows: a single vector has shape ``(dim,)``, a batch ``(n, dim)``. Every function takes either, returns
float32 unless it says otherwise, and never changes its argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaf_embed.errors import VectorError

__all__ = [
    "FloatArray",
    "as_vectors",
    "cosine",
    "fit_rotation",
    "is_unit_norm",
    "max_marginal_relevance",
    "normalize",
    "principal_axes",
    "rotate",
    "truncate",
]

FloatArray: TypeAlias = NDArray[np.float32]

UNIT_NORM_TOLERANCE = 1e-2  # bfloat16 has 8 bits of mantissa: a unit vector's norm is off by up to 4e-3


def as_vectors(
    values: ArrayLike,
    dim: int | None = None,
    *,
    source: str,
    ids: Sequence[Any] | None = None,
    zeros: bool = False,
) -> FloatArray:
    """Checks a batch of vectors.

    Args:
        values: Anything that NumPy reads as shape ``(n, dim)``.
        dim: The expected number of dimensions; ``None`` accepts any.
        source: Name of the vectors' origin, for the error message.
        ids: One name per row, for the error message; the row number by default.
        zeros: Whether a row may hold only zeros, as that of an empty text may.

    Returns:
        Shape ``(n, dim)``, float32.

    Raises:
        VectorError: Not a matrix of numbers, wrong ``dim``, or a row with NaN, infinity or, without ``zeros``, only
            zeros.
    """
    try:
        matrix = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise VectorError(f"vectors from {source} are of unequal size or no numbers ({error})") from error
    if matrix.ndim != 2:
        raise VectorError(
            f"vectors from {source} have the shape {matrix.shape}; expected (n, {dim or 'dim'}), one row per text"
        )
    if dim is not None and matrix.shape[1] != dim:
        raise VectorError(
            f"vectors from {source} have {matrix.shape[1]} dimensions; expected {dim}. "
            "Is this the model that the space was made with?"
        )
    largest = np.abs(matrix).max(axis=1, initial=0.0)  # NaN and infinity survive the maximum
    bad = np.flatnonzero(~np.isfinite(largest) | ((largest == 0) & (not zeros)))
    if bad.size:
        row = int(bad[0])
        name = ids[row] if ids is not None else f"row {row}"
        what = "only zeros" if largest[row] == 0 else "NaN or infinity"
        raise VectorError(f"vectors from {source} hold {what} for {name!r} ({bad.size} of {len(matrix)} rows)")
    return matrix


def normalize(vectors: ArrayLike) -> FloatArray:
    """Scales each vector to unit norm; a zero vector stays zero."""
    matrix: FloatArray = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(matrix, axis=-1, keepdims=True)
    norms[norms == 0] = 1.0
    scaled: FloatArray = matrix / norms
    return scaled


def is_unit_norm(vectors: ArrayLike) -> bool:
    """Returns whether every vector has norm 1, within the error of bfloat16 inference."""
    norms = np.linalg.norm(np.asarray(vectors, dtype=np.float32), axis=-1)
    return bool(np.all(np.abs(norms - 1) <= UNIT_NORM_TOLERANCE))


def truncate(vectors: ArrayLike, dim: int) -> FloatArray:
    """Keeps the first ``dim`` dimensions and renormalises, as Matryoshka retrieval does.

    Source: Kusupati et al., Matryoshka Representation Learning, arXiv 2205.13147.

    Returns:
        Shape ``(..., dim)``, unit norm.

    Raises:
        VectorError: ``dim`` is below 1 or above what the vectors have.
    """
    matrix = np.asarray(vectors, dtype=np.float32)
    if not 1 <= dim <= matrix.shape[-1]:
        raise VectorError(f"cannot truncate to {dim} dimensions; expected 1 to {matrix.shape[-1]}")
    return normalize(matrix[..., :dim])


def rotate(vectors: ArrayLike, rotation: ArrayLike) -> FloatArray:
    """Multiplies by an orthogonal matrix, which keeps every cosine and every norm.

    Args:
        vectors: Shape ``(..., dim)``.
        rotation: Shape ``(dim, dim)``; its columns are the new axes.

    Raises:
        VectorError: The matrix does not fit, or is not orthogonal (it would change distances).
    """
    matrix = np.asarray(vectors, dtype=np.float32)
    axes = np.asarray(rotation, dtype=np.float32)
    dim = matrix.shape[-1]
    if axes.shape != (dim, dim):
        raise VectorError(f"rotation has shape {axes.shape}; expected {(dim, dim)} for these vectors")
    drift = float(np.abs(axes.T @ axes - np.eye(dim, dtype=np.float32)).max())
    if drift > 1e-3:
        raise VectorError(f"rotation is not orthogonal (RᵀR differs from I by {drift:.2g}); expected ≤ 1e-3")
    return matrix @ axes


def fit_rotation(vectors: ArrayLike) -> FloatArray:
    """Returns the rotation to principal axes, after which vectors can be truncated.

    The axes are the eigenvectors of the second moment XᵀX / n, by descending eigenvalue: of all rotations the one that
    keeps most of the squared norm in every prefix. The mean is not subtracted, so that dot products do not change.

    Args:
        vectors: Shape ``(n, dim)``; a few thousand rows are enough, those of documents before those of queries.

    Returns:
        Shape ``(dim, dim)``, float32, orthogonal, for ``rotate(vectors, rotation)``. The entry of largest absolute
        value in each column is positive, so that the same vectors have the same matrix everywhere.

    Raises:
        VectorError: No rows, or a row with NaN, infinity or only zeros.
    """
    matrix = as_vectors(vectors, source="the sample to fit a rotation on")
    if not len(matrix):
        raise VectorError("a rotation needs vectors to be fitted on; got none")
    doubled = matrix.astype(np.float64)
    return principal_axes(doubled.T @ doubled)


def principal_axes(moment: NDArray[np.float64]) -> FloatArray:
    """Returns the matrix of :func:`fit_rotation` from a second moment ``XᵀX``, ``(dim, dim)``, at any scale."""
    axes = np.linalg.eigh(moment)[1][:, ::-1]  # eigh sorts ascending
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return np.ascontiguousarray(axes * np.sign(largest), dtype=np.float32)


def cosine(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Returns the cosine of each row of ``a`` with the same row of ``b``, shape ``(n,)`` for ``(n, dim)`` inputs."""
    product = normalize(a) * normalize(b)
    return np.asarray(product.sum(axis=-1), dtype=np.float32)


def max_marginal_relevance(query: ArrayLike, candidates: ArrayLike, limit: int, diversity: float) -> list[int]:
    """Chooses rows that are near to the query and far from each other, by maximal marginal relevance.

    Source: Carbonell and Goldstein, The Use of MMR, SIGIR 1998; similarities are cosines.

    Args:
        query: Shape ``(dim,)``.
        candidates: Shape ``(n, dim)``.
        limit: Rows to choose, at most n are.
        diversity: 0 ranks by nearness alone, 1 by distance from what was chosen alone.

    Returns:
        Row numbers, the best first.
    """
    rows = normalize(candidates)
    relevance = rows @ normalize(query)
    redundancy = np.full(len(rows), -1.0, dtype=np.float32)  # of the first choice there is none: relevance decides
    chosen: list[int] = []
    left = np.ones(len(rows), dtype=bool)
    for step in range(min(limit, len(rows))):
        worth = relevance if step == 0 else (1 - diversity) * relevance - diversity * redundancy
        best = int(np.argmax(np.where(left, worth, -np.inf)))
        chosen.append(best)
        left[best] = False
        redundancy = np.maximum(redundancy, rows @ rows[best])
    return chosen
