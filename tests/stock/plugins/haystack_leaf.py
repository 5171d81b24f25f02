"""Pytest plugin: qdrant-haystack's tests get our store, with a leaf of the size that they ask for.

Their vectors are drawn at random from positive numbers. The leaf's vector of any text is the direction (1, 1, ...),
which all of these are near to, as a teacher's vectors are near to its leaf's.
"""

from __future__ import annotations

from typing import Any

import haystack_import  # noqa: F401  puts our store in place
import numpy as np

from leaf_embed import EmbeddingSpace
from leaf_embed.encoders import FunctionEncoder
from leaf_embed_haystack.qdrant import QdrantDocumentStore

plain_init: Any = QdrantDocumentStore.__init__


def with_leaf(self: Any, *args: Any, **options: Any) -> None:
    """Gives every store a leaf, but for those of distances that a leaf cannot answer."""
    if options.get("similarity", "cosine") == "l2":
        plain_init(self, *args, **options)
        return
    dim = options.get("embedding_dim", 768)
    leaf = FunctionEncoder(EmbeddingSpace("ones", dim), document=lambda texts: np.full((len(texts), dim), dim**-0.5))
    plain_init(self, *args, leaf=leaf, **options)


QdrantDocumentStore.__init__ = with_leaf  # type: ignore[method-assign, assignment]
