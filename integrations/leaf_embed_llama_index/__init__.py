"""leaf-embed for LlamaIndex; needs the extra ``llama-index``, and for the vector store ``qdrant``.

from leaf_embed_llama_index import LeafEmbedding, LeafQdrantVectorStore

Settings.embed_model = LeafEmbedding("my-leaf")  # texts by the teacher, queries by the leaf
"""

from leaf_embed._extras import require

require("llama_index.core", "llama-index", "leaf_embed_llama_index")

from leaf_embed_llama_index.embedding import LeafEmbedding  # noqa: E402
from leaf_embed_llama_index.vectorstore import LeafQdrantVectorStore  # noqa: E402

__all__ = ["LeafEmbedding", "LeafQdrantVectorStore"]
