"""The identity of an open collection: name, space, spec and leaf, and the checks that these match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.canaries import CanaryReport
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionError, SpaceMismatchError
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.qdrant.query.bm25 import require_language
from leaf_embed.qdrant.schema.documents import StoredDocument
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace

__all__ = ["CollectionIdentity", "compare_with_leaf", "new_metadata", "require_leaf"]


class CollectionIdentity:
    """A collection's metadata and the leaf that it was opened with; base of the sync and the async collection."""

    def __init__(self, metadata: CollectionMetadata, leaf: Encoder) -> None:
        self._metadata = metadata
        self._leaf = leaf
        self._closed = False

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._metadata.name

    @property
    def space(self) -> EmbeddingSpace:
        """Space of its vectors, as stored with it."""
        return self._metadata.space

    @property
    def spec(self) -> CollectionSpec:
        """The vectors that it stores."""
        return self._metadata.spec

    @property
    def leaf(self) -> Encoder:
        """Encoder that it was opened with."""
        return self._leaf

    def verify(self) -> CanaryReport:
        """Compares the leaf's query vectors of the stored canaries with the stored ones.

        Raises:
            SpaceMismatchError: The leaf does not write into the collection's space.
            InputError: The collection's space has no canaries.
        """
        return self.space.verify_leaf(self._leaf, roles=("query",))

    def verify_vectors(self, documents: Sequence[StoredDocument], *, sample: int = 8) -> None:
        """Compares vectors of unknown origin with the leaf's vectors of the same texts.

        Args:
            documents: Documents with vectors of shape ``(dim,)``; those without one are skipped.
            sample: Documents to compare: the first ones.

        Raises:
            SpaceMismatchError: Their mean cosine is that of unrelated models.
            VectorError: A vector has another size than the space.
        """
        compare_with_leaf(((d.embedded_text, d.vector) for d in documents), self._leaf, self.name, sample)

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"{type(self).__name__}({self.name!r}, {self.space.describe()}{state})"

    def _require_open(self) -> None:
        if self._closed:
            again = f"{type(self).__name__}.open"
            raise CollectionError(f"the collection {self.name!r} is closed; open it again with {again}")


def compare_with_leaf(pairs: Iterable[tuple[str, ArrayLike | None]], leaf: Encoder, name: str, sample: int = 8) -> None:
    """Compares vectors that are to be written with the leaf's of the same texts; the teacher is not asked.

    Args:
        pairs: Texts with vectors of shape ``(dim,)``; those without one are skipped.
        leaf: The leaf.
        name: Name of the collection, for a message.
        sample: Pairs to compare: the first ones.

    Raises:
        SpaceMismatchError: Their mean cosine is that of unrelated models.
        VectorError: A vector has another size than the space.
    """
    known = list(islice(((text, row) for text, row in pairs if row is not None), sample))
    if not known:
        return
    mine = vectors.as_vectors(leaf.encode_query([text for text, _ in known]), source="the leaf")
    rows: Any = [row for _, row in known]
    given = vectors.as_vectors(rows, leaf.space.dim, source="the caller")
    mean = float(np.mean(vectors.cosine(mine, given)))
    record: LeafRecord = getattr(leaf, "record", LeafRecord())
    floor = record.unrelated_floor(leaf.space.dim)
    if mean < floor:
        raise SpaceMismatchError(
            f"the vectors are not of the space of the collection {name!r}, {leaf.space.describe()}: "
            f"their mean cosine with the leaf's vectors of the same texts is {mean:.3f}; an unrelated model has "
            f"about 0, the teacher above {floor:.2g}. Embed the documents by the leaf's own teacher."
        )


def new_metadata(name: str, leaf: Encoder, spec: CollectionSpec | None, *, canaries: bool) -> CollectionMetadata:
    """Returns the metadata of a collection that is to be created for a leaf.

    Raises:
        InputError: The spec does not fit the leaf's space, or names a language without BM25.
        SpaceMismatchError: ``canaries`` are asked for and the leaf fails them.
    """
    metadata = CollectionMetadata(name, leaf.space, spec or CollectionSpec.for_space(leaf.space))
    if metadata.spec.has_bm25:
        require_language(metadata.spec.language)
    if canaries:
        leaf.space.require_leaf(leaf, ("query",))
    return metadata


def require_leaf(metadata: CollectionMetadata, leaf: Encoder, *, canaries: bool) -> None:
    """Refuses a leaf that does not belong to a collection.

    Raises:
        SpaceMismatchError: It declares another space, or fails the canaries.
    """
    metadata.space.require_same(
        leaf.space,
        mine=f"the collection {metadata.name!r}",
        theirs="the leaf",
        advice="Open it with a leaf of the collection's space, or index the documents into a new collection.",
    )
    if canaries:
        metadata.space.require_leaf(leaf, ("query",))
