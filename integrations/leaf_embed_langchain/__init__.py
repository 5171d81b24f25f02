"""leaf-embed for LangChain; needs the extra ``langchain``, and for the vector stores ``qdrant``.

from leaf_embed_langchain import LeafEmbeddings, LeafQdrantVectorStore

embeddings = LeafEmbeddings("my-leaf")  # documents by the teacher, queries by the leaf
store = LeafQdrantVectorStore.from_texts(["a passage"], embeddings, path="collections")

An application that uses ``langchain_qdrant`` changes its import line: ``QdrantVectorStore`` is that package's store
with a leaf, and the other names are that package's own.
"""

from typing import TYPE_CHECKING, Any

from leaf_embed._extras import require, require_package

require("langchain_core", "langchain", "leaf_embed_langchain")

from leaf_embed_langchain.embeddings import LeafEmbeddings  # noqa: E402
from leaf_embed_langchain.vectorstore import LeafQdrantVectorStore  # noqa: E402

if TYPE_CHECKING:
    from langchain_qdrant import FastEmbedSparse, RetrievalMode, SparseEmbeddings, SparseVector

    from leaf_embed_langchain.qdrant import QdrantVectorStore

__all__ = [
    "FastEmbedSparse",
    "LeafEmbeddings",
    "LeafQdrantVectorStore",
    "QdrantVectorStore",
    "RetrievalMode",
    "SparseEmbeddings",
    "SparseVector",
]


def __getattr__(name: str) -> Any:
    """Imports what needs ``langchain_qdrant`` when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    stock = require_package("langchain_qdrant", "langchain-qdrant", f"leaf_embed_langchain.{name}")
    if name != "QdrantVectorStore":
        return getattr(stock, name)
    from leaf_embed_langchain.qdrant import QdrantVectorStore

    return QdrantVectorStore
