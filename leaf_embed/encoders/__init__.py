"""Encoders, which turn texts into vectors of a space.

The query path (:func:`load`, ``onnx``, ``static``) needs the base install only; ``transformer`` needs the extra
``train``, ``api`` the extra of the same name.
"""

from leaf_embed.encoders.base import BaseEncoder, Encoder, Metered
from leaf_embed.encoders.callable import CallableEncoder, FunctionEncoder, langchain_encoder, one_by_one
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.encoders.loading import DocumentSource, LeafSource, Variant, encode_lists, load, open_leaf
from leaf_embed.encoders.torch_models import Loading

__all__ = [
    "BaseEncoder",
    "CallableEncoder",
    "DocumentSource",
    "Encoder",
    "FunctionEncoder",
    "LeafEncoder",
    "LeafSource",
    "Loading",
    "Metered",
    "Variant",
    "encode_lists",
    "langchain_encoder",
    "load",
    "one_by_one",
    "open_leaf",
]
