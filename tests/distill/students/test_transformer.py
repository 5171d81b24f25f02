"""A transformer as student: its forward pass, and the closed-form start against an independent solution."""

import numpy as np
import pytest
import torch

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import DistillConfig, build_student
from leaf_embed.distill.students.transformer import TransformerStudent, forward, warm_start
from tests.conftest import sentences
from tests.encoders.teachers import POSITIONS, Case, build, build_backbone

SPACE = EmbeddingSpace("teacher", 48, query_prompt="what is ", unit_norm=True)


@pytest.mark.parametrize("unit_norm", [True, False])
def test_warm_start_is_ridge_regression(teacher_path, unit_norm):
    """Against scikit-learn's ridge, with the bias penalised like every other weight."""
    from sklearn.linear_model import Ridge

    student = build_student(teacher_path, EmbeddingSpace("t", 5, unit_norm=unit_norm), layers=1)
    batch = student.tokenizer(sentences(200), padding=True, return_tensors="pt")
    targets = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))

    def batches():
        for rows in (slice(0, 120), slice(120, 200)):
            yield {name: batch[name][rows] for name in batch}, targets[rows]

    warm_start(student, batches(), bfloat16=False)
    with torch.no_grad():
        features = {name: batch[name] for name in batch}
        pooled = student[1](student[0](features))["sentence_embedding"].double().numpy()
    x = np.hstack([pooled, np.ones((200, 1))]) if unit_norm else pooled
    strength = 1e-3 * np.trace(x.T @ x) / x.shape[1]
    expected = Ridge(alpha=strength, fit_intercept=False).fit(x, targets.double().numpy()).coef_
    found = student[2].linear.weight.detach().numpy()
    if unit_norm:
        found = np.hstack([found, student[2].linear.bias.detach().numpy()[:, None]])
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)


def test_a_student_reads_no_more_than_it_has_positions_for(tmp_path):
    """RoBERTa's table has two rows that no token is put on, and its tokenizer declares no limit."""
    model = build(Case("roberta"), build_backbone("roberta", tmp_path))
    space = EmbeddingSpace("a teacher that reads more", 48, max_tokens=8192)
    student = TransformerStudent(model, space, DistillConfig.quick(), layers=1)
    assert student.max_tokens == POSITIONS
    assert student.model.encode(["river " * 300]).shape == (1, 48)


def test_forward_equals_sentence_transformers(teacher_path):
    student = build_student(teacher_path, SPACE, layers=2)
    batch = student.tokenizer(sentences(10), padding=True, return_tensors="pt")
    with torch.no_grad():
        found = forward(student, dict(batch), bfloat16=False)
    np.testing.assert_allclose(found, student.encode(sentences(10)), atol=1e-5)
