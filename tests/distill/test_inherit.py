"""A leaf that is trained on begins as the leaf that it is, in whatever space it was written; others begin anew."""

import shutil

import numpy as np
import pytest

import leaf_embed
from leaf_embed.distill import DistillConfig, distill
from leaf_embed.distill.inherit import inherited_student
from leaf_embed.distill.plans import LayeredPlan, ShallowPlan
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import NotALeafError
from leaf_embed.format import read_leaf
from leaf_embed.space import EmbeddingSpace
from tests.conftest import sentences, texts

CONFIG = {"max_steps": 60, "learning_rate": 2e-3, "precision": "float32", "holdout": 0.2}
HEADS = {"plain": (), "deep": (80, 96)}


@pytest.fixture(scope="module", params=[(name, mrl) for name in HEADS for mrl in ("none", "rotate")])
def leaf(request, teacher_path, tmp_path_factory):
    name, mrl = request.param
    folder = tmp_path_factory.mktemp("leaf") / name
    config = DistillConfig.quick(mrl=mrl, **CONFIG)
    return folder, distill(teacher_path, texts(300), teacher_path, folder, config, layers=1, head=HEADS[name])


@pytest.mark.parametrize("mrl", ["none", "rotate"])
def test_training_on_begins_where_the_leaf_ended(leaf, teacher_path, tmp_path, mrl):
    folder, first = leaf
    config = DistillConfig.quick(mrl=mrl, **(CONFIG | {"max_steps": 0}))
    report = distill(teacher_path, texts(300), folder, tmp_path / "on", config)
    assert report.warm_start.loss == pytest.approx(first.final.loss, rel=1e-4)
    assert read_leaf(tmp_path / "on").recipe["head"] == list(HEADS[folder.name])
    words = sentences(20, seed=3)
    before, after = (leaf_embed.load(path, variant="float32") for path in (folder, tmp_path / "on"))
    turned = [rows.encode_query(words) @ _back(rows) for rows in (before, after)]
    np.testing.assert_allclose(turned[0], turned[1], atol=1e-4)


def test_training_on_learns_more(leaf, teacher_path, tmp_path):
    folder, first = leaf
    report = distill(teacher_path, texts(300), folder, tmp_path / "on", DistillConfig.quick(**CONFIG))
    assert report.final.loss < first.final.loss * 0.99


def test_another_head_other_layers_or_another_space_begin_anew(leaf, teacher_path, tmp_path):
    folder, _ = leaf
    space = SentenceTransformerEncoder(teacher_path).space
    assert inherited_student(folder, space, None) is not None
    assert inherited_student(folder, space, 1) is not None
    assert inherited_student(folder, space, None, (120,)) is None
    assert inherited_student(folder, space, 0) is None
    assert inherited_student(folder, EmbeddingSpace("another", space.dim), None) is None
    assert inherited_student(teacher_path, space, None) is None


def test_a_shallow_student_of_a_leaf_begins_anew(leaf, teacher_path):
    folder, _ = leaf
    teacher = SentenceTransformerEncoder(teacher_path)
    assert LayeredPlan(folder, teacher.space, None, 0)._inherits
    plan = ShallowPlan(folder, teacher.space, teacher, None, 0)
    assert not plan._inherits
    assert sum(hasattr(module, "linear") for module in plan.model) == 1


def test_a_damaged_leaf_is_refused_not_begun_anew(leaf, teacher_path, tmp_path):
    folder = shutil.copytree(leaf[0], tmp_path / "damaged")
    (folder / "leaf.json").write_text("{}")
    with pytest.raises(NotALeafError, match="is not of the format"):
        inherited_student(folder, SentenceTransformerEncoder(teacher_path).space, None)


def _back(leaf):
    return np.eye(leaf.dim) if leaf.rotation is None else leaf.rotation.matrix.T
