"""A head with hidden layers: starts as the linear one, learns more, and is the same vector everywhere."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed import EmbeddingSpace
from leaf_embed.distill import DistillConfig, build_student, distill
from leaf_embed.distill.students.head import build_head, set_linear
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError
from leaf_embed.export.truncate import truncate_leaf
from leaf_embed.vectors import cosine, truncate
from tests.conftest import sentences, texts

CONFIG = DistillConfig.quick(max_steps=150, learning_rate=2e-3, precision="float32", holdout=0.2)


@pytest.fixture(scope="module")
def leaves(teacher_path, tmp_path_factory):
    """Leaves without any layer: a plain one, one with a head, and the latter in a rotated space."""
    folder = tmp_path_factory.mktemp("heads")
    rotated = DistillConfig(**(CONFIG.to_dict() | {"mrl": "rotate"}))
    heads = {"plain": ((), CONFIG), "deep": ((80, 96), CONFIG), "rotated": ((80, 96), rotated)}
    reports = {
        name: distill(teacher_path, texts(400), teacher_path, folder / name, config, layers=0, head=head)
        for name, (head, config) in heads.items()
    }
    return folder, reports


@pytest.mark.parametrize("hidden", [(), (6,), (6, 9), (8, 6, 7)])
@pytest.mark.parametrize("normalized", [True, False])
def test_a_head_starts_as_the_linear_map_that_it_is_given(hidden, normalized):
    random = torch.Generator().manual_seed(1)
    weight, bias, inputs = (torch.randn(shape, generator=random) for shape in ((3, 5), (3,), (20, 5)))
    head = build_head(5, 3, hidden, bias=True, seed=0)
    set_linear(head, weight, bias, size=2.0, normalized=normalized)
    features = {"sentence_embedding": inputs}
    for dense in head:
        features = dense(features)
    found, expected = features["sentence_embedding"].detach().numpy(), inputs.numpy() @ weight.numpy().T + bias.numpy()
    if normalized:
        found, expected = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_neurons_beside_the_pairs_see_something_and_say_nothing_yet():
    head = build_head(5, 3, (10, 11), bias=True, seed=0)
    set_linear(head, torch.randn(3, 5), None, size=1.0, normalized=True)
    first, second, last = (dense.linear.weight for dense in head)
    assert first[6:].abs().sum(dim=1).min() > 0
    assert second[6:].abs().sum(dim=1).min() > 0
    assert torch.equal(last[:, 6:], torch.zeros(3, 5))


def test_a_hidden_layer_without_room_for_the_pairs_is_refused(teacher_path):
    with pytest.raises(InputError, match=r"hidden layers \[95\] are too narrow; vectors of 48 dimensions need 96"):
        build_student(teacher_path, EmbeddingSpace("t", 48), head=(96, 95))


def test_a_static_student_refuses_a_head(teacher_path, tmp_path):
    with pytest.raises(InputError, match="a static student has no head"):
        distill(teacher_path, texts(100), "static", tmp_path / "leaf", head=(64,))


def test_no_layer_at_all(leaves):
    folder, reports = leaves
    model = SentenceTransformer(str(folder / "deep"), device="cpu")
    assert len(model[0].auto_model.encoder.layer) == 0
    kinds = [type(module).__name__ for module in model]
    assert kinds == ["Transformer", "Pooling", "Dense", "Dense", "Dense", "Normalize"]
    assert reports["deep"].parameters > reports["plain"].parameters


def test_both_start_alike_and_hidden_layers_learn_more(leaves):
    _, reports = leaves
    assert reports["deep"].warm_start.loss == pytest.approx(reports["plain"].warm_start.loss, rel=1e-3)
    assert reports["deep"].final.loss < reports["plain"].final.loss * 0.97
    assert reports["plain"].final.loss < reports["plain"].warm_start.loss


def test_same_vectors_in_torch_in_the_graph_and_in_sentence_transformers(leaves):
    folder, _ = leaves
    words = [*sentences(30, seed=3), "", "zzz"]
    graph = leaf_embed.load(folder / "deep", variant="float32").encode_query(words)
    ours = SentenceTransformerEncoder(folder / "deep", precision="float32").encode_query(words)
    plain = SentenceTransformer(str(folder / "deep"), device="cpu").encode(words)
    np.testing.assert_allclose(graph, ours, atol=1e-4)
    np.testing.assert_allclose(graph, plain, atol=1e-4)
    assert cosine(graph, leaf_embed.load(folder / "deep").encode_query(words)).min() > 0.97


def test_rotated_and_truncated(leaves, tmp_path):
    folder, _ = leaves
    words = sentences(20, seed=4)
    turned, plain = (leaf_embed.load(folder / name, variant="float32") for name in ("rotated", "deep"))
    assert turned.rotation is not None
    np.testing.assert_allclose(turned.encode_query(words), turned.rotation.apply(plain.encode_query(words)), atol=1e-4)
    truncate_leaf(folder / "deep", tmp_path / "short", 8)
    short = SentenceTransformerEncoder(tmp_path / "short", precision="float32").encode_query(words)
    np.testing.assert_allclose(short, truncate(plain.encode_query(words), 8), atol=1e-4)


def test_vectors_without_a_norm(teacher_path):
    student = build_student(teacher_path, EmbeddingSpace("t", 6, unit_norm=False), layers=1, head=(20,))
    assert [type(module).__name__ for module in student] == ["Transformer", "Pooling", "Dense", "Dense"]
    assert student[3].linear.bias is None
