"""Truncated leaves: the first numbers of the whole leaf's vectors, in every library, in a space of their own."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.distill import DistillConfig, distill, export, truncate_leaf
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, SpaceMismatchError
from tests.conftest import sentences, texts

ASKED = sentences(12, seed=2)


def cut(vectors, dim=8):
    return vectors[:, :dim] / np.linalg.norm(vectors[:, :dim], axis=1, keepdims=True)


@pytest.fixture(scope="module")
def short(leaf_path, tmp_path_factory):
    output = truncate_leaf(leaf_path, tmp_path_factory.mktemp("short") / "leaf", 8)
    export(output, texts(40))
    return output


def test_vectors_are_the_first_numbers(short, leaf_path):
    expected = cut(SentenceTransformer(str(leaf_path), device="cpu").encode(ASKED))
    np.testing.assert_allclose(leaf_embed.load(short, variant="float32").encode_query(ASKED), expected, atol=1e-5)
    np.testing.assert_allclose(SentenceTransformer(str(short), device="cpu").encode(ASKED), expected, atol=1e-5)


def test_documents_come_from_the_teacher_truncated_alike(short, leaf_path, teacher_path):
    leaf = leaf_embed.load(short, document="teacher")
    expected = cut(SentenceTransformerEncoder(teacher_path).encode_document(ASKED))
    np.testing.assert_allclose(leaf.encode_document(ASKED), expected, atol=1e-5)
    leaf.verify()
    whole = leaf_embed.load(leaf_path)
    with pytest.raises(SpaceMismatchError, match="dim: 32 against 8"):
        whole.space.require_same(leaf.space, mine="the collection", theirs="the leaf", advice="")


def test_a_static_leaf(teacher_path, tmp_path):
    distill(teacher_path, texts(200), "static", tmp_path / "static", DistillConfig.static(max_steps=5))
    short = truncate_leaf(tmp_path / "static", tmp_path / "short", 8)
    expected = cut(leaf_embed.load(tmp_path / "static").encode_query(ASKED))
    np.testing.assert_allclose(leaf_embed.load(short).encode_query(ASKED), expected, atol=1e-5)


@pytest.mark.parametrize("dim", [0, 32, 33])
def test_what_is_not_fewer(leaf_path, tmp_path, dim):
    with pytest.raises(InputError, match="expected 1 to 31"):
        truncate_leaf(leaf_path, tmp_path / "x", dim)
    assert not (tmp_path / "x").exists()
