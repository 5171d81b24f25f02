"""The texts of a collection with their vectors: any Qdrant collection, whoever made it, as a teacher to distil from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from leaf_embed import vectors
from leaf_embed.errors import CollectionError, InputError
from leaf_embed.qdrant.backends.base import Record, Selection, read_pages
from leaf_embed.qdrant.backends.stores import find_any, store_of
from leaf_embed.qdrant.query.filters import parse_filter
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import FULL
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["CollectionPairs"]


class CollectionPairs(Iterable[tuple[str, FloatArray]]):
    """``(text, vector)`` of each point, scrolled page by page in bounded memory; can be read more than once.

    The collection is only read; a busy server is asked again, as :class:`~leaf_embed.qdrant.Retry` has it by default.
    Points without a text or without the vector are skipped and counted in :attr:`skipped`. Vectors come as they are
    stored: a collection under cosine distance has normalised them.
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
        """Finds the collection; nothing of it is read yet.

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
        self._keys = [key for key in (text, title) if key]
        if text == "" or not all(isinstance(key, str) for key in self._keys):
            raise InputError(f"text and title are payload keys; got {text!r} and {title!r}")
        self._store = store_of(path, client)
        self._name = find_any(self._store, collection)
        self._text, self._title, self._vector, self._page = text, title, vector, page
        self._where: Selection = parse_filter(where, "") if isinstance(where, Mapping) else where
        self.skipped: Counter[str] = Counter()

    def __str__(self) -> str:
        return f"the collection {self._name!r}"

    @property
    def space(self) -> EmbeddingSpace | None:
        """The space of the vectors, if leaf-embed made the collection and they are its full ones; else ``None``."""
        if self._vector not in (None, FULL):
            return None
        try:
            return CollectionMetadata.from_dict(self._store.read(self._name), name=self._name).space
        except (CollectionError, InputError):
            return None

    def __len__(self) -> int:
        """Number of points that fit ``where``, exact, skipped ones included."""
        with closing(self._store.open(self._name, FULL)) as points:
            return points.count(self._where)

    def __iter__(self) -> Iterator[tuple[str, FloatArray]]:
        """Each text with its vector, shape ``(dim,)``, float32.

        Raises:
            CollectionError: The engine or server failed, or no point has such a text or such a vector; the message
                says which there are.
            VectorError: A vector of NaN or zeros; the message names the point.
            InputError: Several vectors and none named, or a sparse or multi-vector.
        """
        self.skipped.clear()
        found = 0
        with closing(self._store.open(self._name, self._vector_name())) as points:
            for records in read_pages(points, self._page, self._where, vector=True, keys=self._keys):
                pairs = list(self._pairs(records))
                found += len(pairs)
                yield from pairs
            if not found:
                some = points.page(None, 10, None, vector=False).records
                raise CollectionError(self._nothing(sorted({key for record in some for key in record.payload})))

    def _vector_name(self) -> str:
        """Returns the vector that was asked for, or the one that is meant."""
        if self._vector is not None:
            return self._vector
        dense = sorted(name for name, stored in self._store.layout(self._name).items() if stored.size)
        if len(dense) > 1 and FULL not in dense:
            raise InputError(f"{self} has the vectors {dense}; name one with vector= (or --vector-name)")
        if not dense:
            raise CollectionError(f"{self} has no dense vector to read")
        return FULL if FULL in dense else dense[0]

    def _pairs(self, records: Sequence[Record]) -> Iterator[tuple[str, FloatArray]]:
        usable: list[tuple[str, str, list[float]]] = []
        for record in records:
            text = self._embedded_text(record.payload)
            if not text:
                self.skipped[f"no text under {self._text!r}"] += 1
            elif not record.vector:
                self.skipped[f"no vector {self._vector!r}" if self._vector else "no vector"] += 1
            elif not isinstance(record.vector, list) or isinstance(record.vector[0], list):
                name = self._vector or "there"
                raise InputError(f"{self}: the vector {name!r} is sparse or multiple; expected dense")
            else:
                usable.append((f"point {record.id}", text, record.vector))
        if usable:
            points, texts, stored = zip(*usable, strict=True)
            yield from zip(texts, vectors.as_vectors(stored, source=str(self), ids=points), strict=True)

    def _embedded_text(self, payload: Mapping[str, Any]) -> str:
        text = _at(payload, self._text)
        title = _at(payload, self._title) if self._title else None
        if not isinstance(text, str) or not text.strip():
            return ""
        return f"{title} {text}".strip() if isinstance(title, str) else text

    def _nothing(self, keys: list[str]) -> str:
        reasons = "; ".join(f"{count} points: {reason}" for reason, count in self.skipped.items()) or "no point fits"
        names = sorted(filter(None, self._store.layout(self._name)))
        return (
            f"{self} has no text with a vector ({reasons}). Its payloads have the keys {keys}, its points the vectors "
            f"{names or 'without a name'}. Name the text's key with text= (--text-key) and the vector with vector= "
            "(--vector-name)."
        )


def _at(payload: Mapping[str, Any], key: str) -> Any:
    """Returns the value under a dotted key, ``None`` if there is none."""
    if key in payload:
        return payload[key]
    value: Any = payload
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
