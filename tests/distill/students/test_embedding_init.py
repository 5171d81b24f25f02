"""Token embeddings that stand for missing layers: checked against transformers' own hidden states."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from leaf_embed.distill import DistillConfig, TeacherCache
from leaf_embed.distill.students import embedding_init as context
from leaf_embed.distill.students.backbone import build_student
from leaf_embed.distill.students.embedding_init import missing_layers
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import align
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from tests.conftest import make_model, texts

KEPT = (2, 3)
CONFIG = DistillConfig.quick(max_steps=1, precision="float32")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("context") / "model", layers=4)


@pytest.fixture(scope="module")
def cache(source, tmp_path_factory):
    teacher = SentenceTransformerEncoder(source)
    found = TeacherCache(tmp_path_factory.mktemp("context-cache"), teacher.space)
    found.fill(texts(80), teacher)
    return found


def started(source, cache):
    """A student after the start, its texts, and the embeddings it had."""
    student = TransformerStudent(source, cache.space, CONFIG, layers=KEPT)
    learned = student.tokenize(cache, np.arange(80), 64)
    size = student.model[0].auto_model.embeddings.word_embeddings.weight.detach().norm(dim=1).mean()
    lower = missing_layers(source, KEPT)
    batches = (student.batch(learned, places) for places in context.random_batches(learned, 0))
    context.start_embeddings(student.model, lower, batches, bfloat16=False)
    return student.model, learned, size


def test_embeddings_are_the_mean_hidden_states(source, cache):
    model, learned, size = started(source, cache)
    backbone = SentenceTransformer(str(source), device="cpu")[0].auto_model.eval()
    norm = backbone.encoder.layer[1].output.LayerNorm
    tokenizer = model.tokenizer
    found = defaultdict(list)

    def hidden(ids):
        with torch.inference_mode():
            states = backbone(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0]
            return ((states - norm.bias) / norm.weight).numpy()

    for token in range(len(tokenizer)):
        found[token].append(hidden([tokenizer.cls_token_id, token, tokenizer.sep_token_id])[1])
    at = defaultdict(list)
    for start, end in zip(learned.starts[:-1], learned.starts[1:], strict=True):
        ids = learned.ids[start:end].astype(int).tolist()
        for position, (token, state) in enumerate(zip(ids, hidden(ids), strict=True)):
            found[token].append(state)
            at[position].append((token, state))
    tokens = np.stack([np.mean(found[token], axis=0) for token in range(len(tokenizer))])
    scale = float(size) / np.linalg.norm(tokens, axis=1).mean()
    embeddings = model[0].auto_model.embeddings
    np.testing.assert_allclose(embeddings.word_embeddings.weight.detach().numpy(), tokens * scale, atol=1e-4)
    assert torch.equal(embeddings.LayerNorm.weight, norm.weight)
    left = np.stack([np.sum([s - tokens[t] for t, s in at[p]], axis=0) / (len(at[p]) + context.FEW) for p in (0, 1, 5)])
    rows = embeddings.position_embeddings.weight.detach().numpy()
    np.testing.assert_allclose(rows[[0, 1, 5]], left * scale, atol=1e-4)
    assert not rows[max(at) + 1 :].any(), "nothing is known of positions beyond the texts"


def test_the_start_is_nearer_to_the_teacher(source, cache, tmp_path):
    losses = []
    for layers in ("plain", "context"):
        student = TransformerStudent(source, cache.space, CONFIG, layers=KEPT)
        if layers == "plain":
            student._layers = None  # as if the two layers were all of their source
        learned, held_out = (student.tokenize(cache, np.arange(*span), 64) for span in ((60,), (60, 80)))
        losses.append(align(student, learned, held_out, CONFIG, tmp_path).warm_start.loss)
    assert losses[1] < 0.8 * losses[0]


def test_only_a_sample_is_read(source, cache, monkeypatch):
    learned = TransformerStudent(source, cache.space, CONFIG, layers=KEPT).tokenize(cache, np.arange(80), 64)
    monkeypatch.setattr(context, "TOKENS", 200)
    read = sum(int(learned.lengths(places).sum()) for places in context.random_batches(learned, 0))
    assert 200 <= read < 200 + learned.lengths().max()


def test_nothing_is_missing(source, cache):
    model = build_student(source, cache.space)
    assert missing_layers(source, None) is None
    assert missing_layers(source, (0, 3)) is None
    assert missing_layers(model, (1, 3)) is not None
    model[0].auto_model.config.model_type = "mpnet"
    assert missing_layers(model, (1, 3)) is None, "positions of other architectures are not known"
