"""Functions that stand in for an encoder of a known space; callables.py makes a teacher with a space of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray, as_vectors, normalize

__all__ = ["EncodeTexts", "FunctionEncoder", "one_by_one"]

EncodeTexts = Callable[[list[str]], ArrayLike]


class FunctionEncoder(BaseEncoder):
    """Turns two functions from texts to vectors into an encoder of a space.

    The functions get the texts as they are: a prompt, if the model wants one, is theirs to add. Where the space has
    canaries, whoever uses the encoder finds out by them whether the functions really write into it.
    """

    def __init__(self, space: EmbeddingSpace, *, document: EncodeTexts, query: EncodeTexts | None = None) -> None:
        """Name the space and the functions.

        Args:
            space: The space that the functions write into, such as ``leaf.space``.
            document: Vectors of passages, ``(n, dim)`` for n texts.
            query: Vectors of questions; ``document`` by default.
        """
        self._space = space
        self._encode_by: dict[Role, EncodeTexts] = {"document": document, "query": query or document}

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        source = f"the function that encodes a {role}"
        matrix = as_vectors(self._encode_by[role](texts), self.dim, source=source)
        if len(matrix) != len(texts):
            raise InputError(f"{source} gave {len(matrix)} vectors for {len(texts)} texts; expected one a text")
        return normalize(matrix) if self._space.unit_norm else matrix


def one_by_one(encode: Callable[[str], Sequence[float]]) -> EncodeTexts:
    """A function of texts from a function of one text."""
    return lambda texts: np.asarray([encode(text) for text in texts], dtype=np.float32)
