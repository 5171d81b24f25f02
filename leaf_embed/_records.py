"""Records with vectors from parquet, a batch at a time: what distilling and indexing from files share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from leaf_embed._extras import require
from leaf_embed.errors import LeafEmbedError

__all__ = ["ParquetVectors"]


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
        """Open a file and look at its columns.

        Args:
            file: Its path.
            vector: Column of the vectors: lists of numbers.
            needed: The other columns that it must have.
            error: What to raise.
            hint: What to do if a column is missing, as a sentence.

        Raises:
            LeafEmbedError: ``error``: the file cannot be read, or lacks a column; the message lists those it has.
        """
        self._arrow: Any = require("pyarrow", "train", "Reading parquet")
        parquet: Any = require("pyarrow.parquet", "train", "Reading parquet")
        self._name, self._vector, self._error = os.fspath(file), vector, error
        try:
            self._source = parquet.ParquetFile(file)
        except (self._arrow.ArrowException, OSError) as reason:
            raise error(f"cannot read {self._name} as parquet: {reason}") from reason
        self.columns: list[str] = self._source.schema_arrow.names
        if missing := sorted({vector, *needed} - set(self.columns)):
            expected = sorted({vector, *needed})
            message = f"{self._name} lacks {missing}; expected the columns {expected}; it has {self.columns}. {hint}"
            raise error(message.rstrip(" ."))

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._source.metadata.num_rows)

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[tuple[list[Any], list[Any]]]:
        """Records as dictionaries without their vectors, and the vectors: an array each, or ``None``.

        Args:
            rows: Rows in memory at a time.
            columns: Columns of the records, if they are there; all by default.

        Raises:
            LeafEmbedError: The file is damaged.
        """
        rest = [n for n in self.columns if n != self._vector and (columns is None or n in columns)]
        try:
            for batch in self._source.iter_batches(batch_size=rows, columns=[*rest, self._vector]):
                vectors = batch[self._vector].to_numpy(zero_copy_only=False)
                yield batch.select(rest).to_pylist(), [None if row is None else np.asarray(row) for row in vectors]
        except (self._arrow.ArrowException, OSError) as reason:
            raise self._error(f"cannot read {self._name} as parquet: {reason}") from reason
