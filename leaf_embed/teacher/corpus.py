"""The texts of corpus files and of hub data sets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from leaf_embed._records import check_file, format_of, read_records
from leaf_embed.errors import CorpusError
from leaf_embed.teacher.hub_dataset import PREFIX, HubSet
from leaf_embed.texts import Role, Text, clean

__all__ = ["Corpus", "Counted", "as_text", "evaluation_files"]

T = TypeVar("T")
FORMATS = (".txt", ".jsonl", ".csv", ".parquet")
COLUMNS = ("text", "title", "kind")


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
    stands for a data set of the hub, streamed; see :class:`leaf_embed.teacher.hub_dataset.HubSet`. Empty texts, to
    which a null belongs, are skipped and counted in :attr:`skipped`.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], *, titles: bool = True) -> None:
        """Finds the files.

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
            raise CorpusError(f"no corpus file given; expected one or more of {', '.join(FORMATS)}")

    def __iter__(self) -> Iterator[Text]:
        """Reads all files in order.

        Raises:
            CorpusError: A file is damaged or not of its format; the message names the line.
        """
        self.skipped.clear()
        for file in self.files:
            default: Role = "query" if file.name.startswith("queries") else "document"
            records = file.records() if isinstance(file, HubSet) else read_records(file, CorpusError, COLUMNS)
            for number, record in records:
                text = as_text(record, default, f"{file}:{number}", title=self._titles)
                if text.text:
                    yield text
                else:
                    self.skipped["empty text"] += 1


class Counted(Iterable[T]):
    """Items that are counted as they are read."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            self.count += 1
            yield item


def evaluation_files(paths: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """Returns what to read of evaluation sets: of a directory in BEIR layout its corpus and its queries alone.

    Other files of such a directory, as the training queries of the same benchmark, are no evaluation texts.
    """
    found: list[str | os.PathLike[str]] = []
    for path in paths:
        parts = [_present(Path(path) / name) for name in ("corpus.jsonl", "queries.jsonl")]
        found += [part for part in parts if part is not None] if None not in parts else [path]
    return found


def _present(file: Path) -> Path | None:
    return next((one for one in (file, file.with_name(f"{file.name}.gz")) if one.is_file()), None)


def _sources(path: str | os.PathLike[str]) -> list[Path | HubSet]:
    address = os.fspath(path)
    return [HubSet.parse(address)] if address.startswith(PREFIX) else [*_files(Path(path))]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if format_of(file, FORMATS))
        if not found:
            raise CorpusError(f"{path} holds no corpus file; expected one of {', '.join(FORMATS)}")
        return found
    check_file(path, FORMATS, CorpusError)
    return [path]


def as_text(record: Any, default: Role, where: str, *, title: bool = True) -> Text:
    """Returns a line or record as a text, its title before it. A null is an empty text.

    Raises:
        CorpusError: It has none; the message says where.
    """
    if isinstance(record, str):
        return Text(clean(record), default)
    text = record.get("text", 0) if isinstance(record, dict) else 0
    if not isinstance(text, str | None):
        have = f"the keys {sorted(map(str, record))}" if isinstance(record, dict) else type(record).__name__
        raise CorpusError(
            f"{where} has no text: expected an object with a string 'text'; got {have}. Rename the key of the text"
        )
    kind = record.get("kind") or default
    if kind not in ("query", "document"):
        raise CorpusError(f"{where} has kind {kind!r}; expected 'query' or 'document'")
    before = (record.get("title") or "") if title else ""
    if not isinstance(before, str):
        raise CorpusError(f"{where} has a title of type {type(before).__name__}; expected a string")
    return Text(clean(f"{before} {text or ''}".strip()), kind)
