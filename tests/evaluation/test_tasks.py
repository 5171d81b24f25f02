"""Similarity and classification against scipy and scikit-learn called by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from leaf_embed import vectors
from leaf_embed.encoders import LeafEncoder
from leaf_embed.errors import CorpusError
from leaf_embed.evaluation.task_sets import ClassificationSet, SimilaritySet, load_classification, load_sts
from leaf_embed.evaluation.tasks import evaluate_task
from tests.conftest import sentences
from tests.evaluation.words import Words

RANDOM = np.random.default_rng(4)
TEXTS = sentences(200, seed=9)
PAIRS = SimilaritySet("pairs", tuple(TEXTS[:100]), tuple(TEXTS[100:]), tuple(RANDOM.random(100)))


def test_similarity_by_hand() -> None:
    leaf, teacher = Words(noise=3), Words()
    cosines = vectors.cosine(teacher.encode_query(TEXTS[:100]), teacher.encode_query(TEXTS[100:]))
    human = tuple((cosines + 0.02 * RANDOM.standard_normal(100)).tolist())
    dataset = SimilaritySet("pairs", PAIRS.first, PAIRS.second, human)
    found = evaluate_task(LeafEncoder(leaf, teacher), teacher, dataset)
    ours = vectors.cosine(leaf.encode_query(TEXTS[:100]), leaf.encode_query(TEXTS[100:]))
    assert found.kind == "spearman"
    assert found.teacher == pytest.approx(spearmanr(cosines, human).statistic)
    assert found.leaf == pytest.approx(spearmanr(ours, human).statistic)
    assert found.kept is not None
    assert found.kept.value == pytest.approx(found.leaf / found.teacher)
    assert found.kept.low < found.kept.value < found.kept.high < 1
    assert "spearman of the teacher" in str(found)


def test_classification_by_hand() -> None:
    rows = [(text, "long" if len(text.split()) > 12 else "short") for text in TEXTS]
    dataset = ClassificationSet("length", tuple(rows[:120]), tuple(rows[120:]))
    leaf, teacher = Words(noise=4), Words()
    found = evaluate_task(leaf, teacher, dataset)
    for encoder, score in ((leaf, found.leaf), (teacher, found.teacher)):
        inputs = encoder.encode_query(TEXTS)
        labels = [label for _, label in rows]
        model = LogisticRegression(max_iter=1000).fit(inputs[:120], labels[:120])
        assert score == pytest.approx(model.score(inputs[120:], labels[120:]))
    assert (found.kind, found.items) == ("accuracy", 80)
    assert found.to_dict()["retention"]["value"] == pytest.approx(found.leaf / found.teacher, abs=1e-5)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_every_format_reads_the_same(tmp_path: Path, suffix: str) -> None:
    pairs = [
        {"sentence1": "a, b", "sentence2": 'c "d"', "score": 1.5},
        {"sentence1": "e", "sentence2": "f", "score": 0},
    ]
    classes = [{"text": f"text {i}", "label": i % 2, "split": "test" if i > 5 else "train"} for i in range(9)]
    found = load_sts(write(tmp_path / f"pairs{suffix}", pairs))
    assert found == SimilaritySet("pairs", ("a, b", "e"), ('c "d"', "f"), (1.5, 0.0))
    divided = load_classification(write(tmp_path / f"classes{suffix}", classes))
    assert (len(divided.train), len(divided.test)) == (6, 3)
    assert divided.test[0] == ("text 6", "0")


def test_without_a_split_the_same_texts_are_kept_every_time(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", [{"text": f"t{i}", "label": i % 3} for i in range(300)])
    found = load_classification(file)
    assert found == load_classification(file)
    assert 60 < len(found.test) < 120
    assert {text for text, _ in found.test}.isdisjoint(text for text, _ in found.train)


@pytest.mark.parametrize(
    ("load", "rows", "message"),
    [
        (load_sts, [{"sentence1": "a", "score": 1}], r"record 1 of .*KeyError: 'sentence2'"),
        (load_sts, [{"sentence1": "a", "sentence2": "b", "score": "high"}], "a score is no number"),
        (load_sts, [{"sentence1": "a", "sentence2": "b", "score": 1}], "at least two different scores"),
        (load_classification, [{"text": "a", "label": 1}] * 20, "has 1 classes to learn"),
        (load_classification, [{"text": "a"}], "expected .jsonl, .csv or .tsv with the fields text, label"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, load: object, rows: list[dict[str, object]], message: str) -> None:
    assert callable(load)
    with pytest.raises(CorpusError, match=message):
        load(write(tmp_path / "set.jsonl", rows))


def write(file: Path, rows: list[dict[str, object]]) -> Path:
    with file.open("w", newline="") as stream:
        if file.suffix == ".jsonl":
            stream.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            table = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if file.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    return file
