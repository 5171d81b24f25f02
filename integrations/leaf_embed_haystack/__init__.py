"""leaf-embed for Haystack; needs the extra ``haystack``, and for the document store ``qdrant``.

from leaf_embed_haystack import LeafDocumentEmbedder, LeafQdrantDocumentStore, LeafQdrantRetriever, LeafTextEmbedder

LeafTextEmbedder("my-leaf")      # queries, by the leaf
LeafDocumentEmbedder("my-leaf")  # documents, by the teacher
"""

from leaf_embed._extras import require

require("haystack", "haystack", "leaf_embed_haystack")

from leaf_embed_haystack.embedders import LeafDocumentEmbedder, LeafTextEmbedder  # noqa: E402
from leaf_embed_haystack.retriever import LeafQdrantRetriever  # noqa: E402
from leaf_embed_haystack.store import LeafQdrantDocumentStore  # noqa: E402

__all__ = ["LeafDocumentEmbedder", "LeafQdrantDocumentStore", "LeafQdrantRetriever", "LeafTextEmbedder"]
