"""The teacher cache: every text is embedded once, and what is paid for is never lost.

    cache.json          format version, space, dtype
    shards/000000.npy       teacher vectors, shape (n, dim), float16 or float32
    shards/000000.parquet   columns: key (16 bytes), kind, text; written last, so a shard exists when this file does

Rows are addressed by content: the key is a hash of prompt and text, and one cache belongs to one space.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaf_embed._extras import require
from leaf_embed._files import replacing_file, write_json
from leaf_embed.encoders.base import BaseEncoder, Encoder
from leaf_embed.errors import CacheError, NotALeafError, VectorError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.embed import check_pairs, embed_texts
from leaf_embed.teacher.keys import Key, KeyIndex, content_key, pack, unpack
from leaf_embed.texts import Role, Text, clean
from leaf_embed.vectors import FloatArray

__all__ = ["CachedEncoder", "Rows", "TeacherCache"]

FORMAT = "leaf-embed/teacher-cache"
VERSION = 1
Rows: TypeAlias = NDArray[np.int64]
FillProgress: TypeAlias = Callable[[int, int], object]
T = TypeVar("T")


class TeacherCache:
    """Texts with their teacher vectors, on disk.

    Memory grows by 24 bytes a row (the keys), not by texts or vectors.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        space: EmbeddingSpace,
        *,
        dtype: Literal["float16", "float32"] = "float16",
        shard_rows: int = 2048,
    ) -> None:
        """Open a cache, or make one.

        Args:
            path: A directory of its own.
            space: The space of the teacher.
            dtype: How vectors are stored; float16 keeps every cosine within 1e-4 (facts in examples/LOG.md).
            shard_rows: Texts a shard; a crash loses at most the shard in flight.

        Raises:
            CacheError: The directory belongs to another space, or is damaged.
        """
        self.path = Path(path)
        self.space = space
        self.shard_rows = shard_rows
        self.dtype = self._open(dtype)
        self._shards: list[NDArray[Any]] = []
        self._starts: list[int] = [0]
        self._index = KeyIndex()
        for number in range(self._count_shards()):
            self._attach(number)

    @classmethod
    def stored(cls, path: str | os.PathLike[str]) -> TeacherCache:
        """Opens a cache that exists, in the space that it was filled in.

        Raises:
            CacheError: There is no cache, or it is damaged.
        """
        file = Path(path) / "cache.json"
        if not file.is_file():
            raise CacheError(f"{path} holds no teacher cache (no cache.json); fill one with leaf-embed cache")
        return cls(path, _read_header(file)[0])

    def __len__(self) -> int:
        """Number of rows."""
        return self._starts[-1]

    def _open(self, dtype: str) -> str:
        file = self.path / "cache.json"
        if not file.is_file():
            if self.path.exists() and any(self.path.iterdir()):
                raise CacheError(f"{self.path} is neither empty nor a teacher cache; choose another directory")
            (self.path / "shards").mkdir(parents=True, exist_ok=True)
            write_json(file, {"format": FORMAT, "version": VERSION, "dtype": dtype, "space": self.space.to_dict()})
            return dtype
        stored, known = _read_header(file)
        stored.require_same(
            self.space,
            mine=f"the cache {self.path}",
            theirs="the teacher",
            advice="Use the teacher that filled the cache, or fill another directory.",
        )
        return known

    def _count_shards(self) -> int:
        return sum(1 for _ in (self.path / "shards").glob("[0-9]*.parquet"))

    def _attach(self, number: int) -> None:
        """Map a finished shard into memory and learn its keys."""
        parquet = require("pyarrow.parquet", "train", "A teacher cache")
        table, array = self._files(number)
        try:
            keys = parquet.read_table(table, columns=["key"])["key"].to_pylist()
            block = np.load(array, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise CacheError(f"shard {table} is damaged ({error}); delete it and its .npy, then fill again") from error
        if block.shape != (len(keys), self.space.dim):
            raise CacheError(
                f"shard {array} holds {block.shape}; expected {(len(keys), self.space.dim)}. "
                "Delete the shard's two files and fill again."
            )
        self._index.add([unpack(key) for key in keys])
        self._shards.append(block)
        self._starts.append(self._starts[-1] + len(keys))

    def _files(self, number: int) -> tuple[Path, Path]:
        stem = self.path / "shards" / f"{number:06d}"
        return stem.with_suffix(".parquet"), stem.with_suffix(".npy")

    def key(self, text: Text) -> Key:
        """The content address of a text under this space's prompts."""
        return content_key(self.space.prompt(text.kind), text.text)

    def fill(self, texts: Iterable[Text], teacher: Encoder, progress: FillProgress | None = None) -> Rows:
        """Make sure that every text is there; ask the teacher only for those that are not.

        Args:
            texts: What to learn from, read once, in bounded memory.
            teacher: An encoder of this cache's space. What a :class:`~leaf_embed.encoders.Metered` one was paid for
                is kept call by call, whatever ends the next call.
            progress: Called with the number of texts seen and of texts embedded so far.

        Returns:
            The row of each distinct text, in the order of first occurrence, shape ``(n,)``.

        Raises:
            CacheError: Another process is writing.
            SpaceMismatchError: The teacher is of another space.
            VectorError: The teacher gave a vector that cannot be used; texts before it are kept.
        """
        self.space.require_same(
            teacher.space, mine="the cache", theirs="the teacher", advice="Open a cache of the teacher's own space."
        )
        return self._fill(
            ((text, None) for text in texts),
            lambda new: embed_texts(teacher, [text for text, _ in new], self.space.dim),
            progress,
        )

    def fill_pairs(self, pairs: Iterable[tuple[Text | str, ArrayLike]], progress: FillProgress | None = None) -> Rows:
        """Take texts with vectors that exist already; no teacher is asked.

        Args:
            pairs: Each text with its vector ``(dim,)`` of this cache's space, read once, in bounded memory. A ``str``
                is a document. Of a text that comes twice the first vector stays.
            progress: Called with the number of pairs seen and of pairs written so far.

        Returns:
            The row of each distinct text, in the order of first occurrence, shape ``(n,)``.

        Raises:
            CacheError: Another process is writing.
            VectorError: A vector of the wrong size, of NaN or zeros, or not of unit norm in a space that has it; the
                message names its text. Pairs of the shards before it are kept.
        """
        named = ((Text(clean(text)) if isinstance(text, str) else text, vector) for text, vector in pairs)
        return self._fill(named, lambda new: iter([check_pairs(new, self.space)]), progress)

    def _fill(
        self,
        items: Iterable[tuple[Text, T]],
        vectors_of: Callable[[list[tuple[Text, T]]], Iterator[FloatArray]],
        progress: FillProgress | None,
    ) -> Rows:
        rows: list[Rows] = [np.empty(0, dtype=np.int64)]
        seen = written = 0
        with self._lock():
            self._catch_up()
            for chunk in _chunks(items, self.shard_rows):
                seen += len(chunk)
                keys = [self.key(text) for text, _ in chunk]
                new: dict[Key, tuple[Text, T]] = {}
                for key, item in zip(keys, chunk, strict=True):
                    if self._index.find(key) is None:
                        new.setdefault(key, item)
                self._write_new(new, vectors_of)
                written += len(new)
                rows.append(np.fromiter(map(self._row, keys), dtype=np.int64, count=len(keys)))
                if progress is not None:
                    progress(seen, written)
        distinct, first = np.unique(np.concatenate(rows), return_index=True)
        return distinct[np.argsort(first)]

    def _write_new(
        self, new: dict[Key, tuple[Text, T]], vectors_of: Callable[[list[tuple[Text, T]]], Iterator[FloatArray]]
    ) -> None:
        """Write a shard of what came, even if it ends early: what came may have been paid for."""
        ordered = sorted(new.items(), key=lambda item: item[1][0].kind)  # one role after the other: whole calls
        blocks: list[FloatArray] = []
        try:
            for block in vectors_of([item for _, item in ordered]) if ordered else ():
                blocks.append(block)
        finally:
            done = sum(map(len, blocks))
            if done:
                self._write([k for k, _ in ordered[:done]], [t for _, (t, _) in ordered[:done]], np.concatenate(blocks))

    def _catch_up(self) -> None:
        """Learn what another process wrote since we looked, and clear what a killed one left half-written."""
        for number in range(len(self._shards), self._count_shards()):
            self._attach(number)
        for leftover in (self.path / "shards").glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def rows(self, texts: Iterable[Text]) -> Rows:
        """The row of each text, repeats included, shape ``(n,)``.

        Raises:
            CacheError: A text is not there.
        """
        return np.fromiter((self._row(self.key(text)) for text in texts), dtype=np.int64)

    def _row(self, key: Key) -> int:
        row = self._index.find(key)
        if row is None:
            raise CacheError(f"a text is not in the cache {self.path}; fill it first")
        return row

    def _lock(self) -> Any:
        filelock = require("filelock", "train", "A teacher cache")
        lock = filelock.FileLock(self.path / ".lock", timeout=0)
        try:
            return lock.acquire()
        except filelock.Timeout as error:
            raise CacheError(f"another process is writing to the cache {self.path}; wait for it to end") from error

    def _write(self, keys: Sequence[Key], texts: Sequence[Text], rows: FloatArray) -> None:
        """Write a shard: ``rows`` are the texts' vectors, shape ``(n, dim)``."""
        pyarrow = require("pyarrow", "train", "A teacher cache")
        parquet = require("pyarrow.parquet", "train", "A teacher cache")
        if self.dtype == "float16" and float(np.abs(rows).max()) > float(np.finfo(np.float16).max):
            raise VectorError(
                f"a vector holds numbers up to {float(np.abs(rows).max()):.3g}, beyond float16; "
                "open the cache with dtype='float32'"
            )
        block = rows.astype(self.dtype)
        table = pyarrow.table(
            {
                "key": pyarrow.array([pack(key) for key in keys], pyarrow.binary(16)),
                "kind": [text.kind for text in texts],
                "text": [text.text for text in texts],
            }
        )
        number = len(self._shards)
        table_file, array_file = self._files(number)
        with replacing_file(array_file) as temporary, temporary.open("wb") as stream:
            np.save(stream, block)
        with replacing_file(table_file) as temporary:
            parquet.write_table(table, temporary, compression="zstd")
        self._attach(number)

    def texts(self, rows: Rows) -> list[Text]:
        """The texts of some rows, in the order asked for."""
        parquet = require("pyarrow.parquet", "train", "A teacher cache")
        found: dict[int, Text] = {}
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard_of):
            table = parquet.read_table(self._files(int(number))[0], columns=["kind", "text"])
            wanted = rows[shard_of == number]
            for row, record in zip(wanted, table.take(wanted - self._starts[number]).to_pylist(), strict=True):
                found[int(row)] = Text(record["text"], record["kind"])
        return [found[int(row)] for row in rows]

    def are_queries(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each of some rows is a query, shape ``(len(rows),)``."""
        parquet = require("pyarrow.parquet", "train", "A teacher cache")
        result = np.zeros(len(rows), dtype=np.bool_)
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard_of):
            here = shard_of == number
            kinds = parquet.read_table(self._files(int(number))[0], columns=["kind"])["kind"].to_numpy()
            result[here] = kinds[rows[here] - self._starts[number]] == "query"
        return result

    def vectors(self, rows: Rows) -> FloatArray:
        """The teacher's vectors of some rows, shape ``(len(rows), dim)``, float32."""
        result = np.empty((len(rows), self.space.dim), dtype=np.float32)
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard_of):
            here = shard_of == number
            result[here] = self._shards[number][rows[here] - self._starts[number]]
        return result

    def document_vectors(self, texts: Sequence[str]) -> FloatArray:
        """The teacher's vectors of documents that are in the cache, shape ``(len(texts), dim)``, float32.

        Give this method to ``LeafCollection.index_vectors`` to index without a teacher.

        Raises:
            CacheError: A text is not there.
        """
        found = [self._index.find(self.key(Text(text, "document"))) for text in texts]
        missing = [text for text, row in zip(texts, found, strict=True) if row is None]
        if missing:
            raise CacheError(
                f"the cache {self.path} holds no document {missing[0]!r:.80} ({len(missing)} of {len(texts)} are "
                "missing); fill it with the documents, or index with the teacher"
            )
        return self.vectors(np.array(found, dtype=np.int64))


class CachedEncoder(BaseEncoder):
    """A teacher that looks into a cache first: no text is embedded twice, in this process or a later one."""

    def __init__(self, cache: TeacherCache, teacher: Encoder) -> None:
        """Put a cache before a teacher of its space."""
        self._cache = cache
        self._teacher = teacher

    @property
    def space(self) -> EmbeddingSpace:
        return self._cache.space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        wanted = [Text(text, role) for text in texts]
        self._cache.fill(wanted, self._teacher)
        return self._cache.vectors(self._cache.rows(wanted))


def _read_header(file: Path) -> tuple[EmbeddingSpace, str]:
    """Returns the space and the dtype of the cache that a ``cache.json`` describes."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        space = EmbeddingSpace.from_dict(value["space"], source=str(file))
        known, dtype = (value["format"], value["version"]) == (FORMAT, VERSION), str(value["dtype"])
    except (OSError, ValueError, KeyError, TypeError, NotALeafError) as error:
        raise CacheError(f"cannot read {file} ({error}); restore it, or fill another directory") from error
    if not known:
        raise CacheError(f"{file} is of format version {value['version']!r}; this release reads {VERSION}")
    return space, dtype


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
