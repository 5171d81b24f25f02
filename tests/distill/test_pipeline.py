"""From texts to a leaf directory: whole or not there at all, and never paid for twice."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.cli import run
from leaf_embed.distill import DistillConfig, Text, distill
from leaf_embed.distill import train as training
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import CorpusError, ExportError, InputError, ParityError
from leaf_embed.export import onnx as exporting
from leaf_embed.format import read_leaf
from leaf_embed.vectors import cosine
from tests.conftest import make_model, no_room, sentences, texts

CONFIG = DistillConfig.quick(max_steps=20, learning_rate=2e-3, precision="float32", holdout=0.1)


class Spy(SentenceTransformerEncoder):
    """A teacher that counts the texts it is asked for."""

    asked = 0

    def _encode(self, words, role):
        self.asked += len(words)
        return super()._encode(words, role)


def test_a_leaf_directory_is_an_ordinary_model_and_says_what_it_is(leaf_path, teacher_path):
    info = read_leaf(leaf_path)
    assert info.space.fingerprint == SentenceTransformerEncoder(teacher_path).space.fingerprint
    assert info.recipe["config"]["max_steps"] == 150
    assert info.recipe["layers"] == 2
    assert info.metrics["final"]["loss"] < info.metrics["warm_start"]["loss"]
    model = SentenceTransformer(str(leaf_path), device="cpu")
    assert model.encode("red stone").shape == (32,)
    assert {"model.onnx", "model_quantized.onnx"} == {file.name for file in (leaf_path / "onnx").iterdir()}


def test_the_leaf_resembles_its_teacher_on_new_texts(leaf_path, teacher_path):
    new = sentences(100, seed=99)
    student = SentenceTransformer(str(leaf_path), device="cpu").encode(new)
    teacher = SentenceTransformer(str(teacher_path), device="cpu").encode(new)
    assert (student * teacher).sum(axis=1).mean() > 0.9
    nearest = (student @ teacher.T).argmax(axis=1)
    assert (nearest == np.arange(100)).mean() > 0.9, "a student that gives every text one vector would find 1 in 100"


@pytest.mark.parametrize("tokens", [50, 33])
def test_teacher_and_student_may_read_any_number_of_tokens(tmp_path, tokens):
    model = SentenceTransformer(str(make_model(tmp_path / "model", layers=2, positions=50)), device="cpu")
    model.max_seq_length = tokens
    model.save_pretrained(str(tmp_path / "teacher"), create_model_card=False)
    long = [Text(" ".join(sentences(30, seed)), "document") for seed in range(40)]
    distill(tmp_path / "teacher", [*texts(100), *long], tmp_path / "teacher", tmp_path / "leaf", CONFIG, layers=1)
    asked = [*sentences(20, seed=9), " ".join(sentences(30, seed=99))]
    expected = SentenceTransformer(str(tmp_path / "leaf"), device="cpu").encode(asked)
    leaf = leaf_embed.load(tmp_path / "leaf", variant="float32", document="teacher")
    assert leaf.query_encoder.info.max_tokens == tokens
    np.testing.assert_allclose(leaf.encode_query(asked), expected, atol=1e-5)
    assert cosine(leaf.encode_document(asked), model.encode(asked)).min() > 0.99


def test_report_and_progress(teacher_path, tmp_path):
    stages = []
    report = distill(
        teacher_path,
        texts(200),
        teacher_path,
        tmp_path / "leaf",
        CONFIG,
        layers=[0, 3],
        export_graphs=False,
        progress=lambda stage, done, total, note: stages.append(stage),
    )
    assert (report.texts, report.steps) == (180, 20)
    assert report.final.texts == 20
    assert report.texts_per_second > 0
    assert list(dict.fromkeys(stages)) == ["teacher", "warm start", "train"]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["leaf", "leaf.work"]


def test_files_as_corpus_and_what_was_skipped(teacher_path, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join([*sentences(40), "", "  "]))
    report = distill(teacher_path, [tmp_path / "a.txt"], teacher_path, tmp_path / "leaf", CONFIG, export_graphs=False)
    assert report.texts == 36
    assert report.skipped == {"empty text": 2}


def test_vectors_without_unit_norm(tmp_path):
    raw = make_model(tmp_path / "raw", normalize=False)
    report = distill(raw, texts(300), raw, tmp_path / "leaf", CONFIG, layers=2)
    assert not report.space.unit_norm
    model = SentenceTransformer(str(tmp_path / "leaf"), device="cpu")
    norms = np.linalg.norm(model.encode(sentences(20)), axis=1)
    expected = np.linalg.norm(SentenceTransformer(str(raw), device="cpu").encode(sentences(20)), axis=1)
    assert norms.mean() == pytest.approx(expected.mean(), rel=0.3)
    assert abs(norms.mean() - 1) > 0.5


@pytest.mark.parametrize("kind", ["transformer", "static"])
def test_an_interrupted_distillation_leaves_no_leaf_and_goes_on(teacher_path, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    teacher, student = Spy(teacher_path), "static" if kind == "static" else teacher_path

    def stop(stage, done, total, note):
        if stage == "train" and done == 12:
            raise KeyboardInterrupt

    options = {"layers": 2, "export_graphs": False}
    with pytest.raises(KeyboardInterrupt):
        distill(teacher, texts(200), student, tmp_path / "leaf", CONFIG, progress=stop, **options)
    assert [f.name for f in tmp_path.iterdir()] == ["leaf.work"]
    paid, steps = teacher.asked, []

    def note(stage, done, total, note):
        if stage == "train":
            steps.append(done)

    report = distill(teacher, texts(200), student, tmp_path / "leaf", CONFIG, progress=note, **options)
    assert report.steps == 20
    assert steps == list(range(12, 21))
    assert teacher.asked - paid <= 8, "only the canaries may be asked again"
    assert not (tmp_path / "leaf.work" / "checkpoint.pt").exists()
    whole = distill(teacher, texts(200), student, tmp_path / "whole", CONFIG, **options)
    assert whole.final == report.final
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "leaf"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("foreign", [True, False])
def test_a_failed_export_leaves_the_trained_leaf(teacher_path, tmp_path, monkeypatch, foreign):
    def fail(*_):
        raise RuntimeError("no such operator") if foreign else ParityError("the float32 graph differs")

    output = tmp_path / "leaf"
    arguments = (teacher_path, texts(60), teacher_path, output, CONFIG)
    with monkeypatch.context() as broken:
        broken.setattr(exporting, "write_graph", fail)
        with pytest.raises(ExportError if foreign else ParityError, match=f"leaf-embed export {output}$"):
            distill(*arguments, layers=1)
    assert not (output / "onnx").exists()
    words = sentences(8, seed=5)
    kept = leaf_embed.load(output, variant="torch").encode_query(words)
    assert cosine(kept, SentenceTransformerEncoder(teacher_path).encode_query(words)).mean() > 0.5
    with pytest.raises(InputError, match=f"trained and not exported.*leaf-embed export {output}"):
        distill(*arguments, layers=1)
    if not foreign:
        return
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(sentences(40)))
    before = sorted(output.iterdir())
    with no_room(20_000):
        assert run(["export", str(output), "--corpus", str(corpus)]) == 1
    assert sorted(output.iterdir()) == before
    assert run(["export", str(output), "--corpus", str(corpus)]) == 0
    assert cosine(leaf_embed.load(output, variant="float32").encode_query(words), kept).min() > 0.9999
    assert "## The graphs" in (output / "README.md").read_text()


def test_two_texts_are_enough_to_run(teacher_path, tmp_path):
    report = distill(teacher_path, texts(2), teacher_path, tmp_path / "leaf", CONFIG)
    assert (report.texts, report.warm_start, report.final) == (2, None, None)
    assert report.parity["float32"].texts == 2


def test_an_existing_output_is_left_alone(teacher_path, tmp_path):
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        distill(teacher_path, texts(50), teacher_path, tmp_path / "leaf", CONFIG)
    assert (tmp_path / "leaf" / "mine.txt").read_text() == "mine"


def test_a_teacher_or_an_option_that_cannot_be_used_leaves_nothing_behind(teacher_path, tmp_path):
    with pytest.raises(InputError, match="there is no model at"):
        distill(tmp_path / "none", texts(50), teacher_path, tmp_path / "leaf", CONFIG)
    with pytest.raises(InputError, match="widths from 1 on"):
        distill(teacher_path, texts(50), teacher_path, tmp_path / "leaf", CONFIG, head=[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("corpus", [[], [Text(""), Text("  ")]])
def test_an_empty_corpus(teacher_path, tmp_path, corpus):
    with pytest.raises(CorpusError):
        distill(teacher_path, corpus, teacher_path, tmp_path / "leaf", CONFIG)
    assert not (tmp_path / "leaf").exists()


def test_leaf_json_is_on_one_page(leaf_path):
    value = json.loads((leaf_path / "leaf.json").read_text())
    keys = "canary_cosines format kind max_tokens metrics recipe record space version"
    assert sorted(value) == keys.split()


def test_an_onnx_graph_as_teacher(leaf_path, teacher_path, tmp_path):
    teacher = leaf_embed.load(leaf_path, variant="float32", document="leaf")
    config = replace(CONFIG, learning_rate=2e-4)  # the start is near: larger steps only lead away from it
    report = distill(teacher, texts(200), teacher_path, tmp_path / "leaf", config, layers=1)
    words = sentences(20, seed=4)
    found = leaf_embed.load(tmp_path / "leaf").encode_query(words)
    assert cosine(found, teacher.encode_document(words)).mean() > 0.7
    assert report.final.loss < report.warm_start.loss
