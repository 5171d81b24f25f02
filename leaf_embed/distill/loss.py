"""The loss of LEAF, and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Objective", "squared_l2"]


def squared_l2(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the squared distance of student and teacher vectors, averaged over the batch (arXiv 2509.12539).

    ``mean_i ‖y_i - ŷ_i‖²``: summed over dimensions, so it does not depend on how many there are. For unit vectors it
    equals ``2 (1 - cos)``: 0 is equal, 2 is orthogonal. It needs (text, vector) pairs alone, no labels and no
    negatives; and because every direction counts, prefixes and quantised codes of the vectors align as well.

    Args:
        student: Shape ``(n, dim)``, float32.
        teacher: Shape ``(n, dim)``, float32.

    Returns:
        A scalar.
    """
    return _distances(student, teacher).mean()


@dataclass(frozen=True)
class Objective:
    """The loss that a training step minimizes: :func:`squared_l2`, and the prefixes that a recipe adds to it.

    Attributes:
        prefixes: Dimensions whose leading parts are aligned too, each scaled to unit norm on both sides, with the
            weight of the whole vector (Matryoshka, arXiv 2205.13147).
        rotation: Shape ``(dim, dim)``; the prefixes are those of the rotated vectors.
    """

    prefixes: tuple[int, ...] = ()
    rotation: Tensor | None = None

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the loss of a batch, a scalar; arguments as for :func:`squared_l2`."""
        return self.distances(student, teacher).mean()

    def distances(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the squared distance of each text, shape ``(n,)``: mean of its whole vector's and its prefixes'."""
        whole = _distances(student, teacher)
        if not self.prefixes:
            return whole
        return (whole + self._prefix_distances(student, teacher)) / (1 + len(self.prefixes))

    def _prefix_distances(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Sum over the prefixes, shape ``(n,)``."""
        import torch
        from torch.nn.functional import normalize

        if self.rotation is not None:
            axes = self.rotation.to(student.device)
            student, teacher = student @ axes, teacher @ axes
        total = torch.zeros(len(student), device=student.device)
        for dim in self.prefixes:
            total = total + _distances(normalize(student[:, :dim]), normalize(teacher[:, :dim]))
        return total


def _distances(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of each row, shape ``(n,)``."""
    return (student - teacher).square().sum(dim=-1)
