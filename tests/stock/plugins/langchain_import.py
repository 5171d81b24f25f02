"""Pytest plugin: langchain-qdrant's tests get our store, as if their import line had been changed."""

import langchain_qdrant
import langchain_qdrant.qdrant

from leaf_embed_langchain import QdrantVectorStore

langchain_qdrant.QdrantVectorStore = QdrantVectorStore  # type: ignore[misc]
langchain_qdrant.qdrant.QdrantVectorStore = QdrantVectorStore  # type: ignore[misc]
