"""attach: a collection that another library writes and reads, opened in place and guarded from then on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from leaf_embed import vectors
from leaf_embed.canaries import TEACHER_FLOOR
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CollectionError, InputError
from leaf_embed.qdrant.adopt import adopted_spec, compare_documents
from leaf_embed.qdrant.backends.base import PointId, Record, Store, read_pages
from leaf_embed.qdrant.backends.client import LoopStore
from leaf_embed.qdrant.backends.stores import find_any, store_of
from leaf_embed.qdrant.collection import LeafCollection
from leaf_embed.qdrant.identity import compare_with_leaf, require_leaf
from leaf_embed.qdrant.migrate import backfill
from leaf_embed.qdrant.schema.documents import TEXT
from leaf_embed.qdrant.schema.layout import check_layout
from leaf_embed.qdrant.schema.metadata import CollectionMetadata
from leaf_embed.qdrant.schema.payload_layout import PayloadLayout, find_layout
from leaf_embed.qdrant.schema.spec import mrl_name

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient

__all__ = ["AttachedCollection", "aattach", "attach", "check_first_stage"]

PAGE = 256  # points that are read at a time
SAMPLE = 32  # stored texts that are embedded again when a collection is attached for the first time

log = logging.getLogger(__name__)


class AttachedCollection(LeafCollection):
    """A collection of another library's payloads, with what that library's store needs to write and search it."""

    def point_id(self, document_id: str | int) -> PointId:
        """Returns the id of a document's point: its own where Qdrant takes it, else a UUID that follows from it."""
        return self._metadata.point_id(document_id)

    def truncated(self, vector: ArrayLike) -> dict[str, list[float]]:
        """Returns the collection's truncated vectors of a full one, shape ``(dim,)``, by name; unit norm."""
        return {mrl_name(dim): vectors.truncate(vector, dim).tolist() for dim in self.spec.mrl}

    def take_candidates_from(self, dim: int) -> None:
        """Makes a truncated vector the first stage of searches, and gives it to every point that lacks it.

        Those are all if the vector is new, and else what another program has written since.
        """
        if dim not in self.spec.mrl[:1]:
            self.add_mrl(dim, first=True)
            return
        lacking = {"must": [{"has_vector": self.spec.full_name}], "must_not": [{"has_vector": mrl_name(dim)}]}
        backfill(self._open_points, dim, PAGE, where=lacking)

    def compare(self, pairs: Iterable[tuple[str, ArrayLike | None]]) -> None:
        """Compares some of these texts' vectors with the leaf's own, before they are written.

        Raises:
            SpaceMismatchError: They are of another model.
        """
        compare_with_leaf(pairs, self.leaf, self.name)


def attach(
    name: str,
    leaf: Encoder,
    *,
    client: QdrantClient,
    vector: str = "",
    layout: PayloadLayout | None = None,
    text_of: Callable[[Mapping[str, Any]], str] | None = None,
) -> AttachedCollection:
    """Opens a collection whose payloads are another library's, and leaves them as they are.

    The first time, an empty collection takes the leaf's space as its own; in any other some texts are embedded again
    and compared with their stored vectors. The space is then recorded in the collection, and later calls compare it
    with the leaf's, without the teacher. Where it cannot be recorded (a read-only key, a server before 1.16, a leaf
    without its teacher), the comparison is made each time.

    Args:
        name: Name of the collection, or an alias.
        leaf: A leaf; without a document encoder the leaf's own vectors of the texts are compared.
        client: A ``QdrantClient``, which the caller closes.
        vector: Name of the teacher's vector, ``""`` for one without a name.
        layout: Where its payloads hold what; found by default.
        text_of: From a stored payload to the text that was embedded, if that is not one field.

    Raises:
        CollectionNotFoundError: There is none of this name.
        CollectionError: It has no such vector, or one that is not compared by cosine or dot product.
        SpaceMismatchError: Its vectors, or the space recorded in it, are not the leaf's.
        InputError: None of the sampled points has a text.
    """
    return _attached(store_of(None, client), name, leaf, vector, layout, text_of)


async def aattach(
    name: str,
    leaf: Encoder,
    *,
    client: AsyncQdrantClient,
    vector: str = "",
    layout: PayloadLayout | None = None,
    text_of: Callable[[Mapping[str, Any]], str] | None = None,
) -> AttachedCollection:
    """:func:`attach` over an async client.

    What is returned sends its requests through the event loop that runs now: call those of its methods that read or
    write from another thread (``asyncio.to_thread``).
    """
    store = LoopStore(client, asyncio.get_running_loop())
    return await asyncio.to_thread(_attached, store, name, leaf, vector, layout, text_of)


def check_first_stage(mrl: int | None, leaf: Encoder | None, *, named: bool, advice: str) -> None:
    """Checks the dimensions of a first stage before anything is made.

    Args:
        mrl: Dimensions of the truncated vector; ``None`` for none.
        leaf: The leaf, if there is one.
        named: Whether the collection's vector has, or will have, a name.
        advice: How to get a vector with a name.

    Raises:
        InputError: There is no leaf, its vectors are too small, or the collection's vector has no name.
    """
    if mrl is None:
        return
    if leaf is None:
        raise InputError("mrl needs leaf=...: other models' vectors are not known to be truncatable")
    dim = leaf.space.dim
    if isinstance(mrl, bool) or not isinstance(mrl, int) or not 1 <= mrl < dim:
        raise InputError(f"mrl must be a whole number from 1 to {dim - 1}, below the leaf's dimensions; got {mrl!r}")
    if not named:
        raise InputError(
            f"mrl={mrl} adds a second vector, which Qdrant allows beside a named one only. {advice}, or leave mrl out: "
            "searches then compare the full vectors, as the stock store's do"
        )


def _attached(
    store: Store,
    name: str,
    leaf: Encoder,
    vector: str,
    layout: PayloadLayout | None,
    text_of: Callable[[Mapping[str, Any]], str] | None,
) -> AttachedCollection:
    found = find_any(store, name)
    recorded = store.read(found)
    if recorded is not None:
        metadata = CollectionMetadata.from_dict(recorded, name=found)
        require_leaf(metadata, leaf, canaries=True)
        check_layout(metadata, store.layout(found))
        if metadata.spec.full_name != vector:
            raise CollectionError(
                f"the collection {found!r} keeps its teacher's vectors as {metadata.spec.full_name!r}, not {vector!r}"
            )
        return AttachedCollection(store, store.open(found, vector), metadata, leaf)
    spec = adopted_spec(found, store.layout(found), leaf.space, vector)
    points = store.open(found, spec.full_name)
    pages = read_pages(points, SAMPLE, None, vector=True)
    records = list(islice((record for page in pages for record in page if record.vector), SAMPLE))
    layout = layout or find_layout([record.payload for record in records], None, None)
    metadata = CollectionMetadata(found, leaf.space, spec, payload_layout=layout)
    require_leaf(metadata, leaf, canaries=True)
    opened = AttachedCollection(store, points, metadata, leaf)
    if _vouched_for(opened, records, metadata, text_of):
        _record(store, metadata)
    return opened


def _vouched_for(
    opened: LeafCollection,
    records: list[Record],
    metadata: CollectionMetadata,
    text_of: Callable[[Mapping[str, Any]], str] | None,
) -> bool:
    """Compares stored vectors with the leaf's or its teacher's; whether the collection may be said to be of the space.

    Raises:
        SpaceMismatchError: They are not of the leaf's space.
    """
    if not records:
        return True
    if text_of is not None:
        key = metadata.payload_layout.text_key or TEXT
        records = [Record(r.id, {key: text_of(r.payload)}, r.vector) for r in records]
    leaf = opened.leaf
    if getattr(leaf, "can_encode_documents", True):
        compare_documents(records, leaf, metadata, TEACHER_FLOOR)
        return True
    embedded_text = metadata.payload_layout.embedded_text
    compare_with_leaf(((embedded_text(r.payload), r.vector) for r in records), leaf, metadata.name, SAMPLE)
    return False


def _record(store: Store, metadata: CollectionMetadata) -> None:
    try:
        store.write(metadata)
    except CollectionError as error:
        log.warning("the space of the collection %r could not be recorded in it: %s", metadata.name, error)
