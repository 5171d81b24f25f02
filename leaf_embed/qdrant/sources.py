"""Documents with vectors that somebody embedded before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from leaf_embed._extras import require
from leaf_embed.errors import InputError
from leaf_embed.qdrant.documents import StoredDocument, as_document

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
    parquet: Any = require("pyarrow.parquet", "train", "Reading parquet")
    try:
        table = parquet.ParquetFile(file)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {os.fspath(file)} as parquet ({error})") from error
    with table:
        columns = table.schema_arrow.names
        missing = [name for name in (key, text, vector) if name not in columns]
        if missing:
            raise InputError(
                f"{os.fspath(file)} lacks the columns {missing}; it has {columns}. Name them as arguments."
            )
        place = 0
        for batch in table.iter_batches(batch_rows):
            for row in batch.to_pylist():
                numbers = np.asarray(row.pop(vector), dtype=np.float32)
                document = as_document({"_id": row.pop(key), "text": row.pop(text), **row}, place)
                yield StoredDocument(document.id, document.text, document.title, document.payload, numbers)
                place += 1
