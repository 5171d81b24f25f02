"""A shallow student: static and a layer on top, never worse than static, the same vector everywhere."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.distill import DistillConfig, build_student, distill
from leaf_embed.distill.shallow import add_static
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError
from leaf_embed.export.truncate import truncate_leaf
from leaf_embed.vectors import cosine, normalize
from tests.conftest import make_model, sentences, texts

CONFIG = DistillConfig.quick(max_steps=60, learning_rate=2e-3, precision="float32", holdout=0.2)


@pytest.fixture(scope="module")
def leaves(teacher_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shallow")
    static = distill(teacher_path, texts(400), "static", folder / "static", DistillConfig.static(holdout=0.2))
    shallow = distill(teacher_path, texts(400), "shallow", folder / "shallow", CONFIG)
    return folder, static, shallow


def test_never_worse_than_static_and_here_better(leaves):
    _, static, shallow = leaves
    assert shallow.warm_start.loss <= static.final.loss * 1.02, "the same static part, started alike"
    assert shallow.final.loss < static.final.loss
    assert shallow.final.loss <= shallow.warm_start.loss


def test_a_rate_that_spoils_everything_leaves_the_start(teacher_path, tmp_path):
    spoiling = DistillConfig.quick(
        max_steps=5, learning_rate=50.0, final_learning_rate=50.0, precision="float32", holdout=0.2
    )
    report = distill(teacher_path, texts(300), "shallow", tmp_path / "leaf", spoiling, export_graphs=False)
    assert report.final.loss == pytest.approx(report.warm_start.loss)


def test_same_vectors_in_torch_in_the_graph_and_in_sentence_transformers(leaves):
    folder, *_ = leaves
    words = [*sentences(30, seed=3), "", "zzz"]
    ours = leaf_embed.load(folder / "shallow", variant="float32").encode_query(words)
    torch_side = SentenceTransformerEncoder(folder / "shallow", precision="float32").encode_query(words)
    assert cosine(ours, torch_side).min() > 0.999
    plain = SentenceTransformer(str(folder / "shallow"), device="cpu", trust_remote_code=True).encode(words)
    assert cosine(ours, plain).min() > 0.999
    assert cosine(ours, leaf_embed.load(folder / "shallow").encode_query(words)).min() > 0.97


def test_code_in_the_directory_is_not_run(leaves, tmp_path):
    import shutil

    shutil.copytree(leaves[0] / "shallow", tmp_path / "leaf")
    (tmp_path / "leaf" / "leaf_embed.py").write_text("raise SystemExit('code from the directory ran')")
    with pytest.raises(InputError, match="third-party code"):
        SentenceTransformerEncoder(tmp_path / "leaf")


@pytest.mark.parametrize("unit_norm", [True, False])
def test_the_static_part_is_the_mean_of_its_tokens(tmp_path, unit_norm):
    path = make_model(tmp_path / "teacher", normalize=unit_norm)
    space = SentenceTransformerEncoder(path, precision="float32").space
    model = build_student(path, space, layers=1)
    table = np.random.default_rng(0).normal(size=(len(model.tokenizer), space.dim)).astype(np.float32)
    module = add_static(model, table, space.unit_norm)
    features = model.tokenizer(["red stone", "tall tree by"], padding=True, return_tensors="pt")
    found = module.base(dict(features)).detach().numpy()
    ids = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("red stone", "tall tree by")]
    expected = np.stack([table[row].mean(axis=0) for row in ids])
    assert np.allclose(found, normalize(expected) if unit_norm else expected, atol=1e-5)


def test_shallow_students_rotate(teacher_path, tmp_path):
    plain = DistillConfig.quick(max_steps=10, precision="float32", holdout=0.2)
    turned = DistillConfig.quick(max_steps=10, precision="float32", holdout=0.2, mrl="rotate")
    for name, config in (("plain", plain), ("turned", turned)):
        distill(teacher_path, texts(300), "shallow", tmp_path / name, config)
    a, b = (leaf_embed.load(tmp_path / name, variant="float32") for name in ("plain", "turned"))
    words = sentences(10, seed=4)
    assert np.allclose(b.rotation.apply(a.encode_query(words)), b.encode_query(words), atol=1e-4)


def test_a_shallow_leaf_is_not_truncated(leaves, tmp_path):
    with pytest.raises(InputError, match="truncate where you search"):
        truncate_leaf(leaves[0] / "shallow", tmp_path / "short", 8)
