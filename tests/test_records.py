"""The one reader of record files: numbers, values, and errors of the type that is asked for."""

import gzip
import random
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaf_embed._records import check_file, format_of, read_lines, read_records
from leaf_embed.errors import CorpusError, InputError

WRITTEN = {
    ".txt": ("\ufeffred\r\n\n blue", [(1, "red"), (2, ""), (3, "blue")]),
    ".jsonl": ('{"a": 1}\n\n[2]\n"x"\n', [(1, {"a": 1}), (2, ""), (3, [2]), (4, "x")]),
    ".csv": ('a,b\n"1\n1",\0x\n2,"y,z"\n', [(2, {"a": "1\n1", "b": "x"}), (3, {"a": "2", "b": "y,z"})]),
    ".tsv": ('a\tb\n"1\tx\n2\t"y,z\n', [(2, {"a": '"1', "b": "x"}), (3, {"a": "2", "b": '"y,z'})]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_text_format(tmp_path, suffix, packed):
    content, expected = WRITTEN[suffix]
    file = tmp_path / f"a{suffix}{'.gz' * packed}"
    file.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert format_of(file) == suffix
    assert list(read_records(file, InputError)) == expected


def test_columns_of_parquet(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", None], "n": [1, 2], "vector": [[1.0], [2.0]]}), file)
    assert list(read_records(file, InputError, ("text", "title"))) == [(1, {"text": "a"}), (2, {"text": None})]
    assert [row.keys() for _, row in read_records(file, InputError)] == [{"text", "n", "vector"}] * 2


@pytest.mark.parametrize("error", [InputError, CorpusError])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{', r"a\.jsonl:2 is no JSON: .*; expected one JSON value per line"),
        ("a.txt", b"a\nb\n\xff\n", r"cannot read .*a\.txt:3: .*Is it UTF-8"),
        ("a.tsv.gz", gzip.compress(b"a\n\xed\xa0\xbd\n"), r"a\.tsv\.gz:2: .*Is it UTF-8"),  # half an emoji
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n")[:-4], "Is it whole"),
        ("a.txt.gz", b"no gzip", "Is it whole"),
        ("a.csv", b'a,b\n"open,1\nx,2\n', r"a\.csv:2 as .csv: .*every quotation to be closed"),
        ("a.csv", b'a,b\nx,1\n"It never rains,1\ny,"z"\n', r"a\.csv:3 as .csv"),
        ("a.csv", b"a,b\nx,1\nx,1,2\n", r"a\.csv:3 has more fields than the header: 3, not 2 \(a, b\)"),
        ("a.tsv", b"a\tb\n\nx\t1\t2\n", r"a\.tsv:3 has more fields than the header"),
        ("a.csv", b"a,b,a\n1,2,3\n", r"a\.csv:1 names the column 'a' twice"),
        ("a.parquet", b"PAR1", r"cannot read .*a\.parquet as parquet"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, error, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        list(read_records(tmp_path / name, error))


def test_a_gzip_file_damaged_in_the_middle(tmp_path):
    packed = bytearray(gzip.compress(random.Random(0).randbytes(4000).hex().encode()))
    packed[1000:1400] = bytes(400)
    with pytest.raises((zlib.error, gzip.BadGzipFile)):
        gzip.decompress(bytes(packed))
    (tmp_path / "a.txt.gz").write_bytes(packed)
    with pytest.raises(CorpusError, match="Is it whole"):
        list(read_records(tmp_path / "a.txt.gz", CorpusError))


def test_lines_that_are_not_blank(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb \n\n \nc\t\r\n")
    assert list(read_lines(tmp_path / "a.tsv", InputError)) == [(1, "a\tb "), (4, "c\t")]


def test_a_file_is_refused_before_it_is_read(tmp_path):
    for name in ("a.txt", "a.pdf", "a.parquet.gz"):
        (tmp_path / name).write_text("")
    check_file(tmp_path / "a.txt", (".txt", ".csv"), CorpusError)
    with pytest.raises(CorpusError, match=r"there is no file .*none\.txt"):
        check_file(tmp_path / "none.txt", (".txt",), CorpusError)
    with pytest.raises(InputError, match=r"a\.txt is of an unknown format; expected \.csv, \.tsv, or"):
        check_file(tmp_path / "a.txt", (".csv", ".tsv"), InputError)
    assert [format_of(tmp_path / name) for name in ("a.pdf", "a.parquet.gz")] == [None, None]


def test_rows_with_fewer_fields_and_separators_at_the_end(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"a\tb\t\r\n\r\n1\t\r\n2\tx\ry\t\t\r\n3\r\n")
    expected = [(3, {"a": "1", "b": ""}), (4, {"a": "2", "b": "x\ry"}), (5, {"a": "3", "b": None})]
    assert list(read_records(tmp_path / "a.tsv", InputError)) == expected
    (tmp_path / "a.csv").write_bytes(b"a,b,\r\n\r\n1,,\r\n3\r\n")
    assert list(read_records(tmp_path / "a.csv", InputError)) == [(2, {"a": "1", "b": ""}), (3, {"a": "3", "b": None})]


def test_a_large_field(tmp_path):
    (tmp_path / "a.csv").write_text(f"text\n{'x' * 300_000}\n")
    assert [len(row["text"]) for _, row in read_records(tmp_path / "a.csv", InputError)] == [300_000]
