"""The leaf: ONNX against torch, routing, laziness, and refusal of what does not belong together."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="pip install 'leaf-embed[train]'")

from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.encoders.onnx import OnnxEncoder
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, NotALeafError, SpaceMismatchError
from tests.conftest import make_model, sentences


@pytest.fixture(scope="module")
def student(leaf_path):
    return SentenceTransformer(str(leaf_path), device="cpu")


def test_float32_graph_equals_the_directory_in_sentence_transformers(leaf_path, student):
    texts = sentences(60, seed=3)
    found = leaf_embed.load(leaf_path, variant="float32").encode_query(texts)
    np.testing.assert_allclose(found, student.encode(texts), atol=1e-5)


def test_int8_graph_is_close(leaf_path, student):
    texts = sentences(60, seed=3)
    found = leaf_embed.load(leaf_path, variant="int8").encode_query(texts)
    assert (found * student.encode(texts)).sum(axis=1).min() > 0.97
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_torch_variant(leaf_path, student):
    found = leaf_embed.load(leaf_path, variant="torch").encode_query("red stone")
    assert found @ student.encode("red stone") > 0.999


def test_batching_changes_nothing(leaf_path):
    texts = sentences(40, seed=4)
    one = OnnxEncoder(leaf_path, variant="float32", batch_tokens=1).encode_query(texts)
    many = OnnxEncoder(leaf_path, variant="float32", batch_tokens=4096).encode_query(texts)
    np.testing.assert_allclose(one, many, atol=1e-5)


@pytest.mark.parametrize("text", ["", " ", "\ud800", "\U0001f600 река 東京", "red " * 250_000, "\0", "a" * 100_000])
def test_any_text_gives_a_finite_unit_vector(leaf_path, text):
    vector = leaf_embed.load(leaf_path).encode_query(text)
    assert vector.shape == (32,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def test_many_threads_get_the_same_vectors(leaf_path):
    leaf, texts, wrong = leaf_embed.load(leaf_path), sentences(30, seed=5), []
    expected = [leaf.encode_query(text) for text in texts]

    def ask():
        for text, vector in zip(texts, expected, strict=True):
            if not np.array_equal(leaf.encode_query(text), vector):
                wrong.append(text)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_documents_go_to_the_teacher(leaf_path, teacher_path):
    texts = sentences(10, seed=6)
    leaf = leaf_embed.load(leaf_path, document="teacher")
    expected = SentenceTransformerEncoder(teacher_path).encode_document(texts)
    np.testing.assert_allclose(leaf.encode_document(texts), expected, atol=1e-6)


def test_symmetric_use(leaf_path):
    leaf = leaf_embed.load(leaf_path, document="leaf")
    np.testing.assert_array_equal(leaf.encode_document("red stone"), leaf.encode_query("red stone"))


def test_the_teacher_is_loaded_once_and_only_for_documents(leaf_path, teacher_path):
    made = []

    def make():
        made.append(SentenceTransformerEncoder(teacher_path))
        return made[-1]

    leaf = leaf_embed.LeafEncoder(OnnxEncoder(leaf_path), make)
    leaf.encode_query("red stone")
    assert not made
    leaf.encode_document("red stone")
    leaf.encode_document("blue stone")
    assert len(made) == 1


def test_a_query_only_process_loads_no_torch(leaf_path):
    code = (
        "import sys, leaf_embed\n"
        f"leaf = leaf_embed.load({str(leaf_path)!r}, document='teacher')\n"
        "leaf.encode_query('red stone')\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'pandas', 'scipy', 'sklearn', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_query_only_says_how_to_encode_documents(leaf_path):
    with pytest.raises(InputError, match="document='teacher'"):
        leaf_embed.load(leaf_path).encode_document("red stone")


def test_another_teacher_is_refused(leaf_path, tmp_path):
    other = make_model(tmp_path / "other", seed=1)
    leaf = leaf_embed.load(leaf_path, document=str(other))
    with pytest.raises(SpaceMismatchError, match="the leaf and the document encoder"):
        leaf.encode_document("red stone")
    with pytest.raises(SpaceMismatchError):
        leaf_embed.load(leaf_path, document=SentenceTransformerEncoder(other))


def test_a_leaf_knows_whether_it_was_tampered_with(leaf_path, tmp_path):
    leaf_embed.load(leaf_path).verify()
    forged = shutil.copytree(leaf_path, tmp_path / "forged")
    other = make_model(tmp_path / "other", seed=1)
    from leaf_embed.export.graph import write_graph

    write_graph(SentenceTransformer(str(other), device="cpu"), forged / "onnx" / "model.onnx")
    with pytest.raises(SpaceMismatchError, match="does not write into the space"):
        leaf_embed.load(forged, variant="float32").verify()


def test_no_leaf(tmp_path, teacher_path):
    with pytest.raises(NotALeafError, match="there is no leaf at"):
        leaf_embed.load(tmp_path / "none")
    with pytest.raises(NotALeafError, match=r"holds no leaf\.json"):
        leaf_embed.load(tmp_path)
    with pytest.raises(NotALeafError, match="distil it first"):
        leaf_embed.load(teacher_path)


def test_unknown_version_damaged_files_and_missing_graph(leaf_path, tmp_path):
    copy = shutil.copytree(leaf_path, tmp_path / "copy")
    (copy / "onnx" / "model_quantized.onnx").write_bytes(b"half")
    with pytest.raises(NotALeafError, match="no readable ONNX graph"):
        leaf_embed.load(copy)
    shutil.rmtree(copy / "onnx")
    with pytest.raises(NotALeafError, match="leaf-embed export"):
        leaf_embed.load(copy)
    value = json.loads((copy / "leaf.json").read_text())
    (copy / "leaf.json").write_text(json.dumps(value | {"version": 99}))
    with pytest.raises(NotALeafError, match="version 99; this release reads 1"):
        leaf_embed.load(copy)
    (copy / "leaf.json").write_text("{")
    with pytest.raises(NotALeafError, match="damaged"):
        leaf_embed.load(copy)


@pytest.mark.parametrize(("option", "value"), [("threads", 0), ("variant", "int4")])
def test_bad_options(leaf_path, option, value):
    with pytest.raises(InputError):
        leaf_embed.load(leaf_path, **{option: value})


def test_more_texts_than_are_tokenised_at_once(leaf_path, monkeypatch):
    texts = sentences(25, seed=8)
    encoder = OnnxEncoder(leaf_path, variant="float32")
    expected = encoder.encode_query(texts)
    monkeypatch.setattr("leaf_embed.encoders.onnx.BLOCK", 7)
    np.testing.assert_allclose(encoder.encode_query(texts), expected, atol=1e-5)
