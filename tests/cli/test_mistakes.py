"""The likeliest mistakes of a first hour, in README's order: each is told what to type next, in flags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sentence_transformers", reason="pip install 'leaf-embed[train]'")

from leaf_embed.cli import run
from tests.conftest import sentences

DISTILL = "distill --teacher teacher --corpus docs.jsonl --output new"
FOUND = "--leaf leaf --path collections --collection docs"
MISTAKES = [  # what was typed, the exit code, and what the answer has to say
    ("distil --teacher teacher", 2, "Did you mean 'distill'?"),
    ("distill --teacher teacher --corpus docs.jsonl", 2, "Missing option '--output'"),
    ("distill --corpus docs.jsonl --output new", 1, "give --teacher, the directory or hub id of your embedding model"),
    ("distill --teacher teacher --output new", 1, "--corpus is missing: files of texts"),
    ("distill --teacher nowhere --corpus docs.jsonl --output new", 1, "there is no directory 'nowhere' here"),
    ("distill --teacher teacher --corpus no.jsonl --output new", 1, "there is no file no.jsonl"),
    ("distill --teacher teacher --corpus notes.md --output new", 1, "expected .txt, .jsonl, .csv, .parquet"),
    ("distill --teacher teacher --corpus keys.jsonl --output new", 1, "got the keys ['content']. Rename the key"),
    ("distill --teacher teacher --corpus empty.jsonl --output new", 1, "the corpus holds no text"),
    ("distill --teacher teacher --corpus docs.jsonl --output leaf", 1, "choose another --output"),
    (f"{DISTILL} --recipe fast", 1, "--recipe is paper, quick, static"),
    (f"{DISTILL} --learning-rate 1", 2, "--set learning_rate=VALUE"),
    ("inspect", 1, "name a leaf directory, or a collection with --collection"),
    ("inspect nowhere", 1, "leaf-embed distill --output nowhere"),
    ("inspect teacher", 1, "leaf-embed distill --teacher teacher --corpus TEXTS --output LEAF"),
    ("index --leaf leaf --collection docs --input docs.jsonl", 1, "give either --path"),
    ("index --leaf leaf --collection a/b --path collections --input docs.jsonl", 1, "cannot name a collection"),
    ("search tree --leaf leaf --path collections --collection other", 1, "Make one: leaf-embed index"),
    pytest.param(
        "search tree --leaf leaf --url http://127.0.0.1:9 --collection docs",
        *(1, "the server there, at http://127.0.0.1:9?"),
        marks=pytest.mark.slow,  # it tries for seconds
    ),
    (f"search {FOUND}", 2, "Missing argument 'query'"),
    ("evaluate --leaf leaf", 1, "give --data DIR"),
    ("evaluate --leaf leaf --data notes.md", 1, "Expected corpus.jsonl, queries.jsonl and qrels/test.tsv"),
    ("serve --leaf nowhere", 1, "expected a leaf directory"),
    ("serve --leaf leaf --port 99999", 1, "name another with --port"),
]


@pytest.fixture(scope="module")
def desk(leaf_path: Path, teacher_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as a newcomer has it."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "leaf").symlink_to(leaf_path)
    (folder / "teacher").symlink_to(teacher_path)
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(20)))
    (folder / "keys.jsonl").write_text('{"content": "a text"}\n')
    (folder / "empty.jsonl").touch()
    (folder / "notes.md").write_text("# Notes\n")
    return folder


@pytest.mark.parametrize(("typed", "code", "told"), MISTAKES, ids=str)
def test_a_mistake_is_told_what_to_type(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, typed: str, code: int, told: str
) -> None:
    monkeypatch.chdir(desk)
    before = {path.name for path in desk.iterdir()}
    assert run(typed.split()) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert told in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    new = {path.name for path in desk.iterdir()} - before
    assert new <= {"new.work"}, "nothing is left but what a distillation goes on from"


def test_nothing_typed_shows_the_road_and_no_colour() -> None:
    command = [sys.executable, "-c", "from leaf_embed.cli import main; main()"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm-256color"}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 2
    shown = found.stdout + found.stderr
    for step in ("leaf-embed distill --teacher", "leaf-embed index --leaf", "leaf-embed search", "leaf-embed evaluate"):
        assert step in shown
    assert "\x1b" not in shown
