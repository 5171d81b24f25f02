"""Texts with vectors from files: .parquet, or a text file with a .npy beside it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leaf_embed import vectors
from leaf_embed._records import ParquetVectors, format_of, read_records
from leaf_embed.errors import CorpusError, VectorError
from leaf_embed.teacher.corpus import COLUMNS, as_text
from leaf_embed.texts import Role, Text
from leaf_embed.vectors import FloatArray

__all__ = ["VectorFiles"]

BLOCK = 1024  # rows in memory at once


class VectorFiles(Iterable[tuple[Text, FloatArray]]):
    """Texts with their vectors from files; can be read more than once, in bounded memory.

    ========================== =================================================================================
    docs.parquet               columns ``text``, ``vector`` (lists of numbers), optional ``title``, ``kind``
    docs.txt, .jsonl, .csv     with ``docs.npy`` beside it, shape ``(n, dim)``: row i belongs to the i-th line of
                               a .txt, blank ones counted, and to the i-th record of the others
    ========================== =================================================================================

    Texts that are empty or null, and rows without a vector, are skipped and counted in :attr:`skipped`.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        """Finds the files, and compares the numbers of texts and vectors.

        Raises:
            CorpusError: A file is missing, of an unknown format, or holds another number of texts than of vectors.
        """
        self.files = [Path(path) for path in paths]
        self.skipped: Counter[str] = Counter()
        if not self.files:
            raise CorpusError("no file of vectors given; expected .parquet, or a text file with a .npy beside it")
        self._rows = sum(_count(file) for file in self.files)

    def __len__(self) -> int:
        """Number of rows, skipped ones included."""
        return self._rows

    def __str__(self) -> str:
        return ", ".join(map(str, self.files))

    def __iter__(self) -> Iterator[tuple[Text, FloatArray]]:
        """Yields each text with its vector ``(dim,)``, float32.

        Raises:
            CorpusError: A file is damaged.
            VectorError: A vector of NaN or zeros, or of unequal sizes; the message names file and row.
        """
        self.skipped.clear()
        for file in self.files:
            for block, places, rows in _parquet(file) if _is_parquet(file) else _npy(file):
                yield from self._pairs(file, block, places, rows)

    def _pairs(self, file: Path, records: list[Any], places: list[int], rows: Any) -> Iterator[tuple[Text, FloatArray]]:
        default: Role = "query" if file.name.startswith("queries") else "document"
        texts = [as_text(record, default, f"{file}:{place}") for record, place in zip(records, places, strict=True)]
        keep = []
        for i, (text, row) in enumerate(zip(texts, rows, strict=True)):
            if text.text and row is not None:
                keep.append(i)
            else:
                self.skipped["empty text" if row is not None else "no vector"] += 1
        if keep:
            names = [f"{file}:{places[i]}" for i in keep]
            checked = vectors.as_vectors([rows[i] for i in keep], source=str(file), ids=names)
            yield from zip([texts[i] for i in keep], checked, strict=True)


def _is_parquet(file: Path) -> bool:
    return file.suffix == ".parquet"


def _count(file: Path) -> int:
    """Number of rows of a file, having compared texts and vectors."""
    if not file.is_file():
        raise CorpusError(f"there is no file {file}")
    if _is_parquet(file):
        return len(_open_parquet(file))
    rows, texts = len(_load(file)), sum(1 for _ in _numbered(file))
    if rows != texts:
        raise CorpusError(
            f"{file} holds {texts} texts, {_beside(file)} {rows} vectors; expected one per text, in order"
        )
    return rows


def _beside(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(".gz")).with_suffix(".npy")


def _load(file: Path) -> Any:
    """The vectors beside a text file, memory-mapped, shape ``(n, dim)``."""
    array_file = _beside(file)
    try:
        array = np.load(array_file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot read the vectors of {file} from {array_file}: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise VectorError(f"{array_file} holds {array.dtype} of shape {array.shape}; expected numbers, (n, dim)")
    return array


def _numbered(file: Path) -> Iterator[tuple[int, Any]]:
    """Every line of a .txt, every record of the rest."""
    lines = format_of(file) == ".txt"
    return ((place, record) for place, record in read_records(file, CorpusError) if lines or record != "")


def _npy(file: Path) -> Iterator[tuple[list[Any], list[int], Any]]:
    array = _load(file)
    records: list[Any] = []
    places: list[int] = []
    start = 0
    for place, record in _numbered(file):
        records.append(record)
        places.append(place)
        if len(records) == BLOCK:
            yield records, places, list(array[start : start + BLOCK])
            start, records, places = start + BLOCK, [], []
    if records:
        yield records, places, list(array[start : start + len(records)])


def _open_parquet(file: Path) -> ParquetVectors:
    return ParquetVectors(file, "vector", ["text"], CorpusError)


def _parquet(file: Path) -> Iterator[tuple[list[Any], list[int], Any]]:
    start = 0
    for records, rows in _open_parquet(file).batches(BLOCK, COLUMNS):
        yield records, list(range(start + 1, start + 1 + len(records))), rows
        start += len(records)
