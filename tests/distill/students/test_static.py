"""Static students: the same vectors everywhere, from a teacher or from stored vectors, and better than their start."""

import json
import shutil

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.distill import DistillConfig, StoredVectors, distill
from leaf_embed.distill.students.static import load_tokenizer, token_texts, token_weights
from leaf_embed.encoders.static import StaticEncoder
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, NotALeafError
from tests.conftest import sentences, texts

CONFIG = DistillConfig.static(max_steps=160, batch_size=64, learning_rate=3e-3, holdout=0.1)


@pytest.fixture(scope="module")
def distilled(teacher_path, tmp_path_factory):
    output = tmp_path_factory.mktemp("static") / "leaf"
    return distill(teacher_path, texts(600), "static", output, CONFIG)


def test_training_improves_on_the_start(distilled):
    assert distilled.final.loss < 0.7 * distilled.warm_start.loss
    assert distilled.final.cosine > 0.8


def test_same_vectors_as_sentence_transformers(distilled):
    words = sentences(50, seed=3)
    model = SentenceTransformer(str(distilled.output), device="cpu")
    assert [type(module).__name__ for module in model] == ["StaticEmbedding", "Normalize"]
    leaf = leaf_embed.load(distilled.output)
    assert isinstance(leaf.query_encoder, StaticEncoder)
    np.testing.assert_allclose(leaf.encode_query(words), model.encode(words), atol=1e-5)


def test_by_hand(distilled):
    leaf = StaticEncoder(distilled.output)
    table, tokenizer = leaf._table, leaf._tokenizer
    rows = [table[tokenizer.token_to_id(word)] for word in ("red", "stone", "red")]
    expected = np.sum(rows, axis=0)
    np.testing.assert_allclose(leaf.encode_query("Red stone red"), expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("text", ["", "  ", "\ud800", "\U0001f600", "red " * 100_000])
def test_any_text_gives_a_unit_vector(distilled, text):
    assert np.linalg.norm(leaf_embed.load(distilled.output).encode_query(text)) == pytest.approx(1, abs=1e-5)


def test_any_static_model_of_sentence_transformers_is_an_encoder(distilled, tmp_path):
    plain = shutil.copytree(distilled.output, tmp_path / "plain", ignore=shutil.ignore_patterns("leaf.json"))
    encoder = SentenceTransformerEncoder(plain)
    words = sentences(20, seed=4)
    assert encoder.space.max_tokens is None  # a sum of vectors reads to the end
    assert encoder.count_tokens(["red stone", ""], "query") == [2, 0]
    np.testing.assert_allclose(
        encoder.encode_query(words), leaf_embed.load(distilled.output).encode_query(words), atol=1e-5
    )


def test_it_belongs_to_its_teachers_space(distilled, teacher_path):
    leaf = leaf_embed.load(distilled.output, document=str(teacher_path))
    assert leaf.verify().passed
    assert leaf.encode_document(["red stone"]).shape == (1, 32)


def test_from_stored_vectors_without_asking_a_teacher(teacher_path, tmp_path):
    teacher = SentenceTransformerEncoder(teacher_path)
    words = sentences(400)
    stored = StoredVectors(list(zip(words, teacher.encode_document(words), strict=True)), "bought")
    report = distill(stored, None, "static", tmp_path / "leaf", CONFIG, tokenizer=teacher_path)
    assert report.final.loss < report.warm_start.loss
    assert report.final.cosine > 0.8
    with pytest.raises(InputError, match="name a model with tokenizer="):
        distill(stored, None, "static", tmp_path / "other", CONFIG)


def test_token_texts_and_weights(teacher_path, distilled):
    tokenizer = load_tokenizer(teacher_path, 64)
    words = [text.text for text in token_texts(tokenizer)]
    assert words[tokenizer.token_to_id("river")] == "river"
    assert words[tokenizer.token_to_id("##a")] == "a"
    assert all(words)

    class Counts:
        ids = np.array([3] * 900 + [4] * 100, dtype=np.uint32)

    weights = token_weights(Counts(), 6)
    assert weights[5] == 1
    assert weights[3] == pytest.approx(1e-3 / (1e-3 + 0.9))
    assert weights[3] < weights[4] < weights[5]


def test_damage_is_named(distilled, tmp_path):
    import shutil

    copy = shutil.copytree(distilled.output, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"half")
    with pytest.raises(NotALeafError, match="no table of token vectors"):
        leaf_embed.load(copy)
    value = json.loads((copy / "leaf.json").read_text())
    (copy / "leaf.json").write_text(json.dumps(value | {"kind": "other"}))
    with pytest.raises(NotALeafError, match="unknown kind"):
        leaf_embed.load(copy)


def test_same_seed_same_table(teacher_path, tmp_path):
    for name in ("a", "b"):
        distill(teacher_path, texts(200), "static", tmp_path / name, CONFIG, cache=tmp_path / "cache")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert first == second


def test_from_the_hub_the_table_is_fetched_and_nothing_else(distilled, tmp_path, monkeypatch):
    import shutil
    from fnmatch import fnmatch

    def snapshot_download(name, *, revision, allow_patterns):
        assert (name, revision) == ("org/leaf", "v1")
        for file in distilled.output.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copy(file, tmp_path / file.name)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    leaf = leaf_embed.load("org/leaf", revision="v1")
    assert leaf.encode_query("red stone").shape == (32,)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        *("leaf.json", "model.safetensors", "modules.json", "tokenizer.json")
    ]
