"""Similarity and classification against scipy and scikit-learn called by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap, spearmanr
from sklearn.linear_model import LogisticRegression

from leaf_embed import vectors
from leaf_embed.encoders import LeafEncoder
from leaf_embed.errors import CorpusError
from leaf_embed.evaluation.tasks import ClassificationSet, SimilaritySet, evaluate_task, load_classification, load_sts
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
    assert found.retention is not None
    assert found.retention.value == pytest.approx(found.leaf / found.teacher)
    assert found.retention.low < found.retention.value < found.retention.high < 1

    def ratio(places: Any) -> float:
        leaf_score, teacher_score = (spearmanr(side[places], np.array(human)[places]) for side in (ours, cosines))
        return float(leaf_score.statistic / teacher_score.statistic)

    draws = {"n_resamples": 1000, "method": "percentile", "vectorized": False}
    expected = bootstrap((np.arange(100),), ratio, random_state=np.random.default_rng(0), **draws).confidence_interval
    assert (found.retention.low, found.retention.high) == pytest.approx(tuple(expected))
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


@pytest.mark.parametrize("first", [True, False])
def test_a_quotation_mark_in_a_tsv_is_a_character(tmp_path: Path, first: bool) -> None:
    opened = ('"It never rains', "here") if first else ("here", '"It never rains')
    pairs = [("a", "b", 0.0), (*opened, 1.0), ('he said: "go"', "''", 2.0), ('"We shall see," said he', 'c"', 3.0)]
    file = tmp_path / "sts.tsv"
    file.write_text("sentence1\tsentence2\tscore\n" + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in pairs))
    found = load_sts(file)
    assert list(zip(found.first, found.second, found.scores, strict=True)) == pairs
    rows = [(f"{a} {number}", str(s)) for number in range(5) for a, _, s in pairs]
    file.write_text("text\tlabel\n" + "".join(f"{a}\t{s}\n" for a, s in rows))
    divided = load_classification(file)
    assert sorted(divided.train + divided.test) == sorted(rows)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("bad", [("c", "d"), ("c", "d", "2", "3"), ("c", "d", "two")], ids=str)
def test_a_line_of_another_form_is_named(tmp_path: Path, suffix: str, bad: tuple[str, ...]) -> None:
    rows = [("sentence1", "sentence2", "score"), ("a", "b", "1"), bad, ("e", "f", "3")]
    file = tmp_path / f"sts{suffix}"
    file.write_text("".join(("\t" if suffix == ".tsv" else ",").join(row) + "\n" for row in rows))
    reasons = r"(the score is no number|has more fields|lacks \['score'\])"
    with pytest.raises(CorpusError, match=rf"sts{suffix}:3:? {reasons}"):
        load_sts(file)


def test_without_a_split_the_same_texts_are_kept_every_time(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", [{"text": f"t{i}", "label": i % 3} for i in range(300)])
    found = load_classification(file)
    assert found == load_classification(file)
    assert 60 < len(found.test) < 120
    assert {text for text, _ in found.test}.isdisjoint(text for text, _ in found.train)


def test_validation_texts_are_used_for_nothing(tmp_path: Path) -> None:
    splits = ["train", "test", "validation", "Dev", "valid"]
    rows = [{"text": f"t{i}", "label": i % 2, "split": splits[i % 5]} for i in range(50)]
    found = load_classification(write(tmp_path / "c.jsonl", rows))
    assert [text for text, _ in found.train] == [f"t{i}" for i in range(0, 50, 5)]
    assert [text for text, _ in found.test] == [f"t{i}" for i in range(1, 50, 5)]
    assert found.left_out == {"validation texts, used for nothing": 30}


@pytest.mark.parametrize("given", [True, False])
def test_a_text_is_on_one_side_of_the_split(tmp_path: Path, given: bool) -> None:
    rows = [{"text": f"t{i % 17}", "label": i % 17 % 3} for i in range(170)]
    rows += [{"text": f"u{i}", "label": i // 2 % 2} for i in range(10)]
    if given:
        rows = [{**row, "split": "test" if i % 2 else "train"} for i, row in enumerate(rows)]
    found = load_classification(write(tmp_path / "c.jsonl", rows))
    assert {text for text, _ in found.train}.isdisjoint(text for text, _ in found.test)
    lost = 180 - len(found.train) - len(found.test)
    assert found.left_out == ({"training texts that are test texts too": lost} if given else {})
    assert lost == (85 if given else 0)


def test_pairs_that_a_model_cannot_rank(tmp_path: Path) -> None:
    """Every pair has the same cosine: there is no correlation, in JSON null and never NaN."""
    dataset = SimilaritySet("same", ("a", "b", "c"), ("a", "b", "c"), (1.0, 2.0, 3.0))
    found = evaluate_task(Words(), Words(), dataset)
    assert found.retention is None
    written = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(written)["teacher"] is None


@pytest.mark.parametrize(
    "line",
    [
        '{"text": null, "label": 1}',
        '{"text": ["a"], "label": 1}',
        '{"text": 5, "label": 1}',
        '{"text": "a", "label": null}',
        '{"text": "a", "label": [1]}',
        '{"text": "a", "label": 0, "split": "tset"}',
        '{"text": "a", "label": 0, "split": 3}',
    ],
)
def test_a_value_of_another_type_is_no_text(tmp_path: Path, line: str) -> None:
    rows = "".join(
        json.dumps({"text": f"t{i}", "label": i % 2, "split": "test" if i % 3 else "train"}) + "\n" for i in range(9)
    )
    (tmp_path / "c.jsonl").write_text(f"{rows}\n{line}\n")
    with pytest.raises(CorpusError, match=r"c\.jsonl:11"):
        load_classification(tmp_path / "c.jsonl")


@pytest.mark.parametrize("score", ['"NaN"', "true", "null", '"1,5"', "[1]"])
def test_a_score_is_a_number(tmp_path: Path, score: str) -> None:
    good = '{"sentence1": "a", "sentence2": "b", "score": 1}\n'
    (tmp_path / "s.jsonl").write_text(good + good.replace("1}", f"{score}}}"))
    with pytest.raises(CorpusError, match=r"s\.jsonl:2"):
        load_sts(tmp_path / "s.jsonl")


@pytest.mark.parametrize(
    ("load", "rows", "message"),
    [
        (
            load_sts,
            [{"sentence1": "a", "score": 1}],
            r":1 lacks \['sentence2'\]; expected the fields sentence1, sentence2",
        ),
        (load_sts, [{"sentence1": "a", "sentence2": "b", "score": "high"}], r"set\.jsonl:1: the score is no number"),
        (
            load_sts,
            [{"sentence1": "a", "sentence2": None, "score": 1}],
            r":1 lacks \['sentence2'\]; expected .* none of them null",
        ),
        (load_sts, [{"sentence1": "a", "sentence2": "b", "score": 1}], "at least two different scores"),
        (load_classification, [{"text": "a", "label": 1}] * 20, "has 1 classes to learn"),
        (load_classification, [{"text": "a"}], r"set\.jsonl:1 lacks \['label'\]; expected the fields text, label"),
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
            tabs: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None}
            table = csv.DictWriter(stream, list(rows[0]), **(tabs if file.suffix == ".tsv" else {}))
            table.writeheader()
            table.writerows(rows)
    return file
