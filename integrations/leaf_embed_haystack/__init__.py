"""leaf-embed for Haystack; needs the extra ``haystack``, and for the document stores ``qdrant``.

from leaf_embed_haystack import LeafDocumentEmbedder, LeafQdrantDocumentStore, LeafQdrantRetriever, LeafTextEmbedder

LeafTextEmbedder("my-leaf")      # queries, by the leaf
LeafDocumentEmbedder("my-leaf")  # documents, by the teacher

An application that uses ``qdrant-haystack`` changes its import line: ``QdrantDocumentStore`` is that package's store
with a leaf, and its retrievers work on it.
"""

from typing import TYPE_CHECKING, Any

from leaf_embed._extras import require, require_package

require("haystack", "haystack", "leaf_embed_haystack")

from leaf_embed_haystack.embedders import LeafDocumentEmbedder, LeafTextEmbedder  # noqa: E402
from leaf_embed_haystack.retriever import LeafQdrantRetriever  # noqa: E402
from leaf_embed_haystack.store import LeafQdrantDocumentStore  # noqa: E402

if TYPE_CHECKING:
    from leaf_embed_haystack.qdrant import QdrantDocumentStore as QdrantDocumentStore

# QdrantDocumentStore is not among them, so that a star does not ask for qdrant-haystack.
__all__ = ["LeafDocumentEmbedder", "LeafQdrantDocumentStore", "LeafQdrantRetriever", "LeafTextEmbedder"]


def __getattr__(name: str) -> Any:
    """Imports what needs ``qdrant-haystack`` when it is asked for."""
    if name != "QdrantDocumentStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_package("haystack_integrations.document_stores.qdrant", "qdrant-haystack", f"leaf_embed_haystack.{name}")
    from leaf_embed_haystack.qdrant import QdrantDocumentStore

    return QdrantDocumentStore
