"""An encoder of a few lines for every framework's tests."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from leaf_embed import EmbeddingSpace, LeafEncoder
from leaf_embed.canaries import Canaries
from leaf_embed.encoders import BaseEncoder
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray, normalize


class LetterEncoder(BaseEncoder):
    """Counts of the letters a to f, plus one, normalised: "abba" is [3, 3, 1, 1, 1, 1] / sqrt(22)."""

    def __init__(self, *, canaries: bool = False) -> None:
        self.roles: list[Role] = []
        self.threads: set[int] = set()
        self._space = EmbeddingSpace("letters", 6)
        if canaries:
            texts: Any = tuple(("document", letter * 9) for letter in "abcdef")
            self._space = self._space.with_canaries(Canaries.of(self, texts))
            self.roles.clear()

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        self.roles.append(role)
        self.threads.add(threading.get_ident())
        counts: FloatArray = np.array([[t.count(c) + 1 for c in "abcdef"] for t in texts], dtype=np.float32)
        return normalize(counts)


def query_only() -> LeafEncoder:
    """A leaf whose teacher fails the test as soon as it is built."""

    def teacher() -> Any:
        raise AssertionError("the teacher was built")

    return LeafEncoder(LetterEncoder(), teacher)
