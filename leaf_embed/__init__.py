"""Documents once by a big embedding model, queries for ever by a tiny one, in one vector space.

Importing this package loads no torch. ``leaf_embed.distill`` trains a leaf, ``leaf_embed.evaluation`` measures it,
``leaf_embed.qdrant`` stores its documents; each needs the extra that it names when it is missing.
"""

from leaf_embed.encoders import Encoder, LeafEncoder, load
from leaf_embed.errors import LeafEmbedError
from leaf_embed.space import EmbeddingSpace

__version__ = "0.1.0"

__all__ = ["EmbeddingSpace", "Encoder", "LeafEmbedError", "LeafEncoder", "__version__", "load"]
