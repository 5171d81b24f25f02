"""The teacher cache: no text is embedded twice, and no vector is lost.

    cache.json    format version, space, dtype; version 1 was filled with texts that were cut as one student read them
    shards/       texts and vectors; see :mod:`leaf_embed.teacher.shards`

Rows are addressed by content: the key is a hash of prompt and text, and one cache belongs to one space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaf_embed._files import make_directory, read_json, write_json
from leaf_embed.encoders.base import Encoder, Metered
from leaf_embed.errors import CacheError, NotALeafError
from leaf_embed.progress import Progress, no_progress
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.embed import Pace, check_pairs, embed_texts
from leaf_embed.teacher.keys import Key, KeyIndex, content_key
from leaf_embed.teacher.roles import SeenRoles
from leaf_embed.teacher.shards import Rows, Shards
from leaf_embed.texts import Text, clean
from leaf_embed.vectors import FloatArray

__all__ = ["Rows", "TeacherCache"]

FORMAT = "leaf-embed/teacher-cache"
VERSION = 2
VERSIONS = (1, VERSION)
T = TypeVar("T")


class TeacherCache:
    """Texts with their teacher vectors, on disk.

    Memory grows by 24 bytes per row (the keys), not by texts or vectors. A corpus comes in through
    :func:`leaf_embed.teacher.fill.gather`, which cuts its texts and takes :meth:`fill` and :meth:`fill_pairs`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        space: EmbeddingSpace,
        *,
        dtype: Literal["float16", "float32"] = "float16",
        shard_rows: int = 2048,
    ) -> None:
        """Opens a cache, or makes one.

        Args:
            path: A directory of its own.
            space: The space of the teacher.
            dtype: How vectors are stored; float16 changes every cosine by less than 1e-4 (examples/LOG.md).
            shard_rows: Texts per shard; a crash loses at most the shard in flight.

        Raises:
            CacheError: The directory holds something else, or is damaged.
            SpaceMismatchError: The cache belongs to another space.
        """
        self.path = Path(path)
        self.space = space
        self.shard_rows = shard_rows
        self.version = VERSION
        self.dtype = self._open(dtype)
        self._shards = Shards(self.path, space.dim, self.dtype)
        self._index = KeyIndex()
        self._map_new()

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
        return len(self._shards)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels as its directory, which is opened again, as it is then: arrays stay where they are."""
        return _open_again, (type(self), self.path.absolute(), self.space, self.shard_rows)

    def _open(self, dtype: str) -> str:
        """Reads or writes ``cache.json``; returns how vectors are stored."""
        file = self.path / "cache.json"
        if not file.is_file():
            if self.path.exists() and any(self.path.iterdir()):
                raise CacheError(f"{self.path} is neither empty nor a teacher cache; choose another directory")
            write_json(file, {"format": FORMAT, "version": VERSION, "dtype": dtype, "space": self.space.to_dict()})
            make_directory(self.path / "shards")
            return dtype
        stored, known, self.version = _read_header(file)
        stored.require_same(
            self.space,
            mine=f"the cache {self.path}",
            theirs="the teacher",
            advice="Use the teacher that filled the cache, or fill another directory.",
        )
        return known

    def __contains__(self, text: object) -> bool:
        return isinstance(text, Text) and self._index.find(self.key(text)) is not None

    def key(self, text: Text) -> Key:
        """Returns the content address of a text with this space's prompts."""
        return content_key(self.space.prompt(text.kind), text.text)

    def fill(
        self,
        texts: Iterable[Text],
        teacher: Encoder,
        progress: Progress = no_progress,
        roles: SeenRoles | None = None,
    ) -> Rows:
        """Embeds the texts that are not in the cache, as they are, and writes their vectors.

        Args:
            texts: The texts, read once, in bounded memory.
            teacher: An encoder of this cache's space. The vectors of each call of a
                :class:`~leaf_embed.encoders.Metered` one are kept, whatever ends the next call.
            progress: Called with the stage "teacher" and the number of texts seen, every few seconds.
            roles: Gets the role of each text, since a row keeps only that of the text that was written first.

        Returns:
            The row of each distinct text, in the order of first occurrence, shape ``(n,)``.

        Raises:
            CacheError: Another process is writing.
            SpaceMismatchError: The teacher is of another space.
            VectorError: The teacher returned a vector that cannot be used; texts before it are kept.
        """
        self.space.require_same(
            teacher.space, mine="the cache", theirs="the teacher", advice="Open a cache of the teacher's own space."
        )
        pace = Pace()
        return self._fill(
            ((text, None) for text in texts),
            lambda new: embed_texts(teacher, [text for text, _ in new], self.space.dim, pace),
            lambda seen, written: progress("teacher", seen, None, f"{written} embedded, rest known"),
            roles,
            longest_first=not isinstance(teacher, Metered),
        )

    def fill_pairs(
        self,
        pairs: Iterable[tuple[Text | str, ArrayLike]],
        progress: Progress = no_progress,
        roles: SeenRoles | None = None,
    ) -> Rows:
        """Writes texts with vectors that exist already; no teacher is called.

        Args:
            pairs: Each text with its vector ``(dim,)`` of this cache's space, read once, in bounded memory. A ``str``
                is a document. Of a text that occurs twice the first vector stays.
            progress: Called with the stage "vectors" and the number of pairs seen.
            roles: As for :meth:`fill`.

        Returns:
            The row of each distinct text, in the order of first occurrence, shape ``(n,)``.

        Raises:
            CacheError: Another process is writing.
            VectorError: A vector of the wrong size, of NaN or zeros, or not of unit norm in a space that has it; the
                message names its text. Pairs of the shards before it are kept.
        """
        return self._fill(
            ((Text(clean(text)) if isinstance(text, str) else text, vector) for text, vector in pairs),
            lambda new: iter([check_pairs(new, self.space)]),
            lambda seen, written: progress("vectors", seen, None, f"{written} taken over, rest known"),
            roles,
        )

    def _fill(
        self,
        items: Iterable[tuple[Text, T]],
        vectors_of: Callable[[list[tuple[Text, T]]], Iterator[FloatArray]],
        report: Callable[[int, int], object],
        roles: SeenRoles | None,
        *,
        longest_first: bool = False,
    ) -> Rows:
        rows: list[Rows] = [np.empty(0, dtype=np.int64)]
        seen = written = 0
        with ExitStack() as stack:
            remaining, locked = iter(items), False
            while chunk := list(islice(remaining, self.shard_rows)):
                seen += len(chunk)
                keys = [self.key(text) for text, _ in chunk]
                new = self._missing(keys, chunk)
                if new and not locked:  # a reader of a filled cache needs no lock, and may not be allowed to take one
                    stack.enter_context(self._shards.lock())
                    locked = True
                    self._shards.recover()
                    self._map_new()  # what another process wrote meanwhile
                    new = self._missing(keys, chunk)
                part = partial(_advance, report, seen - len(new), written)
                self._write_new(new, vectors_of, part, longest_first=longest_first)
                written += len(new)
                rows.append(np.fromiter(map(self._row, keys), dtype=np.int64, count=len(keys)))
                if roles is not None:
                    roles.add(rows[-1], [text for text, _ in chunk])
                report(seen, written)
        distinct, first = np.unique(np.concatenate(rows), return_index=True)
        return distinct[np.argsort(first)]

    def _missing(self, keys: Sequence[Key], items: Sequence[tuple[Text, T]]) -> dict[Key, tuple[Text, T]]:
        """Returns the items that have no row yet; of equal texts the first."""
        new: dict[Key, tuple[Text, T]] = {}
        for key, item in zip(keys, items, strict=True):
            if self._index.find(key) is None:
                new.setdefault(key, item)
        return new

    def _write_new(
        self,
        new: dict[Key, tuple[Text, T]],
        vectors_of: Callable[[list[tuple[Text, T]]], Iterator[FloatArray]],
        report: Callable[[int], object],
        *,
        longest_first: bool,
    ) -> None:
        """Writes a shard of the vectors that came, even if an error ends them early: they may have been paid for."""

        def order(item: tuple[Key, tuple[Text, T]]) -> tuple[str, int]:
            text = item[1][0]  # one role after the other: whole calls; and similar lengths together: little padding
            return text.kind, -len(text.text) if longest_first else 0

        ordered = sorted(new.items(), key=order)
        blocks: list[FloatArray] = []
        try:
            for block in vectors_of([item for _, item in ordered]) if ordered else ():
                blocks.append(block)
                if (done := sum(map(len, blocks))) < len(ordered):  # the whole shard is reported once it is on disk
                    report(done)
        finally:
            kept = ordered[: sum(map(len, blocks))]
            if kept:
                self._shards.write([key for key, _ in kept], [text for _, (text, _) in kept], np.concatenate(blocks))
                self._map_new()

    def _map_new(self) -> None:
        for keys in self._shards.map_new():
            self._index.add(keys)

    def rows(self, texts: Iterable[Text]) -> Rows:
        """Returns the row of each text, repeats included, shape ``(n,)``.

        Raises:
            CacheError: A text is not in the cache.
        """
        return np.fromiter((self._row(self.key(text)) for text in texts), dtype=np.int64)

    def _row(self, key: Key) -> int:
        row = self._index.find(key)
        if row is None:
            raise CacheError(f"a text is not in the cache {self.path}; fill it first")
        return row

    def texts(self, rows: Rows) -> list[Text]:
        """Returns the texts of some rows, in their order."""
        return self._shards.texts(rows)

    def are_queries(self, rows: Rows) -> NDArray[np.bool_]:
        """Returns whether each of some rows was first written as a query, shape ``(len(rows),)``."""
        return self._shards.are_queries(rows)

    def vectors(self, rows: Rows) -> FloatArray:
        """Returns the teacher's vectors of some rows, shape ``(len(rows), dim)``, float32."""
        return self._shards.vectors(rows)

    def document_vectors(self, texts: Sequence[str]) -> FloatArray:
        """Returns the teacher's vectors of documents that are in the cache, shape ``(len(texts), dim)``, float32.

        Pass this method to ``LeafCollection.index_vectors`` to index without a teacher.

        Raises:
            CacheError: A text is not in the cache.
        """
        found = [self._index.find(self.key(Text(text, "document"))) for text in texts]
        missing = [text for text, row in zip(texts, found, strict=True) if row is None]
        if missing:
            raise CacheError(
                f"the cache {self.path} holds no document {missing[0]!r:.80} ({len(missing)} of {len(texts)} are "
                "missing); fill it with the documents, or index with the teacher"
            )
        return self.vectors(np.array(found, dtype=np.int64))


def _open_again(kind: type[TeacherCache], path: Path, space: EmbeddingSpace, shard_rows: int) -> TeacherCache:
    """Opens a cache that was pickled or copied.

    Raises:
        CacheError: Its directory is not here.
    """
    if not (path / "cache.json").is_file():
        raise CacheError(f"there is no teacher cache at {path} here; it is opened again where it is sent to")
    return kind(path, space, shard_rows=shard_rows)


def _advance(report: Callable[[int, int], object], seen: int, written: int, done: int) -> None:
    """Reports a part of a shard."""
    report(seen + done, written + done)


def _read_header(file: Path) -> tuple[EmbeddingSpace, str, int]:
    """Returns the space, the dtype and the format version of the cache that a ``cache.json`` describes."""
    try:
        value = read_json(file)
        space = EmbeddingSpace.from_dict(value["space"], source=str(file))
        known, dtype = value["format"] == FORMAT and value["version"] in VERSIONS, str(value["dtype"])
    except (OSError, ValueError, KeyError, TypeError, NotALeafError) as error:
        raise CacheError(f"cannot read {file} ({error}); restore it, or fill another directory") from error
    if not known:
        raise CacheError(
            f"{file} is of format version {value['version']!r}; this release reads {' and '.join(map(str, VERSIONS))}"
        )
    return space, dtype, int(value["version"])
