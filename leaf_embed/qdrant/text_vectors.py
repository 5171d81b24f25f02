"""The texts of a collection with their vectors: any Qdrant collection, whoever made it, as a teacher to distil from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from leaf_embed import vectors
from leaf_embed.errors import CollectionError, InputError
from leaf_embed.qdrant.backends.scroll import Page, Scroll, scroll_of
from leaf_embed.qdrant.backends.stores import read_metadata
from leaf_embed.qdrant.schema.spec import FULL
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["CollectionPairs"]


class CollectionPairs(Iterable[tuple[str, FloatArray]]):
    """``(text, vector)`` of each point, scrolled page by page in bounded memory; can be read more than once.

    The collection is only read. Points without a text or without the vector are skipped and counted in
    :attr:`skipped`. Vectors come as they are stored: a collection under cosine distance has normalised them.
    """

    def __init__(
        self,
        collection: str,
        *,
        text: str = "text",
        title: str | None = None,
        vector: str | None = None,
        where: Any = None,
        client: QdrantClient | None = None,
        path: str | os.PathLike[str] | None = None,
        page: int = 256,
    ) -> None:
        """Say what to read.

        Args:
            collection: Its name.
            text: Payload key of the text that was embedded; dots lead into objects, as in ``metadata.text``.
            title: Payload key of a title that was embedded before the text with a space between; not every point
                needs it.
            vector: Name of the vector; by default the only one, or ``full`` in a collection made by leaf-embed.
            where: What points must have (see :mod:`leaf_embed.qdrant.query.filters`), or the engine's own ``Filter``.
            client: A ``QdrantClient``: a server, or local mode. Give either ``client`` or ``path``.
            path: Directory of the embedded engine: one that holds collections, or a shard itself.
            page: Points in memory at once.

        Raises:
            CollectionNotFoundError: There is no such collection.
            InputError: A value that cannot be used.
        """
        if page < 1:
            raise InputError(f"page is a number of points from 1; got {page}")
        keys = [key for key in (text, title) if key]
        if text == "" or not all(isinstance(key, str) for key in keys):
            raise InputError(f"text and title are payload keys; got {text!r} and {title!r}")
        self._scroll: Scroll = scroll_of(collection, client=client, path=path)
        self._collection, self._text, self._title, self._vector = collection, text, title, vector
        self._where, self._page = where, page
        self._place = path, client
        self.skipped: Counter[str] = Counter()

    def __str__(self) -> str:
        return f"the collection {self._collection!r}"

    @property
    def space(self) -> EmbeddingSpace | None:
        """The space of the vectors, if leaf-embed made the collection and they are its full ones; else ``None``."""
        if self._vector not in (None, FULL):
            return None
        try:
            return read_metadata(self._collection, path=self._place[0], client=self._place[1]).space
        except (CollectionError, InputError):
            return None

    def __len__(self) -> int:
        """Number of points that fit ``where``, exact, skipped ones included."""
        return self._scroll.count(self._where)

    def __iter__(self) -> Iterator[tuple[str, FloatArray]]:
        """Each text with its vector, shape ``(dim,)``, float32.

        Raises:
            CollectionError: The engine or server failed, or no point has such a text or such a vector; the message
                says which there are.
            VectorError: A vector of NaN or zeros, or a sparse or multi-vector; the message names the point.
        """
        self.skipped.clear()
        found = 0
        seen = _Seen()
        keys = [key for key in (self._text, self._title) if key]
        with closing(self._scroll.pages(keys, self._vector, self._where, self._page)) as pages:
            for page in pages:
                pairs = list(self._pairs(page, seen))
                found += len(pairs)
                yield from pairs
        if not found:
            raise CollectionError(self._nothing(seen))

    def _pairs(self, page: Page, seen: _Seen) -> Iterator[tuple[str, FloatArray]]:
        kept: list[tuple[str, str, Any]] = []
        for point, payload, stored in page:
            seen.add(stored)
            text, row = self._words(payload), self._row(stored)
            if not text:
                self.skipped[f"no text under {self._text!r}"] += 1
            elif row is None:
                self.skipped[f"no vector {self._vector!r}" if self._vector else "no vector"] += 1
            else:
                kept.append((point, text, row))
        if kept:
            names = [f"point {point}" for point, _, _ in kept]
            rows = vectors.as_vectors([row for _, _, row in kept], source=str(self), ids=names)
            yield from zip([text for _, text, _ in kept], rows, strict=True)

    def _words(self, payload: Mapping[str, Any]) -> str:
        text = _at(payload, self._text)
        title = _at(payload, self._title) if self._title else None
        if not isinstance(text, str) or not text.strip():
            return ""
        return f"{title} {text}".strip() if isinstance(title, str) else text

    def _row(self, stored: Any) -> Sequence[float] | None:
        """The one vector of a point that is meant."""
        if not isinstance(stored, Mapping):
            row = stored
        elif self._vector is not None:
            row = stored.get(self._vector)
        else:
            dense = {name: value for name, value in stored.items() if isinstance(value, list)}
            if len(dense) > 1 and FULL not in dense:
                raise InputError(f"{self} has the vectors {sorted(dense)}; name one with vector= (or --vector-name)")
            row = dense.get(FULL) or next(iter(dense.values()), None)
        if row is not None and (not isinstance(row, list) or (row and isinstance(row[0], list))):
            raise InputError(f"{self}: the vector {self._vector or 'there'!r} is sparse or multiple; expected dense")
        return row or None

    def _nothing(self, seen: _Seen) -> str:
        reasons = "; ".join(f"{count} points: {reason}" for reason, count in self.skipped.items()) or "no point fits"
        keys = self._scroll.payload_keys()
        return (
            f"{self} gave no text with a vector ({reasons}). Its payloads have the keys {keys}, its points the vectors "
            f"{sorted(seen.names) or 'without a name'}. Name the text's key with text= (--text-key) and the vector "
            "with vector= (--vector-name)."
        )


class _Seen:
    """Names of the vectors that came by, for the message."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def add(self, stored: Any) -> None:
        if isinstance(stored, Mapping):
            self.names.update(stored)


def _at(payload: Mapping[str, Any], key: str) -> Any:
    """What lies under a dotted key, ``None`` if nothing does."""
    if key in payload:
        return payload[key]
    value: Any = payload
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
