"""Haystack's ``DocumentStore`` over a leaf collection."""

from __future__ import annotations

import os
from typing import Any

from haystack import Document, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret

from leaf_embed._extras import require
from leaf_embed.encoders import DocumentSource, LeafSource, open_leaf
from leaf_embed.errors import InputError
from leaf_embed.qdrant import CollectionSpec, LeafCollection, StoredDocument, open_or_create
from leaf_embed.qdrant.adopt import prove_vectors
from leaf_embed_haystack.convert import document_of, leaf_document, plain, where_of

__all__ = ["LeafQdrantDocumentStore"]


class LeafQdrantDocumentStore:
    """A Qdrant collection of one embedding space, for ``DocumentWriter`` and :class:`LeafQdrantRetriever`.

    It is opened, or made, on first use. Documents that come with vectors (from :class:`LeafDocumentEmbedder`) are
    stored with them, after the leaf has told whether they can be of its space; the others are embedded by the teacher.
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
        """Say what and where.

        Args:
            collection_name: Its name.
            leaf: A leaf directory or hub id; or an encoder, which no pipeline file can hold.
            document: Who encodes documents without vectors; loaded when the first one comes.
            path: Directory of the embedded engine; give it or ``url``.
            url: A Qdrant server, or ``":memory:"``.
            api_key: Of the server; the environment's ``QDRANT_API_KEY`` by default.
            spec: Which vectors to store, if the collection is made here.
        """
        self.collection_name, self.leaf, self.document = collection_name, leaf, document
        self.path, self.url, self.spec = path, url, spec
        self.api_key = api_key or Secret.from_env_var("QDRANT_API_KEY", strict=False)
        self._collection: LeafCollection | None = None
        self._proven = False

    @property
    def collection(self) -> LeafCollection:
        """The collection, opened or made now if it was not before."""
        if self._collection is None:
            if (self.path is None) == (self.url is None):
                raise InputError("give either path (a directory, for the embedded engine) or url (a Qdrant server)")
            encoder = open_leaf(self.leaf, document=self.document)
            client = None if self.url is None else self._client(self.url)
            self._collection = open_or_create(
                self.collection_name, encoder, path=self.path, client=client, spec=self.spec
            )
        return self._collection

    def _client(self, url: str) -> Any:
        module = require("qdrant_client", "qdrant", "A Qdrant server")
        return module.QdrantClient(url, api_key=None if url == ":memory:" else self.api_key.resolve_value())

    def to_dict(self) -> dict[str, Any]:
        """The form in a pipeline file."""
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
        """Read the form in a pipeline file back."""
        options = dict(data["init_parameters"])
        if options.get("spec") is not None:
            options["spec"] = CollectionSpec.from_dict(options["spec"])
        return default_from_dict(cls, {**data, "init_parameters": options})

    def count_documents(self) -> int:
        """Number of documents."""
        return self.collection.count()

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """The documents that a filter lets through."""
        return [document_of(found) for found in self.collection.iter_documents(where=where_of(filters))]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Store documents; how many were taken.

        Args:
            documents: Documents with content; vectors and ``meta`` are optional.
            policy: ``NONE`` is ``OVERWRITE``, where a document that is there unchanged costs nothing.

        Raises:
            DuplicateDocumentError: An id is there, and the policy is ``FAIL``.
            InputError: Something else than documents with text.
            SpaceMismatchError: Their vectors are not of the collection's space.
        """
        if not isinstance(documents, list):
            raise InputError(f"expected a list of Haystack Documents; got {type(documents).__name__}")
        rows = [leaf_document(document) for document in documents]
        there = {found.id: found for found in self.collection.get([row.id for row in rows])}
        if there and policy == DuplicatePolicy.FAIL:
            raise DuplicateDocumentError(f"documents with these ids are there: {sorted(map(str, there))[:5]}")
        if policy == DuplicatePolicy.SKIP:
            rows = [row for row in rows if row.id not in there]
        self._write_given([row for row in rows if row.vector is not None], there)
        if bare := [row for row in rows if row.vector is None]:
            self.collection.index(bare)
        return len(rows)

    def _write_given(self, rows: list[StoredDocument], there: dict[str | int, StoredDocument]) -> None:
        if not rows:
            return
        if not self._proven:
            prove_vectors(rows, self.collection.leaf, self.collection.name)
            self._proven = True
        # Fields of meta may have been embedded too, so a vector is kept only where meta is the same.
        self.collection.delete([r.id for r in rows if r.id in there and r.payload != there[r.id].payload])
        self.collection.index_vectors(rows)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Remove documents; one that is not there is no error."""
        self.collection.delete(document_ids)
