"""Students: layers kept, shape, and the closed-form start against an independent solution."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import build_student
from leaf_embed.distill.students.backbone import choose_layers, half_the_layers
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
