"""Agreement without judgements, against sums written out and encoders that can be followed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from leaf_embed.encoders import LeafEncoder
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.evaluation.agreement import OwnTexts, load_own_texts, measure_agreement, rank_overlap
from tests.conftest import sentences
from tests.evaluation.words import Words

DOCUMENTS = OwnTexts(tuple(f"d{i}" for i in range(150)), tuple(sentences(150, seed=3)))
QUESTIONS = OwnTexts(tuple(f"q{i}" for i in range(60)), tuple(text[:24] for text in DOCUMENTS.texts[:60]))


def slow_overlap(first: list[int], second: list[int], p: float) -> float:
    """The definition: the agreement at each depth, weighted by p to the depth, the last one going on for ever."""
    depth = len(first)
    shares = [len(set(first[:d]) & set(second[:d])) / d for d in range(1, depth + 1)]
    return (1 - p) / p * sum(share * p**d for d, share in enumerate(shares, 1)) + shares[-1] * p**depth


@pytest.mark.parametrize("depth", [1, 2, 10, 100])
def test_rank_biased_overlap(depth: int) -> None:
    random = np.random.default_rng(depth)
    for _ in range(20):
        first, second = (random.permutation(depth + depth // 2)[:depth] for _ in range(2))
        assert rank_overlap(first, second) == pytest.approx(slow_overlap(first.tolist(), second.tolist(), 0.9))
    first = np.arange(depth)
    assert rank_overlap(first, first) == pytest.approx(1)
    assert rank_overlap(first, first + depth) == 0


def test_a_leaf_that_is_its_teacher_agrees() -> None:
    found = measure_agreement(Words(), Words(), QUESTIONS, DOCUMENTS)
    assert (found.top_ten.value, found.rank_biased.value, found.first_changed.value) == pytest.approx((1, 1, 0))
    assert found.changes == ()
    assert found.top_ten.low is not None
    assert 0.8 < found.top_ten.low < 1  # sixty questions do not show that none changes


def test_a_worse_leaf_agrees_less_and_is_shown() -> None:
    leaf, teacher = Words(noise=3), Words()
    found = measure_agreement(LeafEncoder(leaf, teacher), teacher, QUESTIONS, DOCUMENTS)
    ours, theirs = (encoder.encode_query(QUESTIONS.texts) for encoder in (leaf, teacher))
    stored = teacher.encode_document(DOCUMENTS.texts)
    firsts = [(side @ stored.T).argmax(axis=1) for side in (ours, theirs)]
    tops = [np.argsort(-(side @ stored.T), axis=1)[:, :10] for side in (ours, theirs)]
    assert found.first_changed.value == pytest.approx(np.mean(firsts[0] != firsts[1]))
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(*(top.tolist() for top in tops), strict=True)]
    assert found.top_ten.value == pytest.approx(np.mean(shares))
    for one in (found.top_ten, found.rank_biased, found.first_changed):
        assert one.low is not None
        assert one.high is not None
        assert 0 <= one.low < one.value < one.high <= 1
    assert len(found.changes) == 20
    overlaps = [change.overlap for change in found.changes]
    assert overlaps == sorted(overlaps)
    row = QUESTIONS.ids.index(found.changes[0].id)
    assert [hit.id for hit in found.changes[0].teacher_hits] == [DOCUMENTS.ids[i] for i in tops[1][row][:5]]
    assert found.changes[0].text in found.details()
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_log_is_read_whole_or_counted(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("\ufeffred river\r\n\r\n  blue \nred river\n")
    found = load_own_texts(tmp_path / "log.txt")
    assert (found.ids, found.texts) == (("1", "3"), ("red river", "blue"))
    assert found.left_out == {"empty texts in log.txt": 1, "repeated texts in log.txt": 1}
    (tmp_path / "d.jsonl").write_text(
        '{"_id": "a", "title": "T", "text": "x"}\n{"id": 7, "text": "y"}\n{"text": null}\n'
    )
    records = load_own_texts(tmp_path / "d.jsonl")
    assert (records.ids, records.texts) == (("a", "7"), ("T x", "y"))
    assert records.left_out == {"empty texts in d.jsonl": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}', r"d\.jsonl:1 has no text"),
        ('{"text": 1}', r"d\.jsonl:1 has no text"),
        ("[1]", r"d\.jsonl:1 has no text"),
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}', r"d\.jsonl:2: the id 'a' occurs twice"),
        ("\n", "holds no text"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d.jsonl").write_text(content)
    with pytest.raises(CorpusError, match=message):
        load_own_texts(tmp_path / "d.jsonl")


def test_few_questions_have_no_interval() -> None:
    few = OwnTexts(QUESTIONS.ids[:5], QUESTIONS.texts[:5])
    found = measure_agreement(Words(noise=1), Words(), few, DOCUMENTS)
    assert (found.top_ten.low, found.top_ten.high) == (None, None)
    assert "no interval" in str(found)
    with pytest.raises(InputError, match="at least two documents"):
        measure_agreement(Words(), Words(), few, OwnTexts(("a",), ("b",)))
