"""Fitting a rotation on the teacher's cached vectors, folding it into a student, and showing what it is worth.

The loss is a distance, and a rotation keeps every distance: a student trained towards the plain vectors and rotated
afterwards is the same student as one that was trained towards the rotated ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.transformer import last_layer
from leaf_embed.errors import InputError
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.vectors import FloatArray, principal_axes, truncate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Truncation", "compare_truncation", "fit_cached_rotation", "fold"]

BLOCK = 8192
NEIGHBOURS = 10


@dataclass(frozen=True)
class Truncation:
    """The share of the teacher's nearest neighbours that its truncated vectors find.

    Attributes:
        dim: Dimensions kept.
        plain: Share of the ten nearest neighbours by whole vectors that the teacher's own first dimensions find.
        rotated: The same by the first rotated dimensions.
        texts: Number of texts compared, each with all others.
    """

    dim: int
    plain: float
    rotated: float
    texts: int


def fit_cached_rotation(cache: TeacherCache, rows: Rows) -> Rotation:
    """Returns :func:`leaf_embed.vectors.fit_rotation` of cached vectors, in memory independent of their number.

    Args:
        cache: Holds the teacher's vectors.
        rows: Which of them to fit on.

    Raises:
        InputError: Fewer rows than dimensions: the axes would be arbitrary.
    """
    dim = cache.space.dim
    if len(rows) < dim:
        raise InputError(f"a rotation of {dim} dimensions needs at least {dim} texts; got {len(rows)}")
    moment = np.zeros((dim, dim))
    for start in range(0, len(rows), BLOCK):
        block = cache.vectors(rows[start : start + BLOCK]).astype(np.float64)
        moment += block.T @ block
    return Rotation(principal_axes(moment))


def fold(model: SentenceTransformer, rotation: Rotation) -> None:
    """Folds a rotation into the layer that writes a student's vectors, in place: its last Dense, or its token table.

    Raises:
        InputError: There is no such layer.
    """
    import torch

    last = last_layer(model)
    if last is None:
        raise InputError("this student ends in no layer that could take a rotation; distil without --mrl rotate")
    axes = torch.from_numpy(rotation.matrix).double()
    with torch.no_grad():
        if hasattr(last, "linear"):
            last.linear.weight.copy_(axes.T @ last.linear.weight.double().cpu())
            if last.linear.bias is not None:
                last.linear.bias.copy_(last.linear.bias.double().cpu() @ axes)
        else:
            last.embedding.weight.copy_(last.embedding.weight.double().cpu() @ axes)


def compare_truncation(vectors: FloatArray, rotation: Rotation) -> tuple[Truncation, ...]:
    """Compares truncation of plain and of rotated vectors, at each power of two from 32 on.

    Args:
        vectors: The teacher's own, shape ``(n, dim)``, of texts that the rotation was not fitted on.
        rotation: The rotation.
    """
    count, dim = vectors.shape
    wanted = min(NEIGHBOURS, count - 1)
    if wanted < 1:
        return ()
    rotated = rotation.apply(vectors)
    exact = _neighbours(vectors, dim, wanted)
    dims = [size for size in (32, 64, 128, 256, 512, 1024, 2048) if size < dim]
    return tuple(
        Truncation(
            size,
            _shared(exact, _neighbours(vectors, size, wanted)),
            _shared(exact, _neighbours(rotated, size, wanted)),
            count,
        )
        for size in dims
    )


def _neighbours(vectors: FloatArray, dim: int, wanted: int) -> Any:
    """Places of each vector's nearest others by its first dimensions, shape ``(n, wanted)``."""
    short = truncate(vectors, dim)
    scores = short @ short.T
    np.fill_diagonal(scores, -np.inf)
    return np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]


def _shared(exact: Any, found: Any) -> float:
    """Mean share of ``exact`` that ``found`` has too."""
    both = [len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]
    return float(np.mean(both)) / int(exact.shape[1])
