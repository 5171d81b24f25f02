"""Corpus files: every format, and every way in which they are broken."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaf_embed.distill import Corpus, Text
from leaf_embed.errors import CorpusError

RECORDS = [{"text": "red stone"}, {"text": "where is it", "kind": "query"}, {"title": "River", "text": "cold water"}]
EXPECTED = [Text("red stone"), Text("where is it", "query"), Text("River cold water")]


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def test_txt(tmp_path):
    corpus = Corpus([write(tmp_path / "a.txt", "\ufeffred stone\r\n\n  blue  \n")])
    assert list(corpus) == [Text("red stone"), Text("blue")]
    assert corpus.skipped == {"empty text": 1}


def test_jsonl(tmp_path):
    assert list(Corpus([write(tmp_path / "a.jsonl", jsonl(RECORDS))])) == EXPECTED


def test_jsonl_gz(tmp_path):
    assert list(Corpus([write(tmp_path / "a.jsonl.gz", gzip.compress(jsonl(RECORDS).encode()))])) == EXPECTED


def test_csv(tmp_path):
    content = "title,text,kind\n,red stone,\n,where is it,query\nRiver,cold water,document\n"
    assert list(Corpus([write(tmp_path / "a.csv", content)])) == EXPECTED


def test_parquet(tmp_path):
    schema = pa.schema([(name, pa.string()) for name in ("title", "text", "kind")])
    pq.write_table(pa.Table.from_pylist(RECORDS, schema), tmp_path / "a.parquet")
    assert list(Corpus([tmp_path / "a.parquet"])) == EXPECTED


def test_queries_by_file_name_and_directories(tmp_path):
    write(tmp_path / "queries.jsonl", jsonl([{"_id": "1", "text": "where"}]))
    write(tmp_path / "corpus.jsonl", jsonl([{"_id": "1", "title": "T", "text": "there"}]))
    write(tmp_path / "README.md", "not a corpus")
    assert list(Corpus([tmp_path])) == [Text("T there"), Text("where", "query")]


def test_can_be_read_twice(tmp_path):
    corpus = Corpus([write(tmp_path / "a.txt", "red\n\n")])
    assert list(corpus) == list(corpus)
    assert corpus.skipped == {"empty text": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": ', r"a\.jsonl:2 is no JSON"),
        ("a.jsonl", '{"body": "a"}\n', r"a\.jsonl:1 has no text.*keys \['body'\]"),
        ("a.jsonl", "[1]\n", "got list"),
        ("a.jsonl", '{"text": 3}\n', "has no text"),
        ("a.jsonl", '{"text": "a", "kind": "passage"}\n', "expected 'query' or 'document'"),
        ("a.jsonl", "[" * 100_000, "is no JSON"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
        ("a.csv", "body\na\n", "has no text"),
        ("a.txt.gz", gzip.compress(b"a\n" * 1000)[:-9], "Is it whole"),
        ("a.parquet", b"PAR1 and then nothing", "as parquet"),
        ("a.pdf", "text", "unknown format"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    with pytest.raises(CorpusError, match=message):
        list(Corpus([write(tmp_path / name, content)]))


def test_missing_files(tmp_path):
    with pytest.raises(CorpusError, match="there is no corpus file"):
        Corpus([tmp_path / "none.txt"])
    with pytest.raises(CorpusError, match="holds no corpus file"):
        Corpus([tmp_path])
    with pytest.raises(CorpusError, match="no corpus file given"):
        Corpus([])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([".txt", ".jsonl", ".csv", ".parquet", ".txt.gz"]), st.binary(max_size=200))
def test_any_bytes_give_texts_or_a_clear_error(tmp_path_factory, suffix, content):
    file = write(tmp_path_factory.mktemp("any") / f"a{suffix}", content)
    try:
        for text in Corpus([file]):
            assert text.text
            text.text.encode()
    except CorpusError as error:
        assert str(file) in str(error)  # noqa: PT017
