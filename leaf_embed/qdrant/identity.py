"""The identity of an open collection: name, space, spec and leaf, and the checks that these match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike

from leaf_embed.canaries import CanaryReport
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionError
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.qdrant.query.bm25 import require_language
from leaf_embed.qdrant.schema.documents import Document, StoredDocument
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.qdrant.vouching import Voucher
from leaf_embed.space import EmbeddingSpace

__all__ = ["CollectionIdentity", "compare_with_leaf", "new_metadata", "require_leaf"]


class CollectionIdentity:
    """A collection's metadata and the leaf that it was opened with; base of the sync and the async collection."""

    def __init__(self, metadata: CollectionMetadata, leaf: Encoder) -> None:
        self._metadata = metadata
        self._leaf = leaf
        self._closed = False
        self._voucher = new_voucher(leaf, metadata.name)

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

    def verify_vectors(self, documents: Sequence[StoredDocument], *, sample: int | None = None) -> None:
        """Compares vectors of unknown origin with the leaf's vectors of the same texts, at a random sample.

        Call it with every batch: the last cosines are remembered, so that small batches can be judged too. A vector
        that the leaf finds strange is compared with the document encoder's. If there is none, a single one of its kind
        is let through with a ``UserWarning``.

        Args:
            documents: Documents with vectors of shape ``(dim,)``; those without one are skipped.
            sample: Documents to compare; by default one of 32, at least 2, and at least 8 of the first batches.

        Raises:
            SpaceMismatchError: The mean cosine, or that of single vectors, is that of unrelated models.
            VectorError: A vector has another size than the space.
        """
        self._voucher.check(documents, sample)

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"{type(self).__name__}({self.name!r}, {self.space.describe()}{state})"

    def _require_open(self) -> None:
        if self._closed:
            again = f"{type(self).__name__}.open"
            raise CollectionError(f"the collection {self.name!r} is closed; open it again with {again}")


def compare_with_leaf(
    pairs: Iterable[tuple[str, ArrayLike | None]], leaf: Encoder, name: str, sample: int | None = None
) -> None:
    """Compares vectors that are to be written with the leaf's of the same texts, at a random sample.

    Args:
        pairs: Texts with vectors of shape ``(dim,)``; those without one are skipped.
        leaf: The leaf.
        name: Name of the collection, for a message.
        sample: Texts to compare; see :meth:`CollectionIdentity.verify_vectors`.

    Raises:
        SpaceMismatchError: The mean cosine, or that of single vectors, is that of unrelated models.
        VectorError: A vector has another size than the space.
    """
    rows = [Document(number, text).with_vector(row) for number, (text, row) in enumerate(pairs) if row is not None]
    new_voucher(leaf, name).check(rows, sample)


def new_voucher(leaf: Encoder, name: str) -> Voucher:
    """Returns what judges vectors by the leaf, as far as it is from its teacher."""
    record: LeafRecord = getattr(leaf, "record", LeafRecord())
    return Voucher(leaf, name, record.unrelated_floor(leaf.space.dim))


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
