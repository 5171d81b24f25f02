"""Corpus files: every format, and every way in which they are broken."""

import csv
import gzip
import io
import json
import re
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import Corpus, TeacherCache, Text
from leaf_embed.errors import CorpusError
from leaf_embed.teacher.fill import cut_texts
from leaf_embed.texts import clean

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


def test_a_null_among_many_texts_is_skipped_and_counted(tmp_path):
    schema = pa.schema([("text", pa.string()), ("title", pa.string())])
    rows = [{"text": "red"}, {"text": None}, {"text": None, "title": "River"}, {"text": "blue"}]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet")
    write(tmp_path / "a.jsonl", jsonl(rows))
    for name in ("a.parquet", "a.jsonl"):
        corpus = Corpus([tmp_path / name])
        assert list(corpus) == [Text("red"), Text("River"), Text("blue")]
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
    with pytest.raises(CorpusError, match=r"there is no file .*none.txt"):
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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RECORD = st.fixed_dictionaries({}, optional={"text": JSON, "title": JSON, "kind": JSON, "_id": JSON}) | JSON


@settings(max_examples=100, deadline=None)
@given(st.lists(RECORD, max_size=4))
def test_any_records_give_texts_or_an_error_that_names_the_line(tmp_path_factory, records):
    file = write(tmp_path_factory.mktemp("any") / "a.jsonl", jsonl(records))
    corpus = Corpus([file])
    try:
        found = list(corpus)
    except CorpusError as error:
        assert re.search(rf"{re.escape(str(file))}:\d+ ", str(error))  # noqa: PT017
        return
    assert len(found) + corpus.skipped["empty text"] == len(records), "nothing is lost in silence"
    for text in found:
        assert text.kind in ("query", "document")
        text.text.encode()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=4), st.sampled_from([".txt", ".jsonl", ".csv"]))
def test_any_characters_survive(tmp_path_factory, words, suffix):
    """NUL bytes, separators, lone surrogates: what stands in a JSON string comes out, cleaned and stripped."""
    file = tmp_path_factory.mktemp("any") / f"a{suffix}"
    if suffix == ".jsonl":
        write(file, jsonl([{"text": word} for word in words]))
        assert list(Corpus([file])) == [Text(clean(word.strip())) for word in words if word.strip()]
        return
    words = [word.encode("utf-8", "replace").decode() for word in words]
    if suffix == ".csv":
        rows = io.StringIO()
        csv.writer(rows, quoting=csv.QUOTE_ALL).writerows([["text"], *([word] for word in words)])
        write(file, rows.getvalue())
        texts = [word.replace("\0", "").strip() for word in words]  # Python 3.10's csv cannot read NUL
        assert [text.text for text in Corpus([file])] == [text for text in texts if text]
        return
    write(file, "\n".join(words))
    for text in Corpus([file]):
        text.text.encode()


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".parquet", ".txt.gz"])
def test_lines_of_ten_megabytes(tmp_path, suffix):
    line = "red stone \0 " * 850_000
    file = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"text": [line, "blue"]}), file)
    elif suffix == ".jsonl":
        write(file, jsonl([{"text": line}, {"text": "blue"}]))
    else:
        content = "\n".join((["text"] if suffix == ".csv" else []) + [line, "blue"]).encode()
        write(file, gzip.compress(content, 1) if suffix.endswith(".gz") else content)
    found = list(Corpus([file]))
    assert [text.text[:9] for text in found] == ["red stone", "blue"]
    assert len(found[0].text) > 8_000_000


def test_a_text_of_ten_megabytes_costs_little_to_cut(teacher_path):
    """The tokenizer sees the part that could matter; a megabyte without a space is one unknown word."""
    from sentence_transformers import SentenceTransformer

    tokenizer = SentenceTransformer(str(teacher_path), device="cpu").tokenizer
    long = [Text("red stone " * 1_000_000), Text("x" * 10_000_000), Text("\0" * 1_000_000 + "red"), Text("\0 \0")]
    began = time.monotonic()
    found = list(cut_texts(long, tokenizer, EmbeddingSpace("t", 2), 32))
    assert time.monotonic() - began < 2
    assert len(found[0][0].text.split()) == 30
    assert max(len(text.text) for text, _ in found) <= 32 * 512
    assert [whole for _, whole in found] == [False, False, False, True]


def test_nul_bytes_go_through_the_whole_cache(tmp_path):
    from tests.teacher.test_cache import SPACE, Counting

    cache = TeacherCache(tmp_path, SPACE)
    odd = [Text("a\0b"), Text("a\0"), Text("\u2028\x85"), Text("\ufeffx")]
    assert cache.texts(cache.fill(odd, Counting())) == odd
