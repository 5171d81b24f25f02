"""Encoders: everything that turns texts into vectors of a space.

``onnx`` needs the base install only; ``transformer`` needs the extra ``train``.
"""

from leaf_embed.encoders.base import BaseEncoder, Encoder, Metered
from leaf_embed.encoders.callable import CallableEncoder, langchain_encoder
from leaf_embed.encoders.function import FunctionEncoder
from leaf_embed.encoders.leaf import LeafEncoder, load

__all__ = [
    "BaseEncoder",
    "CallableEncoder",
    "Encoder",
    "FunctionEncoder",
    "LeafEncoder",
    "Metered",
    "langchain_encoder",
    "load",
]
