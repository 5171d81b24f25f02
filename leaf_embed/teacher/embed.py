"""Checked blocks of vectors for the cache, from a teacher or from pairs of text and vector."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from leaf_embed import vectors
from leaf_embed.encoders.base import Encoder, Metered
from leaf_embed.errors import VectorError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Text
from leaf_embed.vectors import FloatArray

__all__ = ["Pace", "check_pairs", "embed_texts", "shown"]


SECONDS = 2.0  # per block of a teacher on this machine: so often progress moves
FASTER = 4.0  # most that a block may grow by, since the first ones also warm the model up


class Pace:
    """How many texts a teacher embeds in :data:`SECONDS`, measured as it goes."""

    def __init__(self, texts: int = 32) -> None:
        """Starts with a guess."""
        self._texts = float(texts)

    def pieces(self, texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
        """Yields the texts in order, each time as many as should take :data:`SECONDS`."""
        start = 0
        while start < len(texts):
            piece = texts[start : start + max(1, round(self._texts))]
            began = time.monotonic()
            yield piece
            seconds = max(1e-6, time.monotonic() - began)
            self._texts = min(len(piece) * SECONDS / seconds, FASTER * self._texts)
            start += len(piece)


def embed_texts(teacher: Encoder, texts: Sequence[Text], dim: int, pace: Pace | None = None) -> Iterator[FloatArray]:
    """Yields teacher vectors of texts of both kinds, in order, in blocks ``(n, dim)`` of seconds or of a metered call.

    Raises:
        VectorError: The teacher returned a vector that cannot be used; the message names its text.
    """
    if not isinstance(teacher, Metered):
        yield from (_block(teacher, piece, dim) for piece in (pace or Pace()).pieces(texts))
        return
    for kind, group in groupby(texts, key=lambda text: text.kind):
        same = list(group)
        start = 0
        for size in teacher.call_sizes([text.text for text in same], kind):
            yield _block(teacher, same[start : start + size], dim)
            start += size


def _block(teacher: Encoder, texts: Sequence[Text], dim: int) -> FloatArray:
    block = np.empty((len(texts), dim), dtype=np.float32)
    for kind, encode in (("query", teacher.encode_query), ("document", teacher.encode_document)):
        places = [place for place, text in enumerate(texts) if text.kind == kind]
        if places:
            same = [texts[place].text for place in places]
            found = vectors.as_vectors(encode(same), dim, source="the teacher", ids=[shown(text) for text in same])
            if len(found) != len(same):
                raise VectorError(
                    f"the teacher returned {len(found)} vectors for {len(same)} texts; expected one per text"
                )
            block[places] = found
    return block


def check_pairs(pairs: Sequence[tuple[Text, Any]], space: EmbeddingSpace) -> FloatArray:
    """Returns the vectors of some (text, vector) pairs, shape ``(n, dim)``.

    Raises:
        VectorError: A vector that is not one of the space; the message names its text.
    """
    names = [shown(text.text) for text, _ in pairs]
    rows = [np.asarray(vector) for _, vector in pairs]
    for name, row in zip(names, rows, strict=True):
        if row.shape != (space.dim,):
            raise VectorError(f"the vector of {name!r} has shape {row.shape}; expected ({space.dim},)")
    block = vectors.as_vectors(rows, space.dim, source="the source of stored vectors", ids=names)
    if space.unit_norm and not vectors.is_unit_norm(block):
        norms = np.linalg.norm(block, axis=1)
        worst = int(np.argmax(np.abs(norms - 1)))
        raise VectorError(
            f"the vector of {names[worst]!r} has norm {norms[worst]:.3g}, but the space was declared or found to have "
            "unit norm. Normalise the vectors, or declare unit_norm=False."
        )
    return block


def shown(text: str) -> str:
    """Returns a text as an error names it."""
    return f"{text[:60]}..." if len(text) > 60 else text
