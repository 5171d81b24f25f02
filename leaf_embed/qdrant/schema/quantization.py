"""Qdrant's quantizations, their sizes, and the number of candidates that each needs from a search.

Stage one of a search never rescores by default: it only has to find the right documents among its candidates, and stage
two compares those with the full vectors. A coarse quantization therefore takes more candidates instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from leaf_embed.errors import InputError

__all__ = ["QUANTIZATIONS", "Quantization", "quantization"]


@dataclass(frozen=True)
class Quantization:
    """One quantization of a vector.

    Attributes:
        name: Its name in a :class:`~leaf_embed.qdrant.CollectionSpec`.
        family: Kind of Qdrant's configuration.
        option: Option of that kind: a bit size, an encoding or a ratio.
        bits: Bits per dimension in memory.
        candidates: Factor by which stage one takes more candidates than with unquantized vectors.
        extra: Further bytes per vector, measured on the embedded engine.
    """

    name: str
    family: Literal["none", "scalar", "turbo", "binary", "product"]
    option: str
    bits: float
    candidates: int = 1
    extra: int = 0

    def size(self, dim: int) -> int:
        """Returns the bytes in memory of one quantized vector."""
        coded = math.ceil(dim * self.bits / 8)
        block = 16 if self.family == "binary" else 1  # binary vectors fill whole blocks of 128 bits
        return block * math.ceil(coded / block) + self.extra


# Candidates: on 30,000 x 768 vectors int8 and turbo4 lose nothing, turbo2 needs 4 times oversampling for .976, and
# one-bit quantization stays below .35 even with 4 times; it pays only for very many dimensions.
QUANTIZATIONS = {
    entry.name: entry
    for entry in (
        Quantization("none", "none", "", 32),
        Quantization("int8", "scalar", "int8", 8, extra=4),
        Quantization("turbo8", "turbo", "bits8", 8, extra=4),
        Quantization("turbo4", "turbo", "bits4", 4, extra=8),
        Quantization("turbo2", "turbo", "bits2", 2, 2, 8),
        Quantization("turbo1.5", "turbo", "bits1_5", 1.5, 3, 8),
        Quantization("turbo1", "turbo", "bits1", 1, 4, 8),
        Quantization("binary2", "binary", "two_bits", 2, 4),
        Quantization("binary1.5", "binary", "one_and_half_bits", 1.5, 6),
        Quantization("binary", "binary", "one_bit", 1, 8),
        Quantization("product4", "product", "x4", 8),
        Quantization("product8", "product", "x8", 4, 2),
        Quantization("product16", "product", "x16", 2, 4),
        Quantization("product32", "product", "x32", 1, 8),
        Quantization("product64", "product", "x64", 0.5, 8),
    )
}


def quantization(name: str) -> Quantization:
    """Returns the quantization of a name.

    Raises:
        InputError: There is none of this name; the message lists those that exist.
    """
    found = QUANTIZATIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InputError(f"quantization must be one of {', '.join(map(repr, QUANTIZATIONS))}; got {name!r}")
    return found
