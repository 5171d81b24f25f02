"""The commands about collections: what they estimate, keep, filter, find by words, and recommend."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from leaf_embed import load
from leaf_embed.cli import run
from leaf_embed.cli.commands.tune import tune_svg, tune_text
from leaf_embed.qdrant import TuneReport, TuneRow
from tests.conftest import sentences


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "docs.jsonl"
    records = [{"_id": f"d{i}", "text": f"{s} zx{i}q", "n": i} for i, s in enumerate(sentences(80, seed=7))]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_a_dry_run_makes_nothing(
    capsys: pytest.CaptureFixture[str], leaf_path: Path, corpus: Path, tmp_path: Path
) -> None:
    place = ["--leaf", leaf_path, "--path", tmp_path / "none", "--collection", "docs", "--input", corpus]
    code, plain, _ = call(capsys, "index", *place, "--dry-run", "--mrl", 16)
    assert code == 0
    assert plain.startswith("80 documents: about ")
    _, small, _ = call(capsys, "index", *place, "--dry-run", "--mrl", 16, "--quantization", "turbo4", "--hybrid")
    assert "BM25" in small
    assert "BM25" not in plain
    assert not (tmp_path / "none").exists()
    for wrong in (["--mrl", 32], ["--quantization", "int3"]):
        code, _, err = call(capsys, "index", *place, "--dry-run", *wrong)
        assert code == 1, wrong
        assert "error:" in err
    code, _, err = call(capsys, "index", *place, "--dry-run", "--preset", "best")
    assert code == 2
    assert "'best' is not one of 'balanced', 'small', 'exact'" in " ".join(err.replace("│", " ").split())


def test_words_filters_and_tuning(
    capsys: pytest.CaptureFixture[str], leaf_path: Path, teacher_path: Path, corpus: Path, tmp_path: Path
) -> None:
    place: list[Any] = ["--leaf", leaf_path, "--path", tmp_path / "collections", "--collection", "docs"]
    code, out, err = call(
        capsys, "index", *place, "--teacher", teacher_path, "--input", corpus, "--mrl", "16,8", "--hybrid"
    )
    assert code == 0, err
    assert "80 added" in out
    assert "80 documents: about" in err
    code, out, _ = call(capsys, "search", "zx17q", *place, "--hybrid", "--limit", 1, "--json")
    assert json.loads(out)["id"] == "d17"
    code, out, _ = call(capsys, "search", "red", *place, "--json", "--where", "n>=70", "n!=75")
    assert {json.loads(line)["id"] for line in out.splitlines()} == {f"d{n}" for n in range(70, 80) if n != 75}
    code, out, _ = call(capsys, "search", "zx17q", *place, "--hybrid", "--explain")
    assert "POST /collections/docs/points/query" in out
    assert "bm25" in out

    queries, plot = tmp_path / "queries.txt", tmp_path / "plot.svg"
    queries.write_text("\n".join(sentences(30, seed=9)))
    tuning = ["tune", *place, "--queries", queries, "--candidates", "10,40", "--presets", "exact", "--plot", plot]
    code, out, err = call(capsys, *tuning)
    assert code == 0, err
    assert out.count("take this") == 1
    assert "30 queries; the marked row" in out
    assert "p50 ms" in out
    ElementTree.parse(plot)
    code, out, _ = call(capsys, *tuning, "--max-queries", 5, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == (1 + 2 * 2) + 1
    assert sum(row["recommended"] for row in rows) == 1
    code, _, err = call(capsys, *tuning[:-1], tmp_path / "plot.png")
    assert code == 1
    assert "ends in .svg" in err


def row(recall: float, ms: float, candidates: int | None) -> TuneRow:
    return TuneRow("<mine>", None if candidates is None else 16, "int8", candidates, None, recall, 1.0, ms, ms, 20.0)


def test_the_pictures_show_every_setting() -> None:
    rows = (row(1.0, 9.0, None), row(0.9, 1.0, 20), row(0.99, 2.0, 50))
    report = TuneReport(rows, rows[2], 60, 0.95)
    image = ElementTree.fromstring(tune_svg(report))
    svg = "{http://www.w3.org/2000/svg}"
    groups = {title.text: group for group in image.iter(f"{svg}g") if (title := group.find(f"{svg}title")) is not None}
    assert [name.partition(":")[0] for name in map(str, groups)] == [
        "exact",
        "20 candidates",
        "50 candidates",
        "marked",
    ]
    circles = [next(group.iter(f"{svg}use")) for group in groups.values()]
    heights = [float(circle.get("y") or 0) for circle in circles]
    assert heights[0] < heights[2] < heights[1]  # the better recall stands higher
    places = [float(circle.get("x") or 0) for circle in circles]
    assert places[1] < places[2] < places[0]
    assert (places[3], heights[3]) == (places[2], heights[2])  # the ring
    text = tune_text(report)
    assert "<mine>: mrl_16 int8" in text
    lines = text.splitlines()
    assert lines[0].endswith("o")  # the exact search: best and slowest
    assert lines[0].startswith("  1.000 |")
    assert "|x" in lines[11]  # the worst and fastest


def test_a_collection_of_another_program_is_adopted_and_written_as_it_is(
    capsys: pytest.CaptureFixture[str], leaf_path: Path, teacher_path: Path, tmp_path: Path
) -> None:
    import qdrant_edge as e

    texts = sentences(40, seed=7)
    shard = tmp_path / "docs" / "shard"
    shard.mkdir(parents=True)
    teacher = load(leaf_path, document=str(teacher_path)).document_encoder
    config = e.EdgeConfig(vectors=e.EdgeVectorParams(size=teacher.space.dim, distance=e.Distance.Cosine))
    made = e.EdgeShard.create(str(shard), config)
    rows = teacher.encode_document(texts).tolist()
    made.update(
        e.UpdateOperation.upsert_points(
            [
                e.Point(n, row, {"page_content": text, "metadata": {"n": n}})
                for n, (row, text) in enumerate(zip(rows, texts, strict=True))
            ]
        )
    )
    made.close()
    place: list[Any] = ["--leaf", leaf_path, "--path", tmp_path, "--collection", "docs"]
    code, _, err = call(capsys, "search", "red", *place)
    assert (code, "leaf-embed adopt" in " ".join(err.split())) == (1, True)
    code, _, err = call(capsys, "adopt", *place, "--teacher", teacher_path, "--text-key", "body")
    assert code == 1
    assert "text_key" in err
    code, out, err = call(capsys, "adopt", *place, "--teacher", teacher_path)
    assert code == 0, err
    assert "docs: 40 documents, texts under 'page_content', metadata under 'metadata'" in " ".join(out.split())
    code, out, _ = call(capsys, "search", texts[3], *place, "--where", "n=3", "--json")
    assert [json.loads(line)["payload"] for line in out.splitlines()] == [{"n": 3}]
    file = tmp_path / "docs.jsonl"
    file.write_text("".join(json.dumps({"_id": n, "text": t, "n": n}) + "\n" for n, t in enumerate(texts)))
    code, out, err = call(capsys, "index", *place, "--teacher", teacher_path, "--input", file)
    assert "40 unchanged" in out, err


def test_options_for_a_new_collection_have_to_say_what_an_existing_one_has(
    capsys: pytest.CaptureFixture[str], leaf_path: Path, teacher_path: Path, corpus: Path, tmp_path: Path
) -> None:
    line = ["index", "--leaf", leaf_path, "--teacher", teacher_path, "--path", tmp_path, "--collection", "docs"]
    line += ["--input", corpus]
    assert call(capsys, *line, "--mrl", 16)[0] == 0
    for same in ([], ["--mrl", 16], ["--quantization", "int8"]):
        code, out, err = call(capsys, *line, *same)
        assert (code, "80 unchanged" in out) == (0, True), err
    for other, said in (
        (["--mrl", 8], "has mrl (16,), not (8,)"),
        (["--quantization", "turbo4"], "has quantization 'int8', not 'turbo4'"),
        (["--preset", "exact"], "has mrl (16,), not () and quantization 'int8', not 'none'"),
        (["--hybrid"], "has sparse 'none', not 'bm25'"),
    ):
        code, _, err = call(capsys, *line, *other)
        assert (code, said in " ".join(err.split())) == (1, True), err
        assert "add_mrl" in err
