"""Evaluation sets kept out, and queries weighed against documents."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from leaf_embed.distill import DistillConfig, Exclusion, StoredVectors, TeacherCache, Text, distill
from leaf_embed.distill.dataset import weigh_roles
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.teacher.fill import as_exclusion
from leaf_embed.teacher.filtering import normalized
from tests.conftest import sentences, texts

CONFIG = DistillConfig.quick(max_steps=5, precision="float32", holdout=0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is LEAF?", "what  is leaf", True),
        ("naïve café", "Naïve\tCafé!", True),
        ("\uff57\uff49\uff44\uff45", "wide", True),
        ("東京は首都です。", "東京は首都です", True),
        ("C++", "C#", True),
        ("?!", "!?", False),
        ("red stone", "redstone", False),
    ],
)
def test_normalized(one, other, same):
    assert (normalized(one) == normalized(other)) is same


@given(st.text())
def test_any_text_is_found(text):
    assert text in Exclusion([text])
    assert text not in Exclusion()


def test_texts_of_evaluation_sets_are_left_out_and_counted(teacher_path, tmp_path):
    words = sentences(60)
    beir = tmp_path / "beir"
    beir.mkdir()
    documents = [{"_id": "1", "title": "A Title", "text": words[0].upper()}, {"_id": "2", "text": words[1] + "."}]
    (beir / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    (beir / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": words[2] + "?"}) + "\n")
    corpus = [*(Text(word) for word in words), Text(f"a title: {words[0]}"), Text(words[2], "query"), Text(words[3])]
    report = distill(
        teacher_path, corpus, teacher_path, tmp_path / "leaf", CONFIG, layers=1, exclude=[beir], export_graphs=False
    )
    assert report.texts == 57
    assert report.skipped == {"excluded": 5, "the same text again": 1}
    learned = TeacherCache(tmp_path / "leaf.work" / "cache", report.space)
    known = {text.text for text in learned.texts(np.arange(len(learned)))}
    assert known.isdisjoint(words[:3])


def test_stored_vectors_are_left_out_too(teacher_path, tmp_path):
    words = sentences(30)
    rows = SentenceTransformer(str(teacher_path), device="cpu").encode(words)
    stored = StoredVectors(list(zip(words, rows, strict=True)), "org/teacher")
    given = {"layers": 1, "export_graphs": False}
    report = distill(stored, None, teacher_path, tmp_path / "leaf", CONFIG, exclude=Exclusion(words[:10]), **given)
    assert (report.texts, report.skipped) == (20, {"excluded": 10})
    with pytest.raises(CorpusError, match=r"holds no text.*30 left out: excluded"):
        distill(stored, None, teacher_path, tmp_path / "leaf-2", CONFIG, exclude=Exclusion(words), **given)


@pytest.mark.parametrize(
    ("queries", "documents", "share"), [(10, 90, 0.5), (90, 10, 0.5), (10, 90, 0.05), (7, 50, 0.9)]
)
def test_shares_are_reached_and_nothing_is_left_out(queries, documents, share):
    is_query = np.random.default_rng(1).permutation(np.arange(queries + documents) < queries)
    places = weigh_roles(is_query, share, seed=0)
    assert is_query[places].mean() == pytest.approx(share, abs=0.01)
    counts = np.bincount(places, minlength=len(is_query))
    assert counts.min() >= 1
    for role in (True, False):
        assert np.ptp(counts[is_query == role]) <= 1, "every text of a role equally often"
    assert min(counts[is_query].max(), counts[~is_query].max()) == 1, "only the rarer role is repeated"
    assert np.array_equal(places, weigh_roles(is_query, share, seed=0))


def test_a_share_needs_both_roles():
    with pytest.raises(InputError, match="0 queries and 3 documents"):
        weigh_roles(np.zeros(3, dtype=bool), 0.5, seed=0)
    with pytest.raises(InputError, match="0 queries and 3 documents"):
        weigh_roles(np.zeros(3, dtype=bool), 1, seed=0)
    for share in (0, 1.1, -1):
        with pytest.raises(InputError, match="above 0, and 1 at most"):
            DistillConfig(query_share=share)


def test_query_share_from_end_to_end(teacher_path, tmp_path):
    corpus = [Text(text.text, "query" if i < 10 else "document") for i, text in enumerate(texts(100))]
    config = DistillConfig.quick(epochs=2, batch_size=10, query_share=0.5, precision="float32", holdout=0)
    report = distill(teacher_path, corpus, teacher_path, tmp_path / "leaf", config, layers=1, export_graphs=False)
    assert report.texts == 100, "distinct ones"
    assert report.steps == 2 * 180 // 10, "90 documents, and 10 queries nine times"


def test_queries_alone_learn_and_documents_fit_the_rotation(teacher_path, tmp_path):
    corpus = [Text(text.text, "query" if i < 100 else "document") for i, text in enumerate(texts(200))]
    config = DistillConfig.quick(epochs=1, batch_size=10, query_share=1, precision="float32", mrl="rotate", holdout=0.2)
    report = distill(teacher_path, corpus, teacher_path, tmp_path / "leaf", config, layers=1, export_graphs=False)
    held_out = report.final.texts
    assert 0 < held_out < 40
    assert report.texts == 100 - held_out
    whole = distill(teacher_path, corpus[:100], teacher_path, tmp_path / "other", config, layers=1, export_graphs=False)
    turned, queries = (Rotation.load(one.output, one.space).matrix for one in (report, whole))
    assert not np.allclose(turned, queries, atol=1e-3), "documents are part of what the rotation is fitted on"


def test_the_cache_knows_the_roles(teacher_path, tmp_path):
    from tests.teacher.test_cache import SPACE, Counting

    cache = TeacherCache(tmp_path, SPACE, shard_rows=3)
    rows = cache.fill([Text(f"text {i}", "query" if i % 3 else "document") for i in range(10)], Counting())
    assert cache.are_queries(rows[::-1]).tolist() == [bool(i % 3) for i in range(10)][::-1]


def test_training_queries_of_a_benchmark_are_no_evaluation_texts(tmp_path):
    """The directory of a benchmark often holds queries_train.jsonl, which may be learned from."""
    for name in ("corpus", "queries", "queries_train"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"_id": "1", "text": f"text of {name}"}) + "\n")
    found = as_exclusion([tmp_path])
    assert "text of corpus" in found
    assert "Text of queries!" in found
    assert "text of queries_train" not in found
    (tmp_path / "corpus.jsonl").unlink()
    assert "text of queries_train" in as_exclusion([tmp_path])  # no BEIR set: every file counts
