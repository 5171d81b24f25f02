"""A leaf that is trained on begins as the leaf that it is and stays in its space; others begin anew."""

import shutil

import numpy as np
import pytest

import leaf_embed
from leaf_embed.distill import DistillConfig, distill, truncate_leaf
from leaf_embed.distill.students.from_leaf import inherited_student, parent_leaf, rotation_of
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, NotALeafError, SpaceMismatchError
from leaf_embed.format import read_leaf
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection
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
    assert (after.rotation is None) == (before.rotation is None and mrl == "none")


def test_a_head_put_on_a_leaf_begins_where_the_leaf_ended(leaf, teacher_path, tmp_path):
    folder, first = leaf
    config = DistillConfig.quick(**(CONFIG | {"max_steps": 0}))
    report = distill(teacher_path, texts(300), folder, tmp_path / "on", config, head=(72,), export_graphs=False)
    assert read_leaf(tmp_path / "on").recipe["head"] == [72]
    begins = report.warm_start.loss == pytest.approx(first.final.loss, rel=1e-4)
    assert begins == (not HEADS[folder.name])  # a leaf that has another head begins anew


def test_training_on_learns_more(leaf, teacher_path, tmp_path):
    folder, first = leaf
    config = DistillConfig.quick(**CONFIG)
    report = distill(teacher_path, texts(300), folder, tmp_path / "on", config, export_graphs=False)
    assert report.final.loss < first.final.loss * 0.99


def test_another_head_other_layers_or_another_space_begin_anew(leaf, teacher_path, tmp_path):
    folder, _ = leaf
    space = SentenceTransformerEncoder(teacher_path).space
    parent = parent_leaf(folder, space)
    assert inherited_student(parent, space, None) is not None
    assert inherited_student(parent, space, 1) is not None
    assert (inherited_student(parent, space, None, (120,)) is None) == bool(HEADS[folder.name])
    assert inherited_student(parent, space, 0) is None
    assert parent_leaf(folder, EmbeddingSpace("another", space.dim)) is None
    assert parent_leaf(teacher_path, space) is None


@pytest.fixture(scope="module")
def rotated(teacher_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rotated") / "leaf"
    distill(teacher_path, texts(300), teacher_path, folder, DistillConfig.quick(mrl="rotate", **CONFIG), layers=2)
    return folder


@pytest.mark.parametrize(("mrl", "layers"), [("none", None), ("rotate", None), ("rotate", 1)])
def test_a_leaf_of_a_leaf_stays_in_its_space(rotated, teacher_path, tmp_path, mrl, layers):
    config = DistillConfig.quick(mrl=mrl, **(CONFIG | {"max_steps": 5}))
    on = tmp_path / "on"
    report = distill(teacher_path, texts(250, seed=7), rotated, on, config, layers=layers, export_graphs=False)
    assert report.space.fingerprint == read_leaf(rotated).space.fingerprint == read_leaf(on).space.fingerprint
    space = SentenceTransformerEncoder(teacher_path).space
    first, second = (parent_leaf(path, space).rotation for path in (rotated, on))
    np.testing.assert_array_equal(first.matrix, second.matrix)


def test_a_static_leaf_answers_in_the_collection_of_another(rotated, teacher_path, tmp_path):
    words = sentences(40, seed=9)
    leaf = leaf_embed.load(rotated, document=teacher_path)
    with LeafCollection.create("docs", leaf, path=tmp_path, spec=CollectionSpec(mrl=())) as docs:
        docs.index(Document(str(number), text) for number, text in enumerate(words))
    distill(teacher_path, texts(250, seed=7), "static", tmp_path / "static", space_of=rotated)
    static = leaf_embed.load(tmp_path / "static")
    assert static.space.fingerprint == leaf.space.fingerprint
    with LeafCollection.open("docs", static, path=tmp_path) as docs:
        hits = [docs.search(text, limit=1)[0] for text in words]
    assert sum(hit.id == str(number) for number, hit in enumerate(hits)) > 12  # by chance one
    distill(teacher_path, texts(250, seed=7), "static", tmp_path / "other", DistillConfig.static(mrl="rotate"))
    with pytest.raises(SpaceMismatchError):
        LeafCollection.open("docs", leaf_embed.load(tmp_path / "other"), path=tmp_path)


def test_a_student_called_static_is_no_directory(rotated, teacher_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(rotated, "static")
    assert distill(teacher_path, texts(250), "static", "leaf").space.rotation is None


def test_a_truncated_leaf_begins_anew_with_its_rotation(rotated, teacher_path, tmp_path):
    short = truncate_leaf(rotated, tmp_path / "short", 16)
    space = SentenceTransformerEncoder(teacher_path).space
    parent = parent_leaf(short, space)
    assert inherited_student(parent, space, None) is None
    assert parent.rotation.digest == parent_leaf(rotated, space).rotation.digest
    with pytest.raises(InputError, match=r"was truncated to 16 of \d+ dimensions; name the leaf"):
        rotation_of(short, space)


def test_a_space_that_cannot_be_shared_is_named(rotated, teacher_path, tmp_path):
    space = SentenceTransformerEncoder(teacher_path).space
    with pytest.raises(SpaceMismatchError, match=r"is a leaf of .*, but the teacher is another"):
        rotation_of(rotated, EmbeddingSpace("another", space.dim))
    with pytest.raises(NotALeafError, match="is no directory"):
        distill(teacher_path, texts(10), "static", tmp_path / "leaf", space_of=tmp_path / "none")
    plain = tmp_path / "plain"
    distill(teacher_path, texts(100), "static", plain)
    with pytest.raises(InputError, match="is the teacher's own"):
        rotation_of(plain, space)


def test_a_damaged_leaf_is_refused_not_begun_anew(leaf, teacher_path, tmp_path):
    folder = shutil.copytree(leaf[0], tmp_path / "damaged")
    (folder / "leaf.json").write_text("{}")
    with pytest.raises(NotALeafError, match="is not of the format"):
        parent_leaf(folder, SentenceTransformerEncoder(teacher_path).space)


def _back(leaf):
    return np.eye(leaf.dim) if leaf.rotation is None else leaf.rotation.matrix.T
