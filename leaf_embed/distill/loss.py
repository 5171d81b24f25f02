"""The loss of LEAF."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["squared_distances", "squared_l2"]


def squared_l2(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the squared distance of student and teacher vectors, averaged over the batch (arXiv 2509.12539).

    ``mean_i ‖y_i - ŷ_i‖²``: summed over dimensions, so it does not depend on how many there are. For unit vectors it
    equals ``2 (1 - cos)``: 0 is equal, 2 is orthogonal. It needs (text, vector) pairs alone, no labels and no
    negatives; and because every direction counts, truncated and quantized vectors align as well.

    Args:
        student: Shape ``(n, dim)``, float32.
        teacher: Shape ``(n, dim)``, float32.

    Returns:
        A scalar.
    """
    return squared_distances(student, teacher).mean()


def squared_distances(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the squared distance of each row, shape ``(n,)``; see :func:`squared_l2`."""
    return (student - teacher).square().sum(dim=-1)
