"""Documents with vectors from files."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
