"""Leaves, a teacher cache, collections and a report that earlier code wrote still open and answer the same.

``fixtures/made_by_0.1.0.tar.xz`` holds them, with the answers of the code that wrote them: a tiny teacher, four leaves
of it (two layers, static, rotated, and a shallow one, a kind that is no longer made), their teacher cache, a collection
of the embedded engine, one in a client's local directory, and an evaluation report.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import leaf_embed
from leaf_embed.errors import InputError
from leaf_embed.evaluation import compare_reports, read_report
from leaf_embed.evaluation.report.page import html_page
from leaf_embed.qdrant import LeafCollection

ARCHIVE = Path(__file__).parent / "fixtures" / "made_by_0.1.0.tar.xz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def answers(made: Path) -> dict:
    return json.loads((made / "answers.json").read_text(encoding="utf-8"))


def test_a_leaf_gives_the_same_vectors(made, answers):
    vectors = leaf_embed.load(made / "leaf").encode_query(answers["questions"])
    assert np.allclose(vectors, answers["query_vectors"], atol=1e-3)


@pytest.mark.parametrize("kind", ["static", "rotated", "shallow"])
def test_every_kind_of_leaf_gives_the_same_vectors(made, answers, kind):
    vectors = leaf_embed.load(made / kind).encode_query(answers["questions"])
    assert np.allclose(vectors, answers[kind], atol=1e-3)


def test_a_shallow_leaf_is_refused_by_torch_and_as_a_student(made, tmp_path):
    pytest.importorskip("torch")
    from leaf_embed.distill import build_student, distill, truncate_leaf
    from leaf_embed.encoders.transformer import SentenceTransformerEncoder
    from leaf_embed.format import read_leaf

    folder = made / "shallow"
    space = read_leaf(folder).space
    for torch_side in (
        lambda: SentenceTransformerEncoder(folder),
        lambda: leaf_embed.load(folder, variant="torch"),
        lambda: build_student(folder, space),
        lambda: distill(made / "teacher", ["a text"], folder, tmp_path / "leaf"),
        lambda: truncate_leaf(folder, tmp_path / "short", 8),
    ):
        with pytest.raises(InputError, match=r"is a shallow leaf.*leaf_embed\.load.*still answers.*distil a new leaf"):
            torch_side()


def test_a_collection_of_the_embedded_engine_answers_the_same(made, answers):
    leaf = leaf_embed.load(made / "leaf")
    with LeafCollection.open("docs", leaf, path=made / "edge") as docs:
        for question, expected in zip(answers["questions"], answers["edge"], strict=True):
            hits = docs.search(question, limit=5, where={"lang": "en"})
            assert [hit.id for hit in hits] == [hit_id for hit_id, _ in expected]
            assert np.allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-3)
        for question, expected in zip(answers["questions"], answers["edge_hybrid"], strict=True):
            assert {hit.id for hit in docs.search(question, limit=5, hybrid=True)} == set(expected)  # ranks may tie


def test_a_collection_in_a_clients_directory_answers_the_same(made, answers):
    qdrant_client = pytest.importorskip("qdrant_client")
    client = qdrant_client.QdrantClient(path=str(made / "local"))
    try:
        with LeafCollection.open("docs", leaf_embed.load(made / "leaf"), client=client) as docs:
            for question, expected in zip(answers["questions"], answers["local"], strict=True):
                hits = docs.search(question, limit=5)
                assert [hit.id for hit in hits] == [hit_id for hit_id, _ in expected]
    finally:
        client.close()


def test_a_teacher_cache_is_used_and_not_filled_again(made):
    pytest.importorskip("torch")
    from leaf_embed.distill import TeacherCache, Text
    from leaf_embed.encoders import FunctionEncoder
    from leaf_embed.format import read_leaf

    space = read_leaf(made / "leaf").space
    cache = TeacherCache(made / "cache", space)
    assert len(cache) == 285  # 200 texts, and the tokens that the static student starts from
    known = cache.texts(np.arange(285))

    def refuse(texts: list[str]) -> np.ndarray:
        raise AssertionError(f"the teacher was asked for {len(texts)} texts")

    rows = cache.fill([Text(text.text, text.kind) for text in known], FunctionEncoder(space, document=refuse))
    assert np.array_equal(np.sort(rows), np.arange(285))
    assert np.allclose(np.linalg.norm(cache.vectors(rows), axis=1), 1, atol=1e-3)


def test_a_report_is_read(made):
    report = read_report(made / "report.json")
    assert report["version"] == 2
    assert [entry["name"] for entry in report["sets"]] == ["beir"]
    assert "beir: no query loses anything" in html_page(report)
    assert "beir" in str(compare_reports(report, report))
