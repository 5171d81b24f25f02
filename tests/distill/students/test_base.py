"""The protocol: a kind of student that nothing but the registry knows is started, trained, resumed and saved."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from leaf_embed.distill import DistillConfig, distill
from leaf_embed.distill import train as training
from leaf_embed.distill.dataset import tokenize
from leaf_embed.distill.students import NAMED, student_class
from leaf_embed.distill.students.base import Student, StudentOptions
from leaf_embed.distill.students.static import StaticStudent
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.errors import InputError
from leaf_embed.format import read_leaf
from tests.conftest import texts

CONFIG = DistillConfig.static(max_steps=30, batch_size=32, holdout=0.1)


class Bag(Student):
    """The mean of random token vectors, and a Dense: a table with sparse updates beside weights with dense ones."""

    kind, needs_graph, pads = "static", False, False

    def __init__(self, tokenizer, space):
        torch.manual_seed(0)
        table = np.random.default_rng(0).normal(size=(len(tokenizer), 24)).astype(np.float32)
        modules = [StaticEmbedding(tokenizer.backend_tokenizer, embedding_weights=table), Dense(24, space.dim)]
        self.model = SentenceTransformer(modules=[*modules, Normalize()], device="cpu")
        self.tokenizer, self.max_tokens = tokenizer, 64
        self.started = False

    @classmethod
    def build(cls, options, teacher, space, config):
        return cls(teacher.model.tokenizer, space)

    @staticmethod
    def recipe():
        return CONFIG

    def tokenize(self, cache, rows, max_tokens):
        options = {"truncation": True, "max_length": max_tokens}
        return tokenize(lambda words: self.tokenizer(words, **options)["input_ids"], cache, rows, max_tokens)

    def start(self, learned):
        self.started = True

    def batch(self, texts, places):
        tokens, lengths = texts.tokens(places)
        return {"input_ids": torch.from_numpy(tokens), "offsets": torch.from_numpy(np.cumsum(lengths) - lengths)}

    def vectors(self, features):
        assert self.started
        for module in self.model:
            features = module(features)
        return features["sentence_embedding"]

    def tables(self):
        return [self.model[0].embedding]


def test_a_new_kind_is_trained_and_resumed_by_the_protocol_alone(teacher_path, tmp_path, monkeypatch):
    monkeypatch.setitem(NAMED, "bag", Bag)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    report = distill(teacher_path, texts(300), "bag", tmp_path / "whole")
    assert report.steps == 30
    assert report.parity == {}
    assert report.final.loss < 0.9 * report.warm_start.loss
    assert read_leaf(tmp_path / "whole").recipe["student"] == "bag"

    def stop(stage, done, total, note):
        if (stage, done) == ("train", 12):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(teacher_path, texts(300), "bag", tmp_path / "leaf", progress=stop)
    distill(teacher_path, texts(300), "bag", tmp_path / "leaf")
    for file in ("model.safetensors", "1_Dense/model.safetensors"):
        one, other = (load_file(tmp_path / name / file) for name in ("whole", "leaf"))
        assert all(torch.equal(one[name], other[name]) for name in one), file


def test_kinds_by_name(teacher_path):
    assert student_class("static") is StaticStudent
    assert student_class("./static") is student_class(teacher_path) is student_class(object()) is TransformerStudent
    assert StaticStudent.recipe() == DistillConfig.static()
    assert TransformerStudent.recipe() == DistillConfig.paper()


def test_options_are_checked_where_they_are_built():
    with pytest.raises(InputError, match=r"head is a list of widths from 1 on; got \[0\]"):
        StudentOptions("model", head=[0])
    assert StudentOptions("model", layers=range(2)).to_dict() == {"student": "model", "layers": [0, 1]}
