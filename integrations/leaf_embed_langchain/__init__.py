"""leaf-embed for LangChain; needs the extra ``langchain``.

from leaf_embed_langchain import LeafEmbeddings

embeddings = LeafEmbeddings("my-leaf")  # documents by the teacher, queries by the leaf
"""

from leaf_embed._extras import require

require("langchain_core", "langchain", "leaf_embed_langchain")

from leaf_embed_langchain.embeddings import LeafEmbeddings  # noqa: E402

__all__ = ["LeafEmbeddings"]
