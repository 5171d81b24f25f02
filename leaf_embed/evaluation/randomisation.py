"""The paired randomisation test of two systems, and Holm's correction for a family of tests.

Sources: Fisher, The Design of Experiments, 1935; in retrieval: Smucker, Allan and Carterette, CIKM 2007. Holm,
Scandinavian Journal of Statistics, 1979.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PERMUTATIONS", "holm", "sign_flip_p"]

PERMUTATIONS = 10_000
EXACT = 12  # differences other than zero, up to which every assignment of signs is tried
CHUNK = 1 << 22  # signs in memory at a time
ROUNDING = 1e-12


def sign_flip_p(differences: NDArray[np.float64], permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Returns the two-sided p value of "the two systems could exchange their scores on each query".

    Args:
        differences: Of each query, times the weight of the query in the mean that is tested, shape ``(queries,)``.
        permutations: Random assignments of signs; all assignments are tried if at most twelve differences are not 0.
        seed: Of the assignments.

    Returns:
        At least ``1 / (permutations + 1)``; 1.0 if nothing differs.
    """
    moved = differences[differences != 0]
    observed = abs(float(moved.sum())) * (1 - ROUNDING)
    if len(moved) <= EXACT:
        signs = 1 - 2 * ((np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1)
        return float(np.mean(np.abs(signs @ moved) >= observed))
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(moved))
    extreme = 0
    for start in range(0, permutations, rows):
        shape = (min(rows, permutations - start), len(moved))
        signs = generator.integers(0, 2, shape, dtype=np.int8)
        extreme += int(np.count_nonzero(np.abs(2 * (signs @ moved) - moved.sum()) >= observed))
    return (1 + extreme) / (permutations + 1)


def holm(values: Sequence[float]) -> list[float]:
    """Returns p values adjusted by Holm: those at most 5 % are wrong, any of them, in at most 5 % of families."""
    order = np.argsort(values, kind="stable")
    adjusted = np.zeros(len(values))
    largest = 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[number]))
        adjusted[number] = largest
    return [float(value) for value in adjusted]
