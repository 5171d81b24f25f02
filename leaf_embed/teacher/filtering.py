"""Which texts are learned from, and how often: evaluation sets kept out, queries weighed against documents."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from leaf_embed.errors import InputError
from leaf_embed.texts import Text

__all__ = ["Exclusion", "Without", "normalized", "weigh_roles"]

T = TypeVar("T")


def normalized(text: str) -> str:
    """What two texts share that differ in case, width, punctuation or spaces only."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or folded.strip()


class Exclusion:
    """Texts that must not be learned from, such as those of evaluation sets; equality is of :func:`normalized` texts.

    Memory grows by about 60 bytes a text, not by its length.
    """

    def __init__(self, texts: Iterable[Text | str] = ()) -> None:
        """Remember the texts, whether query or document."""
        self._keys = {_key(text if isinstance(text, str) else text.text) for text in texts}

    def __len__(self) -> int:
        """Number of distinct texts."""
        return len(self._keys)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and bool(self._keys) and _key(text) in self._keys


class Without(Iterable[T], Generic[T]):
    """Items but those whose text is excluded, which are counted in :attr:`count`."""

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


def weigh_roles(is_query: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.int64]:
    """Places of texts so that queries make up a share of them: the rarer role is repeated, no text is left out.

    A share of 1 is the exception: documents are left out.

    Every text of a role comes equally often, give or take one; which ones come once more is drawn by the seed.

    Args:
        is_query: Whether each text is a query, shape ``(n,)``.
        share: Of queries, above 0, and 1 at most.
        seed: Of the draw.

    Returns:
        Places from 0 to n - 1 in rising order, at least n of them unless documents are left out.

    Raises:
        InputError: There are only queries or only documents.
    """
    places = np.arange(len(is_query), dtype=np.int64)
    queries, documents = places[is_query], places[~is_query]
    if share == 1 and len(queries):
        return queries
    if not len(queries) or not len(documents):
        raise InputError(
            f"a share of queries needs both roles; the corpus has {len(queries)} queries and {len(documents)} documents"
        )
    generator = np.random.default_rng(seed)
    more_queries = _repeat(queries, round(len(documents) * share / (1 - share)), generator)
    more_documents = _repeat(documents, round(len(queries) * (1 - share) / share), generator)
    if len(more_queries) >= len(queries):
        return np.sort(np.concatenate([more_queries, documents]))
    return np.sort(np.concatenate([queries, more_documents]))


def _repeat(places: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """``count`` of the places: whole rounds, and a random part of one."""
    rounds, rest = divmod(count, len(places))
    return np.concatenate([np.tile(places, rounds), generator.permutation(places)[:rest]])


def _key(text: str) -> int:
    # 64 bits: among ten million texts on either side, one in a hundred thousand runs would drop one text too many
    return int.from_bytes(hashlib.sha256(normalized(text).encode("utf-8", "replace")).digest()[:8], "big")
