"""Own questions and pages as a retrieval set: what a source names, and pages ranked by their best document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaf_embed.cli import run
from leaf_embed.errors import CorpusError, InputError, StorageError
from leaf_embed.evaluation import load_beir
from leaf_embed.evaluation.own_data import Pages, make_set
from leaf_embed.evaluation.retrieval import evaluate_retrieval
from leaf_embed.vectors import normalize
from tests.conftest import sentences

DOCUMENTS: list[dict[str, Any]] = [
    {"_id": "a1", "text": "install with pip", "source": "docs/install.md", "title": "With pip"},
    {"_id": "a2", "text": "install with uv", "source": "docs/install.md", "title": "With uv"},
    {"_id": "b1", "text": "the first steps", "source": "docs/start.md", "title": "Steps"},
    {"_id": "c1", "text": "old steps", "source": "old/start.md", "title": "Steps"},
    {"_id": "d1", "text": "no page at all"},
]


def pages(documents: list[dict[str, Any]], key: str | None = None) -> Pages:
    found = Pages(key)
    for document in documents:
        found.add(document["_id"], document)
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("b1", ("document", ["b1"])),
        ("docs/install.md", ("page", ["a1", "a2"])),
        ("docs/install.md#with-uv", ("section", ["a2"])),
        ("docs/install.md#no-such", ("page", ["a1", "a2"])),
        ("./docs/Install.md/", ("page", ["a1", "a2"])),
        ("install.md", ("page", ["a1", "a2"])),
        ("start.md", None),  # two pages end so
        ("stall.md", None),
        ("d1", ("document", ["d1"])),
        ("", None),
        ("#with-uv", None),
    ],
)
def test_what_a_source_names(source: str, expected: Any) -> None:
    assert pages(DOCUMENTS).find(source) == expected


@pytest.mark.parametrize("place", ["metadata", "payload"])
def test_the_page_is_found_within_metadata(place: str) -> None:
    nested = [{"_id": d["_id"], place: {"source": d.get("source", "")}} for d in DOCUMENTS]
    assert pages(nested).find("docs/install.md") == ("page", ["a1", "a2"])
    assert pages(nested, f"{place}.source").key == f"{place}.source"


def test_a_set_is_read_by_evaluate_and_judged_by_page(tmp_path: Path) -> None:
    questions: list[dict[str, Any]] = [
        {"question": "how to install?", "source": "docs/install.md"},
        {"query": "how to start?", "page": ["docs/start.md", "old/start.md"]},
        {"question": "how to install?", "source": "b1"},
        {"question": "lost", "source": "nowhere.md"},
        {"question": "unasked", "source": None},
    ]
    made = make_set(questions, DOCUMENTS, tmp_path / "set")
    assert (made.questions, made.documents, made.pages) == (2, 5, 4)
    assert made.matched == {"page": 3, "document": 1}
    assert made.unmatched == (("lost", "nowhere.md"),)
    assert made.without_source == 1
    found = load_beir(tmp_path / "set")
    assert found.queries == ("how to install?", "how to start?")
    assert found.qrels["q1"] == {"docs/install.md": 1, "docs/start.md": 1}
    assert found.qrels["q2"] == {"docs/start.md": 1, "old/start.md": 1}
    assert found.documents[0] == "With pip install with pip"
    assert found.unknown_documents == 0
    judged = (tmp_path / "set" / "qrels" / "test.tsv").read_text().splitlines()
    assert judged[:4] == [
        "query-id\tcorpus-id\tscore",
        "q1\ta1\t1",
        "q1\ta2\t1",
        "q1\tb1\t1",
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_pages_are_ranked_by_their_best_document(tmp_path: Path, stream: bool) -> None:
    """Against a ranking of pages in plain Python, over random vectors."""
    draw = np.random.default_rng(4)
    documents = [{"_id": f"d{n}", "text": f"text {n}", "page": f"p{n % 37}"} for n in range(400)]
    questions = [{"question": f"question {n}", "source": f"p{draw.integers(37)}"} for n in range(30)]
    make_set(questions, documents, tmp_path / "set")
    dataset = load_beir(tmp_path / "set", stream=stream)
    queries, rows = (draw.normal(size=(count, 8)).astype(np.float32) for count in (30, 400))
    found = evaluate_retrieval(dataset, queries, rows)
    for number, question in enumerate(questions):
        cosines = queries[number] @ normalize(rows).T
        best = {f"p{page}": cosines[page::37].max() for page in range(37)}
        rank = 1 + sum(score > best[question["source"]] for score in best.values())
        assert found.scores["MRR@10"][number] == pytest.approx(1 / rank if rank <= 10 else 0)
        assert found.scores["nDCG@10"][number] == pytest.approx(1 / np.log2(1 + rank) if rank <= 10 else 0)
        assert found.scores["Recall@100"][number] == 1
        order = sorted(best, key=lambda page: -best[page])[:10]
        assert [f"p{row % 37}" for row in found.top[number]] == order


@pytest.mark.parametrize(
    ("questions", "documents", "said"),
    [
        ([{"question": "a", "source": "x"}], [], "no document"),
        ([{"question": "a", "source": "x"}], [{"_id": "1", "body": "b"}], "no 'text'"),
        ([{"question": "a", "source": "x"}], [{"_id": "1", "text": "b"}], "name it with --page-key"),
        ([{"question": "a", "source": "x"}], [{"_id": "1", "text": "b", "page": 1}] * 2, "'1' occurs twice"),
        ([{"question": "a", "source": "x"}], DOCUMENTS, r"sources 'x'; pages \(by 'source'\) 'docs/install.md'"),
        ([{"question": "a"}], DOCUMENTS, "evaluate --questions FILE --documents FILE"),
        ([{"source": "a1"}], DOCUMENTS, "no text under question, query, text"),
        ([], DOCUMENTS, "sources none"),
        ([{"question": "a", "source": "x\ty"}], [{"_id": "1", "text": "b", "page": "x\ty"}], "a tab or a line break"),
    ],
)
def test_what_cannot_be_a_set_writes_nothing(
    questions: list[dict[str, Any]], documents: list[dict[str, Any]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match=said):
        make_set(questions, documents, tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_the_output_must_be_new_and_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="exists already"):
        make_set([], DOCUMENTS, tmp_path / "file")
    with pytest.raises(StorageError):
        make_set([{"question": "a", "source": "a1"}], DOCUMENTS, tmp_path / "file" / "set")


@pytest.mark.parametrize("line", ["a1", "a1\t", "a1\tp\na1\tq"])
def test_a_damaged_file_of_pages_is_refused(line: str, tmp_path: Path) -> None:
    make_set([{"question": "a", "source": "a1"}], DOCUMENTS, tmp_path / "set")
    (tmp_path / "set" / "pages.tsv").write_text(line + "\n")
    with pytest.raises(CorpusError, match=r"pages.tsv:\d.*expected a document's id, a tab and its page"):
        load_beir(tmp_path / "set")


def test_the_road_from_questions_to_a_number(
    capsys: pytest.CaptureFixture[str], leaf_path: Path, teacher_path: Path, tmp_path: Path
) -> None:
    texts = sentences(60, seed=3)
    records = [{"_id": f"d{n}", "text": text, "metadata": {"source": f"page{n // 3}"}} for n, text in enumerate(texts)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = [f"{texts[n].replace(',', '')},page{n // 3}" for n in range(0, 60, 6)]
    (tmp_path / "q.csv").write_text("question,source\n" + "\n".join(rows) + "\nwhat is lost,nowhere\n")
    made = ["make-eval", "--questions", tmp_path / "q.csv", "--documents", tmp_path / "docs.jsonl"]
    assert run([str(part) for part in [*made, "--output", tmp_path / "set"]]) == 0
    said = capsys.readouterr()
    assert "10 questions on 60 documents of 20 pages; of their sources 10 name a page" in " ".join(said.out.split())
    assert "nowhere" in said.err
    measured = ["evaluate", "--leaf", leaf_path, "--teacher", teacher_path, "--data", tmp_path / "set"]
    assert run([str(part) for part in [*measured, "--output", tmp_path / "report.json"]]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["sets"][0]["points"][0]["modes"]["teacher"]["MRR@10"] == 1  # a question is its document
