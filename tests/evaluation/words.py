"""An encoder one can reason about: a text is the sum of a random vector a word."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from leaf_embed import vectors
from leaf_embed.encoders import BaseEncoder
from leaf_embed.space import EmbeddingSpace, Role
from leaf_embed.vectors import FloatArray

DIM = 32
SPACE = EmbeddingSpace("words", DIM)


class Words(BaseEncoder):
    """Sums a random vector a word; a leaf is given some noise, which depends on the text."""

    def __init__(self, noise: float = 0) -> None:
        self.noise = noise
        self.seen: Counter[str] = Counter()

    @property
    def space(self) -> EmbeddingSpace:
        return SPACE

    def _encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        self.seen[role] += len(texts)
        rows = [sum(map(_draw, text.split()), self.noise * _draw(f"noise of {text}")) for text in texts]
        return vectors.normalize(np.stack(rows))


def _draw(word: str) -> FloatArray:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIM).astype(np.float32)
