"""The ways in which Qdrant compresses vectors, and what each of them needs from a search.

Stage one of a search never rescores by default: it only has to bring the right documents among its candidates, and
stage two compares those with the full vectors anyway. Coarse codes therefore ask for more candidates instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from leaf_embed.errors import InputError

__all__ = ["QUANTIZATIONS", "Quantization", "quantization"]


@dataclass(frozen=True)
class Quantization:
    """One way to compress a vector.

    Attributes:
        name: What it is called in a :class:`~leaf_embed.qdrant.CollectionSpec`.
        family: The kind of Qdrant's configuration.
        option: What the kind is told: a bit size, an encoding or a ratio.
        bits: Bits a dimension in memory.
        candidates: How many times more candidates stage one takes than with exact vectors.
        extra: Bytes a vector beside its codes, measured on the embedded engine.
    """

    name: str
    family: Literal["none", "scalar", "turbo", "binary", "product"]
    option: str
    bits: float
    candidates: int = 1
    extra: int = 0

    def size(self, dim: int) -> int:
        """Bytes in memory of one vector's codes."""
        coded = math.ceil(dim * self.bits / 8)
        words = 16 if self.family == "binary" else 1  # binary codes fill whole words of 128 bits
        return words * math.ceil(coded / words) + self.extra


# Candidates: on 30,000 x 768 vectors int8 and turbo4 lose nothing, turbo2 needs 4 times oversampling for .976, and
# one-bit codes stay below .35 even with 4 times; they pay only for very many dimensions.
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
    """Look one up.

    Raises:
        InputError: There is none of this name; the message lists those there are.
    """
    found = QUANTIZATIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InputError(f"quantization must be one of {', '.join(map(repr, QUANTIZATIONS))}; got {name!r}")
    return found
