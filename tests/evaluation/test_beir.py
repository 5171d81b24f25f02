"""Reading sets in BEIR's layout, and what is said about files that cannot be read."""

from __future__ import annotations

import gzip
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
        (
            {"qrels": "q2\td1\t1\n\nq1\td1\n"},
            r"test.tsv:3: .*: 2 columns between tabs; expected query-id, corpus-id and",
        ),
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


JUDGED = [("q1", "d1", 1), ("q1", "d2", -1), ("q3", "d3", 2)]


@pytest.mark.parametrize("header", ["", "query-id\tcorpus-id\tscore\n", "qid\tdocid\trelevance\n"])
@pytest.mark.parametrize("form", ["{}", "{}.0", "{}.", "+{}"])
def test_a_grade_may_be_written_as_a_float(tmp_path: Path, form: str, header: str) -> None:
    lines = "".join(f"{q}\t{d}\t{form.format(g) if g > 0 else g}\n" for q, d, g in JUDGED)
    found = load_beir(write(tmp_path, qrels=header + lines))
    assert found.qrels == {"q1": {"d1": 1, "d2": -1}, "q3": {"d3": 2}}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\t", " \t "])
def test_ends_of_lines(tmp_path: Path, end: str, tail: str) -> None:
    lines = f"\ufeffq1\td1\t1{tail}{end}{end}q3\td3\t2{tail}{end}"
    directory = write(tmp_path)
    (directory / "qrels" / "test.tsv").write_bytes(lines.encode())
    assert load_beir(directory).qrels == {"q1": {"d1": 1}, "q3": {"d3": 2}}


def test_what_is_not_evaluated_is_counted(tmp_path: Path) -> None:
    found = load_beir(write(tmp_path, qrels=QRELS + "q1\td1\t2\nq8\td1\t1\n"))
    assert found.left_out == {
        "queries without a judgement": 1,
        "queries whose judged documents are all irrelevant": 1,
        "judged queries that queries.jsonl lacks": 2,
        "judgements that stand twice": 1,
    }
    assert found.head(5) is found
    assert load_beir(write(tmp_path / "two", qrels="q1\td1\t1\nq3\td1\t1\n")).head(1).left_out == {
        "queries without a judgement": 1,
        "queries beyond the limit": 1,
    }


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q1\td1\thigh\n", r"test.tsv:1: .*'high', no whole number"),  # a query's id: no header, and not lost
        ("q1\td1\t0.5\n", r"test.tsv:1: .*'0.5', no whole number"),
        ("q1\td1\t1_0\n", r"test.tsv:1: .*'1_0'"),
        ("q1\td1\tnan\n", r"test.tsv:1: .*'nan'"),
        ("q1\td1\t1\nq1\td1\t2\n", r"test.tsv:2: .* have the grade 1 above"),
        ("q1\td1\t1\nq1\t0\td1\t1\n", r"test.tsv:2: .*4 columns below 3 columns"),
        ("q1\td1\t\n", r"test.tsv:1: .*2 columns between tabs"),
    ],
)
def test_judgements_that_cannot_be_meant(tmp_path: Path, qrels: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_beir(write(tmp_path, qrels=qrels))


def test_another_split_is_offered(tmp_path: Path) -> None:
    directory = write(tmp_path)
    (directory / "qrels" / "test.tsv").rename(directory / "qrels" / "dev.tsv")
    with pytest.raises(CorpusError, match=r"holds the splits dev: choose one with --split"):
        load_beir(directory)
    assert load_beir(directory, "dev").split == "dev"


@pytest.mark.parametrize("stream", [False, True])
def test_compressed_files_and_odd_characters(tmp_path: Path, stream: bool) -> None:
    corpus = [{"_id": "a\u2028", "text": "line\u2028separator\x85 \ud83d"}, {"_id": "\u00a0", "text": "\u00a0"}]
    lines = "\ufeff" + "\n\n".join(json.dumps(one, ensure_ascii=i == 0) for i, one in enumerate(corpus))
    qrels = "q1\ta\u2028\t1\n"
    plain = load_beir(write(tmp_path, corpus=lines, qrels=qrels), stream=stream)
    assert list(plain.document_ids) == ["a\u2028", "\u00a0"]
    texts = list(plain.documents)
    assert texts[0] == "line\u2028separator\x85 \ud83d"
    for file in [tmp_path / "tiny" / name for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    packed = load_beir(tmp_path / "tiny", stream=stream)
    assert list(packed.documents) == texts
    assert packed.digest == plain.digest


def test_the_digest_knows_the_judgements_and_not_their_order(tmp_path: Path) -> None:
    def digest(name: str, qrels: str) -> str:
        return load_beir(write(tmp_path / name, qrels=qrels)).digest

    first = digest("one", "q1\td1\t1\nq3\td3\t2\nq3\td1\t1\n")
    assert first == digest("two", "q3\td1\t1\nq3\td3\t2\nq1\td1\t1.0\n")
    assert first != digest("three", "q1\td1\t1\nq3\td3\t1\nq3\td1\t1\n")
