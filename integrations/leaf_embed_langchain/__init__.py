"""leaf-embed for LangChain; needs the extra ``langchain``, and for the vector store ``qdrant``.

from leaf_embed_langchain import LeafEmbeddings, LeafQdrantVectorStore

embeddings = LeafEmbeddings("my-leaf")  # documents by the teacher, queries by the leaf
store = LeafQdrantVectorStore.from_texts(["a passage"], embeddings, path="collections")
"""

from leaf_embed._extras import require

require("langchain_core", "langchain", "leaf_embed_langchain")

from leaf_embed_langchain.embeddings import LeafEmbeddings  # noqa: E402
from leaf_embed_langchain.vectorstore import LeafQdrantVectorStore  # noqa: E402

__all__ = ["LeafEmbeddings", "LeafQdrantVectorStore"]
