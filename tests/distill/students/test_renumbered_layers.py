"""Students of some layers are read from their files as they were trained, whatever a layer's number means."""

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import build_student
from leaf_embed.vectors import cosine
from tests.encoders.teachers import ARCHITECTURES, SMALL, TABLE, WIDTH, Case, build

SPACE = EmbeddingSpace("teacher", 24, unit_norm=True)
LAYERS = {"num_hidden_layers": 5, "n_layers": 5, "n_layer": 5, "num_layers": 5}
GEMMA = ("Gemma3Text", SMALL | TABLE | {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4})
KINDS = {**ARCHITECTURES, "gemma3": GEMMA}
TEXTS = ["red stone by the river", "a fish", "where is the long road to the old tower in the wood " * 2]


def five_layers(kind, path):
    """A random model of five layers; its norms are random too, or one that got lost would not show."""
    name, options = KINDS[kind]
    options = {key: LAYERS.get(key, value) for key, value in options.items()}
    config = getattr(transformers, ("T5" if kind == "t5" else name) + "Config")(**options)
    torch.manual_seed(1)
    model = getattr(transformers, name + "Model")(config)
    for key, weight in model.named_parameters():
        if "norm" in key.lower():
            torch.nn.init.uniform_(weight, 0.2, 3)
    model.save_pretrained(path)
    return build(Case(kind), path)


@pytest.mark.parametrize("layers", [[2, 4], [0, 3]])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "albert"])  # its layers are one
def test_a_reloaded_student_is_the_one_that_was_trained(tmp_path, kind, layers):
    student = build_student(five_layers(kind, tmp_path / "model"), SPACE, layers=layers).eval()
    student.save_pretrained(str(tmp_path / "student"), create_model_card=False)
    again = SentenceTransformer(str(tmp_path / "student"), device="cpu").eval()
    assert cosine(again.encode(TEXTS), student.encode(TEXTS)).min() > 0.99999
    assert set(again.state_dict()) == set(student.state_dict())


def test_a_layer_keeps_its_kind_of_attention(tmp_path):
    model = five_layers("modernbert", tmp_path / "model")
    kinds = list(model[0].auto_model.config.layer_types)
    student = build_student(model, SPACE, layers=[2, 3, 4])
    assert student[0].auto_model.config.layer_types == kinds[2:]
    assert [layer.attention_type for layer in student[0].auto_model.layers] == kinds[2:]


def test_what_only_the_first_layer_holds_is_kept(tmp_path):
    model = five_layers("t5", tmp_path / "model")
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    student = build_student(model, SPACE, layers=[1, 3])
    found, whole = student[0].auto_model.state_dict(), model[0].auto_model.state_dict()
    np.testing.assert_array_equal(found[first], whole[first])
    query = "encoder.block.{}.layer.0.SelfAttention.q.weight"
    np.testing.assert_array_equal(found[query.format(1)], whole[query.format(3)])
    assert found[query.format(0)].shape[1] == WIDTH
