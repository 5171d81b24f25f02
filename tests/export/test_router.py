"""Leaf and teacher in one directory: both routes return the vectors that each returns alone."""

import json
import shutil

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.distill import DistillConfig, distill, export_router, truncate_leaf
from leaf_embed.encoders.onnx import OnnxEncoder
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.vectors import cosine
from tests.conftest import make_model, sentences, texts

ASKED = sentences(10, seed=21)


@pytest.fixture(scope="module")
def router(leaf_path, tmp_path_factory):
    return export_router(leaf_path, tmp_path_factory.mktemp("router") / "pair")


def test_queries_go_to_the_leaf_and_documents_to_the_teacher(router, leaf_path, teacher_path):
    model = SentenceTransformer(str(router), device="cpu")
    leaf = leaf_embed.load(leaf_path, variant="float32", document="teacher")
    np.testing.assert_allclose(model.encode_query(ASKED), leaf.encode_query(ASKED), atol=1e-5)
    expected = SentenceTransformerEncoder(teacher_path, precision="float32").encode_document(ASKED)
    np.testing.assert_allclose(model.encode_document(ASKED), expected, atol=1e-5)
    assert np.abs(model.encode_document(ASKED) - model.encode_query(ASKED)).max() > 0.01  # two encoders, not one


def test_prompts_reach_both_roads(teacher_path, tmp_path):
    teacher = SentenceTransformerEncoder(teacher_path, query_prompt="what ", document_prompt="the ")
    config = DistillConfig.quick(max_steps=5, precision="float32")
    distill(teacher, texts(60), teacher_path, tmp_path / "leaf", config, layers=1)
    model = SentenceTransformer(str(export_router(tmp_path / "leaf", tmp_path / "pair")), device="cpu")
    leaf = leaf_embed.load(tmp_path / "leaf", variant="float32")
    np.testing.assert_allclose(model.encode_query(ASKED), leaf.encode_query(ASKED), atol=1e-5)
    plain = SentenceTransformer(str(teacher_path), device="cpu")
    np.testing.assert_allclose(model.encode_document(ASKED), plain.encode([f"the {t}" for t in ASKED]), atol=1e-5)


def test_our_own_load_reads_the_leaf_alone_and_needs_no_torch(router, leaf_path, tmp_path):
    copy = shutil.copytree(router, tmp_path / "pair")
    for file in copy.glob("document_*/*"):
        file.unlink()
    leaf = leaf_embed.load(copy)
    np.testing.assert_allclose(leaf.encode_query(ASKED), leaf_embed.load(leaf_path).encode_query(ASKED), atol=1e-6)
    assert leaf.query_encoder.info.max_tokens == leaf_embed.load(leaf_path).query_encoder.info.max_tokens
    assert isinstance(leaf.query_encoder, OnnxEncoder)
    leaf.verify()


def test_layout_is_that_of_the_published_routers(router):
    structure = json.loads((router / "router_config.json").read_text())["structure"]
    assert structure["query"][0] == "query_0_Transformer"
    assert [name.split("_", 2)[2] for name in structure["document"]] == ["Transformer", "Pooling", "Normalize"]
    assert (router / "query_0_Transformer" / "tokenizer.json").is_file()


def test_refusals(leaf_path, router, tmp_path):
    with pytest.raises(InputError, match="exists already"):
        export_router(leaf_path, router)
    with pytest.raises(SpaceMismatchError, match="the leaf and the teacher"):
        export_router(leaf_path, tmp_path / "x", teacher=make_model(tmp_path / "other", seed=5))
    assert not (tmp_path / "x").exists()


def test_rotated_and_truncated_spaces(teacher_path, leaf_path, tmp_path):
    config = DistillConfig.quick(max_steps=5, precision="float32", mrl="rotate")
    distill(teacher_path, texts(100), teacher_path, tmp_path / "rotated", config, layers=1, export_graphs=False)
    truncate_leaf(tmp_path / "rotated", tmp_path / "both", 8)
    for leaf_directory in (tmp_path / "rotated", tmp_path / "both", truncate_leaf(leaf_path, tmp_path / "short", 8)):
        pair = export_router(leaf_directory, tmp_path / f"{leaf_directory.name}-pair")
        model = SentenceTransformer(str(pair), device="cpu")
        leaf = leaf_embed.load(leaf_directory, variant="torch", document="teacher")
        assert cosine(model.encode_query(ASKED), leaf.encode_query(ASKED)).min() > 0.999
        assert cosine(model.encode_document(ASKED), leaf.encode_document(ASKED)).min() > 0.999
