"""Contamination of training texts by evaluation sets: equal texts, and 13-grams of words in common.

A shared 13-gram is the usual mark of a near-duplicate since Brown et al., arXiv 2005.14165, appendix C. Words are those
of :func:`leaf_embed.teacher.filtering.normalized`, so case, width and punctuation do not hide a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from leaf_embed.teacher.filtering import normalized
from leaf_embed.texts import Text

__all__ = ["NGRAM", "EvaluationIndex", "Overlap", "count_overlap"]

NGRAM = 13
EXAMPLES = 3
POWERS = np.array([pow(0x9E3779B97F4A7C15, i, 2**64) for i in range(NGRAM)], dtype=np.uint64)


@dataclass(frozen=True)
class Overlap:
    """Training texts of one source that occur in one evaluation set.

    Attributes:
        source: Name of the training texts.
        evaluation: Name of the evaluation set.
        texts: Number of training texts.
        equal: Number of those that equal an evaluation text, up to case, width, punctuation and spaces.
        near: Number of others that share a 13-gram with one.
        examples: Beginnings of the first few of either kind.
    """

    source: str
    evaluation: str
    texts: int
    equal: int
    near: int
    examples: tuple[str, ...]


class EvaluationIndex:
    """The texts of one evaluation set as sorted 64-bit hashes: 8 bytes per text and per distinct 13-gram."""

    def __init__(self, name: str, texts: Iterable[str]) -> None:
        """Reads the texts once.

        Args:
            name: Name of the set.
            texts: Its queries and documents.
        """
        self.name = name
        whole: list[int] = []
        runs: list[NDArray[np.uint64]] = [np.empty(0, dtype=np.uint64)]
        for text in texts:
            plain = normalized(text)
            whole.append(_digest(plain))
            runs.append(ngrams(plain.split()))
        self._whole = frozenset(whole)
        self._runs = np.unique(np.concatenate(runs))

    def equals(self, plain: str) -> bool:
        """Returns whether a normalized text is in the set."""
        return _digest(plain) in self._whole

    def shares(self, runs: NDArray[np.uint64]) -> bool:
        """Returns whether any of some :func:`ngrams` is in the set."""
        if not len(runs) or not len(self._runs):
            return False
        places = np.minimum(np.searchsorted(self._runs, runs), len(self._runs) - 1)
        return bool((self._runs[places] == runs).any())


def count_overlap(source: str, texts: Iterable[Text | str], sets: Sequence[EvaluationIndex]) -> list[Overlap]:
    """Counts the training texts that occur in each evaluation set.

    Args:
        source: Name of the training texts.
        texts: Read once, in bounded memory.
        sets: The evaluation sets.

    Returns:
        One count per set, in their order.
    """
    total = 0
    equal, near = ([0] * len(sets) for _ in range(2))
    examples: list[list[str]] = [[] for _ in sets]
    for text in texts:
        total += 1
        given = text if isinstance(text, str) else text.text
        plain = normalized(given)
        runs = ngrams(plain.split())
        for place, one in enumerate(sets):
            same = one.equals(plain)
            if same or one.shares(runs):
                (equal if same else near)[place] += 1
                if len(examples[place]) < EXAMPLES:
                    examples[place].append(given[:80])
    return [
        Overlap(source, one.name, total, equal[place], near[place], tuple(examples[place]))
        for place, one in enumerate(sets)
    ]


def ngrams(words: Sequence[str]) -> NDArray[np.uint64]:
    """Returns a hash of every 13-gram of words, shape ``(max(len(words) - 12, 0),)``.

    Sums of word hashes times odd powers, modulo 2**64: two different ones collide with a probability of about 2**-64.
    """
    if len(words) < NGRAM:
        return np.empty(0, dtype=np.uint64)
    hashes = np.fromiter(map(_of_word, words), dtype=np.uint64, count=len(words))
    windows = np.lib.stride_tricks.sliding_window_view(hashes, NGRAM)
    return np.asarray((windows * POWERS).sum(axis=1, dtype=np.uint64), dtype=np.uint64)


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


_of_word = lru_cache(maxsize=1 << 18)(_digest)
