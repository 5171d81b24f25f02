"""The one reader of files of records: .txt, .jsonl, .csv, .tsv and .parquet, also with a column of vectors.

Everything is read in bounded memory. All but .parquet may be compressed, with .gz after the suffix.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

import numpy as np

from leaf_embed._extras import require
from leaf_embed.errors import LeafEmbedError

__all__ = ["ParquetVectors", "check_file", "format_of", "parse_json", "read_lines", "read_records"]

FORMATS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
ROWS = 4096  # of parquet in memory at a time
FIELD = 1 << 30  # characters in one field of a .csv at most
BLANKS = " \t\r\n"  # what JSON calls white space


def format_of(file: str | os.PathLike[str], formats: Sequence[str] = FORMATS) -> str | None:
    """Returns the suffix that names a file's format, ``.gz`` left out, or ``None`` if it is none of ``formats``."""
    name = os.fspath(file)
    suffix = Path(name.removesuffix(".gz")).suffix
    return suffix if suffix in formats and not (suffix == ".parquet" and name.endswith(".gz")) else None


def check_file(file: str | os.PathLike[str], formats: Sequence[str], error: type[LeafEmbedError]) -> None:
    """Refuses a file that cannot be read, before anything else is done.

    Raises:
        LeafEmbedError: ``error``: it is missing, or of an unknown format.
    """
    if not Path(file).is_file():
        raise error(f"there is no file {os.fspath(file)}; is the path right?")
    if format_of(file, formats) is None:
        expected = ", ".join(formats)
        raise error(f"{os.fspath(file)} is of an unknown format; expected {expected}, or a text format with .gz")


def read_records(
    file: str | os.PathLike[str], error: type[LeafEmbedError], columns: Sequence[str] | None = None
) -> Iterator[tuple[int, Any]]:
    """Yields the number of each line or row, and what it holds.

    ========== ============================================================================================
    .txt       each line, stripped; blank ones too, as ``""``
    .jsonl     the JSON value of each line; ``""`` for a blank one
    .csv       a dictionary per row, rows numbered from 2, below the header; ``None`` for fields that a row lacks
    .tsv       the same between tabs, without quoting: each line is one row, numbered as in the file
    .parquet   a dictionary per row, numbered from 1
    ========== ============================================================================================

    Args:
        file: Its path; the suffix names the format, see :func:`format_of`.
        error: What to raise.
        columns: Columns of a .parquet to read, those of them that exist; all by default.

    Raises:
        LeafEmbedError: ``error``: the file cannot be read or is damaged, a quotation of a .csv is not closed, a row
            has more fields than the header, or two columns of the header have one name; the message names the file,
            and the line if one is to blame.
    """
    kind = format_of(file)
    if kind == ".parquet":
        source = _open_parquet(file, error)
        names = source.schema_arrow.names
        rest = names if columns is None else [name for name in names if name in columns]
        batches = _batches(source, file, error, ROWS, rest)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)
    elif kind in (".csv", ".tsv"):
        yield from _table(file, error, kind)
    else:
        for number, line in _lines(file, error):
            if kind == ".jsonl":
                yield number, parse_json(line.strip(BLANKS), f"{os.fspath(file)}:{number}", error)
            else:
                yield number, line.strip()


def _table(file: str | os.PathLike[str], error: type[LeafEmbedError], kind: str) -> Iterator[tuple[int, Any]]:
    """The rows below the header of a .csv or .tsv, each as a dictionary; blank lines are skipped."""
    header: list[str] | None = None
    number = 1
    for line, fields in (_tabs if kind == ".tsv" else _quoted)(file, error):
        if header is None:
            header = fields
            while header and not header[-1].strip():  # a separator at the end of the line names no column
                header.pop()
            if twice := sorted({name for name in header if header.count(name) > 1}):
                raise error(f"{os.fspath(file)}:{line} names the column {twice[0]!r} twice; expected different names")
            continue
        number = line if kind == ".tsv" else number + 1  # rows of a .csv may span lines, and give documents their ids
        if any(field.strip() for field in fields[len(header) :]):
            raise error(
                f"{os.fspath(file)}:{line} has more fields than the header: {len(fields)}, not {len(header)} "
                f"({', '.join(header)}). Is a separator inside a field not quoted?"
            )
        yield number, dict(zip_longest(header, fields[: len(header)]))


def _tabs(file: str | os.PathLike[str], error: type[LeafEmbedError]) -> Iterator[tuple[int, list[str]]]:
    return ((number, line.replace("\0", "").split("\t")) for number, line in read_lines(file, error))


def _quoted(file: str | os.PathLike[str], error: type[LeafEmbedError]) -> Iterator[tuple[int, list[str]]]:
    """The first line and the fields of each row; strict, so that an open quotation never swallows rows."""
    csv.field_size_limit(FIELD)
    reader = csv.reader((line.replace("\0", "") for _, line in _lines(file, error, newline="")), strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as reason:
        where = f"{os.fspath(file)}:{start}"
        raise error(
            f"cannot read {where} as .csv: {reason}. Expected a quotation mark inside a quoted field to be doubled, "
            "and every quotation to be closed"
        ) from reason


def read_lines(file: str | os.PathLike[str], error: type[LeafEmbedError]) -> Iterator[tuple[int, str]]:
    """Yields the number of each line that is not blank, and the line without its end.

    Raises:
        LeafEmbedError: ``error``: the file cannot be read.
    """
    return ((number, line.rstrip("\r\n")) for number, line in _lines(file, error) if line.strip())


def _lines(file: str | os.PathLike[str], error: type[LeafEmbedError], newline: str = "\n") -> Iterator[tuple[int, str]]:
    try:
        with _open(Path(file), newline) as stream:
            yield from enumerate(stream, 1)
    except UnicodeDecodeError as reason:
        raise error(f"cannot read {os.fspath(file)}:{_first_bad_line(file)}: {reason}. Is it UTF-8?") from reason
    except (OSError, EOFError, zlib.error) as reason:
        raise error(f"cannot read {os.fspath(file)}: {reason}. Is it whole?") from reason


def _first_bad_line(file: str | os.PathLike[str]) -> int:
    """The number of the first line that is no UTF-8; a text is decoded in larger parts than lines."""
    path = Path(file)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        return next((number for number, line in enumerate(stream, 1) if not _is_utf8(line)), 1)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _open(file: Path, newline: str) -> IO[str]:
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig", newline=newline)
    return file.open(encoding="utf-8-sig", newline=newline)


def parse_json(line: str, place: str, error: type[LeafEmbedError]) -> Any:
    """Returns the JSON value of a stripped line, ``""`` of an empty one.

    Raises:
        LeafEmbedError: ``error``: it is no JSON; the message begins with ``place``.
    """
    try:
        return json.loads(line) if line else ""
    except (ValueError, RecursionError) as reason:
        raise error(f"{place} is no JSON: {reason}; expected one JSON value per line") from reason


def _open_parquet(file: str | os.PathLike[str], error: type[LeafEmbedError]) -> Any:
    arrow: Any = require("pyarrow", "train", "Reading parquet")
    parquet: Any = require("pyarrow.parquet", "train", "Reading parquet")
    try:
        return parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as reason:
        raise error(f"cannot read {os.fspath(file)} as parquet: {reason}") from reason


def _batches(
    source: Any, file: str | os.PathLike[str], error: type[LeafEmbedError], rows: int, columns: Sequence[str]
) -> Iterator[Any]:
    arrow: Any = require("pyarrow", "train", "Reading parquet")
    try:
        yield from source.iter_batches(batch_size=rows, columns=list(columns))
    except (arrow.ArrowException, OSError) as reason:
        raise error(f"cannot read {os.fspath(file)} as parquet: {reason}") from reason


class ParquetVectors:
    """A parquet file with a column of vectors."""

    def __init__(
        self,
        file: str | os.PathLike[str],
        vector: str,
        needed: Sequence[str],
        error: type[LeafEmbedError],
        hint: str = "",
    ) -> None:
        """Opens a file and looks at its columns.

        Args:
            file: Its path.
            vector: Column of the vectors: lists of numbers.
            needed: The other columns that it must have.
            error: What to raise.
            hint: What to do if a column is missing, as a sentence.

        Raises:
            LeafEmbedError: ``error``: the file cannot be read, or lacks a column; the message lists those it has.
        """
        self._file, self._vector, self._error = file, vector, error
        self._source = _open_parquet(file, error)
        self.columns: list[str] = self._source.schema_arrow.names
        if missing := sorted({vector, *needed} - set(self.columns)):
            expected = sorted({vector, *needed})
            name = os.fspath(file)
            message = f"{name} lacks {missing}; expected the columns {expected}; it has {self.columns}. {hint}"
            raise error(message.rstrip(" ."))

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._source.metadata.num_rows)

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yields records as dictionaries without their vectors, and the vectors: one array each, or ``None``.

        Args:
            rows: Rows in memory at a time.
            columns: Columns of the records, if they are there; all by default.

        Raises:
            LeafEmbedError: The file is damaged.
        """
        rest = [n for n in self.columns if n != self._vector and (columns is None or n in columns)]
        for batch in _batches(self._source, self._file, self._error, rows, [*rest, self._vector]):
            vectors = batch[self._vector].to_numpy(zero_copy_only=False)
            yield batch.select(rest).to_pylist(), [None if row is None else np.asarray(row) for row in vectors]
