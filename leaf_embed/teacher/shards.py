"""The files of a teacher cache: numbered shards that are written once, mapped into memory and never changed.

shards/000000.npy       teacher vectors, shape (n, dim), float16 or float32
shards/000000.parquet   columns: key (16 bytes), kind, text; written last, so a shard exists when this file does
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed._extras import require
from leaf_embed._files import replacing_file, writing
from leaf_embed.errors import CacheError, VectorError
from leaf_embed.teacher.keys import Key, pack, unpack
from leaf_embed.texts import Text
from leaf_embed.vectors import FloatArray

__all__ = ["Rows", "Shards"]

Rows: TypeAlias = NDArray[np.int64]
"""Row numbers of a cache, which count through its shards in their order, shape ``(n,)``."""

OWNER = ".lock.owner"
PURPOSE = "A teacher cache"


class Shards:
    """The shards in a cache's directory; one process writes at a time, any number read."""

    def __init__(self, path: Path, dim: int, dtype: str) -> None:
        """Name the directory; nothing is read before :meth:`map_new`.

        Args:
            path: The cache's directory.
            dim: Dimensions of a vector.
            dtype: How vectors are stored, ``"float16"`` or ``"float32"``.
        """
        self._path, self._dim, self._dtype = path, dim, dtype
        self._arrays: list[NDArray[Any]] = []
        self._starts: list[int] = [0]
        self._edges = np.array(self._starts)  # the same, once a read needs it

    def __len__(self) -> int:
        """Number of mapped rows."""
        return self._starts[-1]

    def lock(self) -> AbstractContextManager[Any]:
        """Locks the cache for writing, until the context ends.

        Raises:
            CacheError: Another process holds the lock; the message names it.
            StorageError: The cache cannot be written.
        """
        filelock = require("filelock", "train", PURPOSE)
        lock = filelock.FileLock(self._path / ".lock", timeout=0)
        try:
            with writing(self._path / ".lock"):
                held: AbstractContextManager[Any] = lock.acquire()
        except filelock.Timeout as error:
            raise CacheError(
                f"another process is writing to the cache {self._path}{self._holder()}; wait for it to end, and "
                "run the same again: nothing is embedded twice"
            ) from error
        with suppress(OSError):  # who holds it is only said
            (self._path / OWNER).write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        return held

    def _holder(self) -> str:
        try:
            return f" ({(self._path / OWNER).read_text(encoding='utf-8')[:200]})"
        except (OSError, ValueError):
            return ""

    def recover(self) -> None:
        """Deletes the temporary files of a writer that was killed; needs the lock."""
        for leftover in (self._path / "shards").glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def map_new(self) -> Iterator[list[Key]]:
        """Maps the shards that were finished since the last call, by any process, and yields the keys of each.

        Raises:
            CacheError: A shard is damaged.
        """
        parquet = require("pyarrow.parquet", "train", PURPOSE)
        finished = sum(1 for _ in (self._path / "shards").glob("[0-9]*.parquet"))
        for number in range(len(self._arrays), finished):
            table, array = self._files(number)
            try:
                keys = parquet.read_table(table, columns=["key"])["key"].to_pylist()
                block = np.load(array, mmap_mode="r")
            except (OSError, ValueError) as error:
                raise CacheError(
                    f"shard {table} is damaged ({error}); delete it and its .npy, then fill again"
                ) from error
            if block.shape != (len(keys), self._dim):
                raise CacheError(
                    f"shard {array} holds {block.shape}; expected {(len(keys), self._dim)}. "
                    "Delete the shard's two files and fill again."
                )
            self._arrays.append(block.view(np.ndarray))  # still mapped; rows of a memmap cost more than their bytes
            self._starts.append(self._starts[-1] + len(keys))
            yield [unpack(key) for key in keys]

    def write(self, keys: Sequence[Key], texts: Sequence[Text], rows: FloatArray) -> None:
        """Writes the next shard, whole or not at all; needs the lock, and :meth:`map_new` before and after it.

        Args:
            keys: Key of each row.
            texts: Text of each row.
            rows: Vectors of the texts, shape ``(n, dim)``.

        Raises:
            VectorError: A value that the dtype cannot hold.
        """
        pyarrow = require("pyarrow", "train", PURPOSE)
        parquet = require("pyarrow.parquet", "train", PURPOSE)
        largest = float(np.abs(rows).max())
        if self._dtype == "float16" and largest > float(np.finfo(np.float16).max):
            raise VectorError(
                f"a vector holds values up to {largest:.3g}, beyond float16; open the cache with dtype='float32'"
            )
        table = pyarrow.table(
            {
                "key": pyarrow.array([pack(key) for key in keys], pyarrow.binary(16)),
                "kind": [text.kind for text in texts],
                "text": [text.text for text in texts],
            }
        )
        table_file, array_file = self._files(len(self._arrays))
        with replacing_file(array_file) as temporary, temporary.open("wb") as stream:
            np.save(stream, rows.astype(self._dtype))
        with replacing_file(table_file) as temporary:
            parquet.write_table(table, temporary, compression="zstd")

    def texts(self, rows: Rows) -> list[Text]:
        """Returns the texts of some rows, in their order."""
        result: list[Any] = [None] * len(rows)
        for number, places, inner in self._by_shard(rows):
            records = self._table(number, ["kind", "text"]).take(inner).to_pylist()
            for place, record in zip(places, records, strict=True):
                result[place] = Text(record["text"], record["kind"])
        return result

    def are_queries(self, rows: Rows) -> NDArray[np.bool_]:
        """Returns whether each of some rows is a query, shape ``(len(rows),)``."""
        result = np.zeros(len(rows), dtype=np.bool_)
        for number, places, inner in self._by_shard(rows):
            result[places] = self._table(number, ["kind"])["kind"].to_numpy()[inner] == "query"
        return result

    def vectors(self, rows: Rows) -> FloatArray:
        """Returns the vectors of some rows, shape ``(len(rows), dim)``, float32."""
        result = np.empty((len(rows), self._dim), dtype=np.float32)
        for number, places, inner in self._by_shard(rows):
            result[places] = self._arrays[number][inner]
        return result

    def _by_shard(self, rows: Rows) -> Iterator[tuple[int, NDArray[np.intp], Rows]]:
        """Yields each shard's number, the positions of its rows in ``rows``, and their row numbers within the shard."""
        if len(self._edges) < len(self._starts):
            self._edges = np.array(self._starts)
        shard_of = np.searchsorted(self._edges, rows, side="right") - 1
        order = np.argsort(shard_of, kind="stable")
        numbers = shard_of[order]
        inner = rows[order] - self._edges[numbers]
        edges = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(order)]
        for begin, end in pairwise(edges):
            yield int(numbers[begin]), order[begin:end], inner[begin:end]

    def _table(self, number: int, columns: list[str]) -> Any:
        return require("pyarrow.parquet", "train", PURPOSE).read_table(self._files(number)[0], columns=columns)

    def _files(self, number: int) -> tuple[Path, Path]:
        """The two files of a shard."""
        stem = self._path / "shards" / f"{number:06d}"
        return stem.with_suffix(".parquet"), stem.with_suffix(".npy")
