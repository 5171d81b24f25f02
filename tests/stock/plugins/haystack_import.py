"""Pytest plugin: qdrant-haystack's tests get our store, as if their import line had been changed."""

from haystack_integrations.components.retrievers.qdrant import retriever
from haystack_integrations.document_stores import qdrant
from haystack_integrations.document_stores.qdrant import document_store

from leaf_embed_haystack.qdrant import QdrantDocumentStore

for module in (qdrant, document_store, retriever):
    module.QdrantDocumentStore = QdrantDocumentStore  # type: ignore[misc]
