"""Texts excluded from training, such as those of evaluation sets."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from leaf_embed.texts import Text

__all__ = ["Exclusion", "Without", "normalized"]

T = TypeVar("T")


def normalized(text: str) -> str:
    """Returns a text without case, width, punctuation and spacing, for comparison."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or folded.strip()


class Exclusion:
    """A set of texts to exclude from training, such as those of evaluation sets; compares :func:`normalized` texts.

    Memory grows by about 60 bytes per text, whatever its length.
    """

    def __init__(self, texts: Iterable[Text | str] = ()) -> None:
        """Reads the texts once; their roles do not matter."""
        self._keys = {_key(text if isinstance(text, str) else text.text) for text in texts}

    def __len__(self) -> int:
        """Number of distinct texts."""
        return len(self._keys)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and bool(self._keys) and _key(text) in self._keys


class Without(Iterable[T], Generic[T]):
    """Items without those whose text is excluded; these are counted in :attr:`count`."""

    def __init__(self, items: Iterable[T], exclusion: Exclusion, text_of: Callable[[T], str]) -> None:
        self._items, self._exclusion, self._text_of = items, exclusion, text_of
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        self.count = 0
        for item in self._items:
            if self._text_of(item) in self._exclusion:
                self.count += 1
            else:
                yield item


def _key(text: str) -> int:
    # 64 bits: among ten million texts on either side, one in a hundred thousand runs would drop one text too many
    return int.from_bytes(hashlib.sha256(normalized(text).encode("utf-8", "replace")).digest()[:8], "big")
