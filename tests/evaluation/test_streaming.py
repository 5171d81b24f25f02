"""Corpora that stay in their file: the same answers, and never whole in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from leaf_embed.encoders import BaseEncoder
from leaf_embed.errors import CorpusError
from leaf_embed.evaluation import evaluate, load_beir
from leaf_embed.evaluation.encoding import ENCODE_BLOCK
from leaf_embed.evaluation.streaming import PackedStrings
from leaf_embed.space import EmbeddingSpace, Role
from leaf_embed.vectors import FloatArray
from tests.evaluation.test_beir import write

DIM = 64
SPACE = EmbeddingSpace("numbers", DIM, unit_norm=False)


class Numbers(BaseEncoder):
    """A text begins with a number; its vector is drawn with it as seed, and noise on top makes a leaf."""

    def __init__(self, noise: float = 0) -> None:
        self.noise = noise
        self.largest = 0

    @property
    def space(self) -> EmbeddingSpace:
        return SPACE

    def _encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        self.largest = max(self.largest, len(texts))
        numbers = np.array([int(text.split()[0]) for text in texts], dtype=np.float64)[:, None]
        rows = np.sin((numbers + 1) * np.arange(1, DIM + 1) ** 1.5)
        return np.asarray(rows + self.noise * np.cos(rows * 1e5), dtype=np.float32)


def make_set(path: Path, documents: int, characters: int) -> Path:
    (path / "qrels").mkdir(parents=True)
    with (path / "corpus.jsonl").open("w") as stream:
        for number in range(documents):
            stream.write(json.dumps({"_id": f"d{number}", "text": f"{number} {'x' * characters}"}) + "\n")
    asked = range(0, documents, documents // 20)
    (path / "queries.jsonl").write_text("".join(json.dumps({"_id": f"q{n}", "text": f"{n}"}) + "\n" for n in asked))
    (path / "qrels" / "test.tsv").write_text("".join(f"q{n}\td{n}\t1\n" for n in asked))
    return path


def test_a_streamed_set_is_the_same_set(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole, streamed = load_beir(path), load_beir(path, stream=True)
    assert list(streamed.document_ids) == list(whole.document_ids)
    assert list(streamed.documents) == list(whole.documents)
    assert streamed.documents[1:] == ["no title", ""]
    assert streamed.document_ids[-1] == "d3"
    assert streamed.unknown_documents == whole.unknown_documents == 1
    with pytest.raises(IndexError):
        streamed.documents[3]


def test_a_streamed_evaluation_gives_the_same_report(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set", 500, 5)
    reports = [
        evaluate(
            Numbers(0.5),
            Numbers(),
            [load_beir(path, stream=stream)],
            [8],
            ["float32", "int8", "binary"],
            rotation="fitted",
            latency_queries=0,
        ).to_dict()
        for stream in (True, False)
    ]
    for report in reports:
        del report["provenance"]["date"]
    assert reports[0] == reports[1]
    assert reports[0]["sets"][0]["points"][0]["modes"]["teacher"]["nDCG@10"] == 1.0


def test_a_big_corpus_is_never_whole_in_memory(tmp_path: Path) -> None:
    """40 MB of text and 10 MB of vectors an encoder; tracemalloc sees Python's objects and NumPy's arrays."""
    documents = 40_000
    path = make_set(tmp_path / "big", documents, 1000)
    leaf, teacher = Numbers(0.5), Numbers()
    tracemalloc.start()
    try:
        found = load_beir(path, stream=True)
        loading = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        report = evaluate(leaf, teacher, [found], latency_queries=0)
        evaluating = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert loading < 6e6
    assert evaluating < 12e6
    assert max(leaf.largest, teacher.largest) <= ENCODE_BLOCK
    assert report.sets[0].points[0].results["teacher"].ndcg == 1.0
    assert report.sets[0].documents == documents


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("", "corpus.jsonl is empty"),
        ('{"_id": "a", "text": "x"}\n{"_id": 1, "text": "x"}\n', "corpus.jsonl:2"),
        ('{"_id": "d1", "text": "x"}\n\n{"_id": "d1", "text": "y"}\n', "1 repeated ids of documents"),
        ('{"_id": "other", "text": "x"}\n', "judges no query"),
    ],
)
def test_a_damaged_corpus_is_refused_at_once(tmp_path: Path, corpus: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_beir(write(tmp_path, corpus=corpus), stream=True)


def test_packed_strings() -> None:
    strings = ["a", "", "né", "東京", "\ud800"]
    packed = PackedStrings(iter(strings))
    assert list(packed) == strings
    assert list(PackedStrings(map(str, range(9000)))) == [*map(str, range(9000))]
    assert list(packed) == strings
    assert packed[1:3] == strings[1:3]
    assert packed[-2] == "東京"
    assert [packed[i] for i in (0, 4)] == ["a", "\ud800"]
