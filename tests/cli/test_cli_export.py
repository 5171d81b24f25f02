"""``leaf-embed export``: its options make what they say."""

import json
import re
import shutil

import pytest
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.cli import run
from leaf_embed.format import read_leaf
from tests.conftest import sentences


@pytest.fixture
def corpus(tmp_path):
    file = tmp_path / "corpus.jsonl"
    kinds = ("query", "document")
    lines = [json.dumps({"text": text, "kind": kinds[i % 2]}) for i, text in enumerate(sentences(60, seed=40))]
    file.write_text("\n".join(lines))
    return file


def test_a_report_on_the_card(leaf_path, corpus, tmp_path, capsys):
    copy = shutil.copytree(leaf_path, tmp_path / "copy")
    point = {"dim": 32, "quantization": "float32"}
    modes = {mode: {"nDCG@10": 0.5} for mode in ("teacher", "asymmetric", "symmetric")}
    head = {
        "format": "leaf-embed/evaluation",
        "version": 2,
        "fingerprint": read_leaf(copy).space.fingerprint,
        "teacher": "t",
    }
    report = tmp_path / "report.json"
    report.write_text(json.dumps(head | {"sets": [{"name": "rivers", "points": [point | {"modes": modes}]}]}))
    assert run(["export", str(copy), "--report", str(report), "--corpus", str(corpus)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == ["float32", "int8"]
    assert "same top ten" in out
    assert re.search(r"\| rivers +\| +32 \|", (copy / "README.md").read_text())


def test_fewer_dimensions_and_a_router(leaf_path, corpus, tmp_path):
    short, pair = tmp_path / "short", tmp_path / "pair"
    assert run(["export", str(leaf_path), "--dim", "8", "--output", str(short), "--corpus", str(corpus)]) == 0
    assert leaf_embed.load(short).encode_query("red stone").shape == (8,)
    assert run(["export", str(leaf_path), "--router", "--output", str(pair)]) == 0
    assert SentenceTransformer(str(pair), device="cpu").encode_document("red stone").shape == (32,)


@pytest.mark.parametrize("options", [["--dim", "8"], ["--output", "x"], ["--router", "--dim", "8", "--output", "x"]])
def test_options_that_do_not_go_together(leaf_path, options, capsys):
    assert run(["export", str(leaf_path), *options]) == 1
    assert "--output goes with either --dim or --router" in capsys.readouterr().err.replace("\n", " ")
