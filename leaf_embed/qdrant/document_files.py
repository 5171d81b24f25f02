"""Documents from files, with or without vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leaf_embed._records import ParquetVectors, check_file, format_of, read_records
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.qdrant.schema.documents import StoredDocument, as_document

__all__ = ["check_documents", "parquet_documents", "read_documents"]

FORMATS = (".jsonl", ".csv", ".txt")


def check_documents(file: str | os.PathLike[str]) -> None:
    """Refuses a file that :func:`read_documents` cannot read, before anything else is done.

    Raises:
        CorpusError: It is missing, or of an unknown format.
    """
    check_file(file, FORMATS, CorpusError)


def read_documents(file: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yields the documents of a .jsonl, .csv or .txt file as mappings with ``_id``, ``text`` and their other fields.

    Lines of a .txt, and records without ``_id`` or ``id``, get ``<file name>:<number>`` as id.

    Raises:
        CorpusError: A line that cannot be read; the message names it.
    """
    name, lines = Path(file).name, format_of(file) == ".txt"
    for number, record in read_records(file, CorpusError):
        if record == "":
            continue
        found = {"text": record} if lines else record
        if not isinstance(found, dict):
            raise CorpusError(f"{file}:{number} holds {type(found).__name__}; expected an object with a 'text'")
        if "_id" not in found and "id" not in found:
            found["_id"] = f"{name}:{number}"
        yield found


def parquet_documents(
    file: str | os.PathLike[str],
    *,
    vector: str = "vector",
    key: str = "_id",
    text: str = "text",
    batch_rows: int = 1024,
) -> Iterator[StoredDocument]:
    """Reads documents and their vectors from a parquet file, for ``LeafCollection.index_vectors``.

    Args:
        file: Path of the file.
        vector: Column of the full vectors: lists of floats, as the teacher returned them.
        key: Column of the ids.
        text: Column of the texts. A column ``title`` is the title; every other column joins the payload.
        batch_rows: Rows in memory at a time.

    Yields:
        One document per row, with its vector, float32.

    Raises:
        InputError: The file cannot be read, or lacks a column; the message lists those it has.
    """
    source = ParquetVectors(file, vector, [key, text], InputError, "Name others with key=, text= and vector=")
    number = 0
    for records, rows in source.batches(batch_rows):
        for row, given in zip(records, rows, strict=True):
            document = as_document({"_id": row.pop(key), "text": row.pop(text), **row}, number)
            yield document.with_vector(given)
            number += 1
