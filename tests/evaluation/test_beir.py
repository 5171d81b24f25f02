"""Reading sets in BEIR's layout, and what is said about files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leaf_embed.errors import CorpusError
from leaf_embed.evaluation import RetrievalSet, load_beir

CORPUS = [
    {"_id": "d1", "title": "Rain", "text": "falls"},
    {"_id": "d2", "text": "no title"},
    {"_id": "d3", "title": "", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "wet"}, {"_id": "q2", "text": "unjudged"}, {"_id": "q3", "text": "only zeros"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td9\t1\nq3\td2\t0\nq7\td1\t1\n"


def write(path: Path, corpus: str | None = None, queries: str | None = None, qrels: str = QRELS) -> Path:
    directory = path / "tiny"
    (directory / "qrels").mkdir(parents=True)
    default = "\n".join(map(json.dumps, CORPUS))
    (directory / "corpus.jsonl").write_text(default if corpus is None else corpus, encoding="utf-8")
    default = "\n".join(map(json.dumps, QUERIES)) + "\n\n"
    (directory / "queries.jsonl").write_text(default if queries is None else queries, encoding="utf-8")
    (directory / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return directory


def test_a_set_is_read_as_beir_reads_it(tmp_path: Path) -> None:
    found = load_beir(write(tmp_path))
    assert found.name == "tiny"
    assert found.document_ids == ("d1", "d2", "d3")
    assert found.documents == ("Rain falls", "no title", "")
    assert (found.query_ids, found.queries) == (("q1",), ("wet",))
    assert found.qrels["q1"] == {"d1": 2, "d9": 1}
    assert found.unknown_documents == 1


def test_qrels_without_a_header(tmp_path: Path) -> None:
    assert load_beir(write(tmp_path, qrels="q1\td1\t1\n")).query_ids == ("q1",)


TREC = ("q1", "0", "d1", "2"), ("q1", "Q0", "d9", "1"), ("q3", "4.5", "d2", "0"), ("q7", "0", "d1", "1")


@pytest.mark.parametrize("header", [(), (("query-id", "iter", "corpus-id", "score"),)], ids=["bare", "header"])
@pytest.mark.parametrize("gap", ["\t", " ", "   "])
def test_trecs_four_columns_say_the_same(tmp_path: Path, gap: str, header: tuple[tuple[str, ...], ...]) -> None:
    found = load_beir(write(tmp_path, qrels="".join(f"{gap.join(row)} \n" for row in (*header, *TREC))))
    assert found.qrels == load_beir(write(tmp_path / "beir")).qrels


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    directory = write(tmp_path)
    (directory / "corpus.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"corpus.jsonl, qrels.dev.tsv not found"):
        load_beir(directory, split="dev")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"corpus": '{"_id": "a", "text": "b"}\nno json'}, r"corpus.jsonl:2 is no JSON: .*per line"),
        ({"corpus": '{"_id": 1, "text": "b"}'}, r"corpus.jsonl:1: .* must be strings"),
        ({"corpus": '{"_id": "a"}'}, r"corpus.jsonl:1: .*KeyError: 'text'"),
        ({"corpus": "[1]"}, r"corpus.jsonl:1: "),
        ({"corpus": '{"_id": "a", "text": "b"}\n{"_id": "a", "text": "c"}'}, r"corpus.jsonl:2: .* occurs twice"),
        ({"corpus": ""}, r"corpus.jsonl is empty"),
        ({"queries": "\n\n"}, r"queries.jsonl is empty"),
        ({"qrels": "query-id\tcorpus-id\tscore\nq1 d1 1\n"}, r"test.tsv:2: 'q1 d1 1'"),
        ({"qrels": "query-id\tcorpus-id\tscore\nq1\td1\thigh\n"}, r"test.tsv:2: "),
        ({"qrels": "q1\t0\td1\t1\nq1\t0\td1\thigh\n"}, r"test.tsv:2: .*'high'"),
        ({"qrels": "q1\td1\n\nq1\td1\n"}, r"test.tsv:3: .*: 2 columns between tabs; expected query-id, corpus-id and"),
        ({"qrels": "q1\t0\td1\t1\t9\n"}, r"test.tsv:1: .*: 5 columns between tabs; expected .* or TREC's"),
        ({"qrels": "q1 0 d1 1\nq1 d1 1\n"}, r"test.tsv:2: .*: 3 columns between blanks; expected"),
        ({"qrels": "query-id\tcorpus-id\tscore\n"}, r"holds no judgement"),
        ({"qrels": "q9\td1\t1\n"}, r"judges no query"),
        ({"qrels": "q1\td8\t1\n"}, r"judges no query .* with a document"),
    ],
)
def test_malformed_files(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_beir(write(tmp_path, **files))


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    directory = write(tmp_path)
    (directory / "queries.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match=r"cannot read .*queries\.jsonl.*UTF-8"):
        load_beir(directory)


@pytest.mark.parametrize(
    ("documents", "queries", "qrels", "message"),
    [
        ((), ("q",), {"q": {"d": 1}}, "no documents"),
        (("d",), (), {}, "no queries"),
        (("d", "d"), ("q",), {"q": {"d": 1}}, "1 repeated ids of documents"),
        (("d",), ("q",), {"q": {"d": 0}}, "1 queries without a positive judgement: 'q'"),
    ],
)
def test_a_set_that_cannot_be_evaluated(
    documents: tuple[str, ...], queries: tuple[str, ...], qrels: dict[str, dict[str, int]], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        RetrievalSet("bad", documents, documents, queries, queries, qrels)
