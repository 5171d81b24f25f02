"""Content addresses: 128-bit keys of texts, and an index from them to row numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

__all__ = ["Key", "KeyIndex", "content_key", "pack", "unpack"]

Key: TypeAlias = tuple[int, int]


def content_key(prompt: str, text: str) -> Key:
    """Returns 128 bits of a hash of the teacher's prompt and the text."""
    return unpack(hashlib.sha256(f"{prompt}\0{text}".encode()).digest()[:16])


def pack(key: Key) -> bytes:
    """Returns a key as 16 bytes, as the cache stores it."""
    return key[0].to_bytes(8, "big") + key[1].to_bytes(8, "big")


def unpack(key: bytes) -> Key:
    """Returns the key of 16 bytes, the reverse of :func:`pack`."""
    return int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")


class KeyIndex:
    """An index from 128-bit keys to row numbers: sorted arrays for old keys, a dictionary for new ones."""

    def __init__(self) -> None:
        self._high = np.empty(0, dtype=np.uint64)
        self._low = np.empty(0, dtype=np.uint64)
        self._rows = np.empty(0, dtype=np.int64)
        self._recent: dict[Key, int] = {}
        self._size = 0

    def add(self, keys: Sequence[Key]) -> None:
        """Assigns the next row numbers to keys, in order; a key that is in the index keeps its first."""
        for key in keys:
            self._recent.setdefault(key, self._size)
            self._size += 1
        if len(self._recent) > 1 << 16:
            self._merge()

    def _merge(self) -> None:
        keys = np.array(list(self._recent), dtype=np.uint64).reshape(-1, 2)
        high = np.concatenate([self._high, keys[:, 0]])
        order = np.argsort(high, kind="stable")
        self._high = high[order]
        self._low = np.concatenate([self._low, keys[:, 1]])[order]
        new = np.fromiter(self._recent.values(), dtype=np.int64, count=len(self._recent))
        self._rows = np.concatenate([self._rows, new])[order]
        self._recent.clear()

    def find(self, key: Key) -> int | None:
        """Returns the row of a key, ``None`` if it is not in the index."""
        recent = self._recent.get(key)
        if recent is not None:
            return recent
        high, low = np.uint64(key[0]), np.uint64(key[1])
        place = int(np.searchsorted(self._high, high))
        while place < len(self._high) and self._high[place] == high:
            if self._low[place] == low:
                return int(self._rows[place])
            place += 1
        return None
