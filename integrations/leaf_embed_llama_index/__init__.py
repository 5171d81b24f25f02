"""leaf-embed for LlamaIndex; needs the extra ``llama-index``, and for the vector stores ``qdrant``.

from leaf_embed_llama_index import LeafEmbedding, LeafQdrantVectorStore

Settings.embed_model = LeafEmbedding("my-leaf")  # texts by the teacher, queries by the leaf

An application that uses ``llama-index-vector-stores-qdrant`` changes its import line: ``QdrantVectorStore`` is that
package's store with a leaf.
"""

from typing import TYPE_CHECKING, Any

from leaf_embed._extras import require, require_package

require("llama_index.core", "llama-index", "leaf_embed_llama_index")

from leaf_embed_llama_index.embedding import LeafEmbedding  # noqa: E402
from leaf_embed_llama_index.vectorstore import LeafQdrantVectorStore  # noqa: E402

if TYPE_CHECKING:
    from leaf_embed_llama_index.qdrant import QdrantVectorStore as QdrantVectorStore

# QdrantVectorStore is not among them, so that a star does not ask for llama-index-vector-stores-qdrant.
__all__ = ["LeafEmbedding", "LeafQdrantVectorStore"]


def __getattr__(name: str) -> Any:
    """Imports what needs ``llama-index-vector-stores-qdrant`` when it is asked for."""
    if name != "QdrantVectorStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package = "llama-index-vector-stores-qdrant"
    require_package("llama_index.vector_stores.qdrant", package, f"leaf_embed_llama_index.{name}")
    from leaf_embed_llama_index.qdrant import QdrantVectorStore

    return QdrantVectorStore
