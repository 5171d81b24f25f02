"""Near-duplicates against a plain loop over tuples of words."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from leaf_embed.cli.app import run
from leaf_embed.distill import EvaluationIndex, Text, count_overlap
from leaf_embed.teacher.contamination import ngrams
from tests.conftest import WORDS

GENERATOR = random.Random(7)


def words(count: int) -> list[str]:
    return GENERATOR.choices(WORDS, k=count)


def runs(text: str) -> set[tuple[str, ...]]:
    parts = text.lower().split()
    return {tuple(parts[i : i + 13]) for i in range(len(parts) - 12)}


def test_against_a_loop() -> None:
    evaluation = [" ".join(words(GENERATOR.randint(5, 40))) for _ in range(60)]
    train = [" ".join(words(GENERATOR.randint(5, 60))) for _ in range(200)]
    for i in range(0, 60, 2):  # twelve to sixteen words of an evaluation text in the middle of a training text
        piece = evaluation[i].split()[3 : 3 + 12 + i % 5]
        train.append(" ".join(words(9) + [word.upper() for word in piece] + words(9)))
    train += [f"{text}!" for text in evaluation[:7]]
    known = set().union(*map(runs, evaluation))
    equal = [text for text in train if text.rstrip("!").lower() in evaluation]
    near = [text for text in train if text not in equal and runs(text) & known]
    found = count_overlap("train", train, [EvaluationIndex("set", evaluation), EvaluationIndex("empty", [])])
    assert (found[0].texts, found[0].equal, found[0].near) == (len(train), len(equal), len(near))
    assert len(equal) >= 7
    assert len(near) >= 10
    assert (found[1].equal, found[1].near, found[1].examples) == (0, 0, ())


def test_twelve_words_are_no_near_duplicate_and_thirteen_are() -> None:
    text = words(20)
    index = EvaluationIndex("set", [" ".join(text)])
    for length, expected in ((12, 0), (13, 1)):
        (found,) = count_overlap("t", [Text("so " + ", ".join(text[2 : 2 + length]) + " on", "query")], [index])
        assert (found.equal, found.near) == (0, expected)


def test_order_matters_and_short_texts_have_no_runs() -> None:
    text = [f"w{i}" for i in range(14)]
    assert len(ngrams(text)) == 2
    assert ngrams(text[:12]).shape == (0,)
    assert not np.isin(ngrams(text[::-1]), ngrams(text)).any()


def test_the_command(tmp_path: Path, capsys: object) -> None:
    text = " ".join(f"w{i}" for i in range(15))
    beir = tmp_path / "beir"
    beir.mkdir()
    (beir / "corpus.jsonl").write_text(json.dumps({"_id": "1", "text": text}) + "\n")
    (beir / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "what is it"}) + "\n")
    (tmp_path / "a.txt").write_text(f"other\n{text} and more\nWhat is it?\n")
    (tmp_path / "b.txt").write_text("nothing\n")
    result = tmp_path / "overlap.json"
    files = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    assert run(["overlap", "--train", *files, "--data", str(beir), "--output", str(result)]) == 0
    found = json.loads(result.read_text())
    assert [(one["texts"], one["equal"], one["near"]) for one in found] == [(3, 1, 1), (1, 0, 0)]
