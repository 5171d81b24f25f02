"""Students: layers kept, shape, and the closed-form start against an independent solution."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import build_student
from leaf_embed.distill.loss import squared_l2
from leaf_embed.distill.students.backbone import choose_layers, forward, half_the_layers, warm_start
from leaf_embed.errors import InputError
from tests.conftest import sentences

SPACE = EmbeddingSpace("teacher", 48, query_prompt="what is ", unit_norm=True)


@pytest.mark.parametrize(
    ("available", "wanted", "expected"),
    [
        (6, None, (0, 1, 2, 3, 4, 5)),
        (6, 3, (0, 1, 5)),
        (6, 1, (5,)),
        (6, [0, 2, 5], (0, 2, 5)),
        (6, 6, tuple(range(6))),
        (6, 0, ()),
        (6, [], ()),
    ],
)
def test_choose_layers(available, wanted, expected):
    assert choose_layers(available, wanted) == expected


@pytest.mark.parametrize("wanted", [-1, 7, [6], [2, 1], [0, 0], [-1]])
def test_layers_that_are_not_there(wanted):
    with pytest.raises(InputError, match="layers"):
        choose_layers(6, wanted)


def test_shape_of_a_student(teacher_path):
    student = build_student(teacher_path, SPACE, layers=[0, 3])
    names = [type(module).__name__ for module in student]
    assert names == ["Transformer", "Pooling", "Dense", "Normalize"]
    assert student[0].auto_model.config.num_hidden_layers == 2
    assert student.encode(sentences(3)).shape == (3, 48)
    assert student.prompts["query"] == "what is "


def test_kept_layers_are_the_models_own(teacher_path):
    whole = SentenceTransformer(str(teacher_path), device="cpu")
    student = build_student(whole, SPACE, layers=[0, 3])
    ours, theirs = student[0].auto_model.encoder.layer, whole[0].auto_model.encoder.layer
    assert len(theirs) == 4
    for mine, original in zip(ours, (theirs[0], theirs[3]), strict=True):
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, original.state_dict()[name])


def test_no_normalisation_and_no_bias_if_the_teacher_has_none(teacher_path):
    student = build_student(teacher_path, EmbeddingSpace("t", 48, unit_norm=False))
    assert [type(module).__name__ for module in student] == ["Transformer", "Pooling", "Dense"]
    assert student[2].linear.bias is None


def test_half_the_layers(teacher_path):
    assert half_the_layers(SentenceTransformer(str(teacher_path), device="cpu")) == (0, 3)


def test_missing_student():
    with pytest.raises(InputError, match="there is no student model at /none"):
        build_student("/none", SPACE)


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

    warm_start(student, batches, bfloat16=False)
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


def test_forward_equals_sentence_transformers(teacher_path):
    student = build_student(teacher_path, SPACE, layers=2)
    batch = student.tokenizer(sentences(10), padding=True, return_tensors="pt")
    with torch.no_grad():
        found = forward(student, dict(batch), bfloat16=False)
    np.testing.assert_allclose(found, student.encode(sentences(10)), atol=1e-5)


def test_loss_by_hand():
    student, teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert squared_l2(student, teacher).item() == 1.0  # (0 + 2) / 2
    assert squared_l2(student, student).item() == 0.0


def test_loss_is_two_minus_two_cosines_for_unit_vectors():
    a, b = (torch.nn.functional.normalize(torch.randn(50, 8), dim=-1) for _ in range(2))
    expected = 2 - 2 * torch.nn.functional.cosine_similarity(a, b).mean()
    assert squared_l2(a, b).item() == pytest.approx(expected.item(), abs=1e-5)
