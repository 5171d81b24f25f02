"""A cache that was filled before, as the source of a distillation: no teacher is loaded, nothing is paid again.

A cache may hold more than texts to learn from: those of an evaluation, single tokens, or the same texts cut elsewhere.
So the last ``leaf-embed cache`` names what it gathered to learn from in ``corpus.npz`` beside ``cache.json``:

    rows         the cache's rows of these texts, in their order, shape (n,), int64
    roles        the roles in which they came, shape (n,), uint8: 1 document, 2 query, 3 both; in caches of earlier
                 releases absent, where the role in which a text was written first counts
    max_tokens   where they were cut, 0 if they are whole
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from leaf_embed._files import replacing_file
from leaf_embed.errors import CacheError
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.roles import BITS, RoleBits
from leaf_embed.teacher.stored_vectors import StoredVectors
from leaf_embed.texts import Text
from leaf_embed.vectors import FloatArray

__all__ = ["FilledCache", "forget", "remember"]

FILE = "corpus.npz"
BLOCK = 2048  # texts in memory at a time


class FilledCache(Iterable[Text]):
    """The texts that were gathered into a cache to learn from, in bounded memory; can be read more than once.

    Give :attr:`teacher` to :func:`leaf_embed.distill.distill`, with the cache's directory as ``cache=``, to distil
    without the teacher; or the teacher itself, with this object as its corpus, if it can still be asked.

    Attributes:
        cache: The cache.
        rows: Its rows of these texts, shape ``(n,)``.
        roles: The roles in which they came, shape ``(n,)``; see :mod:`leaf_embed.teacher.roles`.
        max_tokens: Where the texts were cut; ``None`` if they are whole.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the cache in a directory.

        Raises:
            CacheError: There is no cache, it is damaged, or it does not name the texts to learn from.
        """
        self.cache = TeacherCache.stored(path)
        self.rows, self.roles, self.max_tokens = _read(self.cache)

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels as its directory, which is opened again, as it is then."""
        return type(self), (self.cache.path.absolute(),)

    def __iter__(self) -> Iterator[Text]:
        """Yields the texts, as they were embedded; one that came in both roles comes in both."""
        for _, texts in self.blocks():
            yield from texts

    def blocks(self) -> Iterator[tuple[Rows, list[Text]]]:
        """Yields the texts block by block, each with its row."""
        for start in range(0, len(self), BLOCK):
            rows, roles = self.rows[start : start + BLOCK], self.roles[start : start + BLOCK]
            texts = self.cache.texts(rows)
            both = [(i, role) for i in range(len(rows)) for role, bit in BITS.items() if roles[i] & bit]
            yield rows[[i for i, _ in both]], [Text(texts[i].text, role) for i, role in both]

    @property
    def teacher(self) -> StoredVectors:
        """The texts with their vectors, in the place of the teacher.

        Raises:
            CorpusError: The cache holds no text.
        """
        return StoredVectors(_Pairs(self), self.cache.space)


class _Pairs(Iterable[tuple[Text, FloatArray]]):
    """The texts of a cache with their vectors ``(dim,)``."""

    def __init__(self, filled: FilledCache) -> None:
        self._filled = filled

    def __len__(self) -> int:
        return len(self._filled)

    def __str__(self) -> str:
        return f"the cache {self._filled.cache.path}"

    @property
    def cut(self) -> int | None:
        return self._filled.max_tokens

    def __iter__(self) -> Iterator[tuple[Text, FloatArray]]:
        cache = self._filled.cache
        for rows, texts in self._filled.blocks():
            yield from zip(texts, cache.vectors(rows), strict=True)


def remember(cache: TeacherCache, rows: Rows, max_tokens: int | None, roles: RoleBits | None = None) -> None:
    """Names the texts to learn from, in the place of those named before.

    Args:
        cache: The cache.
        rows: Their rows, all different, shape ``(n,)``.
        max_tokens: Where they were cut; ``None`` if they are whole.
        roles: The roles in which they came; by default those in which they were written first.
    """
    known = _written(cache, rows) if roles is None else roles
    with replacing_file(cache.path / FILE) as temporary, temporary.open("wb") as stream:
        np.savez(stream, rows=rows, roles=known, max_tokens=max_tokens or 0)


def forget(cache: TeacherCache) -> None:
    """Names no texts to learn from, so that a cache that is not filled to its end is not taken for a whole one."""
    (cache.path / FILE).unlink(missing_ok=True)


def _written(cache: TeacherCache, rows: Rows) -> RoleBits:
    return np.where(cache.are_queries(rows), BITS["query"], BITS["document"]).astype(np.uint8)


def _read(cache: TeacherCache) -> tuple[Rows, RoleBits, int | None]:
    file = Path(cache.path) / FILE
    if not file.is_file():
        raise CacheError(
            f"the cache {cache.path} does not say which texts were gathered to learn from, or was not filled to "
            f"the end; run leaf-embed cache ... --corpus ... --output {cache.path} (nothing is embedded twice)"
        )
    try:
        with np.load(file, allow_pickle=False) as found:
            rows, limit = found["rows"].astype(np.int64), int(found["max_tokens"])
            roles = found["roles"].astype(np.uint8) if "roles" in found else None
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise CacheError(f"cannot read {file} ({error}); delete it, and fill the cache again") from error
    if len(rows) and int(rows.max()) >= len(cache):
        raise CacheError(f"{file} names more texts than the cache holds; delete it, and fill the cache again")
    if roles is None:
        roles = _written(cache, rows)
    if roles.shape != rows.shape or not np.isin(roles, (1, 2, 3)).all():
        raise CacheError(f"cannot read {file} (roles that are none); delete it, and fill the cache again")
    return rows, roles, limit or None
