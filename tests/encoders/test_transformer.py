"""The torch encoder against sentence-transformers itself."""

import json
import shutil

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError
from tests.conftest import make_model, sentences


@pytest.fixture(scope="module")
def plain(teacher_path):
    return SentenceTransformer(str(teacher_path), device="cpu")


def test_same_vectors_as_sentence_transformers(teacher_path, plain):
    texts = sentences(100, seed=1)
    encoder = SentenceTransformerEncoder(teacher_path, precision="float32", batch_tokens=64)
    np.testing.assert_allclose(encoder.encode_document(texts), plain.encode(texts), atol=1e-5)


def test_prompts_go_before_the_text(teacher_path, plain):
    encoder = SentenceTransformerEncoder(teacher_path, query_prompt="what is ", precision="float32")
    expected = plain.encode(["what is a red stone"])
    np.testing.assert_allclose(encoder.encode_query(["a red stone"]), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_document(["what is a red stone"]), expected, atol=1e-5)


def test_bfloat16_is_close_and_of_unit_norm(teacher_path, plain):
    texts = sentences(50, seed=2)
    found = SentenceTransformerEncoder(teacher_path, precision="bfloat16").encode_document(texts)
    assert (found * plain.encode(texts)).sum(axis=1).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_long_texts_are_cut_as_sentence_transformers_does(teacher_path, plain):
    text = " ".join(sentences(30))
    found = SentenceTransformerEncoder(teacher_path, precision="float32").encode_document(text)
    np.testing.assert_allclose(found, plain.encode(text), atol=1e-5)


@pytest.mark.parametrize("tokens", [50, 33, 16, 7])
def test_a_model_may_read_any_number_of_tokens(teacher_path, tokens):
    model = SentenceTransformer(str(teacher_path), device="cpu")
    model.max_seq_length = tokens
    texts = [*sentences(20, seed=3), " ".join(sentences(30))]
    found = SentenceTransformerEncoder(model, precision="float32")
    assert found.space.max_tokens == tokens
    np.testing.assert_allclose(found.encode_document(texts), model.encode(texts), atol=1e-5)


def test_code_in_the_directory_is_not_run(teacher_path, tmp_path):
    path = shutil.copytree(teacher_path, tmp_path / "leaf")
    modules = json.loads((path / "modules.json").read_text())
    (path / "modules.json").write_text(
        json.dumps([*modules, modules[-1] | {"idx": len(modules), "type": "evil.Module"}])
    )
    (path / "evil.py").write_text("raise SystemExit('code from the directory ran')")
    with pytest.raises(InputError, match="third-party code"):
        SentenceTransformerEncoder(path)


def test_padding_never_exceeds_the_position_table(tmp_path):
    path = make_model(tmp_path / "short", layers=1, positions=50)
    texts = [*sentences(20, seed=3), " ".join(sentences(30))]
    found = SentenceTransformerEncoder(path, precision="float32").encode_document(texts)
    np.testing.assert_allclose(found, SentenceTransformer(str(path), device="cpu").encode(texts), atol=1e-5)


def test_few_lengths_reach_the_model(teacher_path, monkeypatch):
    encoder = SentenceTransformerEncoder(teacher_path, max_tokens=50, precision="float32")
    seen, forward = set(), encoder.model[0].forward
    watched = lambda features: (seen.add(features["input_ids"].shape[1]), forward(features))[1]  # noqa: E731
    monkeypatch.setattr(encoder.model[0], "forward", watched)
    for text in [*sentences(60, seed=5), " ".join(sentences(30))]:
        encoder.encode_document(text)
    assert {16, 50} < seen <= {16, 32, 48, 50}


def test_the_space_is_measured(teacher_path, tmp_path):
    space = SentenceTransformerEncoder(teacher_path).space
    assert (space.dim, space.unit_norm, space.max_tokens) == (32, True, 64)
    assert space.revision.startswith("sha256:")
    raw = make_model(tmp_path / "raw", normalize=False)
    assert not SentenceTransformerEncoder(raw).space.unit_norm


def test_a_copy_is_the_same_space_and_other_weights_are_not(teacher_path, tmp_path):
    import shutil

    shutil.copytree(teacher_path, tmp_path / "copy")
    other = make_model(tmp_path / "other", seed=1)
    fingerprints = [SentenceTransformerEncoder(p).space.fingerprint for p in (teacher_path, tmp_path / "copy", other)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_model_in_memory_will_do(plain, teacher_path):
    found = SentenceTransformerEncoder(plain, precision="float32").encode_query("red stone")
    np.testing.assert_allclose(found, plain.encode("red stone"), atol=1e-5)


@pytest.mark.parametrize("name", ["/no/such/model", "not a hub id"])
def test_missing_model(name):
    with pytest.raises(InputError, match="there is no model at"):
        SentenceTransformerEncoder(name)


def test_directory_without_model(tmp_path):
    with pytest.raises(InputError, match="holds no model"):
        SentenceTransformerEncoder(tmp_path)


def test_hub_id_out_of_reach():
    with pytest.raises(InputError, match="cannot load"):
        SentenceTransformerEncoder("some-org/no-such-model")
