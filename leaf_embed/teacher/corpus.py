"""Corpora: texts to distil on, from files and from data sets of the hub."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from leaf_embed._extras import require
from leaf_embed.errors import CorpusError
from leaf_embed.teacher.hub_dataset import PREFIX, HubSet
from leaf_embed.texts import Role, Text, clean

__all__ = ["Corpus", "Counted", "as_text", "read_records"]

T = TypeVar("T")
SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


class Corpus(Iterable[Text]):
    """Texts from files; can be read more than once.

    Formats, by suffix, each also as ``.gz`` except parquet:

    ========== ==============================================================================================
    .txt       one text per line
    .jsonl     ``{"text", optional "title", optional "kind": "query" | "document"}`` per line
    .csv       columns ``text``, optional ``title``, optional ``kind``
    .parquet   the same columns
    ========== ==============================================================================================

    Without ``kind`` a text is a document, or a query if the file's name starts with ``queries``. A document's title
    is put before its text, as in BEIR. A directory stands for all such files in it. ``hub:org/name?split=train``
    stands for a data set of the hub, streamed; see :class:`leaf_embed.teacher.hub_dataset.HubSet`. Empty texts are
    skipped and counted in :attr:`skipped`.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], *, titles: bool = True) -> None:
        """Find the files.

        Args:
            paths: Files, directories, and addresses of hub data sets.
            titles: Whether a document's title is put before its text.

        Raises:
            CorpusError: A path is missing, of an unknown format, or a directory without any such file.
        """
        self.files: list[Path | HubSet] = [file for path in paths for file in _sources(path)]
        self._titles = titles
        self.skipped: Counter[str] = Counter()
        if not self.files:
            raise CorpusError(f"no corpus file given; expected one or more of {', '.join(SUFFIXES)}")

    def __iter__(self) -> Iterator[Text]:
        """Read all files in order.

        Raises:
            CorpusError: A file is damaged or not of its format; the message names the line.
        """
        self.skipped.clear()
        for file in self.files:
            default: Role = "query" if file.name.startswith("queries") else "document"
            try:
                for place, record in file.records() if isinstance(file, HubSet) else read_records(file):
                    text = as_text(record, default, f"{file}:{place}", title=self._titles)
                    if text.text:
                        yield text
                    else:
                        self.skipped["empty text"] += 1
            except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
                raise CorpusError(f"cannot read {file}: {error}. Is it whole, and UTF-8?") from error


class Counted(Iterable[T]):
    """Items, counted in :attr:`count` while they are read."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            self.count += 1
            yield item


def _sources(path: str | os.PathLike[str]) -> list[Path | HubSet]:
    address = os.fspath(path)
    return [HubSet.parse(address)] if address.startswith(PREFIX) else [*_files(Path(path))]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if _format(f))
        if not found:
            raise CorpusError(f"{path} holds no corpus file; expected one of {', '.join(SUFFIXES)}")
        return found
    if not path.is_file():
        raise CorpusError(f"there is no corpus file {path}")
    if not _format(path):
        raise CorpusError(f"{path} is of an unknown format; expected {', '.join(SUFFIXES)}, or one of these with .gz")
    return [path]


def _format(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def read_records(file: Path) -> Iterator[tuple[int, Any]]:
    """Line or row numbers from 1, with what stands there: a ``str`` or a mapping."""
    kind = _format(file)
    if kind == ".parquet":
        yield from _parquet_rows(file)
        return
    with _open(file) as stream:
        if kind == ".csv":
            csv.field_size_limit(1 << 30)
            yield from enumerate(csv.DictReader(line.replace("\0", "") for line in stream), 2)
            return
        for place, line in enumerate(stream, 1):
            stripped = line.strip()
            if kind == ".txt" or not stripped:
                yield place, stripped
                continue
            try:
                yield place, json.loads(stripped)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{file}:{place} is no JSON: {error}") from error


def _open(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig", newline="\n")
    return file.open(encoding="utf-8-sig", newline="" if _format(file) == ".csv" else "\n")


def _parquet_rows(file: Path) -> Iterator[tuple[int, Any]]:
    pyarrow = require("pyarrow", "train", "Reading parquet")
    parquet = require("pyarrow.parquet", "train", "Reading parquet")
    try:
        source = parquet.ParquetFile(file)
        columns = [c for c in ("text", "title", "kind") if c in source.schema_arrow.names]
        place = 0
        for batch in source.iter_batches(batch_size=4096, columns=columns):
            for row in batch.to_pylist():
                place += 1
                yield place, row
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"cannot read {file} as parquet: {error}") from error


def as_text(record: Any, default: Role, where: str, *, title: bool = True) -> Text:
    """A line or record as a text, its title before it.

    Raises:
        CorpusError: It has none; the message says where.
    """
    if isinstance(record, str):
        return Text(clean(record), default)
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        have = f"the keys {sorted(map(str, record))}" if isinstance(record, dict) else type(record).__name__
        raise CorpusError(f"{where} has no text: expected an object with a string 'text'; got {have}")
    kind = record.get("kind") or default
    if kind not in ("query", "document"):
        raise CorpusError(f"{where} has kind {kind!r}; expected 'query' or 'document'")
    before = (record.get("title") or "") if title else ""
    if not isinstance(before, str):
        raise CorpusError(f"{where} has a title of type {type(before).__name__}; expected a string")
    return Text(clean(f"{before} {record['text']}".strip()), kind)
