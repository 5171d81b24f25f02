"""A small memory of query vectors: people, and agents even more, ask the same thing twice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from leaf_embed.encoders.base import BaseEncoder, Encoder, count_tokens
from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["RecentQueries"]


class RecentQueries(BaseEncoder):
    """An encoder that keeps its last query vectors in memory and drops the least recently asked.

    Documents pass through and are never kept: they are embedded once, and a query's vector must not come back for a
    document of the same words. Safe to share between threads; two that ask the same new query at once may both
    compute it.
    """

    def __init__(self, encoder: Encoder, size: int) -> None:
        """Remember.

        Args:
            encoder: Who computes what is not remembered.
            size: Number of vectors kept at most; each takes ``4 * dim`` bytes and its text.

        Raises:
            InputError: ``size`` is not positive.
        """
        if size < 1:
            raise InputError(f"a memory of queries needs room for at least one vector; got {size}")
        self.encoder = encoder
        self.canary_cosines = getattr(encoder, "canary_cosines", {})
        self._size = size
        self._kept: OrderedDict[str, FloatArray] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def space(self) -> EmbeddingSpace:
        return self.encoder.space

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def count_tokens(self, texts: Sequence[str], role: Role) -> list[int]:
        """As the encoder behind it counts."""
        return count_tokens(self.encoder, texts, role)

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        if role == "document":
            return self.encoder.encode_document(texts)
        known = self._recall(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            fresh = dict(zip(missing, self.encoder.encode_query(missing), strict=True))
            self._keep(fresh)
            known |= fresh
        return np.stack([known[text] for text in texts])  # a copy: the caller may write into it

    def _recall(self, texts: list[str]) -> dict[str, FloatArray]:
        found = {}
        with self._lock:
            for text in texts:
                if text in self._kept:
                    self._kept.move_to_end(text)
                    found[text] = self._kept[text]
        return found

    def _keep(self, fresh: dict[str, FloatArray]) -> None:
        with self._lock:
            for text, vector in fresh.items():
                self._kept[text] = vector.copy()  # not a view that would keep its whole batch alive
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
