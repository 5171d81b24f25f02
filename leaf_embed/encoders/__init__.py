"""Encoders: everything that turns texts into vectors of a space.

``onnx`` needs the base install only; ``transformer`` needs the extra ``train``.
"""

from leaf_embed.encoders.base import BaseEncoder, Encoder, Metered
from leaf_embed.encoders.functions import CallableEncoder, langchain_encoder
from leaf_embed.encoders.leaf import LeafEncoder, load

__all__ = ["BaseEncoder", "CallableEncoder", "Encoder", "LeafEncoder", "Metered", "langchain_encoder", "load"]
