"""The loss against NumPy."""

import numpy as np
import pytest
import torch

from leaf_embed.distill.loss import squared_distances, squared_l2
from leaf_embed.vectors import normalize

RNG = np.random.default_rng(0)
STUDENT, TEACHER = (normalize(RNG.normal(size=(6, 16))) for _ in range(2))


def value(objective, student=STUDENT, teacher=TEACHER):
    return float(objective(torch.from_numpy(student), torch.from_numpy(teacher)))


def distances(student, teacher):
    return ((student - teacher) ** 2).sum(axis=1)


def test_plain():
    expected = distances(STUDENT, TEACHER).mean()
    assert value(squared_l2) == pytest.approx(expected)
    each = squared_distances(torch.from_numpy(STUDENT), torch.from_numpy(TEACHER))
    assert each.numpy() == pytest.approx(distances(STUDENT, TEACHER))
    assert expected == pytest.approx((2 - 2 * (STUDENT * TEACHER).sum(axis=1)).mean(), rel=1e-5)


def test_loss_by_hand():
    student, teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert squared_l2(student, teacher).item() == 1.0  # (0 + 2) / 2
    assert squared_l2(student, student).item() == 0.0


def test_loss_is_two_minus_two_cosines_for_unit_vectors():
    a, b = (torch.nn.functional.normalize(torch.randn(50, 8), dim=-1) for _ in range(2))
    expected = 2 - 2 * torch.nn.functional.cosine_similarity(a, b).mean()
    assert squared_l2(a, b).item() == pytest.approx(expected.item(), abs=1e-5)
