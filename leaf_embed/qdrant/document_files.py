"""Documents with vectors that somebody embedded before."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from leaf_embed._records import ParquetVectors
from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.documents import StoredDocument, as_document

__all__ = ["parquet_documents"]


def parquet_documents(
    file: str | os.PathLike[str],
    *,
    vector: str = "vector",
    key: str = "_id",
    text: str = "text",
    batch_rows: int = 1024,
) -> Iterator[StoredDocument]:
    """Read documents and their vectors from a parquet file, for ``LeafCollection.index_vectors``.

    Args:
        file: Its path.
        vector: Column of the full vectors: lists of numbers, as they came from the teacher.
        key: Column of the ids.
        text: Column of the texts. A column ``title`` is the title; every other column joins the payload.
        batch_rows: Rows in memory at a time.

    Yields:
        One document a row, with its vector, float32.

    Raises:
        InputError: The file cannot be read, or lacks a column; the message lists those it has.
    """
    source = ParquetVectors(file, vector, [key, text], InputError, "Name others with key=, text= and vector=")
    place = 0
    for records, rows in source.batches(batch_rows):
        for row, numbers in zip(records, rows, strict=True):
            document = as_document({"_id": row.pop(key), "text": row.pop(text), **row}, place)
            given = None if numbers is None else numbers.astype(np.float32)
            yield StoredDocument(document.id, document.text, document.title, document.payload, given)
            place += 1
