"""LeafQdrantDocumentStore: Haystack's ``DocumentStore`` over a collection."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

from haystack import Document, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret

from leaf_embed.encoders import DocumentSource, LeafSource, open_leaf
from leaf_embed.errors import InputError
from leaf_embed.qdrant import CollectionSpec, LeafCollection, StoredDocument, connect, open_or_create
from leaf_embed_haystack.convert import document_of, leaf_document, plain, where_of
from leaf_embed_haystack.metadata import MetadataMethods

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LeafQdrantDocumentStore"]


class LeafQdrantDocumentStore(MetadataMethods):
    """A document store over a Qdrant collection of one embedding space, with :class:`LeafQdrantRetriever`.

    The collection is opened, or created, on first use. Documents with vectors (from :class:`LeafDocumentEmbedder`) are
    stored with them, after a comparison of the first ones with the leaf's; the others are embedded by the teacher.
    Filters are Haystack's, over ``meta``.
    """

    def __init__(
        self,
        collection_name: str,
        leaf: LeafSource,
        *,
        document: DocumentSource = "teacher",
        path: str | os.PathLike[str] | None = None,
        url: str | None = None,
        api_key: Secret | None = None,
        spec: CollectionSpec | None = None,
    ) -> None:
        """Names a collection and its leaf.

        Args:
            collection_name: Name of the collection.
            leaf: A leaf directory or hub id; or an encoder, which no pipeline file can hold.
            document: Encoder of documents without vectors, loaded with the first one.
            path: Directory of the embedded engine; pass it or ``url``.
            url: URL of a Qdrant server, or ``":memory:"``.
            api_key: API key of the server; the environment's ``QDRANT_API_KEY`` by default.
            spec: Vectors to store, if the collection is created here.
        """
        self.collection_name, self.leaf, self.document = collection_name, leaf, document
        self.path, self.url, self.spec = path, url, spec
        self.api_key = api_key or Secret.from_env_var("QDRANT_API_KEY", strict=False)
        self._collection: LeafCollection | None = None
        self._opening = threading.Lock()

    @property
    def collection(self) -> LeafCollection:
        """The collection, opened or created if it was not before."""
        with self._opening:
            if self._collection is None:
                self._collection = self._open()
            return self._collection

    def _open(self) -> LeafCollection:
        if (self.path is None) == (self.url is None):
            raise InputError("give either path (a directory, for the embedded engine) or url (a Qdrant server)")
        encoder = open_leaf(self.leaf, document=self.document)
        key = None if self.url in (None, ":memory:") else self.api_key.resolve_value()
        client = None if self.url is None else connect(self.url, key)
        return open_or_create(self.collection_name, encoder, path=self.path, client=client, spec=self.spec)

    def close(self) -> None:
        """Closes the collection, if it is open; the next use opens it again."""
        with self._opening:
            if self._collection is not None:
                self._collection.close()
                self._collection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def to_dict(self) -> dict[str, Any]:
        """Returns the form for a pipeline file."""
        return default_to_dict(
            self,
            collection_name=self.collection_name,
            leaf=plain(self.leaf),
            document=plain(self.document),
            path=plain(self.path),
            url=self.url,
            api_key=self.api_key,
            spec=None if self.spec is None else self.spec.to_dict(),
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LeafQdrantDocumentStore:
        """Reads the form in a pipeline file."""
        options = dict(data["init_parameters"])
        if options.get("spec") is not None:
            options["spec"] = CollectionSpec.from_dict(options["spec"])
        return default_from_dict(cls, {**data, "init_parameters": options})

    def count_documents(self) -> int:
        """Returns the number of documents."""
        return self.collection.count()

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Returns the documents that match a filter."""
        return [document_of(found) for found in self.collection.iter_documents(where=where_of(filters))]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Stores documents and returns how many were written.

        Args:
            documents: Documents with content; vectors and ``meta`` are optional.
            policy: What happens to an id that exists, in the collection or earlier in the list. ``NONE`` is
                ``OVERWRITE``, where the last one stays and an unchanged document is not embedded again.

        Raises:
            DuplicateDocumentError: An id exists, and the policy is ``FAIL``.
            InputError: A value that is no document with text.
            SpaceMismatchError: Their vectors are not of the collection's space.
        """
        if not isinstance(documents, list):
            raise InputError(f"expected a list of Haystack Documents; got {type(documents).__name__}")
        rows = self._settled([leaf_document(document) for document in documents], policy)
        there = {found.id: found for found in self.collection.get([row.id for row in rows])}
        if policy == DuplicatePolicy.SKIP:
            rows = [row for row in rows if row.id not in there]
        elif there and policy == DuplicatePolicy.FAIL:
            raise DuplicateDocumentError(f"documents with these ids exist: {sorted(map(str, there))[:5]}")
        self._write_given([row for row in rows if row.vector is not None], there)
        if bare := [row for row in rows if row.vector is None]:
            self.collection.index(bare)
        return len(rows)

    @staticmethod
    def _settled(rows: list[StoredDocument], policy: DuplicatePolicy) -> list[StoredDocument]:
        """One row of each id, as if the rows were written one after another: the first with SKIP, else the last."""
        by_id: dict[str | int, StoredDocument] = {}
        for row in rows:
            if row.id in by_id and policy == DuplicatePolicy.FAIL:
                raise DuplicateDocumentError(f"the documents hold the id {row.id!r:.80} twice; none was written")
            if row.id not in by_id or policy != DuplicatePolicy.SKIP:
                by_id[row.id] = row
        return list(by_id.values())

    def _write_given(self, rows: list[StoredDocument], there: dict[str | int, StoredDocument]) -> None:
        if not rows:
            return
        self.collection.verify_vectors(rows)
        # Fields of meta may have been embedded too, so a stored vector stays only where meta is the same.
        self.collection.delete([r.id for r in rows if r.id in there and r.payload != there[r.id].payload])
        self.collection.index_vectors(rows)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Deletes documents; one that does not exist is no error."""
        self.collection.delete(document_ids)

    async def count_documents_async(self) -> int:
        """:meth:`count_documents` in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """:meth:`filter_documents` in a thread."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """:meth:`write_documents` in a thread."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """:meth:`delete_documents` in a thread."""
        await asyncio.to_thread(self.delete_documents, document_ids)
