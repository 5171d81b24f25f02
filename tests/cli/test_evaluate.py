"""``leaf-embed evaluate`` and ``compare`` from the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from leaf_embed.cli.app import run
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.evaluation import report_schema
from leaf_embed.evaluation.verdict import Verdict
from tests.conftest import sentences


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    root = tmp_path / "tiny"
    (root / "qrels").mkdir(parents=True)
    documents = [text for text in sentences(80, seed=5) if len(text.split()) > 6][:60]
    (root / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(documents))
    )
    (root / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{i}", "text": " ".join(documents[i].split()[:6])}) + "\n" for i in range(20))
    )
    (root / "qrels" / "test.tsv").write_text("".join(f"q{i}\td{i}\t1\n" for i in range(20)))
    return root


def call(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def test_the_second_evaluation_costs_no_teacher_pass(
    leaf_path: Path, beir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []
    original = SentenceTransformerEncoder._encode

    def counting(self: SentenceTransformerEncoder, texts: list[str], role: Any) -> Any:
        asked.append(len(texts))
        return original(self, texts, role)

    monkeypatch.setattr(SentenceTransformerEncoder, "_encode", counting)
    reports = []
    for number in range(2):
        asked.clear()
        output = tmp_path / f"report{number}.json"
        options = [
            "--cache",
            tmp_path / "cache",
            "--dims",
            "8",
            "--rotate",
            "--quantization",
            "float32,binary",
        ]
        assert call("evaluate", "--leaf", leaf_path, "--data", beir, *options, "--output", output) == 0
        reports.append(json.loads(output.read_text()))
        several = [count for count in asked if count > 1]  # of one text a call are those that are timed
        assert sum(several) == (80 if number == 0 else 0)
        assert asked.count(1) > 20
    for report in reports:
        del report["latency"], report["provenance"]["date"]
    assert reports[0] == reports[1]
    assert [(point["dim"], point["rotated"]) for point in reports[0]["mean"]] == [
        (32, False),
        (32, False),
        (8, False),
        (8, False),
        (32, True),
        (8, True),
        (8, True),
    ]
    assert reports[0]["leaf"] == leaf_path.name
    assert reports[0]["sizes"]["leaf"]["bytes"] > 0
    assert reports[0]["sizes"]["leaf"]["parameters"] < reports[0]["sizes"]["teacher"]["parameters"]
    assert (tmp_path / "report1.html").read_text().startswith("<!doctype html>")
    assert "canaries pass" in (tmp_path / "report1.md").read_text()
    capsys.readouterr()

    both = tmp_path / "report0.json", tmp_path / "report1.json"
    assert call("compare", *both, "--output", tmp_path / "c.json", "--html", tmp_path / "c.html") == 0
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")
    assert "too few queries to tell" in capsys.readouterr().out
    assert [delta["difference"]["value"] for delta in json.loads((tmp_path / "c.json").read_text())["deltas"]] == [0, 0]


def test_tasks_alone(leaf_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = sentences(60, seed=2)
    first, second = texts[:30], [" ".join(text.split()[: 1 + i % 9]) for i, text in enumerate(texts[:30])]
    write(tmp_path / "pairs.csv", ["sentence1", "sentence2", "score"], [*zip(first, second, range(30), strict=True)])
    write(tmp_path / "classes.csv", ["text", "label"], [(text, len(text.split()) > 12) for text in texts])
    output = tmp_path / "report.json"
    options = ["--sts", tmp_path / "pairs.csv", "--classification", tmp_path / "classes.csv", "--output", output]
    assert call("evaluate", "--leaf", leaf_path, *options) == 0
    found = json.loads(output.read_text())
    assert [(one["name"], one["kind"]) for one in found["tasks"]] == [("pairs", "spearman"), ("classes", "accuracy")]
    assert found["sets"] == found["mean"] == []
    assert "accuracy of the teacher" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert "Other tasks" in page
    assert "nDCG" not in page


def test_nothing_to_evaluate(leaf_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", "--leaf", leaf_path) == 1
    assert "nothing to measure on" in capsys.readouterr().err


def test_options_are_refused_before_the_work(
    leaf_path: Path, beir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.npy").write_text("nothing")
    np.save(tmp_path / "rotation.npy", np.eye(32)[::-1])
    matrix = tmp_path / "rotation.npy"
    for options, message in (
        (["--quantization", "turbo3"], "turbo3"),
        (["--rotation", tmp_path / "bad.npy"], "cannot read the rotation"),
        (["--rotation", matrix, "--rotate"], "give one of the two"),
        (["--output", tmp_path / "report.html"], "--output names the JSON file"),
        (["--output", tmp_path / "bad.npy" / "report.json"], "cannot write"),
        (["--runs", tmp_path / "bad.npy"], "cannot write"),
        (["--scores", tmp_path], "cannot write"),
        (["--accept", "97"], "must be above 0 and at most 1"),
        (["--price", "-1"], "must be 0 or more"),
        (["--split", "dev"], "qrels/ holds the splits test: choose one with --split"),
    ):
        assert call("evaluate", "--leaf", leaf_path, "--data", beir, *options) == 1
        shown = capsys.readouterr()
        assert message in shown.err
        assert "queries, leaf" not in shown.err
    output = tmp_path / "report.json"
    options = ["--rotation", matrix, "--dims", "8", "--output", output]
    assert call("evaluate", "--leaf", leaf_path, "--data", beir, *options) == 0
    assert [point["rotated"] for point in json.loads(output.read_text())["mean"]] == [False, False, True]


def write(file: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def test_the_engines_own_quantization_and_a_price(
    leaf_path: Path, beir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaf_embed.evaluation.size.STARTS", 1)
    output = tmp_path / "report.json"
    options = ["--quantization", "binary-rescored", "turbo1", "--output", output, "--price", "0.5"]
    assert call("evaluate", "--leaf", leaf_path, "--data", beir, *options) == 0
    report = json.loads(output.read_text())
    jsonschema.validate(report, report_schema())
    costs, points = report["costs"], report["mean"]
    assert costs["per_million_in_batches"] == pytest.approx(costs["cpu_ms"] / 3.6 * 0.5, rel=1e-3)
    one_by_one = costs["per_million_one_by_one"]
    assert one_by_one["teacher"] == pytest.approx(report["latency"]["teacher_cpu_ms"] / 3.6 * 0.5, rel=1e-3)
    assert [(point["dim"], point["quantization"]) for point in points] == [
        (32, "float32"),
        (32, "binary-rescored"),
        (32, "turbo1"),
    ]
    teacher = [point["modes"]["teacher"]["nDCG@10"] for point in points]
    assert teacher[2] < teacher[1] <= teacher[0] + 0.02


def test_the_verdict_is_an_exit_code(
    leaf_path: Path,
    beir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (beir / "qrels" / "test.tsv").rename(beir / "qrels" / "dev.tsv")
    files = ["--output", tmp_path / "r.json", "--runs", tmp_path / "runs", "--scores", tmp_path / "scores.parquet"]
    options = ["--split", "dev", "--max-queries", "15", *files]
    assert call("evaluate", "--leaf", leaf_path, "--data", beir, *options, "--accept", "0.9") == 3
    assert "no verdict on 90 %: an interval needs at least 30 queries" in capsys.readouterr().out.splitlines()[0]
    assert call("evaluate", "--leaf", leaf_path, "--data", beir, "--split", "dev", "--max-queries", "2") == 0
    monkeypatch.setattr(Verdict, "is_shown", True)
    assert call("evaluate", "--leaf", leaf_path, "--data", beir, *options, "--accept", "0.9") == 0
    found = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(found, report_schema())
    assert (found["verdict"]["accept"], found["verdict"]["status"]) == (0.9, "unknown")
    assert found["sets"][0]["data"]["split"] == found["provenance"]["options"]["split"] == "dev"
    assert found["provenance"]["teacher_precision"] in ("float32", "bfloat16")
    assert found["sets"][0]["queries"] == 15
    assert found["sets"][0]["data"]["counts"]["queries beyond the limit"] == 5
    table = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert len(table) == 15 * 3
    scores = [row["nDCG@10"] for row in table if row["mode"] == "asymmetric"]
    assert scores == pytest.approx(found["sets"][0]["per_query"]["asymmetric"], abs=1e-5)
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_questions_without_judgements(leaf_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = sentences(50, seed=4)
    (tmp_path / "log.txt").write_text("\n".join(" ".join(text.split()[:3]) for text in texts))
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    files = ["--questions", tmp_path / "log.txt", "--documents", tmp_path / "docs.jsonl"]
    assert call("evaluate", "--leaf", leaf_path, *files, "--output", tmp_path / "r.json") == 0
    assert "the teacher's ten best among the leaf's ten best:" in capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(found, report_schema())
    assert found["verdict"] is None
    assert found["agreement"]["documents"] == len(set(texts))
    assert found["agreement"]["changes"][0]["text"] in (tmp_path / "r.md").read_text()
    assert call("evaluate", "--leaf", leaf_path, *files[:2]) == 1
    assert "--questions and --documents belong together" in capsys.readouterr().err
