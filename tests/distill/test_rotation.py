"""A rotated space: the same cosines, the first dimensions first, and nobody mixes it with the plain one."""

import numpy as np
import pytest

import leaf_embed
from leaf_embed.distill import DistillConfig, TeacherCache, Text, distill
from leaf_embed.distill.rotation import compare_truncation, fit_cached_rotation
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, NotALeafError, SpaceMismatchError
from leaf_embed.export.truncate import truncate_leaf
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import cosine, normalize, truncate
from tests.conftest import sentences, texts

CONFIG = DistillConfig.quick(max_steps=20, learning_rate=2e-3, precision="float32", holdout=0.1, mrl="rotate")


@pytest.fixture(scope="module")
def rotated(teacher_path, tmp_path_factory):
    """A rotated leaf, and one that differs in nothing else."""
    folder = tmp_path_factory.mktemp("rotated")
    for mrl in ("none", "rotate"):
        config = DistillConfig(**(CONFIG.to_dict() | {"mrl": mrl}))
        report = distill(teacher_path, texts(300), teacher_path, folder / mrl, config, layers=2)
    return folder, report


@pytest.fixture
def cloud(tmp_path):
    """A cache of made-up vectors whose weight lies across all dimensions."""
    generator = np.random.default_rng(0)
    mix = np.linalg.qr(generator.normal(size=(64, 64)))[0]
    rows = normalize((generator.normal(size=(2000, 64)) * 0.9 ** np.arange(64)) @ mix)
    cache = TeacherCache(tmp_path / "cache", EmbeddingSpace("made/up", 64), dtype="float32", shard_rows=300)
    return cache, cache.fill_pairs((f"text {place}", row) for place, row in enumerate(rows))


def test_the_axes_are_the_principal_ones_of_the_second_moment(cloud):
    cache, rows = cloud
    rotation = fit_cached_rotation(cache, rows)
    turned = rotation.apply(cache.vectors(rows))
    singular = np.linalg.svd(cache.vectors(rows), compute_uv=False)
    assert np.allclose(np.linalg.norm(turned, axis=0), singular, rtol=1e-3)
    assert np.allclose(
        cosine(turned[:-1], turned[1:]), cosine(cache.vectors(rows)[:-1], cache.vectors(rows)[1:]), atol=1e-5
    )
    assert fit_cached_rotation(cache, rows[::-1]).digest[:7] == "sha256:"


def test_rotation_keeps_more_neighbours_than_plain_truncation(cloud):
    cache, rows = cloud
    rotation = fit_cached_rotation(cache, rows[:1500])
    points = compare_truncation(cache.vectors(rows[1500:]), rotation)
    assert [point.dim for point in points] == [32]
    assert points[0].rotated > 0.95 > 0.75 > points[0].plain


def test_too_few_texts_for_a_rotation(cloud):
    cache, rows = cloud
    with pytest.raises(InputError, match="needs at least 64 texts; got 63"):
        fit_cached_rotation(cache, rows[:63])


def test_a_rotated_leaf_is_the_plain_one_turned(rotated):
    folder, report = rotated
    words = sentences(30, seed=5)
    plain, turned = (leaf_embed.load(folder / mrl, variant="float32") for mrl in ("none", "rotate"))
    assert turned.rotation is not None
    assert report.space.rotation == turned.rotation.digest
    expected = turned.rotation.apply(plain.encode_query(words))
    assert np.allclose(turned.encode_query(words), expected, atol=1e-5)
    torch_side = leaf_embed.load(folder / "rotate", variant="torch")
    assert np.allclose(torch_side.encode_query(words), expected, atol=1e-2), "bfloat16 at most"


def test_documents_are_rotated_as_they_come(rotated, teacher_path):
    folder, _ = rotated
    words = sentences(10, seed=6)
    teacher = SentenceTransformerEncoder(teacher_path, precision="float32")
    leaf = leaf_embed.load(folder / "rotate", document=teacher)
    assert leaf.rotation is not None
    assert np.allclose(leaf.encode_document(words), leaf.rotation.apply(teacher.encode_document(words)), atol=1e-6)
    leaf.verify()
    assert leaf.teacher_space.fingerprint == teacher.space.fingerprint
    made = leaf_embed.load(
        folder / "rotate", document=lambda space: FunctionEncoder(space, document=teacher.encode_document)
    )
    assert np.allclose(made.encode_document(words), leaf.encode_document(words), atol=1e-5)
    by_name = leaf_embed.load(folder / "rotate", document="teacher")
    assert cosine(by_name.encode_document(words), leaf.encode_document(words)).min() > 0.999


def test_static_students_rotate_too(teacher_path, tmp_path):
    config = DistillConfig.static(min_steps=20, holdout=0.1, mrl="rotate")
    distill(teacher_path, texts(300), "static", tmp_path / "static", config)
    distill(teacher_path, texts(300), "static", tmp_path / "plain", DistillConfig.static(min_steps=20, holdout=0.1))
    turned, plain = leaf_embed.load(tmp_path / "static"), leaf_embed.load(tmp_path / "plain")
    assert turned.rotation is not None
    words = sentences(10, seed=7)
    assert np.allclose(turned.encode_query(words), turned.rotation.apply(plain.encode_query(words)), atol=1e-5)


def test_plain_and_rotated_do_not_mix(rotated, tmp_path):
    folder, _ = rotated
    plain, turned = (leaf_embed.load(folder / mrl) for mrl in ("none", "rotate"))
    with pytest.raises(SpaceMismatchError, match="rotation"):
        plain.space.require_same(turned.space, mine="a", theirs="b", advice="")
    assert plain.space.canaries is not None
    assert turned.space.canaries is not None
    apart = cosine(plain.space.canaries.vectors, turned.space.canaries.vectors)
    assert apart.mean() < 0.9, "canaries tell the two apart even where nobody declares anything"
    with pytest.raises(SpaceMismatchError, match="rotated already"):
        turned.rotation.rotated(turned.space)


def test_a_missing_or_foreign_rotation_is_refused(rotated, tmp_path):
    folder, _ = rotated
    space = leaf_embed.load(folder / "rotate").space
    with pytest.raises(NotALeafError, match="fetch the leaf again"):
        Rotation.load(tmp_path, space)
    Rotation(np.eye(32, dtype=np.float32)).save(tmp_path)
    with pytest.raises(SpaceMismatchError, match=r"use the rotation\.npy of the leaf"):
        Rotation.load(tmp_path, space)
    (tmp_path / "rotation.npy").write_bytes(b"no array")
    with pytest.raises(NotALeafError, match="cannot be read"):
        Rotation.load(tmp_path, space)


def test_the_report_compares_plain_and_rotated_truncation(teacher_path, tmp_path):
    report = distill(teacher_path, [Text(t.text, t.kind) for t in texts(300)], "static", tmp_path / "leaf", CONFIG)
    assert report.truncation == (), "32 dimensions have no smaller power of two from 32 on"


def test_a_rotated_leaf_can_be_truncated(rotated, teacher_path, tmp_path):
    folder, _ = rotated
    truncate_leaf(folder / "rotate", tmp_path / "short", 8)
    short = leaf_embed.load(tmp_path / "short", variant="torch", document="teacher")
    whole = leaf_embed.load(folder / "rotate", variant="torch", document="teacher")
    words = sentences(10, seed=8)
    assert short.space.dim == 8
    assert cosine(short.encode_query(words), truncate(whole.encode_query(words), 8)).min() > 0.999
    assert cosine(short.encode_document(words), truncate(whole.encode_document(words), 8)).min() > 0.999
    with pytest.raises(SpaceMismatchError, match="dim"):
        whole.space.require_same(short.space, mine="a", theirs="b", advice="")
